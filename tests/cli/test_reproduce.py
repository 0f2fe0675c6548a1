"""From the published files to the paper's tables, one command a step, with the miniature backbone."""

import csv
import json
import re
from pathlib import Path

import pytest

from limssr.cli import main
from limssr.studies.paper.benchmarks import BENCHMARKS
from limssr.studies.paper.numbers import published_scores

QUICK = ("--backbone", "tiny", "--set", "train.epochs=1", "--set", "data.num_segments=8", "--set", "model.lora.rank=2")
QUICK += ("--set", "evaluation.bootstrap=0", "--device", "cpu")
SIZES = {"fs1000": {"num_train": 24, "num_test": 12}, "fisv": {"num_train": 48, "num_test": 12}}
SIZES["rg"] = {"num_train": 16, "num_test": 8}


@pytest.fixture(scope="module", autouse=True)
def _plain_run_reports():
    """Drawing the figures of a run's own report takes longer than all the rest; its tests are elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limssr.runs.train.write_report", lambda run: (run / "report.html").write_text("a run"))
        yield


@pytest.fixture(scope="module")
def stores(layouts, tmp_path_factory):
    """Each data set in its published layout, imported by the command line."""
    folder = tmp_path_factory.mktemp("benchmarks")
    found = {}
    for name, write in layouts.WRITERS.items():
        write(folder / name, features=layouts.Features(num_segments=(6, 10)), **SIZES[name])
        found[name] = folder / f"{name}-store"
        assert main(["data", "import", name, str(folder / name), str(found[name])]) == 0
    return found


@pytest.fixture(scope="module")
def fisv(stores, tmp_path_factory):
    """A finished study: a network and a regression beside LIMSSR, two seeds."""
    out = tmp_path_factory.mktemp("studies") / "fisv"
    words = ["reproduce", "fisv", "--store", str(stores["fisv"]), "--out", str(out), "--seeds", "2", *QUICK]
    words += ["--systems", "limssr", "attention", "ridge"]
    assert main(words) == 0
    return words, out


def read_csv(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize(("name", "protocol"), [("fs1000", "published"), ("rg", "paper")])
def test_published_files_become_the_papers_tables(limssr, stores, tmp_path, name, protocol):
    benchmark = BENCHMARKS[name]
    outcome = limssr(
        "reproduce",
        name,
        "--store",
        stores[name],
        "--out",
        tmp_path,
        "--protocol",
        protocol,
        "--seeds",
        1,
        *QUICK,
        "--json",
    )
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert set(document["tables"]) == {"table1", "table2", f"table{benchmark.by_class}", "table9"}
    assert set(document["runs"].values()) == {"done"}
    assert len(document["runs"]) == len(benchmark.targets)
    for key in document["tables"]:
        for ending in ("txt", "csv", "tex"):
            text = (tmp_path / f"{key}.{ending}").read_text(encoding="utf-8")
            first_row = text.index("limssr,here" if ending == "csv" else "limssr, here")
            assert 0 < text.index("Another language model") < first_row
            assert re.search(rf"\bTable {key.removeprefix('table')}: ", text)
        rows = [row for row in read_csv(tmp_path / f"{key}.csv") if row["source"] == "here"]
        assert rows
        assert all(row["mse"] for row in rows), key
    titles = [banner["title"] for banner in document["deviations"]]
    assert ("The epoch is chosen on the test split" in titles) == (protocol == "published")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "model.backbone.name: tiny instead of qwen3-0.6b" in page
    assert 'href="runs/' in page


def test_every_published_number_stands_beside_ours(fisv):
    _, out = fisv
    for number in (1, 2, 12):
        rows = [row for row in read_csv(out / f"table{number}.csv") if row["source"] == "published"]
        shown = {(row["group"], row["system"], row["column"]): row["spearman"] for row in rows}
        for cell in published_scores(number, "Fis-V"):
            column = {"average_incomplete": "average"}.get(cell.subset, cell.subset) if number != 2 else cell.target
            group = {1: "mean over 2 targets", 2: "all streams"}.get(number, cell.target)
            assert float(shown[group, cell.system, column]) == cell.spearman


def test_our_numbers_are_those_of_the_runs(fisv):
    _, out = fisv
    rows = {(row["group"], row["system"], row["column"]): row for row in read_csv(out / "table12.csv")}
    for system in ("limssr", "attention", "ridge"):
        found = []
        for seed in (42, 43):
            evaluation = json.loads((out / "runs" / f"TES-{system}-seed{seed}" / "evaluation.json").read_text())
            found.append(next(s for s in evaluation["subsets"] if set(s["streams"]) == {"video", "audio"})["mse"])
        row = rows["TES", system, "v+a"]
        assert float(row["mse"]) == pytest.approx(sum(found) / 2, rel=1e-4)
        assert float(row["mse_sd"]) == pytest.approx(abs(found[0] - found[1]) / 2**0.5, rel=1e-4, abs=1e-4)
        assert row["mse_seeds"] == "2"


def test_the_same_command_again_trains_nothing(limssr, fisv):
    words, out = fisv
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    outcome = limssr(*words)
    assert outcome.code == 0
    assert "8 of 8 runs are done already" in outcome.err
    assert "Table 1: Fis-V" in outcome.out
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == before


def test_what_is_not_finished_is_a_dash(limssr, fisv, tmp_path):
    """More seeds and another target are asked for; the plan is looked at before they are run."""
    from limssr.studies.paper.reproduce import Request, plan_reproduction
    from limssr.studies.paper.results import write_reproduction

    words, out = fisv
    overrides = ("train.epochs=1", "data.num_segments=8", "model.lora.rank=2", "evaluation.bootstrap=0")
    store = words[words.index("--store") + 1]
    request = Request(
        dataset="fisv", store=Path(store), overrides=(*overrides, 'model.backbone.name="tiny"'), num_seeds=3
    )
    (tmp_path / "runs").mkdir()
    for name in ("TES-limssr-seed42", "TES-limssr-seed43"):
        (tmp_path / "runs" / name).symlink_to(out / "runs" / name)
    found = write_reproduction(plan_reproduction(request), tmp_path)
    assert list(found.states.values()).count("done") == 2
    assert found.banners[0].title == "This study is not finished"
    by_class = {
        (row["group"], row["column"]): row for row in read_csv(tmp_path / "table12.csv") if row["source"] == "here"
    }
    assert by_class["TES", "v"]["mse_seeds"] == "2"
    assert (by_class["PCS", "v"]["mse"], by_class["PCS", "v"]["mse_seeds"]) == ("", "0")
    assert {row["mse"] for row in read_csv(tmp_path / "table1.csv") if row["source"] == "here"} == {""}
    lines = [line for line in (tmp_path / "table1.txt").read_text().splitlines() if line.startswith("limssr, here")]
    assert [cell for line in lines for cell in line.split()[2:]] == ["-"] * 8 * 2


def test_a_dry_run_tells_the_price_and_writes_nothing(limssr, fisv, tmp_path):
    words, out = fisv
    words = [str(tmp_path / "new") if word == str(out) else word for word in words]
    outcome = limssr(*words, "--processes", 2, "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert (document["num_runs"], document["num_done"], document["processes"]) == (12, 0, 2)
    trained = [run for run in document["runs"] if run["seconds"] is not None]
    assert len(trained) == 8
    assert document["seconds"] == pytest.approx(sum(run["seconds"] for run in trained) / 2)
    assert document["saved_bytes"] > 1000
    assert not (tmp_path / "new").exists()
    text = limssr(*words, "--dry-run").out
    assert "12 runs, 0 of them done" in text
    assert "! Another number of seeds. 2 instead of 6." in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fisv", "--criteria", *BENCHMARKS["fs1000"].targets], "Expected criteria of Fis-V, which are TES, PCS"),
        (["fisv", "--criteria", "TES", "TES"], "once"),
        (["rg"], "criterion Ball of RG"),
        (["fs1000", "--criteria", "TES", "PCS"], "stream video"),
        (["fisv", "--systems", "atention"], "attention"),
        (["fisv", "--systems", "extra-trees-complete", "--protocol", "published"], "complete"),
        (["fisv", "--set", "train.epoch=3"], "train.epochs"),
        (["fisv", "--seeds", "0"], "at least one seed"),
        (["fisv", "--backbone", "gpt-9"], "gpt-9"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(limssr, stores, tmp_path, words, message):
    out = tmp_path / "study"
    outcome = limssr(
        "reproduce", *words, "--store", stores["fisv"], "--out", out, *(() if "--backbone" in words else QUICK)
    )
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert not out.exists()


def test_one_model_for_all_targets_fills_every_row(limssr, stores, tmp_path):
    words = ["--systems", "attention", "--criteria", "all", "--seeds", 1, *QUICK]
    outcome = limssr("reproduce", "fisv", "--store", stores["fisv"], "--out", tmp_path, *words, "--json")
    assert outcome.code == 0, outcome.err
    assert list(outcome.document["runs"]) == ["all-attention-seed42"]
    assert "One model for all targets" in [banner["title"] for banner in outcome.document["deviations"]]
    here = [row for row in read_csv(tmp_path / "table2.csv") if row["source"] == "here"]
    assert [row["column"] for row in here if row["mse"]] == ["TES", "PCS", "average"]
