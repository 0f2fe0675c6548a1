"""Tables of a study: means over targets, subsets and seeds, what unfinished cells show, and the three formats."""

import csv
import io
import math
import re

import pytest

from limssr.evaluation.metrics import Metric
from limssr.report.banners import Banner
from limssr.report.render import latex
from limssr.report.study_page import Page, write_page
from limssr.studies.paper.benchmarks import BENCHMARKS
from limssr.studies.paper.numbers import AVERAGE, FULL, INCOMPLETE, SUBSETS, published_scores
from limssr.studies.paper.results import written
from limssr.studies.paper.seed_table import SeedCell, SeedGroup, SeedRow, SeedTable, cell_text, over_seeds, table_of
from limssr.studies.paper.tables import Scores, paper_tables, target_scores

LETTERS = {"video": "v", "flow": "f", "audio": "a"}
STREAM_SETS = (("video",), ("audio",), ("flow",), ("video", "audio"), ("video", "flow"), ("audio", "flow"))
STAMPS = [Banner("warning", "The epoch is chosen on the test split", "Flattering."), Banner("note", "Seeds", "2 of 6.")]


def document(values, *, targets=("TES", "PCS")):
    """An evaluation's document; `values`: (streams, target) -> (spearman, mse)."""
    subsets = []
    for streams in (*STREAM_SETS, ("video", "audio", "flow")):
        parts = {}
        for target in targets:
            rho, error = values(streams, target)
            reasons = {"reasons": {"spearman": "constant prediction"}} if rho is None else {}
            parts[target] = {"spearman": rho, "mse": error, **reasons}
        subsets.append({"streams": list(streams), "per_criterion": parts})
    return {"criteria": list(targets), "subsets": subsets}


def published_document(dataset, targets):
    """The document of a run whose scores are exactly those that the paper prints for LIMSSR, class by class."""
    by_class = {
        (cell.target, cell.subset): cell
        for cell in published_scores(BENCHMARKS[dataset].by_class)
        if cell.system == "LIMSSR"
    }

    def values(streams, target):
        subset = next(s for s in SUBSETS if s != INCOMPLETE and set(s.split("+")) == {LETTERS[n] for n in streams})
        return by_class[target, subset].spearman, by_class[target, subset].mse

    return document(values, targets=targets)


@pytest.mark.parametrize("dataset", ["fs1000", "fisv", "rg"])
def test_the_published_classes_give_the_published_averages(dataset):
    """From its own numbers by class, every mean of the paper comes out again, up to its rounding."""
    benchmark = BENCHMARKS[dataset]
    scores = Scores(benchmark.targets, 1)
    for target in benchmark.targets:
        scores.add("limssr", target, 0, target_scores(published_document(dataset, benchmark.targets), target))
    for table in paper_tables(benchmark, scores, ["limssr"]):
        if table.key == "table2":
            continue  # the paper's own Tables 2 and 11 disagree about IN
        for group in table.groups:
            *_, difference = group.rows
            assert set(difference.cells) == set(table.columns)
            for column, cells in difference.cells.items():
                assert abs(cells["spearman"].mean) < 0.0026, (table.key, group.label, column)
                assert abs(cells["mse"].mean) < 0.021, (table.key, group.label, column)


def test_mean_and_deviation_over_seeds():
    cell = over_seeds([Metric(0.5), Metric(0.7)])
    assert (cell.mean, cell.num_seeds, cell.reason) == (pytest.approx(0.6), 2, "")
    assert cell.sd == pytest.approx(math.sqrt(0.02))
    assert cell_text(cell, "spearman") == "0.600 ± 0.141"
    assert cell_text(over_seeds([Metric(0.5)]), "spearman") == "0.500"
    assert cell_text(over_seeds([Metric(14.0)]), "mse") == "14.00"


def test_unfinished_is_a_dash_and_undefined_is_not_a_number():
    assert cell_text(over_seeds([]), "spearman") == "-"
    undefined = over_seeds([Metric(math.nan, "constant prediction")])
    assert cell_text(undefined, "spearman") == "n/a"
    part = over_seeds([Metric(math.nan, "constant prediction"), Metric(0.5)])
    assert (part.mean, part.num_seeds) == (0.5, 1)
    assert part.reason == "1 of 2 seeds left out: constant prediction"


def test_an_average_needs_every_target_of_the_data_set():
    scores = Scores(("TES", "PCS"), 2)
    for seed in (0, 1):
        scores.add("limssr", "TES", seed, target_scores(document(lambda *_: (0.5, 4.0)), "TES"))
    assert scores.cell("limssr", "TES", FULL, "mse").num_seeds == 2
    assert scores.cell("limssr", AVERAGE, FULL, "mse") == SeedCell()
    scores.add("limssr", "PCS", 1, target_scores(document(lambda *_: (0.9, 2.0)), "PCS"))
    average = scores.cell("limssr", AVERAGE, FULL, "spearman")
    assert average.num_seeds == 1
    assert average.mean == pytest.approx(math.tanh((math.atanh(0.5) + math.atanh(0.9)) / 2))
    assert scores.cell("limssr", AVERAGE, INCOMPLETE, "mse").mean == pytest.approx(3.0)


def test_a_constant_prediction_is_not_passed_over_in_an_average():
    def values(streams, target):
        return (None if streams == ("flow",) else 0.8), 1.0

    found = target_scores(document(values), "TES")
    assert found["f"]["spearman"].reason == "constant prediction"
    assert not found[INCOMPLETE]["spearman"].is_defined
    assert found[INCOMPLETE]["mse"].value == 1.0
    assert found[INCOMPLETE]["spearman"].reason == "not defined for f"


@pytest.fixture
def table():
    """Two systems of the paper, one of ours that is half finished."""
    published = SeedRow("T²CR & co_1", "published", {"v": {"spearman": SeedCell(0.8), "mse": SeedCell(2.0)}})
    ours = SeedRow("limssr", "here", {"v": {"spearman": SeedCell(0.75, 0.01, 2), "mse": SeedCell(2.5, 0.25, 2)}})
    less = SeedRow("limssr here minus LIMSSR", "difference", {"v": {"spearman": SeedCell(-0.05), "mse": SeedCell(0.5)}})
    return SeedTable(
        key="table1",
        title="Table 1: 100 % of FS1000",
        columns=("v", "f"),
        groups=(SeedGroup("TES", (published, ours, less)),),
    )


def test_text_shows_both_and_begins_with_the_banners(table):
    text = written(table, STAMPS)["txt"]
    assert text.index("! The epoch is chosen on the test split") < text.index("! Seeds. 2 of 6.") < text.index("TES:")
    lines = [line.split() for line in text.splitlines()]
    assert ["T²CR", "&", "co_1", "0.800", "-"] in lines
    ours = lines.index(["limssr,", "here,", "2", "seeds", "0.750", "-"])
    assert lines[ours + 1] == ["±", "0.010"]
    assert ["limssr", "here", "minus", "LIMSSR", "-0.050", "-"] in lines
    assert ["limssr", "here", "minus", "LIMSSR", "+0.50", "-"] in lines


def test_csv_is_read_back_with_its_stamps_as_comments(table):
    text = written(table, STAMPS)["csv"]
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments[1] == "# The epoch is chosen on the test split. Flattering."
    rows = list(csv.DictReader(io.StringIO("\n".join(line for line in text.splitlines() if line not in comments))))
    assert len(rows) == 6
    ours = next(row for row in rows if row["source"] == "here" and row["column"] == "v")
    assert (float(ours["spearman"]), float(ours["spearman_sd"]), ours["spearman_seeds"]) == (0.75, 0.01, "2")
    empty = next(row for row in rows if row["source"] == "here" and row["column"] == "f")
    assert (empty["spearman"], empty["mse"], empty["spearman_seeds"]) == ("", "", "0")


def test_latex_is_balanced_and_escaped(table):
    text = written(table, STAMPS)["tex"]
    assert r"T\textsuperscript{2}CR \& co\_1 & 0.800 & - \\" in text
    assert r"\caption{Table 1: 100 \% of FS1000}" in text
    assert r"limssr, here, 2 seeds & 0.750 & - \\" in text
    assert r"\relax & {\footnotesize $\pm$ 0.010} & " in text
    assert text.index("Flattering") < text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")
    printed = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert printed.isascii()
    assert not re.search(r"(?<!\\)[%#_^~]", printed.replace(r"\label{tab:limssr-table1}", ""))
    rows = [line for line in printed.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count("&") - line.count(r"\&") for line in rows} == {2}


def test_latex_escapes_every_sign_that_is_its_own():
    assert latex("a_b & 5 % {x} #1 ~ ^ \\ $ ± …") == (
        r"a\_b \& 5 \% \{x\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \$ $\pm$ \ldots{}"
    )


def test_the_page_is_one_file_and_escapes_what_it_shows(table, tmp_path):
    run = {"key": "TES-limssr-seed42", "status": "done", "link": "runs/TES-limssr-seed42/report.html"}
    page = Page(
        title="FS1000 <b>",
        lead=["Lead & more."],
        banners=STAMPS,
        tables=[table_of(table)],
        runs=[run],
        command="limssr reproduce fs1000 --store 'my store'",
    )
    write_page(tmp_path / "report.html", page)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FS1000 &lt;b&gt;" in text
    assert '<span class="n">0.750</span><small>± 0.010</small>' in text
    assert '<div class="banner warning" role="note"><strong>The epoch is chosen on the test split</strong>' in text
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert text.index("Flattering") < text.index("0.750")
