"""From a published checkpoint to scores, by the commands that a person types."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

NAMES = ("video", "audio", "flow")
TES = ("--criterion", "TES", "--scale", "0:130", "--num-segments", "7")


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "published_parity"


@pytest.fixture(scope="module")
def performances(folder, tmp_path_factory):
    """The inputs of the reference as files, and two manifests: with every stream, and with holes."""
    out = tmp_path_factory.mktemp("performances")
    inputs = load_file(folder / "inputs.safetensors")
    for name in NAMES:
        for index, block in enumerate(inputs[name]):
            np.save(out / f"{name}{index}.npy", block)
    splits = ["test"] * 5 + ["train"] * 3 + ["val"] * 3
    with (out / "all.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "group", "score:TES", *(f"stream:{name}" for name in NAMES)])
        for number, split in enumerate(splits):
            files = [f"{name}{number % 5}.npy" for name in NAMES]
            rows.writerow([f"p{number}", split, f"g{number}", 20 + 7 * number, *files])
    with (out / "holes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", *(f"stream:{name}" for name in NAMES)])
        rows.writerows([[f"p{n}", f"video{n}.npy", "", f"flow{n}.npy"] for n in range(5)])
    return out


@pytest.fixture
def run(limssr, folder, tmp_path):
    words = ("import-checkpoint", folder / "checkpoint.pt", tmp_path / "run", "--backbone", folder / "backbone")
    outcome = limssr(*words, *TES, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["sizes"]["num_fusion_tokens"] == 4
    assert outcome.document["num_compared"] == 23
    return Path(outcome.document["run"])


def test_predict_gives_the_published_scores(limssr, run, folder, performances):
    outcome = limssr("predict", run, performances / "holes.csv", "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    expected = 130 * load_file(folder / "outputs.safetensors")["v+f/output"]
    found = [row["TES"] for row in outcome.document["predictions"]]
    np.testing.assert_allclose(found, expected, atol=130 * 5e-6)
    assert outcome.document["predictions"][0]["streams"] == "video+flow"


def test_evaluate_on_a_store_describe_and_report(limssr, run, performances, tmp_path):
    assert limssr("evaluate", run).code == 2  # it brings no store of its own
    scale = ("--scale", "TES=0:130")
    imported = limssr(
        "data", "import", "table", performances / "all.csv", tmp_path / "store", *scale, "--copies", "keep"
    )
    assert imported.code == 0, imported.err
    outcome = limssr("evaluate", run, "--store", tmp_path / "store", "--json", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert len(outcome.document["subsets"]) == 7
    assert outcome.document["selection"] == "test"
    assert "flatter" in limssr("evaluate", run, "--store", tmp_path / "store", "--device", "cpu").out
    described = limssr("describe", run / "config.yaml", "--json")
    assert described.code == 0, described.err
    counted = json.loads((run / "run.json").read_text())["parameters"]
    assert described.document["trainable"] == counted["trained"]
    assert limssr("report", run).code == 0
    assert "<html" in (run / "report.html").read_text()[:500]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--task"),
        (("--task", "fs1000/TES", "--criterion", "TES"), "either --task"),
        (("--task", "fisv/TR"), "fisv/TES"),
        (("--criterion", "TES", "--scale", "0:130"), "--num-segments"),
        (("--criterion", "TES", "--num-segments", "7"), "one --scale"),
        (("--criterion", "TES", "--scale", "130", "--num-segments", "7"), "such as --scale 0:130"),
        (("--criterion", "TES", "--scale", "130:0", "--num-segments", "7"), "goes up"),
        ((*TES, "--streams", "v=video", "v=audio"), "each once"),
        ((*TES, "--streams", "v=video", "a=audio"), "a name for f"),
        (
            ("--criterion", "TES", "--scale", "0:130", "--criterion", "PCS", "--scale", "0:60", "--num-segments", "7"),
            "1",
        ),
    ],
    ids=str,
)
def test_mistakes_leave_nothing(limssr, folder, tmp_path, options, words):
    command = ("import-checkpoint", folder / "checkpoint.pt", tmp_path / "run", "--backbone", folder / "backbone")
    outcome = limssr(*command, *options)
    assert outcome.code == 2
    assert words in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_the_task_of_the_paper_names_score_scale_and_length(limssr, folder, tmp_path):
    command = ("import-checkpoint", folder / "checkpoint.safetensors", tmp_path / "run", "--backbone")
    outcome = limssr(*command, folder / "backbone", "--task", "rg/Hoop", "--embeddings", "all")
    assert outcome.code == 0, outcome.err
    assert "120 tensors fit" in outcome.out
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["criteria"] == [{"name": "Hoop", "low": 0.0, "high": 25.0, "unit": "points"}]
    config = (tmp_path / "run" / "config.yaml").read_text()
    for line in ("num_segments: 68", "padding: attended", "dropout: 0.3", "train_embeddings: all", "selection: test"):
        assert line in config
