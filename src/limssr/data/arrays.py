"""From what people have in their hands to samples: mappings of arrays, lists of scores, labels of groups."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.validate import check_criteria, check_modalities, check_sample

Streams = Mapping[str, Any]
Range = tuple[float, float]


def find_modalities(samples: Sequence[Streams], names: Sequence[str] | None) -> tuple[Modality, ...]:
    """The streams of the samples, with their widths.

    Args:
        samples: N mappings.
        names: In this order; None: as they first occur. A stream that is nowhere there has no width and is left out.

    Raises:
        InputError: Not mappings, no stream at all, or a named stream that no sample has.
    """
    widths: dict[str, int] = {}
    for index, sample in enumerate(samples):
        for name, stream in _as_mapping(sample, index).items():
            array = np.asarray(stream)
            # A stream that is wrong in another way is refused by the check of its sample, in better words.
            if array.ndim == 2 and array.size and not (array.dtype.kind == "f" and np.isnan(array).all()):
                widths.setdefault(str(name), array.shape[1])
    absent = [name for name in names or () if name not in widths]
    if absent:
        raise InputError(f"Expected a sample with the stream {absent[0]!r}, found none: leave it out of modalities.")
    found = tuple(Modality(name, widths[name]) for name in names or widths)
    check_modalities(found)
    return found


def find_criteria(
    scores_NC: np.ndarray, names: Sequence[str] | None, score_range: Range | Sequence[Range] | None
) -> tuple[Criterion, ...]:
    """The criteria with their scales.

    Args:
        scores_NC: Training scores, NaN where not judged.
        names: C names; None: "score", or "score-1" and so on.
        score_range: (lowest, highest), or one such pair a criterion; None: the range of the training scores.

    Raises:
        InputError: Other numbers of names or ranges than columns, or a column without two different scores.
    """
    num_criteria = scores_NC.shape[1]
    default = ["score"] if num_criteria == 1 else [f"score-{number}" for number in range(1, num_criteria + 1)]
    names = list(names or default)
    if len(names) != num_criteria:
        raise InputError(f"Expected {len(names)} columns of scores ({', '.join(names)}), found {num_criteria}.")
    criteria = []
    for column, name in enumerate(names):
        judged = scores_NC[~np.isnan(scores_NC[:, column]), column]
        if np.unique(judged).size < 2:
            found = "no score at all" if judged.size == 0 else f"only {judged[0]:g}"
            raise InputError(f"Criterion {name!r}: expected at least two different scores, found {found}.")
        low, high = _range(score_range, column, num_criteria, judged)
        criteria.append(Criterion(name, low, high))
    check_criteria(criteria)
    return tuple(criteria)


def make_samples(
    samples: Sequence[Streams],
    scores_NC: np.ndarray | None,
    modalities: tuple[Modality, ...],
    criteria: tuple[Criterion, ...],
    *,
    prefix: str = "",
    scale: Literal["strict", "open"] = "strict",
) -> list[Sample]:
    """Checked samples with ids 0, 1, and so on.

    Args:
        samples: N mappings.
        scores_NC: None when scoring.
        modalities: M streams.
        criteria: C criteria.
        prefix: Of the ids.
        scale: "open" accepts scores outside the range of the training scores.

    Raises:
        InputError: See `limssr.data.validate.check_sample`.
    """
    derived = [criterion.name for criterion in criteria] if scale == "open" else []
    made = []
    for index, streams in enumerate(samples):
        mapping = _as_mapping(streams, index)
        arrays = {str(name): np.asarray(stream) for name, stream in mapping.items() if stream is not None}
        scores_C = np.empty(0) if scores_NC is None else scores_NC[index]
        mode = "optional" if scores_NC is None else "required"
        given = Sample(f"{prefix}{index}", arrays, scores_C)
        made.append(check_sample(given, modalities, criteria, scores=mode, derived_scales=derived))
    return made


def score_matrix(scores: Any, num_samples: int) -> tuple[np.ndarray, bool]:
    """Scores [N] or [N, C] -> float64 [N, C], and whether they were [N].

    Raises:
        InputError: Not numbers, an infinite one, or another shape.
    """
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected numeric scores [N] or [N, C], found something else ({error}).") from error
    if array.ndim not in (1, 2) or array.shape[0] != num_samples or array.size == 0:
        raise InputError(f"Expected scores [N] or [N, C] for {num_samples} samples, found shape {array.shape}.")
    if np.isinf(array).any():
        raise InputError("Expected finite scores (NaN where a criterion was not judged), found an infinite one.")
    return (array[:, None], True) if array.ndim == 1 else (array, False)


def check_num_criteria(scores_NC: np.ndarray, num_criteria: int) -> None:
    """Raise `InputError` unless there are as many columns as in `fit`."""
    if scores_NC.shape[1] != num_criteria:
        raise InputError(f"Expected {num_criteria} scores a sample, as in fit, found {scores_NC.shape[1]}.")


def integer_seed(random_state: int | None) -> int:
    """The seed of a fit; None takes a new one.

    Raises:
        InputError: Not an integer: a generator would give another model at each call, and could not be written down.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise InputError(f"Expected random_state to be an integer or None, found {type(random_state).__name__}.")
    return int(random_state)


def _as_mapping(sample: Any, index: int) -> Streams:
    if not isinstance(sample, Mapping):
        found = type(sample).__name__
        raise InputError(f"Sample {index}: expected a mapping from stream names to arrays, found {found}.")
    return sample


def _range(score_range: Range | Sequence[Range] | None, column: int, num_criteria: int, judged: np.ndarray) -> Range:
    if score_range is None:
        return float(judged.min()), float(judged.max())
    ranges = np.asarray(score_range, dtype=np.float64)
    if ranges.shape == (2,):
        ranges = np.tile(ranges, (num_criteria, 1))
    if ranges.shape != (num_criteria, 2):
        raise InputError(
            f"Expected score_range to be (low, high) or {num_criteria} such pairs, found shape {ranges.shape}."
        )
    return float(ranges[column, 0]), float(ranges[column, 1])
