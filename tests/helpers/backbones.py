"""Small language models of many families with random weights, written to folders as people have them."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

VOCABULARY, POSITIONS = 300, 96
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
SHORT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0] * 4,
    "original_max_position_embeddings": POSITIONS,
}
DYNAMIC_ROPE = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "llama with dynamic positions": (
        "llama",
        {**GROUPED, "max_position_embeddings": POSITIONS, "rope_parameters": DYNAMIC_ROPE},
    ),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 8}),
    "gemma3": ("gemma3_text", {**GROUPED, "head_dim": 8}),
    "mistral": ("mistral", {**GROUPED, "sliding_window": 4}),
    "phi3 with long positions": (
        "phi3",
        {
            **GROUPED,
            "max_position_embeddings": 4 * POSITIONS,
            "original_max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
            "rope_parameters": LONG_ROPE,
        },
    ),
    "gpt2": ("gpt2", {**SHORT, "n_positions": POSITIONS}),
    "gptj": ("gptj", {**SHORT, "n_positions": POSITIONS, "rotary_dim": 4}),
    "gpt_neox": ("gpt_neox", SHAPE),
    "opt": (
        "opt",
        {**SHAPE, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": POSITIONS},
    ),
    "bloom": ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mamba": ("mamba", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "bert": ("bert", SHAPE),
    "roberta": ("roberta", SHAPE),
    "modernbert": ("modernbert", {**SHAPE, "pad_token_id": 0}),
    "electra": ("electra", {**SHAPE, "embedding_size": 32}),
    "xlnet": ("xlnet", {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}),
    "gemma3 that looks both ways": ("gemma3_text", {**GROUPED, "head_dim": 8, "use_bidirectional_attention": True}),
    "bart": (
        "bart",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            **{f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 64))},
            **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
        },
    ),
    "t5": ("t5", {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}),
}
"""Name -> model type and settings of its configuration."""


def write_backbone(folder: Path, family: str) -> Path:
    """A model with random weights and a tokenizer of bytes."""
    kind, settings = FAMILIES[family]
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["some words"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder
