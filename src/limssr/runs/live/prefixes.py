"""How good scores are before a performance has ended, and intervals for what was seen so far.

A score after n segments is given the errors of validation performances that are cut to their first n segments (those
that are shorter are taken whole), for n = 1, 2, 4, ...; between two of these the smaller one holds, as less was seen.
So an interval is as honest about n segments as the one of `limssr.runs.reliability.calibration` is about a
whole performance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from limssr.core.errors import InputError
from limssr.core.files import write_json, write_table
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Sample
from limssr.evaluation.conformal import Errors
from limssr.evaluation.intervals import errors_from_table, errors_to_table, intervals
from limssr.evaluation.metrics import spearman
from limssr.evaluation.scorer import ModelScorer
from limssr.runs.data import load_split
from limssr.runs.folder import read_run
from limssr.runs.load import Loaded, load_scorer
from limssr.runs.record import learned_splits
from limssr.runs.reliability.calibration import LEVEL, calibrate, read_calibration

PREFIXES, PREFIXES_REPORT = "prefixes.parquet", "prefixes.json"
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def cut(sample: Sample, num_segments: int) -> Sample | None:
    """The first segments of a performance, with the streams that have a valid one there; None where none has."""
    streams = {name: array[:num_segments] for name, array in sample.streams.items()}
    streams = {name: array for name, array in streams.items() if not np.isnan(array[:, 0]).all()}
    return replace(sample, streams=streams) if streams else None


def measure_prefixes(run: Path, *, device: str = "auto", level: float = LEVEL) -> dict[str, Any]:
    """Calibrate a run on the beginnings of its validation performances, and measure it on those of its test split.

    Args:
        run: A run folder with calibration, whose store is on this machine. It gets `prefixes.parquet`, which live
            scoring reads, and `prefixes.json`.
        device: See `limssr.core.runtime.choose_device`.
        level: Of the intervals whose coverage is counted.

    Returns:
        For each share of the performances that was seen: Spearman correlation, and coverage and width of both kinds
        of intervals, for each criterion.

    Raises:
        InputError: No network, no calibration, no store, streams of words, or a model that learned from validation.
    """
    record, found = read_run(run), load_scorer(run, device=device)
    if not isinstance(found.scorer, ModelScorer) or any(one.words for one in found.modalities):
        raise InputError(f"Expected a run of a network that reads numbers for scores of beginnings, found {run}.")
    if "val" in learned_splits(record.document):
        raise InputError(
            f"Expected a run that has not learned from its validation split, found {run}, which `limssr auto` made of "
            "training and validation together: errors on what it learned would make intervals of beginnings too "
            "narrow. Train one model with `limssr train own --store STORE`."
        )
    names = tuple(one.name for one in found.modalities)
    whole = read_calibration(found.folder, names, [one.name for one in found.criteria])
    store = Path(record.document["store"]["path"])
    more: dict[str, Any] = {"store": store, "incomplete": True}
    validation = load_split(found.scorer.model, record.config, "val", **more)[1]
    test = load_split(found.scorer.model, record.config, "test", **more)[1]
    grid, number = [], 1
    while number < max(sample.num_segments for sample in validation):
        grid.append(number)
        number *= 2
    errors: dict[int, Errors] = {}
    for number in grid:
        beginnings = [one for sample in validation if (one := cut(sample, number)) is not None]
        made = calibrate(found.scorer, beginnings, names, found.criteria, record.config.evaluation)
        if made is not None:
            errors[number] = made
    document = {
        "level": level,
        "num_calibration": len(validation),
        "num_test": len(test),
        "shares": [_measured(found, test, share, whole=whole, errors=errors, level=level) for share in SHARES],
    }
    if not errors:
        raise InputError(f"Expected beginnings that can be scored among the validation samples of {run}, found none.")
    tables = [errors_to_table(one).append_column("segments", _column(n, one)) for n, one in errors.items()]
    write_table(run / PREFIXES, pa.concat_tables(tables))
    write_json(run / PREFIXES_REPORT, document)
    return document


def read_prefixes(folder: Path, modalities: Sequence[str], criteria: Sequence[str]) -> dict[int, Errors]:
    """Segments that were seen -> errors; empty where the run was not measured.

    Raises:
        ArtifactError: The file was altered.
    """
    path = folder / PREFIXES
    if not path.exists():
        return {}
    table = read_parquet(own_file(path))
    segments = table["segments"].to_numpy()
    return {
        int(n): errors_from_table(table.filter(pa.array(segments == n)), modalities, criteria)
        for n in np.unique(segments)
    }


def errors_for(errors: Mapping[int, Errors], num_segments: int) -> tuple[int, Errors] | None:
    """The errors that hold after so many segments, and after how many they were counted; None where there are none."""
    fitting = [n for n in errors if n <= num_segments]
    return (max(fitting), errors[max(fitting)]) if fitting else None


def _column(number: int, errors: Errors) -> pa.Array:
    return pa.array(np.full(errors.error_RC.size, number), pa.int32())


def _measured(
    found: Loaded, test: Sequence[Sample], share: float, *, whole: Errors, errors: Mapping[int, Errors], level: float
) -> dict[str, Any]:
    """Accuracy, coverage and widths where a share of each test performance was seen."""
    lengths = [max(1, round(share * sample.num_segments)) for sample in test]
    seen = [(cut(sample, n), n) for sample, n in zip(test, lengths, strict=True)]
    shown = [(sample, n) for sample, n in seen if sample is not None]
    samples = [sample for sample, _ in shown]
    scores_NC = found.score(samples)
    truth_NC = np.stack([sample.scores for sample in samples])
    both = {"whole": [whole] * len(samples), "prefix": [whole] * len(samples)}
    if share < 1.0:
        both["prefix"] = [(errors_for(errors, n) or (0, whole))[1] for _, n in shown]
    made = {
        kind: [
            intervals(one, ["+".join(sample.streams)], score_C[None], found.criteria, level=level)
            for one, sample, score_C in zip(some, samples, scores_NC, strict=True)
        ]
        for kind, some in both.items()
    }
    rows = {}
    for c, criterion in enumerate(found.criteria):
        judged = ~np.isnan(truth_NC[:, c]) & ~np.isnan(scores_NC[:, c])
        rank = spearman(truth_NC[judged, c], scores_NC[judged, c]).value
        rows[criterion.name] = {"spearman": None if np.isnan(rank) else rank}
        for kind, some in made.items():
            low_N, high_N = (np.array([getattr(one, end)[0, c] for one in some]) for end in ("low_NC", "high_NC"))
            inside_N = (low_N <= truth_NC[:, c]) & (truth_NC[:, c] <= high_N)
            rows[criterion.name][kind] = {
                "covered": float(inside_N[judged].mean()),
                "width": float((high_N - low_N)[judged].mean()),
            }
    return {"share": share, "num_samples": len(samples), "criteria": rows}


def prefix_lines(document: Mapping[str, Any]) -> list[str]:
    """For people."""
    lines = [
        f"Intervals of {100 * document['level']:g} %, calibrated on {document['num_calibration']} validation "
        f"performances, counted on {document['num_test']} of the test split:"
    ]
    for row in document["shares"]:
        for name, one in row["criteria"].items():
            value = "n/a" if one["spearman"] is None else f"{one['spearman']:.3f}"
            lines.append(
                f"{100 * row['share']:>4.0f} % seen  {name}: Spearman {value}; of whole performances cover "
                f"{100 * one['whole']['covered']:.0f} %, of beginnings {100 * one['prefix']['covered']:.0f} % "
                f"(width {one['prefix']['width']:.3g})"
            )
    return lines
