"""The paper's numbers as they travel with the package, against the transcription of the paper."""

import csv
import math

import pytest

from limssr.evaluation.metrics import Metric, arithmetic_mean, fisher_mean
from limssr.studies.paper.numbers import AVERAGE, FULL, INCOMPLETE, SUBSETS, published_costs, published_scores


def number(text):
    return math.nan if text == "-" else float(text)


def same(first, second):
    return first == second or (math.isnan(first) and math.isnan(second))


@pytest.fixture(scope="module")
def transcribed(shared):
    folder = shared / "paper" / "tables"

    def read(name):
        with (folder / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read


def own_cells(*tables):
    cells = [cell for table in tables for cell in published_scores(table)]
    by_place = {(cell.table, cell.dataset, cell.target, cell.system, cell.subset): cell for cell in cells}
    assert len(by_place) == len(cells)
    return by_place


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "tables"), [("incomplete", (1, 11, 12, 13)), ("complete", (2,))])
def test_every_score_of_a_method_is_there_and_nothing_else(transcribed, name, tables):
    found, rows = own_cells(*tables), transcribed(name)
    assert len(found) == len(rows)
    for row in rows:
        target = AVERAGE if row["target"].lower() == "average" else row["target"]
        cell = found[int(row["table"]), row["dataset"], target, row["system"], row["subset"]]
        assert same(cell.spearman, number(row["spearman"])), row
        assert same(cell.mse, number(row["mse"])), row


@pytest.mark.realdata
def test_every_ablation_is_there_and_nothing_else(transcribed):
    found, rows = own_cells(3, 4, 5, 6, 7, 8), transcribed("ablations")
    assert len(found) == len(rows)
    for row in rows:
        cell = found[int(row["table"]), row["dataset"], AVERAGE, row["setting"], row["subset"]]
        assert (cell.spearman, cell.mse) == (float(row["spearman"]), float(row["mse"])), row


@pytest.mark.realdata
def test_every_error_bar_is_there_and_nothing_else(transcribed):
    found, rows = own_cells(9), transcribed("error_bars")
    assert 2 * len(found) == len(rows)
    for row in rows:
        cell = found[9, row["dataset"], AVERAGE, "LIMSSR", row["subset"]]
        mean, deviation = getattr(cell, row["metric"]), getattr(cell, f"{row['metric']}_sd")
        assert (mean, deviation, cell.num_seeds) == (float(row["mean"]), float(row["std"]), int(row["seeds"])), row


@pytest.mark.realdata
def test_every_cost_is_there_and_its_scores_are_those_of_table_1(transcribed):
    rows = transcribed("cost")
    assert [cost.system for cost in published_costs()] == [row["system"] for row in rows]
    table1 = own_cells(1)
    for cost, row in zip(published_costs(), rows, strict=True):
        assert "+".join(f"{part:g}" for part in cost.params_millions) == row["params_millions"].replace(".90", ".9")
        assert cost.flops_giga == tuple(float(part) for part in row["flops_giga"].split("+"))
        for subset, prefix in ((INCOMPLETE, "average_incomplete"), (FULL, "full")):
            cell = table1[1, "FS1000", AVERAGE, cost.system, subset]
            assert (cell.spearman, cell.mse) == (float(row[f"{prefix}_spearman"]), float(row[f"{prefix}_mse"]))


@pytest.mark.parametrize(("table", "dataset"), [(11, "FS1000"), (12, "Fis-V"), (13, "RG")])
def test_the_averages_of_table_1_are_the_means_by_class_that_we_compute(table, dataset):
    """Fisher's z for Spearman, arithmetic for MSE: the rule behind the paper's own averages, up to rounding."""
    classes = published_scores(table, dataset)
    for average in published_scores(1, dataset):
        if average.system != "LIMSSR":
            continue
        cells = {cell.target: cell for cell in classes if (cell.system, cell.subset) == ("LIMSSR", average.subset)}
        rho = fisher_mean({name: Metric(cell.spearman) for name, cell in cells.items()})
        error = arithmetic_mean({name: Metric(cell.mse) for name, cell in cells.items()})
        assert float(rho) == pytest.approx(average.spearman, abs=0.0025)
        assert float(error) == pytest.approx(average.mse, abs=0.02)


def test_every_table_of_incomplete_streams_has_all_subsets():
    for table in (1, 11, 12, 13):
        places = {}
        for cell in published_scores(table):
            places.setdefault((cell.dataset, cell.target, cell.system), []).append(cell.subset)
        assert all(tuple(subsets) == SUBSETS for subsets in places.values())
