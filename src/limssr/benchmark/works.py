"""The pieces of work that are timed: what each side runs, and the multiply-accumulates that this takes."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limssr.benchmark.arithmetic import NOTHING, Macs, Sizes, forward_macs, training_macs
from limssr.benchmark.reading_data import LiteralReader, OurReader
from limssr.benchmark.setup import Setting, dense_samples, real_samples
from limssr.benchmark.sides import LiteralSide, OurSide, Side
from limssr.data.missing import dropout_subset
from limssr.data.windows import collate
from limssr.feed import EpochBatches
from limssr.types import Batch, Sample

WorkName = Literal["step", "score-one", "score", "subsets", "epoch", "read", "save", "load"]
WORKS: tuple[WorkName, ...] = ("step", "score-one", "score", "subsets", "epoch", "read", "save", "load")
TITLES: dict[WorkName, str] = {
    "step": "training step, dense",
    "score-one": "scoring one sample",
    "score": "scoring a batch, dense",
    "subsets": "scoring all subsets, real lengths",
    "epoch": "one epoch, real lengths",
    "read": "reading the data once",
    "save": "saving a checkpoint",
    "load": "loading a checkpoint",
}
REPEATS: dict[WorkName, int] = {
    "step": 5, "score-one": 9, "score": 5, "subsets": 3, "epoch": 3, "read": 3, "save": 3, "load": 3,
}  # fmt: skip
COMPUTES: tuple[WorkName, ...] = ("step", "score-one", "score", "subsets", "epoch")
"""Those that run the model: only they have an arithmetic limit and a peak of memory of their own."""


@dataclass(frozen=True)
class Work:
    """One piece of work, ready to run on both sides.

    Attributes:
        name: Of the work.
        literal: Runs it as published.
        ours: Runs it as we do.
        literal_macs: Multiply-accumulates that the literal side takes; None where it does not compute.
        our_macs: Those that ours has to take.
    """

    name: WorkName
    literal: Callable[[], object]
    ours: Callable[[], object]
    literal_macs: Macs | None = None
    our_macs: Macs | None = None


class Workshop:
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

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def work(self, name: WorkName, literal: LiteralSide, ours: OurSide) -> Work:
        """A work for both sides."""
        macs = {"literal": None, "ours": None} | (self._macs(name, ours) if name in COMPUTES else {})
        if name == "read":
            return self._reading()
        return Work(name, self.task(name, literal), self.task(name, ours), macs["literal"], macs["ours"])

    def task(self, name: WorkName, side: Side) -> Callable[[], object]:
        """What one side runs."""
        size = self.setting.options.batch_size
        if name in ("step", "score-one", "score"):
            batch = self.dense_batch(1 if name == "score-one" else size)
            return lambda: side.train_step(batch) if name == "step" else side.score(batch)
        if name in ("subsets", "epoch"):
            samples = real_samples(self.setting)
            return lambda: side.evaluate(samples) if name == "subsets" else side.train_epoch(samples)
        folder = self.folder / ("ours" if isinstance(side, OurSide) else "literal")
        if name == "save":
            return lambda: self.checkpoint_bytes.update({folder.name: side.save(folder)})
        if not folder.exists():
            self.checkpoint_bytes[folder.name] = side.save(folder)
        return lambda: side.load(folder)

    def dense_batch(self, size: int) -> Batch:
        """Samples of T segments with all streams, on the device."""
        samples = dense_samples(self.setting, size)
        return collate(samples, self.setting.modalities, self.setting.criteria).to(self.setting.device)

    def _reading(self) -> Work:
        samples = real_samples(self.setting)
        literal = LiteralReader(self.folder / "pickled", self.setting, samples)
        ours = OurReader(self.folder / "store", self.setting, samples)
        return Work("read", literal.read, ours.read)

    def _macs(self, name: WorkName, ours: OurSide) -> dict[str, Macs]:
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

    def _epoch_macs(self, samples: Sequence[Sample], ours: OurSide) -> Macs:
        """Every sample once without padding, every prompt of a batch once."""
        config, names = ours.config, tuple(modality.name for modality in self.setting.modalities)
        plan = EpochBatches(samples, self.setting.modalities, self.setting.criteria, config=config, epoch=0).plan
        total = NOTHING
        for rows in plan:
            lengths = [min(samples[row].num_segments, self.setting.options.segments) for row in rows]
            patterns = Counter(dropout_subset(samples[row].id, names, seed=config.seed, epoch=0) for row in rows)
            total += training_macs(self.sizes, lengths, prompt="shared", num_prompts=len(patterns))
        return total
