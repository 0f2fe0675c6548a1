"""The road of a project through the command line, with the miniature backbone: simulate, mask, train, ..., report."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from limssr.cli import main
from limssr.data.missing import subsets
from limssr.data.simulate import simulate_store
from limssr.data.store.reader import FeatureStore

NAMES = ("video", "audio", "flow")
RECIPE = """
name: small
data: {store: %s}
model:
  backbone: {name: tiny}
  lora: {rank: 4, alpha: 8}
  input_scaling: standard
  output: standardized
train: {epochs: 2, batch_size: 16, warmup_epochs: 0}
evaluation: {bootstrap: 20, references: [ridge]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a complete store, an incomplete one and a finished run."""
    folder = tmp_path_factory.mktemp("project")
    simulate_store(folder / "complete", 80, seed=3, num_segments=(4, 8))
    assert main(["data", "mask", str(folder / "complete"), str(folder / "store"), "--rate", "0.5", "--seed", "1"]) == 0
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE % (folder / "store"))
    assert main(["train", str(recipe), "--out", str(folder / "run"), "--device", "cpu"]) == 0
    return folder


def test_mask_takes_streams_from_the_disk_of_train_and_val_only(project):
    before, after = FeatureStore.open(project / "complete"), FeatureStore.open(project / "store")
    assert before.ids() == after.ids()
    owned = {split: [tuple(sample.streams) for sample in after.samples(split)] for split in ("train", "val", "test")}
    assert set(owned["test"]) == {NAMES}
    assert len(set(owned["train"])) > 3
    assert () not in owned["train"]
    size = {name: sum(f.stat().st_size for f in (project / name).rglob("*")) for name in ("complete", "store")}
    assert size["store"] < 0.8 * size["complete"]


def test_inspect_and_verify(limssr, project, tmp_path):
    outcome = limssr("data", "inspect", project / "store", "--figure", tmp_path / "store.png", "--json")
    assert outcome.code == 0
    assert outcome.document["num_samples"] == 80
    assert outcome.document["availability"]["rate"] == 0.5
    assert (tmp_path / "store.png").read_bytes().startswith(b"\x89PNG")
    assert "80 samples" in limssr("data", "inspect", project / "store").out
    assert limssr("data", "verify", project / "store", "--json").document["intact"] is True


def test_train_leaves_a_whole_run_folder(project):
    names = {path.name for path in (project / "run").iterdir()}
    assert names >= {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "subsets.parquet",
        "predictions.parquet",
        "evaluation.json",
        "model",
        "report.html",
    }
    assert len((project / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_evaluate_prints_the_documented_fields(limssr, project):
    outcome = limssr("evaluate", project / "run", "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    fields = {"split", "selection", "availability", "criteria", "subsets", "average_incomplete", "full"}
    assert document.keys() >= fields
    assert (document["split"], document["selection"]) == ("test", "val")
    assert document["criteria"] == ["execution", "difficulty"]
    assert [tuple(subset["streams"]) for subset in document["subsets"]] == list(subsets(NAMES))
    for subset in document["subsets"]:
        measured = {"num_samples", "spearman", "spearman_ci", "mse", "pearson", "mae", "relative_l2", "per_criterion"}
        assert subset.keys() >= measured
        low, high = subset["spearman_ci"]
        assert -1 <= low <= high <= 1
        assert subset["per_criterion"].keys() == set(document["criteria"])
    assert document["average_incomplete"].keys() >= {"spearman", "mse"}
    assert document["full"]["spearman"] == pytest.approx(document["subsets"][-1]["spearman"])


def test_evaluate_again_gives_what_the_run_has_written(limssr, project):
    again = limssr("evaluate", project / "run", "--json", "--device", "cpu").document
    written = json.loads((project / "run" / "evaluation.json").read_text())
    assert again["subsets"] == written["subsets"]


def test_evaluate_shows_every_subset_to_people(limssr, project):
    shown = limssr("evaluate", project / "run", "--device", "cpu").out
    for streams in subsets(NAMES):
        assert " + ".join(streams) in shown
    assert "Mean of the incomplete subsets" in shown


def test_int8_says_what_it_changes_on_validation(limssr, project):
    outcome = limssr("evaluate", project / "run", "--int8", "--json", "--device", "cpu")
    if outcome.code == 2 and "VNNI" in outcome.err:
        pytest.skip(outcome.err)
    assert outcome.code == 0, outcome.err
    change = outcome.document["int8"]
    assert (change["split"], change["num_samples"]) == ("val", len(FeatureStore.open(project / "store").ids("val")))
    mse = change["average_incomplete"]["mse"]
    assert mse["change"] == pytest.approx(mse["int8"] - mse["float32"])
    assert 0 < abs(mse["change"]) < 0.05 * mse["float32"]
    # Two validation samples own all streams: too few for a mean of any kind.
    assert change["full"]["mse"] == {"float32": None, "int8": None, "change": None}
    spearman = change["average_incomplete"]["spearman"]
    assert spearman["change"] == pytest.approx(spearman["int8"] - spearman["float32"])
    plain = limssr("evaluate", project / "run", "--split", "val", "--json", "--device", "cpu").document
    video = next(subset for subset in plain["subsets"] if subset["streams"] == ["video"])
    assert video["num_samples"] > 2
    assert outcome.document["subsets"] != plain["subsets"]
    shown = limssr("evaluate", project / "run", "--int8", "--device", "cpu").out
    assert "samples of the validation split" in shown
    assert limssr("predict", project / "run", project / "store", "--int8", "--json", "--device", "cpu").code == 0


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_predict_a_store(limssr, project, tmp_path, ending):
    out = tmp_path / f"scores.{ending}"
    outcome = limssr("predict", project / "run", project / "store", "--out", out, "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert (outcome.document["num_samples"], outcome.document["out"]) == (80, str(out))
    if ending == "csv":
        rows = list(csv.DictReader(out.read_text().splitlines()))
    elif ending == "json":
        rows = json.loads(out.read_text())
    else:
        rows = pq.read_table(out).to_pylist()
    assert len(rows) == 80
    assert rows[0].keys() >= {"id", "streams", "execution", "difficulty"}


def test_predict_a_manifest_with_holes_and_without_scores(limssr, project, tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", generator.normal(size=(5, 24)).astype(np.float32))
    np.save(tmp_path / "f.npy", generator.normal(size=(6, 12)).astype(np.float32))
    (tmp_path / "new.csv").write_text("id,stream:video,stream:audio,stream:flow\na,v.npy,,\nb,,,f.npy\n")
    outcome = limssr("predict", project / "run", tmp_path / "new.csv", "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    first, second = outcome.document["predictions"]
    assert (first["id"], first["streams"]) == ("a", "video")
    assert (second["id"], second["streams"]) == ("b", "flow")
    assert 0 <= first["execution"] <= 10
    assert "execution" in limssr("predict", project / "run", tmp_path / "new.csv", "--device", "cpu").out


def test_report_is_written_anew(limssr, project):
    page = project / "run" / "report.html"
    page.unlink()
    outcome = limssr("report", project / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document == {"report": str(page)}
    assert "<html" in page.read_text()[:500]


def test_a_second_run_into_the_same_folder_is_refused_and_resume_is_not(limssr, project):
    refused = limssr("train", project / "recipe.yaml", "--out", project / "run")
    assert refused.code == 2
    assert "--resume" in refused.err
    assert limssr("train", project / "recipe.yaml", "--out", project / "run", "--resume", "--json").code == 0


def test_shortcuts_reach_the_configuration(limssr, project, tmp_path):
    recipe = tmp_path / "other.yaml"
    base = f"base: {project / 'recipe.yaml'}"
    recipe.write_text(f"{base}\ndata: {{store: nowhere}}\nmodel: {{backbone: {{name: smollm2-135m}}}}\n")
    options = ["--backbone", "tiny", "--store", project / "store", "--seed", "7", "--set", "train.epochs=1"]
    options += ["--set", "evaluation.references=[]"]
    outcome = limssr("train", recipe, "--out", tmp_path / "run", *options, "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert outcome.document["run"] == str(tmp_path / "run")
    saved = (tmp_path / "run" / "config.yaml").read_text()
    assert "seed: 7" in saved
    assert "name: tiny" in saved
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_import_a_table(limssr, tmp_path):
    generator = np.random.default_rng(1)
    lines = ["id,split,group,score:total,stream:video,stream:audio"]
    for number in range(24):
        name = f"p{number}"
        np.save(tmp_path / f"{name}.npy", generator.normal(size=(3, 4)).astype(np.float32))
        split = ("train", "val", "test")[number % 3]
        lines.append(f"{name},{split},g{number},{number},{name}.npy,{'' if number % 4 else f'{name}.npy'}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    scale = ("--scale", "total=0:40")
    outcome = limssr("data", "import", "table", tmp_path / "manifest.csv", tmp_path / "store", *scale, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["num_samples"] == 24
    assert outcome.document["streams"] == {"video": 24, "audio": 6}
    assert FeatureStore.open(tmp_path / "store").criteria[0].high == 40


def test_demo_with_the_miniature_backbone(limssr, tmp_path, monkeypatch):
    from limssr.cli import demo

    monkeypatch.setattr(demo, "NUM_SAMPLES", 60)
    monkeypatch.setattr(demo, "NUM_SEGMENTS", (4, 6))
    monkeypatch.chdir(tmp_path)
    outcome = limssr("demo", "--backbone", "tiny", "--epochs", "1", "--device", "cpu", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert (tmp_path / document["report"]).is_file()
    assert len(document["subsets"]) == len(document["known_answer"]["subsets"]) == 7
    assert document["systems"].keys() == {"limssr", "ridge", "attention"}
    # With everything given, the known answer is hard to miss: only the judge's and the streams' noise is left.
    assert document["known_answer"]["full"]["spearman"] > 0.7
    assert document["availability"]["rate"] == 0.5


def test_describe_the_paper_set_up(limssr):
    published = ("describe", "paper/fs1000", "--variant", "protocol=published")
    document = limssr(*published, "--json").document
    golden = {
        "backbone_total": 600_377_344,
        "backbone_trainable": 159_909_888,
        "lora": 4_587_520,
        "around_backbone": 17_349_645,
        "trainable": 177_259_533,
    }
    assert {name: document[name] for name in golden} == golden
    assert document["sequence_length"]["video+audio+flow"] == 370
    assert "600,377,344" in limssr(*published).out
    default = limssr("describe", "paper/fs1000", "--json").document
    assert default["backbone_trainable"] < 6_000_000, "the default trains the rows that are used, not the whole table"
    refused = limssr("describe", "paper/fs1000", "--variant", "protocol=publish")
    assert refused.code == 2
    assert "did you mean 'published'" in refused.err


def test_a_dry_run_of_training_checks_and_times_and_writes_nothing(limssr, project, tmp_path):
    recipe, store = project / "recipe.yaml", project / "store"
    before = sorted(project.rglob("*"))
    outcome = limssr("train", recipe, "--store", store, "--out", tmp_path / "new", "--dry-run", "--json")
    assert outcome.code == 0
    assert outcome.document["to_run"] == 1
    assert outcome.document["epochs"] == 2
    assert outcome.document["total_s"] > 0
    done = limssr("train", recipe, "--out", project / "run", "--resume", "--dry-run", "--json").document
    assert (done["to_run"], done["total_s"]) == (0, 0)
    assert limssr("train", recipe, "--store", tmp_path, "--dry-run").code == 2
    assert sorted(project.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []
