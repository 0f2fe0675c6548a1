"""The predictions of a run's systems as arrays, and checks that two of them are comparable."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from limssr.core.errors import ArtifactError, InputError
from limssr.core.reading.fields import made
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.data.missing import MAX_ALL_STREAMS, subsets

NAMES = ("system", "split", "id", "criterion", "streams")
"""Columns of predictions.parquet without gaps; the numbers are score and prediction."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Predictions of one system for one split, under every subset of the streams.

    Attributes:
        split: "test", in general.
        ids: The N samples.
        criteria: The C criteria.
        subsets: The S subsets ("timing+dynamics"); that of all streams is the last.
        owned_SN: Whether a sample owns all streams of a subset, so that it was scored there.
        truth_NC: Scores, NaN where not judged.
        predicted_SNC: NaN where not owned, and where the system has no prediction.
        reasons_S: Why the system has no numbers for a subset, as its evaluation says; "" where it has them all.
        groups_N: Group of each sample, None where it has none; () where the file, an older one, does not say.
    """

    split: str
    ids: tuple[str, ...]
    criteria: tuple[str, ...]
    subsets: tuple[str, ...]
    owned_SN: np.ndarray
    truth_NC: np.ndarray
    predicted_SNC: np.ndarray
    reasons_S: tuple[str, ...] = ()
    groups_N: tuple[str | None, ...] = ()

    def predicts(self, s: int) -> bool:
        """Whether there is any prediction for subset `s`."""
        return not bool(np.isnan(self.predicted_SNC[s]).all())


def read_answers(run: Path, modalities: Sequence[str] | None = None) -> dict[str, Answers]:
    """Read predictions.parquet of a run folder, with the reasons for gaps of its subsets.parquet.

    Args:
        run: A finished run.
        modalities: Its streams, in order; None: those of the largest subset that was scored.

    Returns:
        System -> answers; the run's own system is the first.

    Raises:
        ArtifactError: The files are not there, or not those of a finished run.
    """
    predictions = _read(run / "predictions.parquet", names=NAMES, numbers=("score", "prediction"), optional=("group",))
    judged = _read(
        run / "subsets.parquet", names=("system", "criterion", "streams"), numbers=("mse",), texts=("reason",)
    )
    scored = [str(name) for name in predictions.column("streams").unique().to_pylist()]
    if modalities is None:
        modalities = max((name.split("+") for name in scored), key=len, default=[])
    # Beyond six streams a rule chose the subsets: those that stand in the file, in the usual order.
    few = len(modalities) <= MAX_ALL_STREAMS
    names = ["+".join(subset) for subset in subsets(tuple(modalities))] if few else _in_order(scored, modalities)
    systems = [str(name) for name in predictions.column("system").unique().to_pylist()]
    found = {}
    for system in systems:
        rows = predictions.filter(pc.field("system") == system)
        found[system] = _answers(rows, names, _reasons(judged, system, names), run)
    return found


def _in_order(scored: Sequence[str], modalities: Sequence[str]) -> list[str]:
    """Names of subsets in the order of `limssr.data.missing.subsets`; that of all streams is there in any case."""
    place = {name: index for index, name in enumerate(modalities)}
    every = {*scored, "+".join(modalities)}
    return sorted(every, key=lambda name: (name.count("+"), [place.get(one, -1) for one in name.split("+")]))


def check_same_questions(first: Answers, other: Answers, *, names: tuple[str, str]) -> Answers:
    """Bring `other` into the order of `first`, or say why the two cannot be compared.

    Args:
        first: Whose order of samples and criteria holds.
        other: Of another run.
        names: How the two are called in the message.

    Raises:
        InputError: Other splits, subsets, criteria, samples, scores, or samples that own other streams.
    """
    _refuse_unless_equal("split", (first.split, other.split), names)
    _refuse_unless_same_set("subset of streams", (first.subsets, other.subsets), names)
    _refuse_unless_same_set("criterion", (first.criteria, other.criteria), names)
    _refuse_unless_same_set("sample", (first.ids, other.ids), names)
    rows = _places(first.ids, other.ids)
    columns = _places(first.criteria, other.criteria)
    layers = _places(first.subsets, other.subsets)
    arranged = replace(
        other,
        ids=first.ids,
        criteria=first.criteria,
        subsets=first.subsets,
        owned_SN=other.owned_SN[layers][:, rows],
        truth_NC=other.truth_NC[rows][:, columns],
        predicted_SNC=other.predicted_SNC[layers][:, rows][:, :, columns],
        reasons_S=tuple(other.reasons_S[layer] for layer in layers),
        groups_N=tuple(other.groups_N[row] for row in rows) if other.groups_N else (),
    )
    differing = ~np.isclose(first.truth_NC, arranged.truth_NC, rtol=1e-9, atol=0.0, equal_nan=True)
    if differing.any():
        row, column = np.argwhere(differing)[0]
        raise InputError(
            f"{_opening(names)}: expected the same scores of the same samples, found {differing.sum()} others, such as "
            f"{first.truth_NC[row, column]:g} and {arranged.truth_NC[row, column]:g} for {first.criteria[column]} of "
            f"{first.ids[row]}: evaluate both on the same store."
        )
    elsewhere = (first.owned_SN != arranged.owned_SN).any(axis=0)
    if elsewhere.any():
        raise InputError(
            f"{_opening(names)}: expected the same availability of the {first.split} split, found {elsewhere.sum()} of "
            f"{len(first.ids)} samples that own other streams, such as {first.ids[int(np.argmax(elsewhere))]}: "
            "evaluate both on the same store, and take streams away from the same splits with the same seed."
        )
    return arranged


def _read(
    path: Path, *, names: Sequence[str], numbers: Sequence[str], texts: Sequence[str] = (), optional: Sequence[str] = ()
) -> pa.Table:
    """Columns of a table: names and texts as text, names without gaps, numbers as numbers; optional texts if there."""
    types = {**dict.fromkeys((*names, *texts), pa.string()), **dict.fromkeys(numbers, pa.float64())}
    table = read_parquet(own_file(path))
    types |= {name: pa.string() for name in optional if name in table.column_names}
    lacking = [name for name in types if table.column_names.count(name) != 1]
    if not lacking:
        table = made(
            own_file(path),
            "columns",
            lambda: pa.table({name: table.column(name).cast(kind) for name, kind in types.items()}),
        )
    problems = [f"no column {name}" for name in lacking]
    problems += [f"gaps in {name}" for name in names if not lacking and table.column(name).null_count]
    if problems:
        raise ArtifactError(
            f"Expected the columns {', '.join(types)} in {path}, found {' and '.join(problems)}: the file was altered; "
            "train the run again, or leave it out."
        )
    return table


def _answers(rows: pa.Table, names: list[str], reasons_S: tuple[str, ...], run: Path) -> Answers:
    ids, row = _encoded(rows, "id")
    criteria, column = _encoded(rows, "criterion")
    found, which = _encoded(rows, "streams")
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise ArtifactError(f"Expected predictions for subsets of the run's streams in {run}, found {unknown}.")
    splits = [str(name) for name in rows.column("split").unique().to_pylist()]
    if len(splits) != 1:
        raise ArtifactError(f"Expected predictions of one split in {run}, found {splits}.")
    layer = np.array([names.index(name) for name in found], dtype=np.int64)[which]
    _refuse_repeated(np.stack([layer, row, column]), (names, ids, criteria), run / "predictions.parquet")
    truth_NC = np.full((len(ids), len(criteria)), np.nan)
    truth_NC[row, column] = rows.column("score").to_numpy(zero_copy_only=False)
    predicted_SNC = np.full((len(names), len(ids), len(criteria)), np.nan)
    predicted_SNC[layer, row, column] = rows.column("prediction").to_numpy(zero_copy_only=False)
    owned_SN = np.zeros((len(names), len(ids)), dtype=bool)
    owned_SN[layer, row] = True
    groups: list[str | None] = [None] * len(ids)
    has_groups = "group" in rows.column_names
    for place, group in zip(row, rows.column("group").to_pylist() if has_groups else (), strict=False):
        groups[place] = group
    of_sample = tuple(groups) if has_groups else ()
    return Answers(
        split=splits[0],
        ids=ids,
        criteria=criteria,
        subsets=tuple(names),
        owned_SN=owned_SN,
        truth_NC=truth_NC,
        predicted_SNC=predicted_SNC,
        reasons_S=reasons_S,
        groups_N=of_sample,
    )


def _refuse_repeated(places: np.ndarray, names: Sequence[Sequence[str]], path: Path) -> None:
    distinct, counts = np.unique(places, axis=1, return_counts=True)
    if (counts > 1).any():
        subset, sample, criterion = (
            of[place] for of, place in zip(names, distinct[:, np.argmax(counts > 1)], strict=True)
        )
        raise ArtifactError(
            f"Expected one prediction a system, sample, subset and criterion in {path}, found {(counts > 1).sum()} "
            f"repeated, such as {criterion} of {sample} from {subset}: the file was altered; train the run again, or "
            "leave it out."
        )


def _reasons(judged: pa.Table, system: str, names: list[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for record in judged.to_pylist():
        if record["system"] == system and record["criterion"] == "mean" and record["mse"] != record["mse"]:
            # Such as "spearman: no prediction; mse: no prediction": the metrics share what they lack.
            reason = str(record["reason"] or "").partition("mse: ")[2].partition("; mae: ")[0]
            found[record["streams"]] = reason or "no prediction"
    return tuple(found.get(name, "") for name in names)


def _encoded(rows: pa.Table, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Distinct values in order of appearance, and the place of each value among them."""
    encoded = rows.column(name).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return tuple(str(value) for value in encoded.dictionary.to_pylist()), encoded.indices.to_numpy()


def _places(wanted: Sequence[str], there: Sequence[str]) -> np.ndarray:
    position = {name: place for place, name in enumerate(there)}
    return np.array([position[name] for name in wanted], dtype=np.int64)


def _refuse_unless_equal(what: str, values: tuple[str, str], names: tuple[str, str]) -> None:
    if values[0] != values[1]:
        raise InputError(f"{_opening(names)}: expected the same {what}, found {values[0]} and {values[1]}.")


def _refuse_unless_same_set(what: str, values: tuple[Sequence[str], Sequence[str]], names: tuple[str, str]) -> None:
    parts = []
    for name, own, others in ((names[0], *values), (names[1], *reversed(values))):
        alone = [value for value in own if value not in set(others)]
        if alone:
            parts.append(f"{len(alone)} in {name} alone, such as {alone[0]}")
    if parts:
        raise InputError(
            f"{_opening(names)}: expected every {what} in both, found {'; '.join(parts)}. Runs are compared on the "
            "same samples, streams and criteria: train or evaluate them on the same store and split."
        )


def _opening(names: tuple[str, str]) -> str:
    return f"{names[0]} and {names[1]} cannot be compared"
