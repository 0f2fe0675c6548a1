"""A score depends on the recording alone: the contract of `limssr.nn.contract`, asked of every network."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.networks import (
    ALL_MODALITIES,
    CASES,
    MIN_STREAMS,
    NAMES,
    VARIANTS,
    case_of,
    small_config,
)
from limssr.core.types import Sample
from limssr.data.batching import collate
from limssr.evaluation.scorer import ModelScorer
from limssr.nn.scaling import InputScaler
from limssr.systems.build import build_model
from limssr.systems.regressions import PooledRegressor
from limssr.testing import CRITERIA, Case, samples_of_every_pattern, shake

EXACT = {"rtol": 0.0, "atol": 0.0, "equal_nan": True}
CLOSE = {"rtol": 0.0, "atol": 2e-5, "equal_nan": True}
THREE = tuple((name, 3) for name in (*NAMES, *VARIANTS))
UNSCALED = (
    "limssr-plain",
    "limssr-encoder",
    "limssr-zeros",
    "limssr-statistics",
    "limssr-in-stages",
    "attention-unscaled",
)
"""They read features as they are: `input_scaling` is "none"."""


@pytest.fixture(params=CASES, ids=lambda p: f"{p[0]}-M{p[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(*request.param)


@pytest.fixture(params=THREE, ids=lambda p: p[0])
def case_of_three(request: pytest.FixtureRequest) -> Case:
    return case_of(*request.param)


def named(samples: list[Sample], names: list[str]) -> list[Sample]:
    return [dataclasses.replace(sample, id=name) for sample, name in zip(samples, names, strict=True)]


def in_another_unit(sample: Sample, factor: float) -> Sample:
    streams = {name: (x.astype(np.float64) * factor).astype(np.float32) for name, x in sample.streams.items()}
    return dataclasses.replace(sample, streams=streams)


def longer_mates(case: Case) -> list[Sample]:
    """Other recordings, much longer, one of every pattern."""
    return [
        dataclasses.replace(s, id=f"mate-{n}", streams={k: np.tile(x + 1, (9, 1)) for k, x in s.streams.items()})
        for n, s in enumerate(samples_of_every_pattern(case.modalities, seed=8))
    ]


def test_what_a_recording_is_called_changes_nothing(case: Case) -> None:
    """New names, and those of other training samples."""
    ids = [sample.id for sample in case.samples]
    for names in ([f"new-{n}" for n in range(len(ids))], ids[1:] + ids[:1], ["same"] * len(ids)):
        scores = case.scores(case.batch(named(case.samples, names)))
        torch.testing.assert_close(scores, case.scores(case.batch()), **EXACT)


def test_longer_recordings_beside_it_change_nothing(case: Case) -> None:
    together = case.scores(case.batch([*case.samples, *longer_mates(case)]))[: len(case.samples)]
    alone = torch.cat([case.scores(case.batch([sample])) for sample in case.samples])
    torch.testing.assert_close(together, alone, **CLOSE)


def test_the_order_of_streams_in_a_sample_changes_nothing(case_of_three: Case) -> None:
    case = case_of_three
    turned = [dataclasses.replace(s, streams=dict(reversed(s.streams.items()))) for s in case.samples]
    torch.testing.assert_close(case.scores(case.batch(turned)), case.scores(case.batch()), **EXACT)


def test_the_place_in_a_list_changes_nothing(case_of_three: Case) -> None:
    """Through the scorer: reversed, one by one, twice in a call, at another batch size."""
    scorer, samples = ModelScorer(case_of_three.model, batch_size=4), case_of_three.samples
    expected = scorer.score(samples)
    tolerance = {"rtol": 1e-5, "atol": 1e-3}  # in the data set's unit
    np.testing.assert_allclose(scorer.score(samples[::-1])[::-1], expected, **tolerance)
    np.testing.assert_allclose(np.concatenate([scorer.score([one]) for one in samples]), expected, **tolerance)
    np.testing.assert_allclose(scorer.score([samples[-1]] * 3), expected[[-1] * 3], **tolerance)
    np.testing.assert_allclose(ModelScorer(case_of_three.model, batch_size=50).score(samples), expected, **tolerance)


def test_the_number_of_threads_changes_nothing(case_of_three: Case) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(case_of_three.scores(case_of_three.batch()))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*found, **CLOSE)


@pytest.mark.parametrize("name", [name for name in (*NAMES, *VARIANTS) if name not in UNSCALED])
def test_the_unit_of_features_changes_nothing(name: str) -> None:
    """Trained and scored in another unit, with the same weights."""
    modalities = ALL_MODALITIES[: max(2, MIN_STREAMS.get(name, 1))]
    found = []
    for factor in (1.0, 1e-9, 1e-4, 1e7):
        samples = [in_another_unit(sample, factor) for sample in samples_of_every_pattern(modalities)]
        model = build_model(small_config(name), modalities, CRITERIA, seed=0)
        model.calibrate(samples)
        shake(model)
        case = Case(name=name, model=model, modalities=modalities, samples=samples)
        found.append(case.scores(case.batch()))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0.0, atol=2e-4, equal_nan=True)


@pytest.mark.parametrize("factor", [1e-30, 1e-13, 1e-8, 1.0, 1e12])
def test_a_feature_counts_as_constant_in_no_unit_or_in_every(factor: float) -> None:
    rng = np.random.default_rng(0)
    moving, constant, wild = rng.normal(size=(50, 1)) + 3, np.full((50, 1), 7.1), rng.normal(size=(50, 1)) * 1e-12 + 5
    values = (np.concatenate([moving, constant, wild], axis=1) * factor).astype(np.float32)
    audio = ALL_MODALITIES[1:2]
    scaler = InputScaler(audio, "standard")
    scaler.fit([Sample("a", {"audio": values})])
    scaled = scaler(collate([Sample("b", {"audio": values * np.float32([1, 2, 1])})], audio, ()))
    deviations = scaled["audio"][0].std(dim=0, correction=0)
    torch.testing.assert_close(deviations, torch.tensor([1.0, 0.0, 0.0]), rtol=0.0, atol=1e-3)
    assert scaled["audio"][0, :, 1:].abs().max() < 1e-6, "what never moved in training says nothing when it moves"


@pytest.mark.parametrize("kind", ["ridge", "extra_trees", "gradient_boosting"])
def test_regressions_score_the_recording_alone(kind: str) -> None:
    modalities = ALL_MODALITIES[:2]
    every = [one for seed in range(8) for one in samples_of_every_pattern(modalities, seed)]
    samples = named(every, [str(n) for n in range(len(every))])
    model = PooledRegressor(kind, "impute", modalities=modalities, criteria=CRITERIA, num_jobs=1).fit(samples)
    expected = model.score(samples)
    np.testing.assert_allclose(model.score(samples[::-1])[::-1], expected, rtol=1e-9)
    np.testing.assert_allclose(model.score(named(samples, ["same"] * len(samples))), expected, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate([model.score([one]) for one in samples[:5]]), expected[:5], rtol=1e-9)


def test_a_saved_noise_is_the_same_noise(tmp_path: Path) -> None:
    """Random numbers of scoring belong to the model, also in another process: these were drawn in an earlier one."""
    from limssr.nn.layers import fixed_noise

    drawn = fixed_noise(2, 3, purpose="imder-video-0")
    torch.testing.assert_close(fixed_noise(5, 3, purpose="imder-video-0")[:2], drawn, **EXACT)
    assert not torch.equal(fixed_noise(2, 3, purpose="imder-audio-0"), drawn)
