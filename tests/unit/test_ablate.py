"""Ablation tables: every row is a model that can be built, tables are run, resumed and read."""

import csv
import io
import json
import math

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.core.recipes import load_recipe, parse_config, recipe_path
from limssr.core.types import Criterion, Modality
from limssr.report.render import table_text
from limssr.studies.ablation.ablate import plan_ablation, preview, read_ablation, run_ablation, to_document
from limssr.studies.ablation.rows import FULL, TABLES
from limssr.studies.ablation.tables import published, table_of, to_csv, write_tables
from limssr.studies.paper.numbers import published_scores
from limssr.studies.plan import distinct_runs
from limssr.systems.build import build_model

TINY = ("model.backbone.name=tiny", "model.backbone.num_layers=1")


@pytest.fixture(scope="module")
def config(store_path):
    changes = [*TINY, f"data.store={json.dumps(str(store_path))}", "data.modalities=null", "data.num_segments=4"]
    return load_recipe(recipe_path("ablation"), [*changes, "train.epochs=1", "train.warmup_epochs=0"])


@pytest.fixture(scope="module")
def study(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("ablation")
    plan = plan_ablation(config, ["6"], seeds=2)
    return plan, out, run_ablation(plan, out, device="cpu")


def test_every_row_is_a_model_that_can_be_built():
    config = load_recipe(recipe_path("ablation"), TINY)
    modalities = [Modality("timing", 3), Modality("dynamics", 4), Modality("pedal", 2)]
    plan = plan_ablation(config, [number for number in TABLES if number != "4"], seeds=1)
    deeper = {name for name, _ in plan.runs if "layers" in name}
    for (name, _), run in plan.runs.items():
        if name not in deeper or name == "2 layers":
            assert build_model(run.config.model, modalities, [Criterion("score")], seed=0), name
    assert {row.name for table in plan.tables for row in table.rows} | {FULL} == {name for name, _ in plan.runs}


def test_every_row_of_the_papers_tables_has_a_row_here():
    for number in ("3", "4", "5", "6", "7", "8"):
        names = {score.system for score in published_scores(int(number))}
        assert {row.published for row in TABLES[number].rows if row.published} == names


def test_rows_that_equal_the_full_model_are_not_run_twice(config):
    plan = plan_ablation(config, ["5", "7", "8"], seeds=1)
    owners = distinct_runs(list(plan.runs.values()))
    full = owners[plan.runs[FULL, config.seed].key]
    assert owners[plan.runs["K = 4", config.seed].key] is full
    assert owners[plan.runs["r = 16, alpha = 32", config.seed].key] is full
    assert len({id(run) for run in owners.values()}) == 1 + 4 + 6 + 5


def test_a_language_model_out_of_reach_is_left_out_and_says_why(config, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    plan = plan_ablation(config, ["4"], seeds=1, backbones=[str(tmp_path / "none.gguf")])
    assert {"Qwen3-0.6B", "Gemma3-1B", "none"} <= set(plan.left_out)
    assert "local_files_only" in plan.left_out["Qwen3-0.6B"]
    assert ("tiny", config.seed) in plan.runs


def test_a_table_is_read_back_with_means_and_paired_differences(study, config):
    _plan, out, tables = study
    rows = {result.row.name: result for result in tables["6"]}
    assert [result.num_seeds for result in tables["6"]] == [2, 2, 2, 2]
    full = rows[FULL]
    assert full.difference == {"average_incomplete": None, "full": None}
    documents = [json.loads((out / f"full-model-seed{seed}" / "evaluation.json").read_text()) for seed in (42, 43)]
    values = [document["full"]["spearman"] for document in documents]
    assert full.mean["full", "spearman"] == pytest.approx(np.mean(values))
    assert full.deviation["full", "spearman"] == pytest.approx(np.std(values, ddof=1))
    one = rows["Path 1 only"]
    found = one.difference["full"]
    assert found is not None
    assert found.value == pytest.approx(one.mean["full", "spearman"] - full.mean["full", "spearman"], abs=1e-9)
    assert found.low <= found.high
    incomplete = one.difference["average_incomplete"]
    assert incomplete is not None
    # Fisher's mean over subsets here, as in evaluation.json
    expected = one.mean["average_incomplete", "spearman"] - full.mean["average_incomplete", "spearman"]
    assert incomplete.value == pytest.approx(expected, abs=1e-6)


def test_nothing_is_left_to_run_afterwards(study):
    plan, out, _ = study
    document = preview(plan, out, device="cpu")
    assert (document["to_run"], document["total_s"]) == ([], 0)
    assert document["num_runs"] == 8


def test_a_plan_says_what_it_takes(study, config, tmp_path):
    plan, _, _ = study
    document = preview(plan, tmp_path / "new", device="cpu")
    assert len(document["to_run"]) == 8
    assert document["total_s"] > 0
    assert not (tmp_path / "new").exists()


def test_tables_are_written_for_people_and_programs(study, tmp_path):
    plan, _, tables = study
    files = write_tables(plan, tables, tmp_path, command="limssr ablate", notes=["Nothing more is hidden."])
    assert sorted(file.name for file in files) == [
        "ablation.csv", "ablation.html", "ablation.json", "table-6.md", "table-6.tex", "table-6.txt",
    ]  # fmt: skip
    text = (tmp_path / "table-6.md").read_text()
    page = (tmp_path / "ablation.html").read_text()
    assert "Nothing more is hidden." in page
    assert "Path 1 only" in page
    assert max(map(len, (tmp_path / "table-6.txt").read_text().splitlines())) <= 80
    assert r"\toprule" in (tmp_path / "table-6.tex").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert "0.778 / 0.885" in next(line for line in lines if line.startswith("| Path 1 only"))
    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert len(rows) == 8
    assert {row["part"] for row in rows} == {"average_incomplete", "full"}
    assert json.loads((tmp_path / "ablation.json").read_text()) == to_document(plan, tables)


def test_an_unfinished_table_has_no_numbers(config, tmp_path):
    plan = plan_ablation(config, ["6"], seeds=1)
    rows = read_ablation(plan, tmp_path)["6"]
    assert all(math.isnan(row.mean["full", "mse"]) and row.num_seeds == 0 for row in rows)
    assert "nan" not in table_text(table_of(plan.tables[0], rows))
    json.dumps(to_document(plan, {"6": rows}), allow_nan=False)


def test_what_the_paper_printed_stands_beside_its_rows():
    table = TABLES["3"]
    assert published(table, _row_of(table, FULL))["Fis-V", "full"] == 0.841
    assert published(TABLES["ours"], _row_of(TABLES["ours"], "no LoRA")) == {}


def _row_of(table, name):
    from limssr.studies.ablation.ablate import PARTS, RowResult

    row = next(row for row in table.rows if row.name == name)
    return RowResult(
        row=row, num_seeds=0, mean={}, deviation={}, difference=dict.fromkeys(PARTS), seconds=math.nan, trained=0
    )


@pytest.mark.parametrize(
    ("tables", "seeds", "expected"), [(["9"], 1, "ablation table"), (["3"], 0, "at least one seed"), ([], 1, "all")]
)
def test_what_cannot_be_planned_is_refused(config, tables, seeds, expected):
    with pytest.raises(InputError, match=expected):
        plan_ablation(config, tables, seeds=seeds)


def test_a_recipe_that_cannot_have_a_row_is_refused(config):
    statistics = parse_config(config.model_dump(mode="json"), where="test", overrides=["model.head=statistics"])
    with pytest.raises(InputError, match=r"cannot have the row .Simple fusion"):
        plan_ablation(statistics, ["6"], seeds=1)
