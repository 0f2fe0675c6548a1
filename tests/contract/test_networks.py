"""What every network of the table honours, LIMSSR like the others, with 1 to 4 streams."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from helpers.networks import (
    ALL_MODALITIES,
    CASES,
    MIN_STREAMS,
    NAMES,
    PAIRS_WITHOUT_TARGETS,
    SCORES_FROM_ALL_OWNED,
    VARIANTS,
    case_of,
    small_config,
)
from limssr.core.config import ModelConfig, RunConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.data.batching import collate
from limssr.data.missing import subsets
from limssr.evaluation.scorer import ModelScorer
from limssr.systems.build import build_model
from limssr.systems.saving import state_to_save
from limssr.systems.table import SYSTEMS
from limssr.testing import (
    CHECKS,
    CRITERIA,
    Case,
    check_learning,
    check_seed,
    samples_of_every_pattern,
    training_batch,
)
from limssr.training.loop import fit

EXACT = {"rtol": 0.0, "atol": 0.0, "equal_nan": True}
CLOSE = {"rtol": 0.0, "atol": 2e-5, "equal_nan": True}


@pytest.fixture(params=CASES, ids=lambda p: f"{p[0]}-M{p[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(*request.param)


def test_every_system_says_what_it_is(case: Case) -> None:
    declared = SYSTEMS[case.model.config.system]
    assert tuple(case.model.modalities) == case.modalities
    assert tuple(case.model.criteria) == CRITERIA
    assert declared.stages == case.model.stages or case.name in VARIANTS
    assert bool(declared.hidden_values) == case.model.looks_at_hidden
    assert declared.needs_complete_training == "no" or declared.hidden_values or case.name in PAIRS_WITHOUT_TARGETS


PROMISES = [name for name, check in CHECKS.items() if check not in (check_learning, check_seed)]
"""Those that take a network with any number of streams; the other two are asked by name below."""


@pytest.mark.parametrize("promise", PROMISES)
def test_what_is_promised_of_every_system(case: Case, promise: str) -> None:
    CHECKS[promise](case)


def test_every_pattern_is_put_before_a_system(case: Case) -> None:
    assert len({tuple(sample.streams) for sample in case.samples}) == 2 ** len(case.modalities) - 1


def test_every_subset_is_scored_or_explained(case: Case) -> None:
    complete = max(case.samples, key=lambda sample: len(sample.streams))
    scorer = ModelScorer(case.model, batch_size=3)
    for streams in subsets([modality.name for modality in case.modalities]):
        scores_NC = scorer.score([complete.restricted_to(streams)])
        assert np.isnan(scores_NC).all() if scorer.why_no_prediction(streams) else np.isfinite(scores_NC).all()


@pytest.mark.parametrize("name", [name for name in NAMES if SYSTEMS[name].hidden_values])
def test_a_hidden_stream_never_moves_a_score_in_training(name: str) -> None:
    """Targets may be hidden streams, scores may not; what is allowed beside it is named here and in the declaration."""
    modalities = ALL_MODALITIES[:3]
    model = build_model(small_config(name, dropout=0.0), modalities, CRITERIA, seed=0)
    samples = samples_of_every_pattern(modalities)
    model.calibrate(samples)
    batch = training_batch(samples, modalities)
    assert batch.owned is not None
    altered = {key: x_BTD.flip(0) for key, x_BTD in batch.owned.features.items()}
    hidden_BM = batch.owned.present_BM & ~batch.present_BM
    kept = {
        modality.name: torch.where(
            hidden_BM[:, index, None, None] & batch.owned.valid_BMT[:, index, :, None],
            altered[modality.name].nan_to_num(0.5),
            batch.owned.features[modality.name],
        )
        for index, modality in enumerate(modalities)
    }
    other = dataclasses.replace(batch, owned=dataclasses.replace(batch.owned, features=kept))
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for stage in model.stages:
        model.enter(stage)
        found = []
        for one in (batch, other):
            model.load_state_dict(state)
            torch.manual_seed(0)
            found.append(model.train()(one).unit_scores_BC)
        same = torch.allclose(*found, rtol=0.0, atol=1e-6)
        assert same == ((name, stage.name) not in SCORES_FROM_ALL_OWNED), stage.name


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_weights_and_leaves_the_caller_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    config = small_config(name)
    first, same, other = (build_model(config, ALL_MODALITIES[:2], CRITERIA, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def run_config(name: str, *, epochs: int, dropout: float, hide: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "model": small_config(name, dropout=dropout).model_dump(),
            "loss": {"task": 1.0, "slots": 0.0, "consistency": 0.0},
            "missing": {"dropout": hide},
            "train": {
                "epochs": epochs,
                "batch_size": 16,
                "learning_rate": 5e-3,
                "warmup_epochs": 0,
                "selection": "last",
                "weight_decay": 0.0,
            },
        }
    )


SLOW_LEARNERS = {"t2cr": 150}
"""Epochs of those that do not know sixteen samples by heart after 75."""


class KnownByHeart(Exception):
    pass


class LooksNowAndThen(SilentReporter):
    """Ends a training, in its last stage, as soon as what was asked for is reached."""

    def __init__(self, last_stage: str | None, is_reached: Callable[[], bool]) -> None:
        self.last_stage, self.is_reached = last_stage, is_reached

    def epoch(self, record: Mapping[str, Any], **_: object) -> None:
        if record["epoch"] % 8 == 7 and record.get("stage") in (None, self.last_stage) and self.is_reached():
            raise KnownByHeart


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_samples_can_be_learned_by_heart(name: str) -> None:
    """Some road leads from the features to the score, through all stages."""
    modalities = ALL_MODALITIES[:2]
    every = [s for seed in range(9) for s in samples_of_every_pattern(modalities, seed)]
    model = build_model(small_config(name, dropout=0.0), modalities, CRITERIA, seed=0)
    usable = [sample for sample in every if model.why_no_prediction(tuple(sample.streams)) is None]
    samples = [dataclasses.replace(sample, id=f"s{n}") for n, sample in enumerate(usable[:16])]
    assert len(samples) == 16
    truth = np.stack([sample.scores for sample in samples])

    def is_known() -> bool:
        scored = ModelScorer(model).score(samples)
        return bool((((scored - truth) ** 2).mean(axis=0) < 0.35 * truth.var(axis=0)).all())

    config = run_config(name, epochs=SLOW_LEARNERS.get(name, 75), dropout=0.0, hide="none")
    assert not is_known()
    try:
        fit(model, samples, [], config=config, reporter=LooksNowAndThen(model.stages[-1].name, is_known))
    except KnownByHeart:
        return
    assert is_known()


class Killed(Exception):
    pass


class KillsAfter(SilentReporter):
    def __init__(self, epochs: int) -> None:
        self.left = epochs

    def epoch(self, *_: object, **__: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed_equals_unbroken(name: str, tmp_path: Path) -> None:
    modalities = ALL_MODALITIES[:2]
    samples = samples_of_every_pattern(modalities)
    epochs = len(SYSTEMS[name].stages) + 2
    config = run_config(name, epochs=epochs, dropout=0.1, hide="per_sample")
    unbroken = build_model(config.model, modalities, CRITERIA, seed=0)
    fit(unbroken, samples, [], config=config, folder=tmp_path / "unbroken")
    for kill_after in (1, epochs - 1):
        folder = tmp_path / str(kill_after)
        first, second = (build_model(config.model, modalities, CRITERIA, seed=0) for _ in range(2))
        with pytest.raises(Killed):
            fit(first, samples, [], config=config, folder=folder, reporter=KillsAfter(kill_after))
        fit(second, samples, [], config=config, folder=folder, resume="auto")
        state = state_to_save(second)
        assert all(torch.equal(value, state[key]) for key, value in state_to_save(unbroken).items())


@pytest.mark.parametrize("name", MIN_STREAMS)
def test_a_system_of_two_streams_says_which_is_not_there(name: str) -> None:
    with pytest.raises(InputError, match="found video"):
        build_model(small_config(name), ALL_MODALITIES[:1], CRITERIA, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises((InputError, ValidationError), match="no_such_option"):  # those of limssr are keys of the recipe
        build_model(small_config(name, options={"no_such_option": 1}), ALL_MODALITIES, CRITERIA, seed=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_training_moves_towards_the_scores(name: str) -> None:
    """Six performances can be learned by heart: some road leads from the features to the score."""
    modalities = ALL_MODALITIES[:2]
    samples = samples_of_every_pattern(modalities)
    config = small_config(name, dropout=0.0, lora=None)
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
        if losses[-1] < 0.2 * losses[0]:
            return
    pytest.fail(f"the loss went from {losses[0]:.3g} to {losses[-1]:.3g} in {len(losses)} steps")


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(InputError, match="attentoin"):
        build_model(ModelConfig(system="attentoin"), ALL_MODALITIES, CRITERIA, seed=0)
