"""Turns arrays and lists from a caller into samples: streams, scores and groups."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.columns import Unnamed, check_columns, find_offsets, place
from limssr.data.groups import is_missing
from limssr.data.store.observed import Observed
from limssr.data.validate import check_criteria, check_modalities, check_sample, unmasked
from limssr.data.values import Values, read_values
from limssr.data.words.given import is_words, read_words
from limssr.data.words.names import DEFAULT
from limssr.data.words.streams import WordStreams, words_modality

Streams = Mapping[str, Any]
Range = tuple[float, float]


def as_streams(samples: Any) -> list[Streams]:
    """N mappings from a list, a generator, or a pandas table with a column a stream.

    Raises:
        InputError: One mapping of streams instead of many samples, text, or nothing that holds samples.
    """
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):
        return [_without_empty(row) for row in samples.to_dict("records")]
    if isinstance(samples, Mapping):
        raise InputError(
            f"Expected a list of samples, found one mapping with the keys {', '.join(map(str, list(samples)[:4]))}: "
            "give [{stream: array, ...}, ...], one mapping a sample."
        )
    if isinstance(samples, str | bytes) or not isinstance(samples, Iterable):
        raise InputError(
            f"Expected a list of samples, each a mapping from stream names to arrays, found {type(samples).__name__}."
        )
    return [_as_mapping(sample, index) for index, sample in enumerate(samples)]


def as_names(names: Any, what: str) -> tuple[str, ...] | None:
    """Names from any sequence of text, an array of them included; None stays None.

    Raises:
        InputError: A single text, or something else than text in it.
    """
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"Expected {what} to be a list of names, found {names!r}: put it in a list.")
    found = tuple(np.asarray(names).tolist() if isinstance(names, np.ndarray) else names)
    for name in found:
        if not isinstance(name, str):
            raise InputError(f"Expected {what} to be a list of names, found {name!r} in it: give text.")
    return found or None


def either(name: str, given: Any, other_name: str, other: Any) -> Any:
    """The one value of an argument that has two names.

    Raises:
        InputError: Both were given, or neither.
    """
    if (given is None) == (other is None):
        found = "neither" if given is None else "both"
        raise InputError(f"Expected {name} (or {other_name}, which is another word for it), found {found}: give one.")
    return other if given is None else given


# Key of the configuration -> argument that fills it, for errors.
ARGUMENTS = {
    "seed": "random_state", "missing.dropout": "modality_dropout", "model.backbone.name": "backbone",
    "model.backbone.num_layers": "num_layers", "model.head": "head", "model.dropout": "dropout",
    "train.epochs": "epochs", "train.batch_size": "batch_size", "train.learning_rate": "learning_rate",
}  # fmt: skip


def find_modalities(
    samples: Sequence[Streams], names: Sequence[str] | None, *, words: str = DEFAULT
) -> tuple[Modality, ...]:
    """The streams of the samples, with their widths, the names of their columns, and what is subtracted from them.

    Args:
        samples: N mappings.
        names: In this order; None: as they first occur. A stream that is nowhere there has no width and is left out.
        words: The view of streams of words (`limssr.data.words.views`).

    Raises:
        InputError: Not mappings, no stream at all, or a named stream that no sample has.
    """
    found: dict[str, list[Values]] = {}
    said: set[str] = set()
    for index, sample in enumerate(samples):
        for key, stream in _as_mapping(sample, index).items():
            if stream is None or is_words(stream):
                said |= set() if stream is None else {str(key)}
                continue
            values = read_values(stream, where=f"Sample {index}, stream '{key}'")
            array = values.array
            # A stream that is wrong in another way is refused by the check of its sample, in better words.
            if array.ndim == 2 and array.size and not (array.dtype.kind == "f" and np.isnan(array).all()):
                found.setdefault(str(key), []).append(values)
    mixed = sorted(said & found.keys())
    if mixed:
        raise InputError(f"Stream '{mixed[0]}': expected words in all samples or in none, found also arrays.")
    absent = [name for name in names or () if name not in found and name not in said]
    if absent:
        raise InputError(f"Expected a sample with the stream {absent[0]!r}, found none: leave it out of modalities.")
    order = names or dict.fromkeys(str(key) for sample in samples for key in sample if str(key) in {*found, *said})
    modalities = tuple(words_modality(one, words) if one in said else _modality(one, found[one]) for one in order)
    check_modalities(modalities)
    return modalities


def _modality(name: str, every: Sequence[Values]) -> Modality:
    """A stream as its samples have it: names of its columns from the first that has names."""
    columns = next((values.columns for values in every if values.columns is not None), None)
    if columns is not None:
        check_columns(columns, f"Stream '{name}'")
    plain = Modality(name, every[0].array.shape[1], columns)
    alike = [one for one in every if one.columns is None or sorted(one.columns) == sorted(columns or ())]
    blocks = (place(one.array, one.columns, plain, unnamed="by-place", where=name).values for one in alike)
    return Modality(name, plain.dim, columns, find_offsets(blocks))


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
    unnamed: Unnamed = "refuse",
    say: Callable[[str], None] | None = None,
) -> list[Sample]:
    """Checked samples with ids 0, 1, and so on.

    Args:
        samples: N mappings.
        scores_NC: None when scoring.
        modalities: M streams; named columns are put into their order, and their offsets are subtracted.
        criteria: C criteria.
        prefix: Of the ids.
        scale: "open" accepts scores outside the range of the training scores.
        unnamed: Whether arrays without names may be taken by place where the stream has names.
        say: Told what was decided, a sentence each.

    Raises:
        InputError: See `limssr.data.validate.check_sample`, `limssr.data.values.read_values` and
            `limssr.data.columns.place`.
    """
    derived = [criterion.name for criterion in criteria] if scale == "open" else []
    known = {modality.name: modality for modality in modalities}
    placed_how: Counter[tuple[str, str]] = Counter()
    observed = Observed()
    made = []
    texts = WordStreams(modalities=[modality for modality in modalities if modality.words])
    for index, streams in enumerate(samples):
        arrays, words = {}, {}
        for key, stream in _as_mapping(streams, index).items():
            if stream is None:
                continue
            name, where = str(key), f"Sample '{prefix}{index}', stream '{key}'"
            if _belongs_to_words(stream, known.get(name), where):
                words[name] = read_words(stream, where=where)
                continue
            values = read_values(stream, where=where)
            arrays[name] = values.array
            if name in known:
                placed = place(values.array, values.columns, known[name], unnamed=unnamed, where=where)
                placed_how[name, placed.how] += 1
                arrays[name] = placed.values
        scores_C = np.empty(0) if scores_NC is None else scores_NC[index]
        mode = "optional" if scores_NC is None else "required"
        given = texts.join(Sample(f"{prefix}{index}", arrays, scores_C), words, where=f"Sample '{prefix}{index}'")
        made.append(check_sample(given, modalities, criteria, scores=mode, derived_scales=derived))
        observed.add(given, made[-1])
    if say is not None:
        for (name, how), count in placed_how.items():
            if how == "reordered":
                say(f"stream '{name}': columns of {count} samples put into the order of the stream, by their names")
        for sentence in (*observed.constant_words(), *texts.sentences(new=True)):
            say(sentence)
    return made


def _belongs_to_words(stream: Any, modality: Modality | None, where: str) -> bool:
    """Whether a stream is one of words; refused where it is given in the other way than in training."""
    if modality is not None and is_words(stream) != (modality.words is not None):
        wanted = "words" if modality.words else "an array [segments, features]"
        raise InputError(f"{where}: expected {wanted}, as in training, found {type(stream).__name__}.")
    return modality is not None and modality.words is not None


def score_names(scores: Any) -> list[str] | None:
    """Names of the columns of a table of scores; None where they are no table, or have none."""
    columns = getattr(scores, "columns", None)
    if columns is None or isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        return None
    return list(columns) if 0 < len(set(columns)) == len(columns) else None


def score_matrix(scores: Any, num_samples: int, names: Sequence[str] | None = None) -> tuple[np.ndarray, bool]:
    """Scores [N] or [N, C] -> float64 [N, C], and whether they were [N].

    Args:
        scores: Masked scores are not judged.
        num_samples: N.
        names: Of the criteria; a table whose columns have these names is read by them, in whatever order they stand.

    Raises:
        InputError: Not numbers, an infinite one, or another shape.
    """
    found = score_names(scores)
    if names is not None and found is not None and found != list(names) and sorted(found) == sorted(names):
        scores = scores[list(names)]
    try:
        if hasattr(scores, "detach"):
            scores = read_values(scores, where="Scores").array
        if hasattr(scores, "to_numpy"):
            scores = scores.to_numpy(dtype=np.float64, na_value=np.nan)
        array = unmasked(scores).astype(np.float64)
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
        raise InputError(
            f"Sample {index}: expected a mapping from stream names to arrays, found {found}: give one stream as "
            "[{'NAME': array} for array in samples], each array [segments, features]."
        )
    return sample


def _without_empty(row: Mapping[Any, Any]) -> Streams:
    """A row of a table of streams: pandas writes NaN or pandas.NA where a cell is empty."""
    return {str(name): None if np.ndim(cell) == 0 and _is_empty(cell) else cell for name, cell in row.items()}


def _is_empty(cell: Any) -> bool:
    return not isinstance(cell, str) and is_missing(cell)


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
