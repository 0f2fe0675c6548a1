"""Reading the data: a dictionary unpickled for every item, as the published code does, against our store."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limssr.benchmark.setup import Setting
from limssr.config import RunConfig
from limssr.data.store import FeatureStore
from limssr.data.writer import StoreWriter
from limssr.feed import EpochBatches
from limssr.types import Sample


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
