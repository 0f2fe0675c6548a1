"""Each warning of `limssr auto`: data, or a search, that must bring it, and its neighbour that must not."""

import dataclasses

import numpy as np
import pytest

from helpers.odd_stores import odd_samples
from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality
from limssr.runs.auto.candidates import Watch
from limssr.runs.auto.cautions import warnings_of
from limssr.runs.auto.choice import choose
from limssr.runs.auto.folds import Folds, Judged
from limssr.runs.auto.judge import Shown
from limssr.runs.auto.look import Material
from limssr.training.loop import fit

WIDTHS = (4, 4)


def made(num=60, **more):
    """Labelled samples, and a few more of other groups to test on."""
    samples = odd_samples(num + 12, WIDTHS, splits=(num / (num + 12), num / (num + 12)), **more)
    return [one for one in samples if one.split != "test"], [one for one in samples if one.split == "test"]


def said(samples, test=(), *, noises=None, widths=WIDTHS, parameters=0, histories=(), texts=(), against=False):
    """Warnings of a search whose candidates predict the truth with these deviations of noise, or `against` it."""
    rng = np.random.default_rng(0)
    modalities = tuple(Modality(f"s{m}", width) for m, width in enumerate(widths))
    criteria = tuple(Criterion(f"c{n}", 0.0, 10.0) for n in range(len(samples[0].scores)))
    data = Material(modalities=modalities, criteria=criteria, samples=list(samples), test=list(test))
    shown = Shown.of(samples, data.seen, seed=0)
    folds = Folds.of(shown, seed=0)
    judged = [Judged(
        name="constant", predicted=[folds.base_RRC[0]], seconds=1, fold_s=1, sample_s=0, warnings=[], histories=[],
        num_parameters=0,
    )]  # fmt: skip
    for name, noise in (noises or {"ridge": 0.8}).items():
        truth_RC = np.where(np.isnan(shown.truth_RC), folds.base_RRC[0], shown.truth_RC)
        shift_NC = noise * rng.normal(size=(len(samples), len(criteria)))
        told_RC = 2 * folds.base_RRC[0] - truth_RC if against else truth_RC
        predicted = [told_RC + shift_NC[shown.sample_R]]
        judged.append(Judged(
            name=name, predicted=predicted, seconds=1, fold_s=1, sample_s=0, warnings=list(texts),
            histories=[list(histories)] if histories else [], num_parameters=parameters,
        ))  # fmt: skip
    chosen = choose(shown, judged, folds, seed=0)
    said.chosen = chosen.members
    return warnings_of(data, shown, judged, chosen, seed=0)


def has(warnings, text):
    return any(text in one for one in warnings)


def test_a_search_in_order_is_silent():
    samples, test = made()
    assert said(samples, test) == []


@pytest.mark.parametrize(("noise", "expected"), [(6.0, True), (0.8, False)])
def test_worse_than_a_constant(noise, expected):
    samples, test = made()
    assert has(said(samples, test, noises={"ridge": 0.5, "extra-trees": noise}), "extra-trees (") == expected
    assert has(said(samples, test, noises={"ridge": noise}), "no candidate is better than a constant") == expected


def test_a_constant_is_chosen_where_nothing_can_be_learnt():
    """Predictions that point the wrong way and lie further off than the mean."""
    samples, test = made()
    assert has(said(samples, test, noises={"ridge": -1.5, "extra-trees": -1.8}, against=True), "nothing was found")
    assert said.chosen == ["constant"]
    said(samples, test, noises={"ridge": 0.8, "extra-trees": 0.9})
    assert "constant" not in said.chosen


@pytest.mark.parametrize(("losses", "expected"), [(np.linspace(1, 0.4, 20), True), ([1, 0.5] + [0.4] * 18, False)])
def test_not_converged(losses, expected):
    samples, test = made()
    found = said(samples, test, noises={"ensemble": 0.5}, histories=[{"train_task": float(loss)} for loss in losses])
    assert has(found, "ensemble had not converged") == expected


@pytest.mark.parametrize(("rate", "expected"), [(0.6, True), (1e-3, False)])
def test_diverged_is_heard_from_the_training_itself(rate, expected):
    from limssr.core.config import RunConfig
    from limssr.systems.build import build_model

    samples, test = made(48, missing=0.0)
    model = ModelConfig(
        system="attention-mean", hidden=16, dropout=0.0, output="standardized", input_scaling="standard"
    )
    train = {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": rate,
        "warmup_epochs": 0,
        "clip_norm": 1e6,
        "selection": "last",
    }
    loss = {"task": 1, "consistency": 0, "slots": 0}
    config = RunConfig.model_validate({"model": model.model_dump(), "train": train, "loss": loss})
    watch = Watch()
    network = build_model(config.model, [Modality("s0", 4), Modality("s1", 4)], [Criterion("c0", 0.0, 10.0)], seed=0)
    fit(network, samples, [], config=config, reporter=watch)
    found = said(samples, test, noises={"attention": 0.5}, texts=watch.warnings)
    assert has(found, "a tenth of the learning rate") == expected


@pytest.mark.parametrize(("noise", "expected"), [(3.0, True), (0.4, False)])
def test_a_simple_model_ahead_of_limssr(noise, expected):
    samples, test = made()
    assert has(said(samples, test, noises={"ridge": 0.5, "limssr": noise}), "ridge by itself is ahead") == expected


@pytest.mark.parametrize(("parameters", "expected"), [(100_000, True), (10_000, False)])
def test_more_parameters_than_samples_by_a_factor(parameters, expected):
    samples, test = made()
    found = said(samples, test, noises={"ensemble": 0.5}, parameters=parameters)
    assert has(found, "trained parameters for 60 samples") == expected


def test_criteria_with_few_judged_samples_share_a_line():
    found = said([dataclasses.replace(one, scores=np.repeat(one.scores[:1], 12)) for one in made(num=20)[0]])
    few = [line for line in found if "judged samples" in line]
    assert len(few) == 1
    assert few[0].startswith("c0, c1, ")
    assert few[0].endswith("have only 21 judged samples")


@pytest.mark.parametrize(("size", "expected"), [(12, True), (3, False)])
def test_too_few_groups(size, expected):
    samples, test = made(group_size=size)
    assert has(said(samples, test), "groups are too few") == expected


@pytest.mark.parametrize(("every", "expected"), [(4, True), (1, False)])
def test_a_criterion_judged_rarely(every, expected):
    def hook(number, sample, rng):
        return sample if number % every == 0 else dataclasses.replace(sample, scores=sample.scores * [1, np.nan])

    samples, test = made(num_criteria=2, hook=hook)
    assert has(said(samples, test), "c1 has only") == expected


@pytest.mark.parametrize(("widths", "expected"), [((4, 4, 4), True), ((4, 4), False)])
def test_a_stream_that_nobody_owns(widths, expected):
    samples, test = made()
    assert has(said(samples, test, widths=widths), "nobody owns s2") == expected


@pytest.mark.parametrize("expected", [True, False])
def test_the_length_alone(expected):
    rng = np.random.default_rng(0)

    def hook(number, sample, generator):
        level = sample.scores[0] if expected else rng.uniform(0, 10)
        length = int(4 + 3 * level)
        return dataclasses.replace(
            sample, streams={n: np.resize(x, (length, 4)).astype(np.float32) for n, x in sample.streams.items()}
        )

    samples, test = made(hook=hook)
    assert has(said(samples, test, noises={"ridge": 1.0}), "the length alone") == expected


@pytest.mark.parametrize("expected", [True, False])
def test_a_split_that_leaks(expected):
    samples, test = made()
    if expected:
        test = [*test, dataclasses.replace(samples[0], id="again", split="test", group="other")]
    assert has(said(samples, test), "the split leaks: 1 test") == expected


def test_streams_that_are_alike_by_chance_are_no_leak():
    def hook(number, sample, rng):
        streams = dict(sample.streams) | {"s1": np.full((sample.num_segments, 4), float(number % 3), np.float32)}
        return dataclasses.replace(sample, streams=streams)

    samples, test = made(hook=hook, lengths=(5, 5))
    assert not has(said(samples, test), "the split leaks")
