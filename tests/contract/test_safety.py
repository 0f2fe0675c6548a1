"""No width and no number of samples makes a training diverge, and what diverges anyway says why."""

import dataclasses
import math

import numpy as np
import pytest

from helpers.networks import MIN_STREAMS, NAMES, small_config
from limssr.core.config import BackboneConfig, ModelConfig, RunConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.core.types import Criterion, Modality, Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.systems.build import build_model
from limssr.training.divergence import Diverged, DivergenceLimit, constant_loss, why_diverged
from limssr.training.loop import fit

CRITERIA = (Criterion("score", 0.0, 10.0),)


def make_samples(num_samples: int, width: int, num_streams: int = 2, *, scale: float = 1.0) -> list[Sample]:
    """Scores that stand in the level of every stream; features of a sample go up and down together, as real ones do."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, width))
    found = []
    for number in range(num_samples):
        score, length = rng.uniform(0, 10), int(rng.integers(3, 7))
        hidden = rng.normal(size=(num_streams, length, 4)) + np.array([(score - 5) / 2, 0, 0, 0])
        streams = {f"s{m}": (scale * hidden[m] @ mixing).astype(np.float32) for m in range(num_streams)}
        found.append(Sample(f"{number}", streams, np.array([score]), "", "train"))
    return found


def train_on(model_config: ModelConfig, samples: list[Sample], *, epochs=6, rate=2e-3, reporter=None, **more):
    modalities = tuple(Modality(name, stream.shape[1]) for name, stream in samples[0].streams.items())
    train = {"epochs": epochs, "batch_size": 16, "learning_rate": rate, "warmup_epochs": 1, "selection": "last"}
    loss = {"task": 1, "consistency": 0, "slots": 0}
    config = RunConfig.model_validate({"model": model_config.model_dump(), "train": train | more, "loss": loss})
    model = build_model(config.model, modalities, CRITERIA, seed=0)
    return model, fit(model, samples, [], config=config, reporter=reporter)


class TestEnsembleOnMoments:
    @pytest.mark.parametrize(("num_samples", "width"), [(20, 1), (20, 4096), (200, 1), (200, 64), (200, 1024)])
    def test_learns_at_every_width_with_the_recipe_of_the_head(self, num_samples, width):
        samples = make_samples(num_samples, width)
        config = ModelConfig(system="statistics", output="standardized")
        model, result = train_on(config, samples, epochs=max(5, 200 // num_samples), weight_decay=1e-2, clip_norm=5)
        losses = [record["train_task"] for record in result.history]
        constant = constant_loss(model, samples)
        assert losses[-1] < constant, losses
        assert max(losses) < 3 * constant, losses
        assert "rate_share" not in result.history[-1], "not even a second attempt was needed"

    def test_narrow_streams_are_read_as_they_are(self):
        samples = make_samples(20, 8)
        model, _ = train_on(ModelConfig(system="statistics", output="standardized"), samples, epochs=2)
        assert model.statistics.read_widths == model.statistics.widths

    def test_what_is_reduced_still_tells_samples_apart(self):
        samples = make_samples(200, 400)
        model, _ = train_on(
            ModelConfig(system="statistics", output="standardized"), samples, epochs=10, weight_decay=1e-2, clip_norm=5
        )
        predicted = ModelScorer(model).score(samples)[:, 0]
        assert np.corrcoef(predicted, [sample.scores[0] for sample in samples])[0, 1] > 0.9


TINY = {"system": "limssr", "backbone": BackboneConfig(name="tiny").model_dump(), "num_missing_tokens": 1}


LIMSSR = ("limssr", "limssr-statistics")
STEPS = {"cofinal": 30, "pamfn": 40, "dmvg": 30, "imder": 30, "t2cr": 30}
"""Epochs for systems that have stages, or begin far from a constant; the others need 12."""


SLOW = ("cofinal", "pamfn", "dmvg", "imder", "t2cr", "sdr-gnn", "mcmoe", "momke")
ALL = [*(pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES), *LIMSSR]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("num_samples", "width", "rate"), [(20, 1024, 1e-3), (48, 1, 5e-3)])
def test_every_system_comes_below_a_constant(name, num_samples, width, rate):
    settings = {"input_scaling": "standard", "output": "standardized"}
    if name.startswith("limssr"):
        head = "statistics" if name.endswith("statistics") else "paper"
        config = ModelConfig.model_validate({**TINY, **settings, "head": head})
    else:
        config = small_config(name)
    samples = make_samples(num_samples, width, max(2, MIN_STREAMS.get(name, 0)))
    if name in MIN_STREAMS:
        names = {"s0": "video", "s1": "audio"}
        samples = [dataclasses.replace(one, streams={names[m]: x for m, x in one.streams.items()}) for one in samples]
    model, result = train_on(config, samples, epochs=STEPS.get(name, 12), rate=rate)
    losses = [record["train_task"] for record in result.history if record.get("can_be_chosen", True)]
    assert min(losses) < constant_loss(model, samples), losses
    assert "rate_share" not in result.history[-1], losses


class _Listening(SilentReporter):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class TestDivergence:
    def test_a_rate_that_is_too_high_is_taken_back_once_and_said(self):
        listening = _Listening()
        config, samples = small_config("attention-mean", dropout=0.0), make_samples(48, 64)
        more = {"reporter": listening, "clip_norm": 1e6, "warmup_epochs": 0}
        _, result = train_on(config, samples, epochs=4, rate=0.6, **more)
        assert [text for text in listening.warnings if "a tenth of the learning rate" in text]
        assert result.history[0]["rate_share"] == 0.1
        assert result.history[0]["learning_rate"] == pytest.approx(0.06)

    def test_twice_is_refused_with_what_to_do(self):
        config = small_config("attention-mean", dropout=0.0)
        with pytest.raises(InputError, match=r"lower train\.learning_rate"):
            train_on(config, make_samples(48, 64), epochs=8, rate=1e6, clip_norm=1e6, warmup_epochs=0)

    def test_features_that_are_read_as_they_are_get_the_blame(self):
        config = RunConfig(model=small_config("attention-mean", input_scaling="none"))
        said = why_diverged(Diverged("the loss is nan"), make_samples(48, 8, scale=1e6), config)
        assert "and are read as they are; use model.input_scaling=standard" in said
        assert "lower train.learning_rate" in why_diverged(Diverged("the loss is nan"), make_samples(48, 8), config)

    def test_features_beyond_float32_are_refused_before_training(self):
        with pytest.raises(InputError, match="stream s0 of sample '0'"):
            train_on(small_config("attention-mean"), make_samples(20, 4, scale=1e30), epochs=2)

    def test_a_first_epoch_far_from_a_constant_is_no_divergence_but_a_later_one_is(self):
        limit = DivergenceLimit(constant=1.0)
        limit.check({"epoch": 0, "train_loss": 9.0, "train_task": 9.0})
        limit.check({"epoch": 1, "train_loss": 80.0, "train_task": 80.0})
        with pytest.raises(Diverged, match="epoch 3"):
            limit.check({"epoch": 2, "train_loss": 95.0, "train_task": 95.0})
        with pytest.raises(Diverged, match="nan"):
            limit.check({"epoch": 2, "train_loss": math.nan, "train_task": 1.0})


class TestScoring:
    def test_no_score_lies_outside_its_scale(self):
        samples = make_samples(60, 4)
        model, _ = train_on(ModelConfig(system="statistics", output="standardized"), samples, epochs=2)
        model.output_scale.deviation_C.mul_(50)
        scores = ModelScorer(model).score(samples)
        assert scores.min() == 0.0
        assert scores.max() == 10.0

    def test_a_network_without_a_number_is_an_error_and_not_a_gap(self):
        samples = make_samples(20, 4)
        model = build_model(small_config("attention-mean"), (Modality("s0", 4), Modality("s1", 4)), CRITERIA, seed=0)
        model.calibrate(samples)
        next(iter(model.parameters())).data.fill_(np.nan)
        with pytest.raises(InputError, match="Expected a number as the score of sample"):
            ModelScorer(model).score(samples)
