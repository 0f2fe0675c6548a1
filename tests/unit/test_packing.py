"""Packed reading gives what padded reading gives: states, gradients, scores; and what it keeps, it keeps rightly."""

import copy
import itertools

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from limssr.core.config import BackboneConfig, LoraConfig, LossConfig, ModelConfig, PromptConfig, StatisticsConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.data.missing import subsets
from limssr.model.backbone.lora import add_lora
from limssr.model.layout import Layout
from limssr.model.reading import packing
from limssr.model.reading.reader import Reader
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model
from limssr.systems.saving import load_saved_state, state_to_save

WIDTH = 32
SHAPE = {
    "hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 20, "pad_token_id": 0,
}  # fmt: skip
WINDOWS = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
FAMILIES = {
    "llama": LlamaConfig(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE),
    "gemma3": Gemma3TextConfig(**SHAPE, **WINDOWS),
    "mistral": MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": Qwen2Config(**{name: value for name, value in SHAPE.items() if name != "head_dim"}),
}
NUM_BANK = 40


def make_backbone(family: str, layers: int = 3) -> torch.nn.Module:
    config = copy.deepcopy(FAMILIES[family])
    config.num_hidden_layers = layers
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:  # scales of one would hide a norm that is left out
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.embed_tokens = None
    return model


class Bank(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.nn.Parameter(torch.randn(NUM_BANK, WIDTH, generator=torch.Generator().manual_seed(1)))


def make_layout(batch_size: int, *, longest: int = 24, prompts=((0, 1, 2, 3, 4), (), (5, 6, 7)), seed: int = 0):
    """Sequences with a prompt, a boundary, two pooled blocks with a hole between them, and two fusion positions."""
    rng = np.random.default_rng(seed)
    chosen = [prompts[b % len(prompts)] for b in range(batch_size)]
    bodies = [rng.integers(8, NUM_BANK, size=int(rng.integers(6, longest))) for _ in chosen]
    lengths = [len(prompt) + len(body) for prompt, body in zip(chosen, bodies, strict=True)]
    source = np.zeros((batch_size, max(lengths)), dtype=np.int64)
    pool = np.zeros((batch_size, 2, max(lengths)), dtype=np.float32)
    for b, (prompt, body) in enumerate(zip(chosen, bodies, strict=True)):
        source[b, : lengths[b]] = [*prompt, *body]
        first, last = len(prompt) + 1, lengths[b] - 2
        middle = (first + last) // 2
        pool[b, 0, first:middle] = 1.0 / max(middle - first, 1)
        pool[b, 1, middle + 1 : last] = 1.0 / max(last - middle - 1, 1)
    fusion = np.array(lengths)[:, None] + [[-2, -1]]
    layout = Layout(*map(torch.from_numpy, (source, pool, fusion, np.array(lengths))))
    return layout, [len(prompt) for prompt in chosen]


def what_heads_read(states) -> torch.Tensor:
    hidden = states.hidden_BLH
    slots = hidden.gather(1, states.fusion_BK[..., None].expand(-1, -1, WIDTH))
    pooled = [torch.bmm(states.pool_BML, x) for x in (hidden, states.inputs_BLH) if x is not None]
    return torch.cat([*pooled, slots], dim=1)


def read(reader: Reader, bank: Bank, layout: Layout, prompt_lengths) -> torch.Tensor:
    return what_heads_read(reader.read(bank.rows, layout, prompt_lengths, with_inputs=True))


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """To 1e-5 of the largest number; and there is something to compare."""
    assert found.shape == expected.shape
    largest = expected.abs().max().item()
    assert largest > 0
    assert (found - expected).abs().max().item() <= 1e-5 * largest


def answer_and_gradients(reader: Reader, bank: Bank, layout: Layout, prompt_lengths):
    modules = (reader.backbone, bank)
    for module in modules:
        module.zero_grad()
    answer = read(reader, bank, layout, prompt_lengths)
    weights = torch.randn(answer.shape, generator=torch.Generator().manual_seed(2))
    (answer * weights).sum().backward()
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return answer.detach(), torch.cat([p.grad.flatten() for p in parameters])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masked_keys", [512, 16, 0], ids=["masked", "both", "square"])
def test_states_and_gradients_are_those_of_padded_reading(family, masked_keys, monkeypatch):
    monkeypatch.setitem(packing.MASKED_KEYS, "cpu", masked_keys)
    bank = Bank()
    reader = Reader(make_backbone(family), bank, "packed")
    for batch_size in (1, 2, 7):
        layout, prompt_lengths = make_layout(batch_size)
        found = {}
        for how in ("padded", "packed"):
            reader.how = how
            reader.backbone.train()
            trained = answer_and_gradients(reader, bank, layout, prompt_lengths)
            reader.backbone.eval()
            with torch.no_grad():  # the second time prompts are read from what was kept
                scored = [read(reader, bank, layout, prompt_lengths) for _ in range(2)]
            found[how] = (*trained, *scored)
        for padded, packed in zip(found["padded"], found["packed"], strict=True):
            assert_same(packed, padded)


@pytest.mark.parametrize("layers", [1, 2])
def test_adapters_and_gradient_checkpointing(layers):
    bank = Bank()
    backbone = make_backbone("llama", layers)
    add_lora(backbone, LoraConfig(rank=2, dropout=0.0))
    for name, parameter in backbone.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    reader = Reader(backbone, bank, "packed")
    layout, prompt_lengths = make_layout(5)
    found = []
    for how, checkpointing in itertools.product(("padded", "packed"), (False, True)):
        reader.how = how
        switch = backbone.gradient_checkpointing_enable if checkpointing else backbone.gradient_checkpointing_disable
        switch()
        assert backbone.layers[-1].gradient_checkpointing == checkpointing
        found.append(answer_and_gradients(reader, bank, layout, prompt_lengths))
    for answer, gradients in found[1:]:
        assert_same(answer, found[0][0])
        assert_same(gradients, found[0][1])


def test_only_real_tokens_are_read_and_only_read_ones_leave_the_last_layer():
    bank = Bank()
    reader = Reader(make_backbone("llama"), bank, "packed")
    layout, prompt_lengths = make_layout(6)
    rows = {}
    for number, layer in enumerate(reader.backbone.layers):
        layer.mlp.register_forward_hook(
            lambda _, inputs, __, number=number: rows.setdefault(number, inputs[0].shape[1])
        )
    reader.read(bank.rows, layout, prompt_lengths)
    bodies = int(layout.lengths_B.sum()) - sum(prompt_lengths)
    read = int((layout.pool_BML > 0).any(dim=1).sum()) + layout.fusion_BK.numel()
    assert rows == {0: bodies + 5 + 3, 1: bodies + 5 + 3, 2: read}
    rows.clear()
    reader.backbone.eval()
    with torch.no_grad():
        reader.read(bank.rows, layout, prompt_lengths)
        rows.clear()
        reader.read(bank.rows, layout, prompt_lengths)
    assert rows == {0: bodies, 1: bodies, 2: read}


def test_one_sample_alone_needs_no_rearranging():
    """A batch of one prompt and equal lengths: queries stand in the row as attention wants them."""
    layout, prompt_lengths = make_layout(1)
    layout = Layout(*(x.repeat(4, *[1] * (x.ndim - 1)) for x in vars(layout).values()))
    packed = packing.pack(layout, packing.prompts_of(layout, prompt_lengths * 4))
    assert packed.attention.query_S is None
    assert len(packed.attention.groups) == 2  # the prompt, the bodies
    assert len(packed.source_N) == prompt_lengths[0] + 4 * (int(layout.lengths_B[0]) - prompt_lengths[0])


def test_keys_can_be_repeated_where_no_kernel_shares_them(monkeypatch):
    bank = Bank()
    reader = Reader(make_backbone("gemma3"), bank, "packed")
    layout, prompt_lengths = make_layout(4)
    shared = answer_and_gradients(reader, bank, layout, prompt_lengths)
    monkeypatch.setattr("limssr.model.reading.attention._can_group_heads", lambda query, mask: False)
    for repeated, expected in zip(answer_and_gradients(reader, bank, layout, prompt_lengths), shared, strict=True):
        assert_same(repeated, expected)


def test_groups_follow_from_what_a_call_costs(monkeypatch):
    layout, prompt_lengths = make_layout(9, longest=40)
    prompts = packing.prompts_of(layout, prompt_lengths)
    found = {}
    for cost in (0, 100, 10**9):
        monkeypatch.setitem(packing.CALL_COST, "cpu", cost)
        found[cost] = packing.pack(layout, prompts).attention.groups
    waste = {
        cost: sum(group.size * group.num_keys for group in groups) - int(layout.lengths_B.sum()) - 5 - 3
        for cost, groups in found.items()
    }
    assert waste[0] == 0
    assert waste[0] < waste[100] < waste[10**9]
    assert len(found[0]) > len(found[100]) > len(found[10**9]) == 3  # no prompt or a prompt itself, and two lengths


def test_families_that_cannot_be_packed_say_so():
    softcapped = Gemma2Config(**SHAPE)
    for config in (softcapped, GPT2Config(n_embd=WIDTH, n_layer=1, n_head=4, vocab_size=20)):
        model = AutoModel.from_config(config)
        with pytest.raises(InputError, match="reading=padded"):
            Reader(model, Bank(), "packed")


MODALITIES = (Modality("video", 5), Modality("audio", 3), Modality("flow", 4))
CRITERIA = (Criterion("execution", 0.0, 10.0), Criterion("difficulty", 0.0, 60.0))


def make_samples(num_copies: int = 1) -> list[Sample]:
    rng = np.random.default_rng(0)
    found = []
    for owned in subsets([modality.name for modality in MODALITIES]) * num_copies:
        length = int(rng.integers(3, 12))
        streams = {m.name: rng.normal(size=(length, m.dim)).astype(np.float32) for m in MODALITIES if m.name in owned}
        for stream in streams.values():
            stream[1:][rng.random(length - 1) < 0.2] = np.nan
        found.append(Sample(f"sample-{len(found)}", streams, np.array([rng.uniform(0, 10), rng.uniform(0, 60)])))
    return found


def make_model(**changes) -> torch.nn.Module:
    model = build_model(ModelConfig(backbone=BackboneConfig(name="tiny"), **changes), MODALITIES, CRITERIA, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


VARIANTS = (
    {},
    {"head": "statistics", "output": "standardized", "statistics": StatisticsConfig(input_dropout=0.0, dropout=0.0)},
    {"block_order": "interleaved"},
    {"num_missing_tokens": 1, "boundary_tokens": "none"},
    {"prompt": PromptConfig(variant="none")},
    {"absent": "omitted"},
    {"absent": "zeros", "num_fusion_tokens": 0},
)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_training_step_and_scores_of_the_whole_model(changes):
    model = make_model(**changes, dropout=0.0, lora=LoraConfig(dropout=0.0))
    batch = collate(make_samples(), MODALITIES, CRITERIA)
    found = {}
    for how in ("padded", "packed"):
        model.reader.how = how
        with torch.no_grad():  # before training moves the running statistics
            scores = model.eval()(batch).unit_scores_BC
        state = {name: value.clone() for name, value in state_to_save(model).items()}
        model.train().zero_grad()
        total_loss(model(batch), batch.unit_scores_BC, LossConfig()).total.backward()
        found[how] = scores, torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        load_saved_state(model, state)
    for packed, padded in zip(found["packed"], found["padded"], strict=True):
        assert_same(packed, padded)


class TestKeptPrompts:
    @pytest.fixture
    def model(self):
        return make_model().eval()

    @pytest.fixture
    def batch(self) -> Batch:
        return collate(make_samples(), MODALITIES, CRITERIA)

    @staticmethod
    def scores(model, batch, *, keeps=True) -> torch.Tensor:
        model.reader.keeps_prompts = keeps
        with torch.no_grad():
            return model(batch).unit_scores_BC

    @staticmethod
    def count_rows(model) -> list[int]:
        rows = []
        model.backbone.layers[0].register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[1]))
        return rows

    def test_prompts_are_read_once(self, model, batch):
        rows = self.count_rows(model)
        first, second = self.scores(model, batch), self.scores(model, batch)
        assert torch.equal(first, second)
        prompts, bodies, again = rows
        assert again == bodies
        prompt_lengths = map(len, model.tokens.rows.prompts.values())
        assert prompts == sum(prompt_lengths)
        assert_same(first, self.scores(model, batch, keeps=False))
        assert rows[3:] == [prompts + bodies]

    def test_new_patterns_are_added(self, model):
        for sample in make_samples():
            batch = collate([sample], MODALITIES, CRITERIA)
            assert_same(self.scores(model, batch), self.scores(model, batch, keeps=False))
        everything = collate(make_samples(2), MODALITIES, CRITERIA)
        rows = self.count_rows(model)
        kept = self.scores(model, everything)
        assert len(rows) == 1  # every prompt was there
        assert_same(kept, self.scores(model, everything, keeps=False))

    def test_too_many_are_forgotten(self, model, monkeypatch):
        longest = max(map(len, model.tokens.rows.prompts.values()))
        monkeypatch.setattr("limssr.model.reading.reader.MAX_KEPT_TOKENS", longest)
        for sample in make_samples(2):
            batch = collate([sample], MODALITIES, CRITERIA)
            assert_same(self.scores(model, batch), self.scores(model, batch, keeps=False))
        assert len(model.reader._kept.first) == 1

    @pytest.mark.parametrize("scored_between", [False, True])
    @pytest.mark.parametrize("fused", [True, False, None])
    def test_a_training_step_is_seen(self, model, batch, fused, scored_between):
        """Even without a word to the reader: the model stays in evaluation mode."""
        before = self.scores(model, batch)
        backbone = [p for p in (*model.backbone.parameters(), *model.tokens.parameters()) if p.requires_grad]
        optimizer = torch.optim.AdamW(backbone, lr=1e-2, fused=fused)
        total_loss(model(batch), batch.unit_scores_BC, LossConfig()).total.backward()
        if scored_between:
            self.scores(model, batch)
        optimizer.step()
        optimizer.zero_grad()
        after = self.scores(model, batch)
        assert not torch.allclose(after, before)
        assert_same(after, self.scores(model, batch, keeps=False))

    def test_loading_weights_is_seen(self, model, batch):
        before = self.scores(model, batch)
        state = {name: value.clone() for name, value in state_to_save(model).items()}
        state["tokens.words"] += 1.0
        load_saved_state(model, state)
        after = self.scores(model, batch)
        assert not torch.allclose(after, before)
        assert_same(after, self.scores(model, batch, keeps=False))

    def test_train_forgets_what_no_counter_sees(self, model, batch):
        self.scores(model, batch)
        model.tokens.words.data.add_(1.0)
        model.train().eval()
        assert_same(self.scores(model, batch), self.scores(model, batch, keeps=False))

    def test_another_dtype_is_seen(self, model, batch):
        self.scores(model, batch)
        model.double()
        features = {name: x.double() for name, x in batch.features.items()}
        wide = Batch(
            ids=batch.ids,
            features=features,
            present_BM=batch.present_BM,
            valid_BMT=batch.valid_BMT,
            lengths_B=batch.lengths_B,
        )
        assert self.scores(model, wide).dtype == torch.float64

    def test_copies_do_not_share(self, model, batch):
        self.scores(model, batch)
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.tokens.words.add_(1.0)
        assert_same(self.scores(other, batch), self.scores(other, batch, keeps=False))
        assert_same(self.scores(model, batch), self.scores(model, batch, keeps=False))

    def test_nothing_is_kept_with_gradients(self, model, batch):
        model(batch).unit_scores_BC.sum().backward()
        assert model.tokens.words.grad.abs().max() > 0
        assert model.reader._kept is None

    def test_weights_made_in_inference_mode_are_read_every_time(self, batch):
        with torch.inference_mode():
            model = make_model().eval()
            first = model(batch).unit_scores_BC
            model.tokens.words.add_(1.0)
            second = model(batch).unit_scores_BC
        assert not torch.allclose(first, second)
