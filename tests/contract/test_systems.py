"""What LIMSSR honours with 1 to 4 streams; test_comparison_systems.py asks the same of the systems beside it."""

import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import BackboneConfig, ModelConfig, PromptConfig, StatisticsConfig
from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.data.missing import subsets
from limssr.evaluation.evaluate import ModelScorer
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained

TINY = BackboneConfig(name="tiny")
CONFIGS = {
    "limssr": ModelConfig(backbone=TINY),
    "limssr-interleaved": ModelConfig(backbone=TINY, block_order="interleaved", input_scaling="standard"),
    "limssr-encoder": ModelConfig(
        backbone=TINY,
        prompt=PromptConfig(variant="none"),
        boundary_tokens="none",
        absent="omitted",
        num_fusion_tokens=0,
        paths="path1",
        calibration="none",
    ),
    "limssr-zeros": ModelConfig(backbone=TINY, absent="zeros", calibration="none"),
    "limssr-statistics": ModelConfig(backbone=TINY, head="statistics", output="standardized"),
    "limssr-in-stages": ModelConfig(
        backbone=TINY, head="statistics", output="standardized", statistics=StatisticsConfig(first=0.5)
    ),
    "attention": ModelConfig(system="attention"),
}
ALL_MODALITIES = (Modality("video", 5), Modality("audio", 3), Modality("flow", 4), Modality("pose", 2))
CRITERIA = (Criterion("TES", 0.0, 130.0, "points"), Criterion("PCS", 10.0, 60.0, "points"))
EXACT = {"rtol": 0.0, "atol": 0.0}
CLOSE = {"rtol": 0.0, "atol": 1e-5}


@dataclasses.dataclass(frozen=True)
class Case:
    model: torch.nn.Module
    modalities: tuple[Modality, ...]
    samples: list[Sample]

    def batch(self, samples=None, **options) -> Batch:
        return collate(self.samples if samples is None else samples, self.modalities, CRITERIA, **options)

    def scores(self, batch: Batch) -> torch.Tensor:
        with torch.inference_mode():
            return self.model.eval()(batch).unit_scores_BC


def samples_of_every_pattern(modalities):
    """Every non-empty subset twice, lengths 3 to 7, with a few missing segments; never a stream without a valid one."""
    rng = np.random.default_rng(0)
    found = []
    for owned in subsets([modality.name for modality in modalities]) * 2:
        length = int(rng.integers(3, 8))
        streams = {m.name: rng.normal(size=(length, m.dim)).astype(np.float32) for m in modalities if m.name in owned}
        for stream_TD in streams.values():
            stream_TD[1:][rng.random(length - 1) < 0.2] = np.nan
        scores = np.array([rng.uniform(0, 130), rng.uniform(10, 60)])
        found.append(Sample(f"sample-{len(found)}", streams, scores))
    return found


def shake(model):
    """Move every trained tensor a little: zero starts (of adapters) would hide what depends on them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture(
    scope="module", params=[(name, m) for name in CONFIGS for m in (1, 2, 3, 4)], ids=lambda p: f"{p[0]}-M{p[1]}"
)
def case(request):
    name, num_modalities = request.param
    modalities = ALL_MODALITIES[:num_modalities]
    samples = samples_of_every_pattern(modalities)
    model = build_model(CONFIGS[name], modalities, CRITERIA, seed=0)
    model.calibrate(samples)
    shake(model)
    return Case(model, modalities, samples)


def test_the_model_says_what_it_is_and_scores_are_finite(case):
    assert tuple(case.model.modalities) == case.modalities
    assert tuple(case.model.criteria) == CRITERIA
    assert isinstance(case.model.config, ModelConfig)
    scores_BC = case.scores(case.batch())
    assert scores_BC.shape == (len(case.samples), len(CRITERIA))
    assert scores_BC.isfinite().all()
    # A constant would honour every rule below.
    assert scores_BC.std(dim=0).min() > 1e-6


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
def test_what_stands_behind_an_absent_stream_is_never_read(case, poison):
    batch = case.batch()
    features = {
        modality.name: batch.features[modality.name].masked_fill(~batch.valid_BMT[:, index, :, None], poison)
        for index, modality in enumerate(case.modalities)
    }
    poisoned = dataclasses.replace(batch, features=features)
    assert any(not torch.equal(features[name], batch.features[name]) for name in features)
    torch.testing.assert_close(case.scores(poisoned), case.scores(batch), **EXACT)


def test_poison_does_not_reach_gradients(case):
    batch = case.batch()
    features = {
        modality.name: batch.features[modality.name].masked_fill(~batch.valid_BMT[:, index, :, None], float("nan"))
        for index, modality in enumerate(case.modalities)
    }
    case.model.train().zero_grad()
    case.model(dataclasses.replace(batch, features=features)).unit_scores_BC.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in case.model.parameters())


def test_more_padding_changes_nothing(case):
    torch.testing.assert_close(case.scores(case.batch(pad_to=19)), case.scores(case.batch()), **CLOSE)


def test_permuting_the_batch_permutes_the_scores(case):
    order = np.random.default_rng(3).permutation(len(case.samples))
    scores_BC = case.scores(case.batch([case.samples[n] for n in order]))
    torch.testing.assert_close(scores_BC, case.scores(case.batch())[torch.from_numpy(order)], **CLOSE)


def test_a_batch_of_mixed_patterns_equals_one_batch_a_pattern(case):
    mixed_BC = case.scores(case.batch())
    patterns: dict[tuple[str, ...], list[int]] = {}
    for n, sample in enumerate(case.samples):
        patterns.setdefault(tuple(sample.streams), []).append(n)
    assert len(patterns) == 2 ** len(case.modalities) - 1
    for rows in patterns.values():
        torch.testing.assert_close(case.scores(case.batch([case.samples[n] for n in rows])), mixed_BC[rows], **CLOSE)


def test_every_subset_of_what_a_sample_owns_can_be_scored(case):
    complete = max(case.samples, key=lambda sample: len(sample.streams))
    scorer = ModelScorer(case.model, batch_size=3)
    for streams in subsets([modality.name for modality in case.modalities]):
        scores_NC = scorer.score([complete.restricted_to(streams)])
        assert np.isfinite(scores_NC).all()


def test_every_trained_tensor_gets_a_gradient(case):
    case.model.train().zero_grad()
    output = case.model(case.batch())
    weights_BC = torch.randn(output.unit_scores_BC.shape, generator=torch.Generator().manual_seed(2))
    (output.unit_scores_BC * weights_BC).sum().backward()
    trained = {name: p.grad for name, p in case.model.named_parameters() if p.requires_grad}
    assert trained
    assert [name for name, gradient in trained.items() if gradient is None or not gradient.isfinite().all()] == []
    if len(case.modalities) > 1:  # with one stream there is nothing to weigh against it, so weights are idle
        assert [name for name, gradient in trained.items() if not gradient.abs().max() > 0] == []
    assert all(p.grad is None for p in case.model.parameters() if not p.requires_grad)


def test_saved_and_loaded_scores_are_the_same_bits(case, tmp_path):
    save_pretrained(case.model, tmp_path / "model")
    loaded = dataclasses.replace(case, model=load_pretrained(tmp_path / "model"))
    torch.testing.assert_close(loaded.scores(case.batch()), case.scores(case.batch()), **EXACT)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_seed_decides_the_weights_and_leaves_the_caller_alone(name):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, same, other = (build_model(CONFIGS[name], ALL_MODALITIES[:2], CRITERIA, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", CONFIGS)
def test_training_moves_towards_the_scores(name):
    """Six performances can be learned by heart: some road leads from the features to the score."""
    modalities = ALL_MODALITIES[:2]
    samples = samples_of_every_pattern(modalities)
    config = CONFIGS[name].model_copy(update={"dropout": 0.0, "lora": None})
    model = build_model(config, modalities, CRITERIA, seed=0)
    model.calibrate(samples)
    batch = collate(samples, modalities, CRITERIA)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(60):
        loss = (model.train()(batch).unit_scores_BC - batch.unit_scores_BC).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_an_unknown_system_is_named():
    with pytest.raises(InputError, match="attentoin"):
        build_model(ModelConfig(system="attentoin"), ALL_MODALITIES, CRITERIA, seed=0)
