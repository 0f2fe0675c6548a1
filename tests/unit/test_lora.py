"""Our adapters are those of peft: names, first values, numbers and gradients."""

import copy

import peft
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from limssr.core.config import LoraConfig
from limssr.core.errors import InputError
from limssr.model.backbone.lora import add_lora

SHAPE = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    return LlamaModel(LlamaConfig(**SHAPE, num_key_value_heads=1)).to(dtype)


def gpt2(dtype=torch.float32):
    torch.manual_seed(0)
    return GPT2Model(GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=32)).to(dtype)


@pytest.mark.parametrize(
    ("make", "targets", "dtype"),
    [
        (llama, ("q_proj", "k_proj", "v_proj", "o_proj"), torch.float32),
        (llama, ("q_proj", "down_proj"), torch.bfloat16),
        (gpt2, ("c_attn", "c_proj"), torch.float32),
    ],
)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_weights_scores_and_gradients_are_those_of_peft(make, targets, dtype, dropout):
    config = LoraConfig(rank=3, alpha=6, dropout=dropout, targets=targets)
    ours, theirs = make(dtype), make(dtype)
    torch.manual_seed(7)
    add_lora(ours, config, dropout="torch")
    torch.manual_seed(7)
    theirs.requires_grad_(False)
    transposed = make is gpt2
    peft.inject_adapter_in_model(
        peft.LoraConfig(
            r=3, lora_alpha=6, lora_dropout=dropout, target_modules=list(targets), fan_in_fan_out=transposed
        ),
        theirs,
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, one in ours.named_parameters() if one.requires_grad] == [
        name for name, one in theirs.named_parameters() if one.requires_grad
    ]
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[name]), name
        assert tensor.dtype == ours.state_dict()[name].dtype
    with torch.no_grad():  # B begins at zero, which would hide a difference
        for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            if "lora_B" in name:
                one.normal_(generator=torch.Generator().manual_seed(len(name)))
                other.copy_(one)
    outputs = []
    for model in (ours, theirs):
        torch.manual_seed(5)
        hidden = model(inputs_embeds=torch.randn(2, 4, 16).to(dtype)).last_hidden_state
        hidden.float().pow(2).sum().backward()
        outputs.append(hidden)
    assert torch.equal(*outputs)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_targets_that_are_not_there_or_no_linear_map_are_refused():
    with pytest.raises(InputError, match=r"do not fit this backbone: it has no query"):
        add_lora(llama(), LoraConfig(targets=("query",)))
    with pytest.raises(InputError, match="embed_tokens is no linear map"):
        add_lora(llama(), LoraConfig(targets=("q_proj", "embed_tokens")))


def test_adapters_follow_their_map_to_the_meta_device():
    model = copy.deepcopy(llama()).to("meta")
    add_lora(model, LoraConfig(rank=2))
    assert {one.device.type for one in model.parameters()} == {"meta"}
    assert isinstance(model.layers[0].self_attn.q_proj.base_layer, nn.Linear)
