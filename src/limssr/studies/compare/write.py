"""The files of a comparison: text, CSV, LaTeX, JSON, the figure and the page."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from limssr.core.errors import ResourceError
from limssr.core.files import write_atomically
from limssr.report.render import banner_lines, csv_text, latex, table_latex, table_markdown, table_text, wrapped
from limssr.studies.compare.differences import PairedDifference
from limssr.studies.compare.figure import draw_critical_difference
from limssr.studies.compare.notes import RowDescription
from limssr.studies.compare.numbers import Number
from limssr.studies.compare.page import lead_of, write_page
from limssr.studies.compare.rows import CompareRow
from limssr.studies.compare.run import Comparison
from limssr.studies.compare.tables import all_tables, main_table

FORMAT_VERSION = 1
NUMBER_NAMES = ("value", "sd", "low", "high", "partial", "num_partial", "reason", "plain")
ABOUT_NAMES = tuple(field.name for field in fields(RowDescription))
DIFFERENCE_NAMES = ("value", "low", "high", "p_value", "adjusted_p", "reason")


def write_comparison(found: Comparison, out: Path, *, command: str) -> tuple[Path, ...]:
    """Write every form of a comparison into a folder, replacing older ones.

    Args:
        found: The comparison.
        out: Folder; it is made where it is not there.
        command: How to do it again, for the page.

    Returns:
        The files.
    """
    document = {"format_version": FORMAT_VERSION, **to_document(found)}
    texts = {
        "compare.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
        "scores.csv": scores_csv(found),
        "systems.csv": systems_csv(found),
        "compare.txt": to_text(found),
        "compare.tex": to_latex(found),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"Expected to write into the folder {out}: {error}; give another one with --out."
        ) from error
    for name, text in texts.items():
        write_atomically(out / name, text.encode())
    files = [out / name for name in texts]
    if found.ranking.test is not None:
        files.append(out / "critical-difference.svg")
        labels = [found.signed(label) for label in found.ranking.labels]
        figure = draw_critical_difference(labels, found.ranking.test, chosen=found.signed(found.against.label))
        write_atomically(files[-1], figure)
    else:
        (out / "critical-difference.svg").unlink(missing_ok=True)
    files.append(out / "compare.html")
    write_page(files[-1], found, command)
    return tuple(files)


def to_text(found: Comparison) -> str:
    """All tables for a terminal, after what must be known."""
    banners = [line for banner in found.banners for line in banner_lines(banner)]
    lead = [line for text in lead_of(found) for line in wrapped(text, indent="  ")]
    parts = ["\n".join([*lead, *([""] if banners else []), *banners]) + "\n"]
    return "\n".join([*parts, *(table_text(table) for table in all_tables(found))])


def to_latex(found: Comparison) -> str:
    """All tables as LaTeX; the banners come first, and are printed."""
    lines = ["% needs \\usepackage{booktabs,array}"]
    lines += [rf"\paragraph{{{latex(banner.title)}}} {latex(banner.text)}" for banner in found.banners]
    return "\n".join([*lines, "", *(table_latex(table, label="limssr-compare") for table in all_tables(found))])


def to_markdown(found: Comparison) -> str:
    """The main table, for a README or a page on GitHub, after what must be known."""
    banners = "".join(f"> **{banner.title}.** {banner.text}\n>\n" for banner in found.banners)
    return f"{banners}\n{table_markdown(main_table(found))}".lstrip()


def scores_csv(found: Comparison) -> str:
    """One line a row and part: a subset, or the average over the incomplete ones."""
    metrics = found.scores.metrics
    head = ["system", "trained_on", "selection", "seeds", "part", "samples"]
    head += [f"{metric}_{name}" for metric in metrics for name in NUMBER_NAMES]
    head += [f"{metric}_difference_{name}" for metric in metrics for name in DIFFERENCE_NAMES]
    lines = []
    for row in found.rows:
        about = [row.label, row.first.trained_on, row.first.selection or "", len(row.entries)]
        for part in found.scores.parts:
            line = [*about, part, found.scores.num_samples.get(part, "")]
            for metric in metrics:
                number = found.scores.numbers[row.label, part, metric]
                line += [_csv(getattr(number, name)) for name in NUMBER_NAMES]
            for metric in metrics:
                one = found.differences.get((row.label, part, metric))
                line += [_csv(getattr(one, name)) if one else "" for name in DIFFERENCE_NAMES]
            lines.append(line)
    return csv_text(head, lines, comments=[f"{banner.title}. {banner.text}" for banner in found.banners])


def systems_csv(found: Comparison) -> str:
    """One line a row: rank, costs and what it is."""
    ranks, lines = _ranks(found), []
    head = ["system", "trained_on", "seeds", "average_rank", "parameters_trained", "parameters", "macs", "macs_mean"]
    head += ["macs_subsets", "training_s", "scoring_ms", "scoring_ms_lower", "scoring_ms_upper", "scoring_ratio"]
    for row in found.rows:
        cost, time = found.costs[row.label], found.timing.times[row.label] if found.timing else None
        spread = time.milliseconds if time else None
        values = [ranks.get(row.label), cost.trained, cost.total, cost.macs, cost.macs_mean]
        values += [cost.macs_subsets, cost.training_s]
        values += [spread.median, spread.lower, spread.upper] if spread else [None] * 3
        values.append(time.ratio.median if time and time.ratio else None)
        seeds = " ".join(map(str, row.seeds))
        words = [_joined(getattr(found.about[row.label], name)) for name in ABOUT_NAMES]
        lines.append([row.label, row.first.trained_on, seeds, *map(_csv, values), *words])
    return csv_text([*head, *ABOUT_NAMES], lines)


def to_document(found: Comparison) -> dict[str, Any]:
    """Everything as plain JSON values; what does not exist is null."""
    test = found.ranking.test
    return {
        "against": found.against.label,
        "split": found.rows[0].first.answers.split,
        "num_samples": len(found.rows[0].first.answers.ids),
        "subsets": list(found.scores.subsets),
        "criteria": list(found.scores.criteria),
        "num_resamples": found.scores.uncertainty.num_resamples,
        "interval": found.scores.uncertainty.kind,
        "resample": "samples" if found.scores.uncertainty.groups is None else "groups",
        "min_samples": found.scores.minimum,
        "num_judged": {
            subset: dict(zip(found.scores.criteria, map(int, num_C), strict=True))
            for subset, num_C in zip(found.scores.subsets, found.scores.num_judged_SC, strict=True)
        },
        "notes": [{"kind": banner.kind, "title": banner.title, "text": banner.text} for banner in found.banners],
        "ranking": {
            "labels": list(found.ranking.labels),
            "test": None if test is None else _plain(asdict(test)),
            "groups": [list(group) for group in found.ranking.groups],
            "left_out": dict(found.ranking.left_out),
        },
        "counted_segments": found.sample.num_segments,
        "timing": None
        if found.timing is None
        else {name: getattr(found.timing, name) for name in ("num_samples", "num_rounds", "device", "num_threads")},
        "rows": [_row_document(found, row) for row in found.rows],
    }


def _row_document(found: Comparison, row: CompareRow) -> dict[str, Any]:
    numbers: dict[str, dict[str, Any]] = {}
    for part in found.scores.parts:
        numbers[part] = {
            metric: _document_of(
                found.scores.numbers[row.label, part, metric], found.differences.get((row.label, part, metric))
            )
            for metric in found.scores.metrics
        }
    time = found.timing.times[row.label] if found.timing else None
    return {
        "label": row.label,
        "system": row.first.system,
        "seeds": list(row.seeds),
        "runs": [str(entry.run) for entry in row.entries],
        "is_reference": row.first.is_reference,
        "trained_on": row.first.trained_on,
        "selection": row.first.selection,
        "marks": list(found.marks[row.label]),
        "about": _plain(asdict(found.about[row.label])),
        "numbers": numbers,
        "average_rank": _ranks(found).get(row.label),
        "cost": _plain(asdict(found.costs[row.label])),
        "scoring": None if time is None else _plain(asdict(time)),
    }


def _document_of(number: Number, difference: PairedDifference | None) -> dict[str, Any]:
    document: dict[str, Any] = _plain({name: getattr(number, name) for name in (*NUMBER_NAMES, "num_subsets")})
    return {**document, "difference": None if difference is None else _plain(asdict(difference))}


def _ranks(found: Comparison) -> dict[str, float]:
    test = found.ranking.test
    return dict(zip(found.ranking.labels, test.average_ranks, strict=True)) if test else {}


def _plain(value: Any) -> Any:
    """NaN becomes null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _joined(value: Any) -> str:
    """Several values with a semicolon; yes and no for what is true or not."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ";".join(map(_csv, value)) if isinstance(value, tuple) else _csv(value)


def _csv(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
