"""Predictions of another framework, from a CSV file, as a row of a comparison."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError
from limssr.core.reading.regular import Outside, read_text
from limssr.studies.compare.predictions import Answers
from limssr.studies.compare.rows import Entry, split_label

SUBSET_COLUMNS = ("streams", "subset")
"""Names of the optional column that says from which streams a line predicts; without it from all."""
MAX_BYTES = 1 << 30
NAMED = 3


def read_outside(word: str, first: Entry, *, seed: int = 0) -> Entry:
    """One file of predictions as an entry beside those of the runs.

    The file has a line for each performance (and subset of the streams): a column `id`, one for each criterion, in the
    data set's unit, and perhaps `streams` ("video+audio"; without it every line is a prediction from all streams).

    Args:
        word: The file, or LABEL=FILE.
        first: An entry of a run: its performances, criteria, subsets and scores are those that are compared.
        seed: Number of this file among those of its label, which count as seeds.

    Raises:
        InputError: The file lacks a column or a performance, has one too many or twice, numbers that are none, or
            numbers in another unit.
    """
    label, path = split_label(word)
    rows = _rows(path)
    head = list(rows[0]) if rows else []
    _check_columns(head, first.answers.criteria, path)
    subset_column = next((name for name in SUBSET_COLUMNS if name in head), None)
    predicted_SNC = np.full(first.answers.predicted_SNC.shape, np.nan)
    layers, places = _subsets(first.answers), {name: n for n, name in enumerate(first.answers.ids)}
    seen: set[tuple[int, int]] = set()
    for line, row in enumerate(rows, start=2):
        s = _layer(row.get(subset_column) if subset_column else None, layers, (path, line), first.answers)
        n = places.get(str(row["id"]).strip())
        if n is None:
            raise InputError(
                f"Expected performances of the {first.answers.split} split in {path}, found {row['id']!r} in line "
                f"{line}, which is none of them: leave it out, or correct its id."
            )
        if (s, n) in seen:
            raise InputError(
                f"Expected one line a performance{' and subset of the streams' if subset_column else ''} in {path}, "
                f"found {row['id']!r} again in line {line}: leave one out."
            )
        seen.add((s, n))
        if first.answers.owned_SN[s, n]:
            predicted_SNC[s, n] = [_number(row[name], name, (path, line)) for name in first.answers.criteria]
    _check_complete(seen, first.answers, path)
    _check_unit(predicted_SNC, first, path)
    reasons = tuple(
        "" if any(layer == s for layer, _ in seen) else f"{path.name} has no predictions for these streams"
        for s in range(len(first.answers.subsets))
    )
    return Entry(
        run=path,
        system=label or path.stem,
        is_reference=False,
        label=label or path.stem,
        config=first.config.model_copy(update={"seed": seed}),
        document={"modalities": first.document["modalities"], "criteria": first.document["criteria"]},
        record={},
        answers=replace(first.answers, predicted_SNC=predicted_SNC, reasons_S=reasons),
        is_outside=True,
    )


def _rows(path: Path) -> list[dict[str, str]]:
    remedy = "give a CSV file with the columns id and one for each criterion"
    text = read_text(Outside(path=path, what="a file of predictions", remedy=remedy), limit=MAX_BYTES)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"Expected a CSV file of predictions at {path}, found something else ({error}).") from None
    if not rows:
        raise InputError(f"Expected predictions in {path}, found no line below the head.")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(
                f"Expected {len(reader.fieldnames or ())} cells in line {line} of {path}, as in its head, found "
                "another number: make the table rectangular."
            )
    return rows


def _check_columns(head: Sequence[str], criteria: Sequence[str], path: Path) -> None:
    lacking = [name for name in ("id", *criteria) if name not in head]
    if lacking:
        raise InputError(
            f"Expected the columns id, {', '.join(criteria)} (and streams, where some lines are of fewer) in "
            f"{path}, found {', '.join(head)}: add {', '.join(lacking)}."
        )


def _subsets(answers: Answers) -> dict[frozenset[str], int]:
    return {frozenset(name.split("+")): s for s, name in enumerate(answers.subsets)}


def _layer(cell: str | None, layers: Mapping[frozenset[str], int], where: tuple[Path, int], answers: Answers) -> int:
    """Place of the subset that a cell names, in whatever order; all streams where there is no such column."""
    if cell is None:
        return len(answers.subsets) - 1
    names = frozenset(name.strip() for name in cell.split("+"))
    if names not in layers:
        raise InputError(
            f"Expected a subset of {answers.subsets[-1]} that the runs are scored on, found {cell!r} in line "
            f"{where[1]} of {where[0]}: write the streams with + between them."
        )
    return layers[names]


def _number(cell: str, name: str, where: tuple[Path, int]) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = np.inf
    if not np.isfinite(value) or "_" in cell:
        raise InputError(
            f"Expected a number for {name} in line {where[1]} of {where[0]}, found {cell!r}: give the prediction in "
            "the data set's unit, with a decimal point."
        )
    return value


def _check_complete(seen: set[tuple[int, int]], answers: Answers, path: Path) -> None:
    """A subset is predicted for all performances that own its streams, or for none."""
    for s in sorted({s for s, _ in seen}):
        lacking = [answers.ids[n] for n in np.flatnonzero(answers.owned_SN[s]) if (s, int(n)) not in seen]
        if lacking:
            raise InputError(
                f"Expected a prediction for each of the {int(answers.owned_SN[s].sum())} performances of the "
                f"{answers.split} split that own {answers.subsets[s]} in {path}, found none for {len(lacking)}, "
                f"such as {', '.join(lacking[:NAMED])}: all are compared on the same performances."
            )


def _check_unit(predicted_SNC: np.ndarray, first: Entry, path: Path) -> None:
    scales = {str(one["name"]): (float(one["low"]), float(one["high"])) for one in first.document["criteria"]}
    for column, name in enumerate(first.answers.criteria):
        low, high = scales[name]
        values = predicted_SNC[..., column][np.isfinite(predicted_SNC[..., column])]
        outside = (values < low) | (values > high)
        if len(values) and outside.mean() > 0.5:
            raise InputError(
                f"Expected predictions of {name} in the data set's unit, {low:g} to {high:g}, in {path}, found "
                f"{int(outside.sum())} of {len(values)} outside, from {values.min():g} to {values.max():g}: undo the "
                "scaling of the other framework."
            )
