import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from limssr.core import runtime as precision
from limssr.core.config import BackboneConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import DataConfig, MissingConfig
from limssr.core.errors import InputError, LimssrError
from limssr.core.progress import SilentReporter
from limssr.core.types import Criterion, Modality, Sample, ScoreOutput
from limssr.data.batching import collate
from limssr.data.missing import subsets
from limssr.nn.contract import Network
from limssr.systems.build import build_model
from limssr.systems.saving import state_to_save
from limssr.training.batches import EpochBatches
from limssr.training.loop import fit, learning_rate_factor
from limssr.training.selection import TestNumbers, own_subset_loss

CPU = torch.device("cpu")


def make_config(*, system="attention", dropout="per_sample", model=None, data=None, **train):
    settings = {"epochs": 3, "warmup_epochs": 1, "learning_rate": 3e-3, **train}
    return RunConfig(
        data=DataConfig(**(data or {})),
        missing=MissingConfig(dropout=dropout),
        model=ModelConfig(
            **{
                "system": system,
                "hidden": 16,
                "backbone": BackboneConfig(name="tiny", num_layers=1),
                "input_scaling": "standard",
                "output": "standardized",
                **(model or {}),
            }
        ),
        train=TrainConfig(**settings),
    )


@pytest.fixture(scope="module")
def parts(world):
    by_split = {
        split: [sample for sample in world.samples if sample.split == split] for split in ("train", "val", "test")
    }
    return world.modalities, world.criteria, by_split


def train(parts, config, **options):
    modalities, criteria, splits = parts
    model = build_model(config.model, modalities, criteria, seed=config.seed)
    result = fit(model, splits["train"], splits["val"], config=config, **options)
    return model, result


def same_state(first, second):
    one, other = state_to_save(first), state_to_save(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestSchedule:
    def test_warms_up_and_falls_as_a_cosine(self):
        config = TrainConfig(epochs=105, warmup_epochs=5, warmup_start=0.2, final_learning_rate=0.1)
        factors = [learning_rate_factor(epoch, config) for epoch in range(106)]
        assert factors[:6] == pytest.approx([0.2, 0.36, 0.52, 0.68, 0.84, 1.0])
        assert factors[55] == pytest.approx(0.55)
        assert factors[105] == pytest.approx(0.1)
        assert all(later < earlier for earlier, later in itertools.pairwise(factors[5:]))

    def test_without_warm_up_it_starts_at_the_top(self):
        assert learning_rate_factor(0, TrainConfig(epochs=3, warmup_epochs=0)) == 1.0

    def test_every_group_gets_its_own_rate(self, parts):
        _, result = train(parts, make_config(epochs=2, warmup_start=0.5, learning_rate=1e-3))
        assert [record["learning_rate"] for record in result.history] == pytest.approx([0.5e-3, 1e-3])


class TestFit:
    def test_learns(self, parts):
        _, result = train(parts, make_config(epochs=25, learning_rate=1e-2))
        losses = [record["train_loss"] for record in result.history]
        assert losses[-1] < 0.6 * losses[0]
        assert all(math.isfinite(record["val_loss"]) for record in result.history)

    @pytest.mark.parametrize("system", ["attention", "limssr"])
    def test_is_a_function_of_the_seed_and_leaves_torch_as_it_was(self, parts, system):
        config = make_config(system=system, epochs=2)
        torch.manual_seed(1)
        first, _ = train(parts, config)
        torch.manual_seed(2)
        before = torch.get_rng_state()
        second, _ = train(parts, config)
        assert torch.equal(torch.get_rng_state(), before)
        assert same_state(first, second)
        other, _ = train(parts, config.model_copy(update={"seed": 43}))
        assert not same_state(first, other)

    def test_workers_change_nothing(self, parts):
        alone, _ = train(parts, make_config(epochs=2, data={"num_segments": 4}))
        helped, _ = train(parts, make_config(epochs=2, data={"num_segments": 4}, workers=2))
        assert same_state(alone, helped)

    def test_keeps_the_epoch_with_the_lowest_validation_loss(self, parts):
        config = make_config(epochs=8, learning_rate=5e-2)
        model, result = train(parts, config)
        losses = [record["val_loss"] for record in result.history]
        assert result.best_epoch == losses.index(min(losses)) != 7, "the set-up must over-shoot to show anything"
        again = own_subset_loss(model, parts[2]["val"], config=config, device=CPU)
        assert again == min(losses)
        assert not model.training

    def test_selection_last_keeps_the_last_and_needs_no_validation(self, parts):
        modalities, criteria, splits = parts
        config = make_config(epochs=2, selection="last")
        model = build_model(config.model, modalities, criteria, seed=1)
        result = fit(model, splits["train"], [], config=config)
        assert result.best_epoch == 1
        assert result.history[0]["val_loss"] is None

    def test_selection_test_uses_the_given_number(self, parts):
        values = iter([TestNumbers(0.5, 2.0), TestNumbers(0.9, 1.0), TestNumbers(0.7, 3.0)])
        _, result = train(parts, make_config(selection="test"), test_value=lambda model: next(values))
        assert result.best_epoch == 1
        assert [(record["test_spearman"], record["test_mse"]) for record in result.history] == [
            (0.5, 2.0),
            (0.9, 1.0),
            (0.7, 3.0),
        ]
        with pytest.raises(InputError, match=r"selection: test"):
            train(parts, make_config(selection="test"))

    def test_selection_val_does_not_ask_the_test_split(self, parts):
        def never(model):
            raise AssertionError("asked")

        _, result = train(parts, make_config(epochs=1), test_value=never)
        assert not [key for key in result.history[0] if key.startswith("test")]

    def test_stops_when_patience_ends(self, parts):
        _, result = train(parts, make_config(epochs=50, learning_rate=5e-2, patience=2))
        losses = [record["val_loss"] for record in result.history]
        assert result.stopped == "patience"
        assert result.epochs_run == len(losses) < 50
        assert losses.index(min(losses)) == len(losses) - 3 == result.best_epoch

    @pytest.mark.parametrize("system", ["attention", "limssr"])
    def test_bf16_computes_in_bf16_and_keeps_its_weights_in_float32(self, parts, system, monkeypatch):
        monkeypatch.setattr(precision, "measured_gain", lambda *_: 2.0)
        half, result = train(parts, make_config(system=system, epochs=1, precision="bf16"))
        full, _ = train(parts, make_config(system=system, epochs=1))
        assert math.isfinite(result.history[0]["val_loss"])
        assert not same_state(half, full)
        assert {value.dtype for value in state_to_save(half).values() if value.is_floating_point()} == {torch.float32}
        batch = collate(parts[2]["val"], parts[0], parts[1])
        assert half(batch).unit_scores_BC.dtype == torch.float32, "afterwards the model is as it was"

    def test_a_loss_that_is_no_number_ends_the_training(self, parts):
        modalities, criteria, splits = parts
        config = make_config()
        model = build_model(config.model, modalities, criteria, seed=1)
        model.register_forward_hook(lambda module, inputs, output: dataclasses.replace(output, unit_scores_BC=output.unit_scores_BC * math.inf))  # fmt: skip  # noqa: E501
        with pytest.raises(LimssrError, match="training loss that falls"):
            fit(model, splits["train"], splits["val"], config=config)

    @pytest.mark.parametrize(
        ("train_samples", "val_samples", "settings", "message"),
        [
            ([], None, {}, "training sample"),
            (None, [], {}, "validation samples"),
            (None, [], {"selection": "last", "patience": 3}, "validation samples"),
        ],
    )
    def test_empty_splits_are_refused(self, parts, train_samples, val_samples, settings, message):
        modalities, criteria, splits = parts
        config = make_config(**settings)
        model = build_model(config.model, modalities, criteria, seed=1)
        train_samples = splits["train"] if train_samples is None else train_samples
        val_samples = splits["val"] if val_samples is None else val_samples
        with pytest.raises(InputError, match=message):
            fit(model, train_samples, val_samples, config=config)

    def test_unjudged_validation_is_refused(self, parts):
        modalities, criteria, splits = parts
        config = make_config()
        model = build_model(config.model, modalities, criteria, seed=1)
        unjudged = [dataclasses.replace(sample, scores=np.full(len(criteria), np.nan)) for sample in splits["val"]]
        with pytest.raises(InputError, match="only NaN"):
            fit(model, splits["train"], unjudged, config=config)

    def test_per_batch_dropout_refuses_incomplete_samples(self, parts):
        modalities, criteria, splits = parts
        incomplete = [splits["train"][0].restricted_to(("audio",)), *splits["train"][1:]]
        config = make_config(dropout="per_batch")
        model = build_model(config.model, modalities, criteria, seed=1)
        with pytest.raises(InputError, match="per_batch"):
            fit(model, incomplete, splits["val"], config=config)


class Interrupt(SilentReporter):
    """Stops the training as Ctrl+C would, after some epochs."""

    def __init__(self, after):
        self.after = after

    def advance(self, what):
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


class TestResume:
    @pytest.mark.parametrize("system", ["attention", "limssr"])
    @pytest.mark.parametrize("average", [None, 0.7])
    def test_goes_on_with_the_same_bits(self, parts, tmp_path, system, average):
        config = make_config(system=system, epochs=4, average=average)
        unbroken, expected = train(parts, config, folder=tmp_path / "unbroken")
        for after in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                train(parts, config, folder=tmp_path / "broken", resume="auto", reporter=Interrupt(after))
        model, result = train(parts, config, folder=tmp_path / "broken", resume="auto")
        assert same_state(model, unbroken)
        assert result.best_epoch == expected.best_epoch
        for one, other in zip(result.history, expected.history, strict=True):
            assert {**one, "seconds": 0} == {**other, "seconds": 0}

    @pytest.mark.parametrize("stopped_after", [1, 2, 3])
    def test_both_candidates_of_a_choice_on_test_survive(self, parts, tmp_path, stopped_after):
        numbers = [(0.6, 2.0), (0.9, 5.0), (0.8, 1.0), (0.7, 4.0)]
        config = make_config(epochs=4, selection="test")

        def judge(epochs):
            values = iter([TestNumbers(*numbers[epoch]) for epoch in epochs])
            return lambda model: next(values)

        unbroken, expected = train(parts, config, folder=tmp_path / "unbroken", test_value=judge(range(4)))
        assert expected.best_epoch == 2
        broken, first, second = tmp_path / "broken", judge(range(stopped_after)), judge(range(stopped_after, 4))
        with pytest.raises(KeyboardInterrupt):
            train(parts, config, folder=broken, test_value=first, reporter=Interrupt(stopped_after))
        model, result = train(parts, config, folder=broken, test_value=second, resume="auto")
        assert result.best_epoch == 2
        assert same_state(model, unbroken)
        kept = sorted(path.name for path in (broken / "checkpoints").iterdir())
        assert kept == ["epoch-0001", "epoch-0002", "epoch-0003"]

    def test_a_finished_training_is_only_loaded(self, parts, tmp_path):
        config = make_config()
        model, result = train(parts, config, folder=tmp_path)
        again, repeated = train(parts, config, folder=tmp_path, resume="auto", reporter=Interrupt(1))
        assert same_state(model, again)
        assert repeated == result

    def test_metrics_hold_exactly_the_epochs_of_the_checkpoint(self, parts, tmp_path):
        config = make_config(epochs=3)
        with pytest.raises(KeyboardInterrupt):
            train(parts, config, folder=tmp_path, reporter=Interrupt(2))
        metrics = tmp_path / "metrics.jsonl"
        lines = metrics.read_text()
        metrics.write_text(lines + '{"epoch": 2, "half')
        with pytest.raises(KeyboardInterrupt):
            train(parts, config, folder=tmp_path, resume="auto", reporter=Interrupt(1))
        assert metrics.read_text().startswith(lines)
        assert len(metrics.read_text().splitlines()) == 3


class TestFeed:
    def test_batches_are_a_function_of_epoch_and_id(self, parts):
        modalities, criteria, splits = parts
        config = make_config(data={"num_segments": 4})
        forwards = EpochBatches(splits["train"], modalities, criteria, config=config, epoch=3)
        backwards = EpochBatches(splits["train"][::-1], modalities, criteria, config=config, epoch=3)

        def seen(plan):
            rows = {}
            for step in range(len(plan)):
                batch = plan[step]
                rows |= {name: (batch.present_BM[row].tolist(), batch.features["audio"][row].sum().item()) for row, name in enumerate(batch.ids)}  # fmt: skip  # noqa: E501
            return rows

        assert seen(forwards) == seen(backwards)
        assert len(seen(forwards)) == len(splits["train"])
        later = EpochBatches(splits["train"], modalities, criteria, config=config, epoch=4)
        assert seen(forwards) != seen(later)

    def test_per_batch_dropout_hides_the_same_streams_in_a_batch(self, parts):
        modalities, criteria, splits = parts
        config = make_config(dropout="per_batch", batch_size=4)
        plan = EpochBatches(splits["train"], modalities, criteria, config=config, epoch=0)
        patterns = [set(map(tuple, plan[step].present_BM.tolist())) for step in range(len(plan))]
        assert all(len(found) == 1 for found in patterns)
        assert len(set.union(*patterns)) > 1

    def test_no_dropout_shows_everything(self, parts):
        modalities, criteria, splits = parts
        plan = EpochBatches(splits["train"], modalities, criteria, config=make_config(dropout="none"), epoch=0)
        assert all(plan[step].present_BM.all() for step in range(len(plan)))

    def test_attended_padding_is_read_like_data(self, parts):
        modalities, criteria, splits = parts
        config = make_config(dropout="none", data={"num_segments": 20, "padding": "attended"})
        batch = EpochBatches(splits["train"], modalities, criteria, config=config, epoch=0)[0]
        assert batch.valid_BMT.shape[2] == 20
        assert batch.valid_BMT[:, :, -1].all()

    def test_a_step_is_on_all_that_is_accumulated(self, parts):
        modalities, criteria, splits = parts
        config = make_config(batch_size=8, accumulate=2)
        plan = EpochBatches(splits["train"][:19], modalities, criteria, config=config, epoch=0)
        assert [len(batch) for batch in plan.loader()] == [16, 3] or [len(plan[n]) for n in range(2)] == [3, 16]


class PresenceModel(Network):
    """Predicts the share of streams that are there, so that every subset has another error."""

    def __init__(self, num_criteria):
        criteria = [Criterion(f"c{index}") for index in range(num_criteria)]
        super().__init__(ModelConfig(), [Modality("a", 1), Modality("b", 1)], criteria)

    def measure(self, samples):
        pass

    def forward(self, batch):
        share_B = batch.present_BM.float().mean(dim=1)
        return ScoreOutput(unit_scores_BC=share_B[:, None].expand(-1, len(self.criteria)))


def test_validation_loss_is_the_mean_over_each_samples_own_subsets():
    one = np.ones((2, 1), dtype=np.float32)
    samples = [
        Sample("x", {"a": one, "b": one}, np.array([0.2, np.nan])),
        Sample("y", {"b": one}, np.array([0.6, 0.9])),
        Sample("z", {"a": one}, np.array([np.nan, np.nan])),
    ]
    config = RunConfig(evaluation=EvalConfig(batch_size=2))
    expected_x = np.mean([(0.5 - 0.2) ** 2, (0.5 - 0.2) ** 2, (1.0 - 0.2) ** 2])
    expected_y = np.mean([(0.5 - 0.6) ** 2, (0.5 - 0.9) ** 2])
    found = own_subset_loss(PresenceModel(2), samples, config=config, device=CPU)
    assert found == pytest.approx((expected_x + expected_y) / 2, rel=1e-6)


def test_validation_loss_does_not_depend_on_batches(parts):
    modalities, criteria, splits = parts
    config = make_config(system="limssr")
    model = build_model(config.model, modalities, criteria, seed=0)
    losses = []
    for size in (1, 7, 64):
        changed = config.model_copy(update={"evaluation": EvalConfig(batch_size=size)})
        losses.append(own_subset_loss(model, splits["val"], config=changed, device=CPU))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    by_hand = []
    for sample in splits["val"]:
        for names in subsets(tuple(sample.streams)):
            batch = collate([sample.restricted_to(names)], modalities, criteria)
            output = model(batch)
            error = (output.unit_scores_BC - batch.unit_scores_BC) / output.loss_scale_C
            by_hand.append(error.square().mean().item())
    assert losses[0] == pytest.approx(np.mean(by_hand), rel=1e-5)
