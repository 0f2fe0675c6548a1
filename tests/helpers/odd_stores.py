"""Small data sets of odd shape, with a score that can be learned from every stream."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from limssr.core.types import SPLITS, Criterion, Modality, Sample
from limssr.data.store.writer import StoreWriter

Hook = Callable[[int, Sample, np.random.Generator], Sample]


def odd_samples(
    num: int,
    widths: Sequence[int],
    *,
    lengths: tuple[int, int] = (4, 8),
    group_size: int = 3,
    num_criteria: int = 1,
    missing: float = 0.4,
    splits: tuple[float, float] = (0.65, 0.8),
    hook: Hook | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Samples whose streams s0, s1, ... show the score with noise; `hook` makes them odd.

    Args:
        num: N.
        widths: Of the streams.
        lengths: Fewest and most segments.
        group_size: 0: no groups.
        num_criteria: C; all are the same quantity with other noise.
        missing: Share of streams that is taken away; one always stays.
        splits: Shares of the samples at which training and validation end.
        hook: (number, sample, generator) -> sample.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    mixing = [rng.normal(size=(4, width)) for width in widths]
    found: list[Sample] = []
    for number in range(num):
        hidden, length = rng.normal(size=4), int(rng.integers(lengths[0], lengths[1] + 1))
        scores = np.clip(5 + 1.5 * hidden[:1] + 0.5 * rng.normal(size=num_criteria), 0.1, 9.9)
        streams = {
            f"s{m}": ((hidden + 0.5 * rng.normal(size=(length, 4))) @ mix).astype(np.float32)
            for m, mix in enumerate(mixing)
        }
        kept = [name for name in streams if rng.random() >= missing] or [f"s{rng.integers(len(widths))}"]
        place = (number - number % group_size if group_size else number) / num
        sample = Sample(
            f"p{number}",
            {name: stream for name, stream in streams.items() if name in kept},
            scores,
            f"g{number // group_size}" if group_size else None,
            SPLITS[sum(place >= share for share in splits)],
        )
        found.append(sample if hook is None else hook(number, sample, rng))
    return found


def write_store(folder: Path, samples: Sequence[Sample], widths: Sequence[int], names: Sequence[str] = ()) -> Path:
    """A store of such samples; `names` rename the criteria."""
    modalities = [Modality(f"s{m}", width) for m, width in enumerate(widths)]
    criteria = [Criterion(name, 0.0, 10.0) for name in names or [f"c{n}" for n in range(len(samples[0].scores))]]
    held = {sample.split for sample in samples}
    with StoreWriter(
        folder,
        name="odd",
        modalities=modalities,
        criteria=criteria,
        provenance={},
        splits_required=[split for split in SPLITS if split in held],
    ) as writer:
        for sample in samples:
            writer.add(sample)
    return folder


def with_streams(sample: Sample, **streams: np.ndarray) -> Sample:
    """The sample with other values of streams that it owns."""
    return dataclasses.replace(
        sample, streams={name: streams.get(name, stream) for name, stream in sample.streams.items()}
    )
