"""Layers made for few tokens give what the backbone gives."""

import pytest
import torch

from helpers.backbones import write_backbone
from limssr.core.config import BackboneConfig, LoraConfig
from limssr.model.backbone.load import load_backbone
from limssr.model.backbone.lora import add_lora
from limssr.model.reading.attention import exchange_attention
from limssr.model.reading.growing import Growth, KeptKeys, grow
from limssr.model.reading.llama_layers import LlamaLayers, why_not_llama


def backbone_of(folder, family):
    model = load_backbone(BackboneConfig(name=str(write_backbone(folder, family))), seed=0).model
    exchange_attention(model)
    add_lora(model, LoraConfig(rank=2))
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or name.endswith(("norm.weight", "bias")):
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def rounds(number=3, hidden=32):
    """New tokens and tail of two sequences, in several rounds; the second begins later."""
    generator = torch.Generator().manual_seed(0)
    for turn in range(number):
        yield [
            (torch.randn(4 + turn + which, hidden, generator=generator), torch.randn(3, hidden, generator=generator))
            for which in range(2 if turn else 1)
        ]


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral without a window"])
def test_several_sequences_that_grow_read_the_same(tmp_path, monkeypatch, family):
    if family not in ("llama", "qwen3"):
        family = "mistral"
        monkeypatch.setitem(write_backbone.__globals__["FAMILIES"], "mistral", plain_mistral())
    model = backbone_of(tmp_path, family)
    assert why_not_llama(model) is None
    layers = LlamaLayers(model)
    by_layers, by_model = [KeptKeys(), KeptKeys()], [KeptKeys(), KeptKeys()]
    for tokens in rounds():
        found, expected = (
            grow(model, [Growth(kept, new, tail) for kept, (new, tail) in zip(some, tokens, strict=False)], how)
            for some, how in ((by_layers, layers), (by_model, None))
        )
        for one, other in zip(found, expected, strict=True):
            for part, whole in zip(one, other, strict=True):
                assert part.shape == whole.shape
                assert (part - whole).abs().max() < 2e-5 * whole.abs().max()
    assert [kept.length for kept in by_layers] == [kept.length for kept in by_model]
    for kept, other in zip(by_layers, by_model, strict=True):
        for layer in other.layers:
            for part, whole in zip(kept.of(layer), other.of(layer), strict=True):
                assert (part - whole).abs().max() < 2e-5 * whole.abs().max()


def plain_mistral():
    kind, settings = write_backbone.__globals__["FAMILIES"]["mistral"]
    return kind, {**settings, "sliding_window": None}


@pytest.mark.parametrize(
    ("family", "reason"), [("mistral", "looks back"), ("gpt_neox", "gpt_neox"), ("gemma3", "gemma")]
)
def test_other_layers_are_left_to_the_backbone(tmp_path, family, reason):
    model = load_backbone(BackboneConfig(name=str(write_backbone(tmp_path, family))), seed=0).model
    assert reason in why_not_llama(model)


def test_half_precision_is_left_to_the_backbone(tmp_path):
    model = load_backbone(BackboneConfig(name=str(write_backbone(tmp_path, "llama"))), seed=0).model
    assert "float32" in why_not_llama(model.to(torch.bfloat16))
