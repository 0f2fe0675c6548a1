"""One renderer a format, for every table: what fits a terminal, what fits a page in print."""

import csv
import io
import re
import shutil
import subprocess

import pytest

from limssr.report.render import TEXT_WIDTH, panels, table_csv, table_latex, table_markdown, table_text
from limssr.report.table import Cell, Row, Table, upright
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.studies.compare.verdict import verdict_of
from limssr.studies.compare.write import to_latex, to_text

TEXTWIDTH_PT = 345.0


def grid(num_rows, num_columns, *, label="system", small=("[0.123, 0.456]",)):
    cells = tuple(Cell("0.789", small, "best" if n == 1 else "") for n in range(num_columns))
    rows = tuple(Row(f"{label} {n}", cells, "chosen" if n == 0 else "") for n in range(num_rows))
    columns = tuple(f"S{n}+T{n}" for n in range(num_columns))
    return Table(
        key="grid", title="A grid", columns=columns, rows=rows, hint="Read it.", small_columns=("n = 12",) * num_columns
    )


SIZES = [(3, 2), (2, 17), (40, 8), (26, 32), (1, 1)]


@pytest.mark.parametrize(("num_rows", "num_columns"), SIZES)
@pytest.mark.parametrize("label", ["a", "a system with a name as long as those of some people's folders (wider)"])
def test_text_fits_a_terminal_and_print_fits_a_page(num_rows, num_columns, label):
    table = grid(num_rows, num_columns, label=label)
    assert max(map(len, table_text(table).splitlines())) <= TEXT_WIDTH == 80
    text = table_latex(table)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\begin{tabular}")
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(labels) == len(set(labels))
    assert text.count("0.789") == num_rows * num_columns
    assert table_text(table).count("0.789") == num_rows * num_columns


def test_print_compiles_and_no_box_is_too_wide(tmp_path, scored_run):
    """By LaTeX itself, where it is installed."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    run = scored_run("run", noise=20.0, references={"ridge": 30.0, "extra-trees-imputed": 50.0})
    found = compare_runs(CompareOptions(runs=(str(run),)))
    tables = [table_latex(grid(*size, label="a label of middling length here")) for size in SIZES]
    grids = [table.replace("tab:limssr-grid", f"tab:{n}") for n, table in enumerate(tables)]
    # So many floats in a row are more than LaTeX keeps waiting.
    body = "\n".join([to_latex(found), *grids]).replace(r"\end{table}", "\\end{table}\n\\clearpage")
    page = rf"\documentclass{{article}}\usepackage{{booktabs,array}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "page.tex").write_text(page)
    said = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "page.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (tmp_path / "page.pdf").exists(), said.stdout[-2000:]
    wide = [float(width) for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", said.stdout)]
    assert max(wide, default=0.0) < 1.0, said.stdout[-3000:]
    assert "Float too large" not in said.stdout
    assert not re.findall(r"^!.*", said.stdout, flags=re.MULTILINE)


def test_columns_are_laid_in_panels_in_order():
    assert panels([30, 30, 30, 200, 10], 100) == [[0, 1, 2], [3], [4]]
    assert panels([], 100) == []


def test_many_columns_become_rows_where_there_are_fewer_rows():
    turned = upright(grid(3, 17), first="streams")
    assert (len(turned.rows), turned.columns, turned.first) == (17, ("system 0", "system 1", "system 2"), "streams")
    assert turned.rows[1].label == "S1+T1 (n = 12)"
    assert turned.rows[1].cells[0].kind == "best"
    assert upright(grid(30, 17), first="streams") == grid(30, 17)
    assert upright(grid(2, 8), first="streams") == grid(2, 8)


def test_markdown_and_csv_hold_every_cell():
    table = grid(2, 3)
    lines = table_markdown(table).splitlines()
    assert lines[2] == "|  | S0+T0 (n = 12) | S1+T1 (n = 12) | S2+T2 (n = 12) |"
    assert lines[4] == "| **system 0** | 0.789 [0.123, 0.456] | **0.789** [0.123, 0.456] | 0.789 [0.123, 0.456] |"
    rows = list(csv.reader(io.StringIO(table_csv(table))))
    assert rows[0][:3] == ["system", "S0+T0", "S0+T0 (1)"]
    assert rows[1] == ["system 0", *["0.789", "[0.123, 0.456]"] * 3]


def test_a_comparison_by_criterion_and_by_chosen_metrics(scored_run):
    run = scored_run("run", noise=20.0, references={"ridge": 30.0})
    found = compare_runs(CompareOptions(runs=(str(run),), metrics=("spearman", "mae", "relative_l2", "pearson")))
    text = to_text(found)
    assert "Spearman by criterion, incomplete streams" in text
    assert "Relative L2 error" in text
    assert "Mean squared error" not in text
    assert max(map(len, text.splitlines())) <= 80
    by_criterion = found.scores.by_criterion["attention", "spearman"][-1]
    assert f"{by_criterion[0]:.3f}" in text
    for metric in ("pearson", "mae", "relative_l2"):
        number = found.scores.numbers["ridge", found.scores.full, metric]
        assert number.low <= number.value <= number.high


@pytest.mark.parametrize(("noise", "shift", "word"), [(1.0, 15.0, "disagree"), (1.0, 0.0, "")])
def test_the_verdict_speaks_of_order_and_of_error(scored_run, noise, shift, word):
    """A row whose predictions are off by a constant has the order right and the scores wrong."""

    def all_of(label):
        return [text for text in verdict_of(found) if label in text]

    runs = [scored_run("good", noise=1.0), scored_run("other", system="statistics", noise=noise, shift=shift)]
    found = compare_runs(CompareOptions(runs=tuple(map(str, runs)), against="attention"))
    assert all("by Spearman" in text and "by MSE" in text for text in all_of("statistics"))
    assert any("The metrics disagree about statistics" in text for text in verdict_of(found)) == (word == "disagree")
