"""Checks of single samples and of whole collections, before anything is written or trained.

Two doors: `check_sample` for one performance, `check_collection` for all of them. Both raise `InputError` whose message
names the sample and the stream, and says what was expected, what was found and what to do.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.groups import group_name

# Words that say how streams go missing; a stream of that name could not be told from them.
RESERVED_NAMES = ("independent", "one-stream", "none", "all")


# Columns of every table of predictions; a criterion of that name would be confused with them.
RESERVED_CRITERIA = ("id", "streams")


# Scores written as decimals and read back may differ from the bound of their scale by rounding.
SCALE_TOLERANCE = 1e-9


def check_modalities(modalities: Sequence[Modality]) -> None:
    """Names are usable in files, prompts and patterns, and occur once; widths are positive.

    Raises:
        InputError: Otherwise.
    """
    if not modalities:
        raise InputError("Expected at least one stream, found none: name the streams of the data set.")
    for modality in modalities:
        _check_name("stream", modality.name)
        if modality.dim < 1:
            raise InputError(
                f"Stream '{modality.name}': expected a width of at least 1, found {modality.dim}: "
                "give the number of features of a segment."
            )
    _check_once("stream", [modality.name for modality in modalities])


def check_criteria(criteria: Sequence[Criterion]) -> None:
    """Names are usable, occur once and are no column of predictions; every scale has low < high, both finite.

    Raises:
        InputError: Otherwise.
    """
    for criterion in criteria:
        if not criterion.name.strip() or _has_control(criterion.name):
            raise InputError(
                f"Expected a criterion name of printable characters, found {criterion.name!r}: rename the criterion."
            )
        if criterion.name in RESERVED_CRITERIA:
            raise InputError(
                f"Expected a criterion that is none of {', '.join(RESERVED_CRITERIA)}, which every table of "
                f"predictions has as columns, found '{criterion.name}': rename it, for example to "
                f"'{criterion.name}-score'."
            )
        low, high = criterion.low, criterion.high
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InputError(
                f"Criterion '{criterion.name}': expected a scale with low < high, both finite, found low {low:g} and "
                f"high {high:g}: declare the lowest and the highest possible score."
            )
    _check_once("criterion", [criterion.name for criterion in criteria])


def check_sample(
    sample: Sample,
    modalities: Sequence[Modality],
    criteria: Sequence[Criterion],
    *,
    scores: Literal["required", "optional"] = "required",
    derived_scales: Collection[str] = (),
) -> Sample:
    """Check one sample and bring it into the form that everything else relies on.

    Args:
        sample: As the user gave it; streams of any real float or integer type.
        modalities: The streams that exist in the data set.
        criteria: The scores that exist in the data set.
        scores: "optional" accepts an empty `scores` (new samples to be scored).
        derived_scales: Criteria whose scale was taken from the training scores: values outside it are accepted.

    Returns:
        The sample with float32 streams [T, D] in modality order, streams that are None or have no valid segment left
        out, float64 scores [C], and the one name of its group. Segments at the end that no stream has are padding and
        are cut: they are no part of the performance.

    Raises:
        InputError: Something is wrong with it; the message names the sample, the stream and the remedy.
    """
    _check_id(sample.id)
    names = [modality.name for modality in modalities]
    for name in sample.streams:
        if name not in names:
            raise InputError(f"Sample '{sample.id}': {unknown_name('stream', str(name), names)}")
    checked: dict[str, np.ndarray] = {}
    lengths: dict[str, int] = {}
    for modality in modalities:
        given = sample.streams.get(modality.name)
        if given is None:
            continue
        stream_TD, num_valid = check_stream(given, modality, where=f"Sample '{sample.id}', stream '{modality.name}'")
        lengths[modality.name] = stream_TD.shape[0]
        if num_valid:
            checked[modality.name] = stream_TD
    end = max((_end(stream_TD) for stream_TD in checked.values()), default=None)
    _check_lengths(sample.id, {name: length if end is None else min(length, end) for name, length in lengths.items()})
    checked = {name: np.ascontiguousarray(stream_TD[:end]) for name, stream_TD in checked.items()}
    if not checked:
        reason = "every segment of every stream is NaN" if lengths else "all streams are absent"
        raise InputError(
            f"Sample '{sample.id}': expected at least one stream with a valid segment, found that {reason}: "
            "give a stream or leave the sample out."
        )
    if sample.split is not None and sample.split not in SPLITS:
        raise InputError(f"Sample '{sample.id}': {unknown_name('split', str(sample.split), SPLITS)}")
    scores_C = _check_scores(sample, criteria, scores, derived_scales)
    words = {name: sample.words[name] for name in checked if name in sample.words}
    return Sample(sample.id, checked, scores_C, group_name(sample.group), sample.split, words=words)


def check_stream(stream: np.ndarray, modality: Modality, *, where: str) -> tuple[np.ndarray, int]:
    """Check one stream.

    Args:
        stream: Array [T, D] of a real type; all-NaN rows are segments that are not valid, and so are the masked rows of
            a masked array.
        modality: Its name and width.
        where: Beginning of the message ("Sample 'x', stream 'audio'").

    Returns:
        The stream as C-contiguous float32, and the number of valid segments.

    Raises:
        InputError: Wrong type, rank, width or length, Inf, or NaN in only part of a segment.
    """
    array = unmasked(stream)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: expected an array of real numbers, found dtype {array.dtype}: convert the features to float32."
        )
    if array.ndim != 2:
        raise InputError(
            f"{where}: expected rank 2, [segments, features], found rank {array.ndim} with shape {array.shape}: "
            "give one feature vector a segment (average or flatten further axes yourself)."
        )
    if array.shape[0] == 0:
        raise InputError(
            f"{where}: expected at least one segment, found zero: leave the stream out if it does not exist."
        )
    if array.shape[1] != modality.dim:
        raise InputError(
            f"{where}: expected width {modality.dim}, found {array.shape[1]}: "
            f"all samples must hold the same {modality.dim} features (is the array transposed?)."
        )
    with np.errstate(over="ignore"):
        stream_TD = np.ascontiguousarray(array, dtype=np.float32)
    return _check_values(stream_TD, array, where)


def check_collection(
    samples: Iterable[Sample],
    criteria: Sequence[Criterion],
    *,
    splits_required: Sequence[Split] = SPLITS,
) -> None:
    """Check what only all samples together can show. Streams are not looked at.

    Args:
        samples: All of them, each with split, group and scores [C].
        criteria: The C criteria.
        splits_required: Splits that must not be empty.

    Raises:
        InputError: Duplicate ids, a sample without split, an empty split, a group on two sides of a split, or a
            criterion without at least two different scores in the training split.
    """
    samples = list(samples)
    repeated = [name for name, count in Counter(sample.id for sample in samples).items() if count > 1]
    if repeated:
        raise duplicate_id(repeated[0])
    for sample in samples:
        if sample.split not in SPLITS:
            raise InputError(
                f"Sample '{sample.id}': expected a split ({', '.join(SPLITS)}), found {sample.split!r}: give every "
                "sample a split."
            )
    counts = Counter(sample.split for sample in samples)
    for split in splits_required:
        if not counts[split]:
            found = ", ".join(f"{name} {counts[name]}" for name in SPLITS)
            raise InputError(
                f"Expected at least one sample in split '{split}', found none ({found}): assign samples to it."
            )
    _check_groups(samples)
    if counts["train"]:
        _check_training_scores([sample for sample in samples if sample.split == "train"], criteria)


def unmasked(values: Any) -> np.ndarray:
    """An array; NaN where a masked array is masked, for what lies behind a mask is no data."""
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiu":
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values)


def duplicate_id(sample_id: str) -> InputError:
    """The error for an id that occurs twice."""
    return InputError(
        f"Expected ids that occur once, found '{sample_id}' more than once: rename or remove the repeated sample."
    )


def _check_values(stream_TD: np.ndarray, given: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    infinite_TD = np.isinf(stream_TD)
    if infinite_TD.any():
        segment, feature = (int(i) for i in np.argwhere(infinite_TD)[0])
        raise InputError(
            f"{where}: expected finite values, found {given[segment, feature]} (infinite in float32) at segment "
            f"{segment}, feature {feature}: correct it, or make the whole segment NaN if it is not valid."
        )
    nan_TD = np.isnan(stream_TD)
    if not nan_TD.any():
        return stream_TD, stream_TD.shape[0]
    some_T, all_T = np.any(nan_TD, axis=1), np.all(nan_TD, axis=1)
    partial = np.flatnonzero(some_T & ~all_T)
    if partial.size:
        segment = int(partial[0])
        raise InputError(
            f"{where}: expected segments that are all NaN (not valid) or without NaN, found {nan_TD[segment].sum()} of "
            f"{stream_TD.shape[1]} values NaN in segment {segment}: fill them in, or make the whole segment NaN."
        )
    # One bit pattern for "not valid", whatever NaN came in: the same content then gives the same bytes on disk.
    stream_TD = np.where(all_T[:, None], np.float32(np.nan), stream_TD)
    return stream_TD, int((~all_T).sum())


def _end(stream_TD: np.ndarray) -> int:
    """The number of segments up to the last valid one."""
    if not np.isnan(stream_TD[-1, 0]):
        return stream_TD.shape[0]
    return int(np.flatnonzero(~np.isnan(stream_TD[:, 0]))[-1]) + 1


def _check_lengths(sample_id: str, lengths: Mapping[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"Sample '{sample_id}': expected streams of the same number of segments, found {found}: align them to "
            "the same windows (a segment that one stream lacks is a row of NaN)."
        )


def _check_scores(
    sample: Sample, criteria: Sequence[Criterion], mode: str, derived_scales: Collection[str]
) -> np.ndarray:
    given = unmasked(sample.scores)
    if mode == "optional" and given.size == 0:
        return np.empty(0)
    if given.dtype.kind not in "fiu" or given.shape != (len(criteria),):
        raise InputError(
            f"Sample '{sample.id}': expected {len(criteria)} numeric scores "
            f"({', '.join(criterion.name for criterion in criteria)}), found dtype {given.dtype} with shape "
            f"{given.shape}: give one number a criterion, NaN where it was not judged."
        )
    scores_C = given.astype(np.float64)
    for criterion, score in zip(criteria, scores_C, strict=True):
        if math.isnan(score):
            continue
        slack = SCALE_TOLERANCE * (criterion.high - criterion.low)
        inside = criterion.low - slack <= score <= criterion.high + slack
        if math.isinf(score) or not (inside or criterion.name in derived_scales):
            raise InputError(
                f"Sample '{sample.id}': expected a score of '{criterion.name}' on its scale {criterion.low:g} to "
                f"{criterion.high:g}, found {score:g}: correct the score or declare the right scale."
            )
    return scores_C


def _check_groups(samples: Sequence[Sample]) -> None:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if group := group_name(sample.group):
            splits_of[group].add(str(sample.split))
    for group, splits in splits_of.items():
        if len(splits) > 1:
            found = " and ".join(sorted(splits, key=[str(split) for split in SPLITS].index))
            raise InputError(
                f"Expected every group on one side of the split, found group '{group}' in {found}: "
                "move all samples of a group into one split, or the test result would be flattered."
            )


def _check_training_scores(train: Sequence[Sample], criteria: Sequence[Criterion]) -> None:
    scores_NC = np.stack([sample.scores for sample in train])
    for column, criterion in enumerate(criteria):
        judged = scores_NC[:, column]
        judged = judged[~np.isnan(judged)]
        if np.unique(judged).size < 2:
            found = f"only {judged[0]:g}" if judged.size else "no score at all"
            raise InputError(
                f"Criterion '{criterion.name}': expected at least two different scores among the {len(train)} training "
                f"samples, found {found}: nothing can be learnt from it; leave the criterion out or correct the scores."
            )


def _check_id(sample_id: object) -> None:
    if not isinstance(sample_id, str) or not sample_id.strip() or _has_control(sample_id):
        raise InputError(
            f"Expected a sample id of printable characters, found {sample_id!r}: give every sample a unique text id."
        )


def _has_control(text: str) -> bool:
    """True for control characters and lone surrogates, which JSON and Parquet cannot hold faithfully."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"[^\W\d][\w.-]*(?: [\w.-]+)*", name) or name in RESERVED_NAMES:
        raise InputError(
            f"Expected a {kind} name that begins with a letter and holds letters, digits, '_', '-', '.' or single "
            f"spaces, and is none of {', '.join(RESERVED_NAMES)}, found {name!r}: rename it."
        )


def _check_once(kind: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"Expected every {kind} name once, found '{name}' {count} times: rename one of them.")
