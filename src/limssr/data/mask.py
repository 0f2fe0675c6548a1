"""Make data incomplete: on disk, so that hidden values cannot leak, or the same way in memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from limssr.core.config import RunConfig
from limssr.core.errors import unknown_name
from limssr.core.files import check_new
from limssr.core.types import SPLITS, Sample, Split
from limssr.data.missing import availability_mask, check_pattern, check_rate
from limssr.data.store.reader import FeatureStore, StoreWriter


@dataclass(frozen=True)
class Availability:
    """How streams are taken away; `limssr.data.missing.availability_mask` says what rate and pattern mean.

    Attributes:
        rate: From 0 to 1.
        seed: Another seed, another choice.
        pattern: "independent", "one-stream" or the name of a stream.
        splits: Samples of other splits stay complete.
    """

    rate: float = 0.5
    seed: int = 0
    pattern: str = "independent"
    splits: tuple[Split, ...] = ("train", "val")


def masked(samples: Iterable[Sample], availability: Availability) -> list[Sample]:
    """The samples without the streams that are not available; the same ones that `mask_store` leaves on disk.

    Samples without a split are masked: whoever passes them means them.

    Raises:
        InputError: The rate is not in [0, 1].
    """
    check_rate(availability.rate)
    return [_masked(sample, availability) for sample in samples]


def mask_store(
    store: FeatureStore | Path | str,
    out: Path | str,
    *,
    rate: float = 0.5,
    seed: int = 0,
    pattern: str = "independent",
    splits: Sequence[Split] = ("train", "val"),
    progress: Callable[[int, int], None] | None = None,
) -> FeatureStore:
    """Write a copy of a store in which streams are physically gone.

    Args:
        store: The store, or its folder; it is checked before it is read (`FeatureStore.check`).
        out: Folder to make; must not exist.
        rate: From 0 to 1.
        seed: Another seed, another choice.
        pattern: "independent", "one-stream" or the name of a stream.
        splits: Samples of other splits stay as they are.
        progress: Called as (done, total) after every sample.

    Returns:
        The new store; `info.availability` says how it was made, `info.provenance["parent"]` from what.

    Raises:
        InputError: A rate, pattern or split that does not exist, or `out` exists.
        ArtifactError: The store is damaged.
        ResourceError: The disk is full.
    """
    source = store if isinstance(store, FeatureStore) else FeatureStore.open(store)
    availability = Availability(float(rate), seed, pattern, tuple(splits))
    check_rate(rate)
    check_pattern(pattern, [modality.name for modality in source.modalities])
    for split in splits:
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
    check_new(Path(out), "store")
    source.check()
    ids = source.ids()
    with StoreWriter(
        out,
        name=source.info.name,
        modalities=source.modalities,
        criteria=source.criteria,
        segment_s=source.info.segment_s,
        provenance={
            "importer": "mask",
            "availability": asdict(availability),
            "parent": {"fingerprint": source.fingerprint, "provenance": source.info.provenance},
        },
        derived_scales=source.info.derived_scales,
        splits_required=[split for split in SPLITS if source.ids(split)],
    ) as writer:
        for done, sample_id in enumerate(ids, start=1):
            writer.add(_masked(source.sample(sample_id), availability))
            if progress:
                progress(done, len(ids))
    return FeatureStore.open(out)


def _masked(sample: Sample, availability: Availability) -> Sample:
    if sample.split is not None and sample.split not in availability.splits:
        return sample
    kept = availability_mask(
        sample.id,
        tuple(sample.streams),
        rate=availability.rate,
        seed=availability.seed,
        pattern=availability.pattern,
    )
    return sample.restricted_to(kept)


def make_incomplete(samples: Sequence[Sample], config: RunConfig) -> list[Sample]:
    """Apply `missing.availability` to the samples of the splits it names; always the same for (seed, sample id).

    Args:
        samples: With the streams in use and no others, so that every sample keeps one of them.
        config: Of the run.
    """
    available = config.missing.availability
    return list(samples) if available is None else masked(samples, Availability(**available.model_dump()))
