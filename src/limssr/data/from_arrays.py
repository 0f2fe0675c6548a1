"""Arrays in memory -> a feature store, for everything that reads one: `limssr auto`, `train`, `compare`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.core.files import check_new
from limssr.core.types import SPLITS, Split
from limssr.data.arrays import (
    Range,
    as_names,
    as_streams,
    find_criteria,
    find_modalities,
    make_samples,
    score_matrix,
    score_names,
)
from limssr.data.groups import group_name
from limssr.data.splits import divide, label_of, parse_shares
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter

SHARES = "70/15/15"


def make_store(
    path: str | Path,
    samples: Any,
    scores: Any,
    *,
    groups: Sequence[Any] | None = None,
    splits: Sequence[str] | str = SHARES,
    ids: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    criteria: Sequence[str] | None = None,
    score_range: Range | Sequence[Range] | None = None,
    segment_s: float | None = None,
    name: str = "",
    seed: int = 0,
) -> FeatureStore:
    """Write samples into a new feature store.

    Args:
        path: Folder to make.
        samples: N mappings from a stream's name to an array [T, D], or a pandas table with a column a stream; a stream
            that is None, all NaN or not a key does not exist.
        scores: [N] or [N, C], NaN where a criterion was not judged.
        groups: N labels; samples of one group (a person, a piece) stay in one split. None: each is its own group.
        splits: N of "train", "val" and "test"; or shares such as "70/15/15", by which whole groups are drawn.
        ids: N names; None: 0, 1, and so on.
        modalities: Names of the streams, in order; None: as they first occur.
        criteria: C names; None: "score", or "score-1" and so on.
        score_range: (lowest, highest) possible score, or one such pair a criterion; None: the range of the training
            scores.
        segment_s: Length of a segment in seconds, where it is known.
        name: Of the data set; None: that of the folder.
        seed: Of drawn splits.

    Returns:
        The store, opened.

    Raises:
        InputError: Samples, scores or one of the lists are not right; nothing has been written.
    """
    path = Path(path).expanduser()
    check_new(path, "store")
    streams = as_streams(samples)
    names = as_names(criteria, "criteria") or score_names(scores)
    scores_NC, _ = score_matrix(scores, len(streams), names)
    lists = {"groups": groups, "ids": ids, "splits": None if isinstance(splits, str) else splits}
    for what, given in lists.items():
        if given is not None and len(given) != len(streams):
            raise InputError(f"Expected {len(streams)} {what}, one a sample, found {len(given)}.")
    named = [str(one) for one in (range(len(streams)) if ids is None else ids)]
    group_N = [group_name(one) for one in (groups if groups is not None else [None] * len(streams))]
    decisions: list[str] = []
    split_N = _splits(splits, [label_of(*pair) for pair in zip(group_N, named, strict=True)], seed, decisions)
    found = find_modalities(streams, as_names(modalities, "modalities"))
    # A scale that nobody gave is that of the training scores: the test split is not looked at.
    train_NC = scores_NC[[split == "train" for split in split_N]]
    judged = find_criteria(train_NC, names, score_range)
    scale = "open" if score_range is None else "strict"
    plain = make_samples(streams, scores_NC, found, judged, scale=scale, say=decisions.append)
    made = [
        replace(sample, id=one, group=group, split=split)
        for sample, one, group, split in zip(plain, named, group_N, split_N, strict=True)
    ]
    writer = StoreWriter(
        path,
        name=name or path.name,
        modalities=found,
        criteria=judged,
        provenance={"importer": "arrays", "decisions": decisions},
        segment_s=segment_s,
        derived_scales=[criterion.name for criterion in judged] if scale == "open" else (),
        splits_required=("train",),
    )
    with writer:
        for sample in made:
            writer.add(sample)
    return FeatureStore.open(path)


def _splits(splits: Sequence[str] | str, labels: list[str], seed: int, decisions: list[str]) -> list[Split]:
    """[N] splits, given or drawn."""
    if isinstance(splits, str):
        split_of = divide(labels, parse_shares(splits), seed=seed)
        decisions.append(f"splits drawn by shares {splits} of {len(split_of)} whole groups, seed {seed}")
        return [split_of[label] for label in labels]
    known: dict[str, Split] = {str(split): split for split in SPLITS}
    for one in splits:
        if one not in known:
            raise InputError(f"Expected splits named {', '.join(SPLITS)}, found {one!r}.")
    return [known[one] for one in splits]
