"""`data.prefixes`: training steps that see only the beginning of some performances."""

import numpy as np
import pytest
import torch

from limssr.core.config import BackboneConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import DataConfig, MissingConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.core.recipes import parse_config
from limssr.core.types import Sample
from limssr.data.batching import prefix_length
from limssr.systems.build import build_model
from limssr.systems.saving import state_to_save
from limssr.training.batches import EpochBatches, own_subset_batches
from limssr.training.loop import fit


def config_with(prefixes, **data):
    return RunConfig(
        data=DataConfig(prefixes=prefixes, **data),
        missing=MissingConfig(dropout="none"),
        model=ModelConfig(system="attention", hidden=8, backbone=BackboneConfig(name="tiny")),
        train=TrainConfig(epochs=3, warmup_epochs=0),
    )


def of_split(world, split):
    return [sample for sample in world.samples if sample.split == split]


def lengths(world, config, epoch):
    plan = EpochBatches(of_split(world, "train"), world.modalities, world.criteria, config=config, epoch=epoch)
    return {
        name: int(length)
        for batch in plan.loader()
        for name, length in zip(batch.ids, batch.lengths_B.tolist(), strict=True)
    }


def long_sample(name, num_segments=9, first=0):
    stream = np.ones((num_segments, 2), np.float32)
    stream[:first] = np.nan
    return Sample(name, {"video": stream})


def test_so_many_are_cut_and_every_length_has_the_same_chance():
    drawn = [prefix_length(long_sample(str(n)), 0.6, seed=1, epoch=0) for n in range(4_000)]
    cut = [length for length in drawn if length is not None]
    assert len(cut) / len(drawn) == pytest.approx(0.6, abs=0.03)
    shares = np.bincount(cut, minlength=9)[1:] / len(cut)
    assert len(shares) == 8
    assert shares == pytest.approx(np.full(8, 1 / 8), abs=0.025)


def test_a_beginning_has_a_valid_segment():
    drawn = {prefix_length(long_sample(str(n), first=6), 1.0, seed=1, epoch=0) for n in range(200)}
    assert drawn == {7, 8}
    assert prefix_length(long_sample("a", num_segments=1), 1.0, seed=1, epoch=0) is None
    assert prefix_length(long_sample("a", first=8), 1.0, seed=1, epoch=0) is None


def test_the_draw_is_one_of_seed_epoch_and_sample(world):
    config = config_with(1.0)
    assert lengths(world, config, 3) == lengths(world, config, 3) != lengths(world, config, 4)
    assert lengths(world, config, 3) != lengths(world, config.model_copy(update={"seed": 1}), 3)
    whole = {sample.id: sample.num_segments for sample in of_split(world, "train")}
    assert lengths(world, config_with(0.0), 3) == whole
    assert all(length < whole[name] for name, length in lengths(world, config, 3).items())


def test_every_stream_ends_at_the_same_segment(world):
    samples = {sample.id: sample for sample in of_split(world, "train")}
    plan = EpochBatches(
        list(samples.values()), world.modalities, world.criteria, config=config_with(1.0), epoch=0, with_owned=True
    )
    for batch in plan.loader():
        assert torch.equal(batch.owned.lengths_B, batch.lengths_B)
        for row, (name, end) in enumerate(zip(batch.ids, batch.lengths_B.tolist(), strict=True)):
            assert not batch.valid_BMT[row, :, end:].any()
            for column, modality in enumerate(world.modalities):
                stream = samples[name].streams.get(modality.name)
                expected = np.zeros(end, bool) if stream is None else ~np.isnan(stream[:end, 0])
                assert batch.valid_BMT[row, column, :end].tolist() == expected.tolist()


def test_a_beginning_is_cropped_like_a_performance(world):
    assert set(lengths(world, config_with(1.0, num_segments=2), 0).values()) == {1, 2}


def test_validation_sees_whole_performances(world):
    samples = of_split(world, "val")
    some, others = (
        [batch for batch, _ in own_subset_batches(samples, world.modalities, world.criteria, config_with(share))]
        for share in (0.0, 1.0)
    )
    assert len(some) == len(others) > 0
    assert all(torch.equal(a.lengths_B, b.lengths_B) for a, b in zip(some, others, strict=True))


class StopAfter(SilentReporter):
    """Interrupts a training after some epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def advance(self, stage, by=1):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_resumed_training_equals_an_unbroken_one(world, tmp_path):
    config = config_with(0.7)
    train, val = of_split(world, "train"), of_split(world, "val")

    def trained(config, **options):
        model = build_model(config.model, world.modalities, world.criteria, seed=config.seed)
        fit(model, train, val, config=config, **options)
        return state_to_save(model)

    whole = trained(config)
    with pytest.raises(KeyboardInterrupt):
        trained(config, folder=tmp_path, reporter=StopAfter(2))
    resumed = trained(config, folder=tmp_path, resume="auto")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    without = trained(config_with(0.0))
    assert not all(torch.equal(whole[name], without[name]) for name in whole)


def test_no_share_is_refused():
    with pytest.raises(InputError, match="prefixes"):
        parse_config({"data": {"prefixes": 1.5}}, where="test")
