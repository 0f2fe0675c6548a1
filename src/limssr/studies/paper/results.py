"""The output of `limssr reproduce`: tables as text, CSV and LaTeX, a page, and one document for scripts."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limssr.core.files import write_atomically
from limssr.core.progress import Reporter
from limssr.report.banners import Banner
from limssr.report.render import banner_lines, table_latex, table_text
from limssr.report.study_page import Page, write_page
from limssr.report.text import duration
from limssr.studies.estimate import Estimate
from limssr.studies.paper.numbers import LIMSSR
from limssr.studies.paper.reproduce import ReproductionPlan, Request, estimate_reproduction, read_scores, run_states
from limssr.studies.paper.seed_table import SeedCell, SeedRow, SeedTable, cell_text, seeds_csv, seeds_label, table_of
from limssr.studies.paper.tables import paper_tables


def written(table: SeedTable, banners: Sequence[Banner]) -> dict[str, str]:
    """Ending of a file -> the table in it, after what must be known."""
    shown = table_of(table)
    text = "\n".join([*(line for banner in banners for line in banner_lines(banner)), "", table_text(shown)])
    tex = "% needs \\usepackage{booktabs,array}\n" + table_latex(shown, banners=banners)
    return {"txt": text, "csv": seeds_csv(table, banners), "tex": tex}


@dataclass(frozen=True)
class Reproduction:
    """The tables as they are now.

    Attributes:
        tables: Of the paper.
        banners: What must be known before a number is quoted.
        states: Key of a run -> "done", "begun" or "not begun".
        out: The folder.
    """

    tables: tuple[SeedTable, ...]
    banners: tuple[Banner, ...]
    states: Mapping[str, str]
    out: Path

    def table(self, key: str) -> SeedTable:
        """One of them, by name."""
        return next(table for table in self.tables if table.key == key)

    def to_dict(self) -> dict[str, Any]:
        """The document of `limssr reproduce --json`."""
        return {
            "out": str(self.out),
            "report": str(self.out / "report.html"),
            "deviations": [asdict(banner) for banner in self.banners],
            "runs": dict(self.states),
            "tables": {table.key: _document_of(table) for table in self.tables},
        }

    def lines(self) -> list[str]:
        """For a terminal: the banners once, the short tables, and where everything is."""
        found = [line for banner in self.banners for line in banner_lines(banner)]
        found += [table_text(table_of(table)) for table in self.tables if len(table.groups) == 1]
        longer = [table for table in self.tables if len(table.groups) > 1]
        found += [f"{table.title}: {self.out / table.key}.txt" for table in longer]
        return [*found, f"Every table as .txt, .csv and .tex: {self.out}", f"Report: {self.out / 'report.html'}"]


def write_reproduction(plan: ReproductionPlan, out: Path) -> Reproduction:
    """Read the finished runs in OUT/runs and write the tables and the page into OUT."""
    states = run_states(plan, out)
    unfinished = [key for key, state in states.items() if state != "done"]
    banners = list(plan.banners)
    if unfinished:
        text = f"{len(unfinished)} of {len(states)} runs are missing; numbers are over the seeds that are there."
        banners.insert(0, Banner("warning", "This study is not finished", text))
    tables = paper_tables(plan.benchmark, read_scores(plan, out), plan.request.systems)
    found = Reproduction(tables, tuple(banners), states, out)
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for ending, text in written(table, banners).items():
            write_atomically(out / f"{table.key}.{ending}", text.encode("utf-8"))
    write_page(out / "report.html", _page(plan, found))
    return found


def default_folder(request: Request) -> Path:
    """Where a study goes that is given no folder."""
    return Path("runs") / "reproduce" / f"{request.dataset}-{request.protocol}"


def command_of(request: Request, out: Path) -> str:
    """The command that makes the study again."""
    words = ["limssr", "reproduce", request.dataset, "--store", str(request.store), "--protocol", request.protocol]
    words += ["--seeds", str(request.num_seeds), "--systems", *request.systems]
    words += ["--criteria", *request.targets] if request.targets else []
    words += [word for override in request.overrides for word in ("--set", override)]
    return shlex.join([*words, "--out", str(out)])


def lead_of(table9: SeedTable, systems: Sequence[str]) -> str:
    """One sentence: how LIMSSR does here, and how in the paper."""
    rows = {(row.source, row.label): row for row in table9.groups[0].rows}
    theirs = rows.get(("published", LIMSSR))
    ours = rows.get(("here", "limssr" if "limssr" in systems else systems[0]))
    if ours is None or theirs is None:
        return ""
    average, full = table9.columns
    parts = [
        f"{_told(ours, column)} {words} (published: {_told(theirs, column)})"
        for column, words in ((average, "on average over the six incomplete subsets"), (full, "with all streams"))
        if ours.cell(column, "spearman").mean is not None
    ]
    if not parts:
        return ""
    return f"Trained here, {ours.label} reaches a Spearman of {' and '.join(parts)}, over {seeds_label(ours)}."


def _told(row: SeedRow, column: str) -> str:
    return cell_text(row.cell(column, "spearman"), "spearman")


def _page(plan: ReproductionPlan, found: Reproduction) -> Page:
    request = plan.request
    counted = ((len(plan.pieces), "run"), (len(plan.targets), "target"), (request.num_seeds, "seed"))
    samples = ", ".join(f"{count} {word}{'s' * (count > 1)}" for count, word in counted)
    lead = [
        f"The tables of the paper LIMSSR (arXiv 2605.00434) for {plan.benchmark.name}, with the published numbers and "
        f"ours under the protocol “{request.protocol}”. {samples}, systems: {', '.join(request.systems)}.",
        lead_of(found.table("table9"), request.systems),
    ]
    runs = [
        {"key": key, "status": state, "link": link if (found.out / link).is_file() else ""}
        for key, state in found.states.items()
        for link in [f"runs/{key}/report.html"]
    ]
    return Page(
        title=f"{plan.benchmark.name}, {request.protocol} protocol",
        lead=[paragraph for paragraph in lead if paragraph],
        banners=found.banners,
        tables=[table_of(table) for table in found.tables],
        runs=runs,
        command=command_of(request, found.out),
    )


def _document_of(table: SeedTable) -> dict[str, Any]:
    groups = []
    for group in table.groups:
        rows = []
        for row in group.rows:
            cells = {
                column: {metric: _cell_document(row.cell(column, metric)) for metric in table.metrics}
                for column in table.columns
            }
            rows.append({"system": row.label, "source": row.source, "cells": cells})
        groups.append({"label": group.label, "rows": rows})
    return {"title": table.title, "columns": list(table.columns), "groups": groups}


def _cell_document(cell: SeedCell) -> dict[str, Any]:
    document: dict[str, Any] = {"mean": cell.mean, "sd": cell.sd, "num_seeds": cell.num_seeds}
    return {**document, "reason": cell.reason} if cell.reason else document


@dataclass(frozen=True)
class Preview:
    """A plan with its price.

    Attributes:
        plan: The runs.
        out: Where they go.
        states: Key -> "done", "begun" or "not begun".
        estimates: Key of a run that is to be trained -> what it will take by itself.
        processes: Runs beside each other.
    """

    plan: ReproductionPlan
    out: Path
    states: Mapping[str, str]
    estimates: Mapping[str, Estimate]
    processes: int

    @property
    def seconds(self) -> float:
        """Of everything that is to be trained, with the runs beside each other."""
        return sum(one.seconds for one in self.estimates.values()) / max(1, min(self.processes, len(self.estimates)))

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        runs = []
        for piece in self.plan.pieces:
            key = piece.run.key
            price = self.estimates.get(key)
            runs.append(
                {
                    "key": key,
                    "system": piece.system,
                    "targets": list(piece.targets),
                    "seed": piece.run.config.seed,
                    "state": self.states[key],
                    "seconds": None if price is None else price.seconds,
                    "saved_bytes": None if price is None else price.saved_bytes,
                }
            )
        return {
            "out": str(self.out),
            "num_runs": len(runs),
            "num_done": sum(state == "done" for state in self.states.values()),
            "processes": self.processes,
            "seconds": self.seconds,
            "saved_bytes": sum(one.saved_bytes for one in self.estimates.values()),
            "deviations": [asdict(banner) for banner in self.plan.banners],
            "runs": runs,
        }

    def lines(self) -> list[str]:
        """For people."""
        document = self.to_dict()
        width = max(len(run["key"]) for run in document["runs"])
        found = []
        for run in document["runs"]:
            price = "" if run["seconds"] is None else f"  about {duration(run['seconds'])}"
            found.append(f"{run['key']:<{width}}  {run['state']}{price}")
        found += ["", *(line for banner in self.plan.banners for line in banner_lines(banner)), ""]
        beside = f", {self.processes} beside each other" if self.processes > 1 else ""
        disk = document["saved_bytes"] / 2**20
        found.append(
            f"{document['num_runs']} runs, {document['num_done']} of them done; the rest takes about "
            f"{duration(self.seconds)}{beside} and {disk:,.0f} MiB on the disk of {self.out}."
        )
        found.append("From a few timed steps a shape of model and data. Regressions are quick and not counted.")
        return found


def preview(plan: ReproductionPlan, out: Path, *, device: str, processes: int, reporter: Reporter) -> Preview:
    """Check everything and time a few steps; nothing is written.

    Raises:
        InputError: What would stop a run.
    """
    estimates = estimate_reproduction(plan, out, device=device, processes=processes, reporter=reporter)
    return Preview(plan, out, run_states(plan, out), estimates, processes)
