"""The pieces of work that are timed: what each side runs, and the multiply-accumulates that this takes."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from limssr.core.config import RunConfig
from limssr.core.types import Batch, Sample
from limssr.data.batching import collate
from limssr.data.missing import dropout_subset
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter
from limssr.studies.speed.arithmetic import NOTHING, Macs, Sizes, forward_macs, training_macs
from limssr.studies.speed.implementations import Implementation, LiteralImplementation, OurImplementation
from limssr.studies.speed.setup import Setting, dense_samples, real_samples
from limssr.training.batches import EpochBatches

WorkloadName = Literal["step", "score-one", "score", "subsets", "epoch", "read", "save", "load"]


WORKLOADS: tuple[WorkloadName, ...] = ("step", "score-one", "score", "subsets", "epoch", "read", "save", "load")


TITLES: dict[WorkloadName, str] = {
    "step": "training step, dense",
    "score-one": "scoring one sample",
    "score": "scoring a batch, dense",
    "subsets": "scoring all subsets, real lengths",
    "epoch": "one epoch, real lengths",
    "read": "reading the data once",
    "save": "saving a checkpoint",
    "load": "loading a checkpoint",
}


REPEATS: dict[WorkloadName, int] = {
    "step": 5, "score-one": 9, "score": 5, "subsets": 3, "epoch": 3, "read": 3, "save": 3, "load": 3,
}  # fmt: skip


COMPUTES: tuple[WorkloadName, ...] = ("step", "score-one", "score", "subsets", "epoch")
"""Those that run the model: only they have an arithmetic limit and a peak of memory of their own."""


@dataclass(frozen=True)
class Workload:
    """One piece of work, ready to run on both sides.

    Attributes:
        name: Of the work.
        literal: Runs it as published.
        ours: Runs it as we do.
        literal_macs: Multiply-accumulates that the literal side takes; None where it does not compute.
        our_macs: Those that ours has to take.
    """

    name: WorkloadName
    literal: Callable[[], object]
    ours: Callable[[], object]
    literal_macs: Macs | None = None
    our_macs: Macs | None = None


class Workloads:
    """Makes works out of two sides. Use as a context: checkpoints and data lie in a folder that vanishes.

    Args:
        setting: What both sides share.
        sizes: Of the model.
        folder: Where the temporary folder is made; None: the system's.
    """

    def __init__(self, setting: Setting, sizes: Sizes, folder: Path | None = None) -> None:
        self.setting, self.sizes = setting, sizes
        self._scratch = tempfile.TemporaryDirectory(dir=folder)
        self.folder = Path(self._scratch.name)
        self.checkpoint_bytes: dict[str, int] = {}

    def __enter__(self) -> "Workloads":
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def work(self, name: WorkloadName, literal: LiteralImplementation, ours: OurImplementation) -> Workload:
        """A work for both sides."""
        macs = {"literal": None, "ours": None} | (self._macs(name, ours) if name in COMPUTES else {})
        if name == "read":
            return self._reading()
        return Workload(name, self.task(name, literal), self.task(name, ours), macs["literal"], macs["ours"])

    def task(self, name: WorkloadName, side: Implementation) -> Callable[[], object]:
        """What one side runs."""
        size = self.setting.options.batch_size
        if name in ("step", "score-one", "score"):
            batch = self.dense_batch(1 if name == "score-one" else size)
            return lambda: side.train_step(batch) if name == "step" else side.score(batch)
        if name in ("subsets", "epoch"):
            samples = real_samples(self.setting)
            return lambda: side.evaluate(samples) if name == "subsets" else side.train_epoch(samples)
        folder = self.folder / ("ours" if isinstance(side, OurImplementation) else "literal")
        if name == "save":
            return lambda: self.checkpoint_bytes.update({folder.name: side.save(folder)})
        if not folder.exists():
            self.checkpoint_bytes[folder.name] = side.save(folder)
        return lambda: side.load(folder)

    def dense_batch(self, size: int) -> Batch:
        """Samples of T segments with all streams, on the device."""
        samples = dense_samples(self.setting, size)
        return collate(samples, self.setting.modalities, self.setting.criteria).to(self.setting.device)

    def _reading(self) -> Workload:
        samples = real_samples(self.setting)
        literal = LiteralReader(self.folder / "pickled", self.setting, samples)
        ours = OurReader(self.folder / "store", self.setting, samples)
        return Workload("read", literal.read, ours.read)

    def _macs(self, name: WorkloadName, ours: OurImplementation) -> dict[str, Macs]:
        options, sizes = self.setting.options, self.sizes
        count = 1 if name == "score-one" else options.batch_size
        dense = [options.segments] * count
        if name == "step":
            literal = training_macs(sizes, dense, prompt="per_sample", logits="computed")
            return {"literal": literal, "ours": training_macs(sizes, dense, prompt="shared")}
        if name in ("score-one", "score"):
            literal = forward_macs(sizes, dense, prompt="per_sample", logits="computed")
            return {"literal": literal, "ours": forward_macs(sizes, dense, prompt="cached")}
        samples = real_samples(self.setting)
        fixed = [options.segments] * len(samples)
        lengths = [min(sample.num_segments, options.segments) for sample in samples]
        if name == "epoch":
            literal = training_macs(sizes, fixed, prompt="per_sample", logits="computed")
            return {"literal": literal, "ours": self._epoch_macs(samples, ours)}
        num_subsets = 2 ** len(self.setting.modalities) - 1
        literal = forward_macs(sizes, fixed * num_subsets, prompt="per_sample", logits="computed")
        mine = forward_macs(sizes, lengths * num_subsets, prompt="shared", num_prompts=num_subsets)
        return {"literal": literal, "ours": mine}

    def _epoch_macs(self, samples: Sequence[Sample], ours: OurImplementation) -> Macs:
        """Every sample once without padding, every prompt of a batch once."""
        config, names = ours.config, tuple(modality.name for modality in self.setting.modalities)
        plan = EpochBatches(samples, self.setting.modalities, self.setting.criteria, config=config, epoch=0).plan
        total = NOTHING
        for rows in plan:
            lengths = [min(samples[row].num_segments, self.setting.options.segments) for row in rows]
            patterns = Counter(dropout_subset(samples[row].id, names, seed=config.seed, epoch=0) for row in rows)
            total += training_macs(self.sizes, lengths, prompt="shared", num_prompts=len(patterns))
        return total


class LiteralReader:
    """One pickled dictionary id -> [T, D] a stream, all of it read again for every item.

    Args:
        folder: Where the files are written.
        setting: What both sides share.
        samples: To be written and read.
    """

    def __init__(self, folder: Path, setting: Setting, samples: Sequence[Sample]) -> None:
        folder.mkdir()
        self.segments = setting.options.segments
        self.ids = [sample.id for sample in samples]
        self.files = [folder / f"{modality.name}.npy" for modality in setting.modalities]
        for file, modality in zip(self.files, setting.modalities, strict=True):
            table = {sample.id: np.asarray(sample.streams[modality.name]) for sample in samples}
            np.save(file, np.array(table, dtype=object), allow_pickle=True)

    def read(self) -> float:
        """Every item once, padded or cropped to T; returns a number that depends on all of it."""
        total = 0.0
        for sample_id in self.ids:
            for file in self.files:
                # pickle, as the published code reads; only ever the file that this class has just written itself
                features_TD = np.load(file, allow_pickle=True).item()[sample_id][: self.segments]
                fixed_TD = np.zeros((self.segments, features_TD.shape[1]), dtype=np.float32)
                fixed_TD[: len(features_TD)] = features_TD
                total += float(fixed_TD.sum())
        return total


class OurReader:
    """The same samples from a feature store, through the batches of an epoch.

    Args:
        folder: Where the store is written.
        setting: What both sides share.
        samples: To be written and read.
    """

    def __init__(self, folder: Path, setting: Setting, samples: Sequence[Sample]) -> None:
        self.setting, self.folder = setting, folder
        writer = StoreWriter(
            folder,
            name="benchmark",
            modalities=setting.modalities,
            criteria=setting.criteria,
            provenance={"made by": "limssr benchmark"},
            splits_required=(),
        )
        with writer:
            for sample in samples:
                writer.add(sample)
        # every item once with all its streams, as the literal side reads
        missing = setting.config.missing.model_copy(update={"dropout": "none"})
        self.config: RunConfig = setting.config.model_copy(update={"missing": missing})

    def read(self) -> float:
        """Every sample once, in batches; returns a number that depends on all of it."""
        samples = FeatureStore.open(self.folder).samples()
        batches = EpochBatches(samples, self.setting.modalities, self.setting.criteria, config=self.config, epoch=0)
        return sum(float(features.sum()) for batch in batches.loader() for features in batch.features.values())
