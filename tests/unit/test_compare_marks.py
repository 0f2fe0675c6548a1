"""Who is marked best, what is counted, what a row costs beyond a sample with all streams."""

import csv
import io
import json

import numpy as np
import pytest

from limssr.data.store.reader import FeatureStore
from limssr.runs.folder import read_config
from limssr.studies.compare.numbers import INCOMPLETE
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.studies.compare.tables import all_tables, letters_of
from limssr.studies.compare.write import to_document, to_latex, to_text, write_comparison
from limssr.studies.paper.describe import describe

FULL = "video+audio+flow"
SMALL_DMVG = ("model.hidden=16", "model.options.latent=8", "model.options.sampler_steps=2")


def compared(*runs, **options):
    return compare_runs(CompareOptions(runs=tuple(str(run) for run in runs), **{"num_resamples": 100, **options}))


def sheet(found, key):
    return next(one for one in all_tables(found) if one.key == key)


def best_in(sheet, column=0):
    return [row.label for row in sheet.rows if row.cells[column].kind == "best"]


def test_a_row_chosen_on_the_test_split_is_never_the_best(scored_run):
    flattered = scored_run("flattered", system="statistics", noise=0.01, record={"selection": "test"})
    others = [scored_run(name, system=name, noise=noise) for name, noise in (("attention", 9.0), ("gain", 90.0))]
    found = compared(flattered, *others, against="attention")
    for key in ("spearman", "mse", "ranks"):
        assert best_in(sheet(found, key)) == ["attention"]
    assert found.ranking.test.average_ranks[found.ranking.labels.index("statistics")] < 2
    assert "statistics ‡" in [row.label for row in sheet(found, "spearman").rows]
    assert "never marked best" in to_text(found)


def test_corrections_are_over_the_rows_with_a_number(scored_run):
    blind = scored_run("blind", system="statistics", blind=("flow",), references={"ridge": 3.0, "extra-trees": 4.0})
    found = compared(scored_run("seeing"), blind)
    differences = sheet(found, "differences")
    assert differences.small_columns == ("2 rows", "3 rows", "2 rows", "3 rows")
    assert "over the rows that have a number in that column" in differences.hint
    assert "over the 3 rows" not in to_text(found)
    for part, number in ((INCOMPLETE, 2), (FULL, 3)):
        ones = [one for (_, where, metric), one in found.differences.items() if (where, metric) == (part, "mse")]
        defined = [one for one in ones if not one.reason]
        assert len(defined) == number
        smallest = min(defined, key=lambda one: one.p_value)
        assert smallest.adjusted_p == pytest.approx(min(1.0, number * smallest.p_value))


def test_too_few_resamples_are_judged_by_the_true_count(scored_run):
    blind = [scored_run(name, system=name, blind=(FULL, "flow")) for name in ("statistics", "gain")]
    run, few = scored_run("run", references={"ridge": 3.0, "extra-trees": 4.0}), {"interval": "percentile"}
    titles = [
        banner.title for banner in compared(run, *blind, **few).banners
    ]  # 4 others, 2 of them with a number: 4/101 < 0.05
    assert "Too few resamples" not in titles
    more = scored_run("more", system="attention-mean")
    banner = next(one for one in compared(run, *blind, more, **few).banners if one.title == "Too few resamples")
    assert "over 3 rows" in banner.text


def test_generating_costs_where_something_is_absent(scored_run, store_path, tmp_path):
    runs = [scored_run("dmvg", system="dmvg", set=SMALL_DMVG), scored_run("attention", references={"ridge": 3.0})]
    found = compared(*runs)
    store, config = FeatureStore.open(store_path), read_config(runs[0])
    data = config.data.model_copy(update={"num_segments": found.sample.num_segments})
    counted = describe(config.model_copy(update={"data": data}), store.modalities, store.criteria).macs_by_subset
    cost = found.costs["dmvg"]
    assert cost.macs == counted[FULL]
    assert cost.macs_mean == pytest.approx(np.mean(list(counted.values())))
    assert cost.macs_mean > 2 * cost.macs
    assert found.costs["attention"].macs_mean == found.costs["attention"].macs  # absent streams are masked
    ridge = found.costs["ridge"]
    assert ridge.macs_mean is None
    assert "no network" in ridge.reasons["macs_mean"]
    assert "MACs, mean" in to_text(found)
    assert "MACs, mean" in to_latex(found)
    write_comparison(found, tmp_path, command="limssr compare")
    assert "mean over subsets" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "systems.csv").read_text(encoding="utf-8"))))
    assert float(rows[0]["macs_mean"]) == pytest.approx(cost.macs_mean, rel=1e-5)
    assert rows[0]["macs_subsets"] == "7"
    document = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    assert document["rows"][0]["cost"]["macs_mean"] == pytest.approx(cost.macs_mean)


def test_subsets_without_a_prediction_are_not_counted(scored_run, tmp_path):
    blind = scored_run("blind", system="dmvg", set=SMALL_DMVG, blind=("flow", "audio"))
    found = compared(f"blind={blind}", f"seeing={scored_run('seeing', system='dmvg', set=SMALL_DMVG)}")
    assert [found.costs[name].macs_subsets for name in ("blind", "seeing")] == [5, 7]
    assert found.costs["blind"].macs_mean < found.costs["seeing"].macs_mean
    cell = sheet(found, "costs").rows[0].cells[3]
    assert cell.small == ("over 5 of 7",)
    info = {"path": str(tmp_path / "nowhere"), "name": "moved", "fingerprint": "?"}
    lost = [scored_run(f"lost{n}", noise=n, record={"store": info}) for n in (1.0, 2.0)]
    nowhere = compared(f"blind={lost[0]}", f"seeing={lost[1]}")
    assert nowhere.costs["blind"].macs_mean is None
    assert "--store" in nowhere.costs["blind"].reasons["macs_mean"]


def test_a_budget_stands_above_the_tables_of_every_form(scored_run, tmp_path):
    runs = [scored_run(name, system=name) for name in ("attention", "statistics")]
    found = compared(*runs, budget="3 settings tried for each system.")
    write_comparison(found, tmp_path, command="limssr compare")
    for name in ("compare.txt", "compare.html", "compare.tex", "compare.json", "scores.csv"):
        assert "3 settings tried for each system." in (tmp_path / name).read_text(encoding="utf-8"), name
    assert "Budget" not in [note["title"] for note in to_document(compared(*runs))["notes"]]


def test_an_older_figure_goes_where_there_are_no_ranks(scored_run, tmp_path):
    runs = [scored_run(name, system=name) for name in ("attention", "statistics")]
    write_comparison(compared(*runs), tmp_path, command="limssr compare")
    assert (tmp_path / "critical-difference.svg").exists()
    blind = scored_run("blind", system="gain", blind=("flow",))
    files = write_comparison(compared(runs[0], blind), tmp_path, command="limssr compare")
    assert not (tmp_path / "critical-difference.svg").exists()
    assert all(file.exists() for file in files)


def test_groups_have_letters_of_their_own():
    letters = [letters_of(place) for place in range(800)]
    assert letters[:2] + letters[25:28] + letters[701:703] == ["a", "b", "z", "aa", "ab", "zz", "aaa"]
    assert len(set(letters)) == 800
