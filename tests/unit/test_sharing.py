"""A run handed on: as a file, through a hub, and what of it does not travel."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.hub import TOKEN, running_hub
from limssr import LimssrRegressor
from limssr.cli import main
from limssr.core.errors import ArtifactError, InputError
from limssr.report.card import model_card
from limssr.report.runfolder import read_run_folder
from limssr.runs.load import load
from limssr.runs.sharing.bundle import LIST, check_bundle, unpack_zip, without_places, write_bundle, write_zip
from limssr.runs.sharing.hub import found_or_fetched, pull

RUN = Path(__file__).resolve().parents[1] / "fixtures" / "before_rooms" / "limssr-run"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "skating.zip"
    assert main(["export", str(RUN), str(file)]) == 0
    return file


def test_what_was_exported_scores_the_same(exported, tmp_path):
    found = pull(str(exported), tmp_path / "run")
    assert found.revision is None
    assert LIST not in found.files
    before, after = (load(folder) for folder in (RUN, tmp_path / "run"))
    samples = [{one.name: [[0.5] * one.dim] * 4 for one in before.modalities}]
    assert (before.predict(samples) == after.predict(samples)).all()


def test_no_sample_and_no_path_travels(exported):
    with zipfile.ZipFile(exported) as archive:
        names = archive.namelist()
        text = b"".join(archive.read(name) for name in names if name.endswith((".json", ".yaml", ".md"))).decode()
    assert not {"predictions.parquet", "performances.csv", "metrics.jsonl"} & set(names)
    assert {"model/model.safetensors", "run.json", "config.yaml", "evaluation.json", "README.md", LIST} <= set(names)
    assert "/data/store" not in text


def test_the_same_run_gives_the_same_bytes(exported, tmp_path):
    assert main(["export", str(RUN), str(tmp_path / "skating.zip")]) == 0
    assert (tmp_path / "skating.zip").read_bytes() == exported.read_bytes()


def test_places_are_taken_out_and_nothing_else():
    document = {"a": ["/home/me/store", "C:\\data\\store", "~/x/store"], "b": {"c": "in/the/folder", "d": 3, "e": "/"}}
    assert without_places(document) == {"a": ["store"] * 3, "b": {"c": "in/the/folder", "d": 3, "e": "."}}


def test_a_card_says_what_a_reader_needs():
    text = model_card(read_run_folder(RUN), source="me/skating", licence="mit", data_licence="asked the club")
    head, _, body = text.removeprefix("---\n").partition("---\n")
    metadata = yaml.safe_load(head)
    assert metadata["license"] == "mit"
    assert "missing-modalities" in metadata["tags"]
    evaluation = json.loads((RUN / "evaluation.json").read_text())
    shown = metadata["model-index"][0]["results"][0]["metrics"]
    assert shown[-1]["value"] == round(evaluation["full"]["spearman"], 4)
    for part in evaluation["subsets"]:
        assert f"| {'+'.join(part['streams'])} | {part['num_samples']} |" in body
    assert "| execution | 0 | 10 | points |" in body
    assert "Judged on 4 test performances" in body
    assert "limssr pull me/skating skating" in body
    assert "Licence of the data: asked the club" in body


def test_a_card_repeats_what_a_search_warned_of(tmp_path):
    shutil.copytree(RUN, tmp_path / "run")
    document = json.loads((RUN / "run.json").read_text())
    nothing = {"leaderboard": [], "weights": {"common": {"constant": 1.0}}, "chosen": "constant"}
    warned = {**document, "auto": {**nothing, "warnings": ["no candidate is better than a constant"]}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(warned))
    assert "* No candidate is better than a constant.\n" in model_card(read_run_folder(tmp_path / "run"))
    assert "constant" not in model_card(read_run_folder(RUN))


def damaged(exported, tmp_path, change):
    """The exported file with one thing changed."""
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(exported) as archive:
        archive.extractall(folder)
    change(folder)
    file = tmp_path / "damaged.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return file


def change_list(folder, change):
    document = json.loads((folder / LIST).read_text())
    change(document)
    (folder / LIST).write_text(json.dumps(document))


def add_entry(name):
    return lambda folder: change_list(folder, lambda d: d["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))


DAMAGE = {
    "a file is missing": (lambda f: (f / "model" / "model.safetensors").unlink(), "no model/model.safetensors"),
    "another weight": (lambda f: (f / "model" / "model.safetensors").write_bytes(b"x" * 9), "other bytes"),
    "longer than listed": (
        lambda f: (f / "run.json").write_text((f / "run.json").read_text() + " " * 9),
        "more bytes in run.json",
    ),
    "no list": (lambda f: (f / LIST).unlink(), LIST),
    "a list of nothing": (lambda f: (f / LIST).write_text("{}"), "no list of files"),
    "a newer format": (lambda f: change_list(f, lambda d: d.update(format_version=2)), "update limssr"),
    "a path upwards": (add_entry("../evil.json"), "does not travel"),
    "an absolute path": (add_entry("/tmp/evil.json"), "does not travel"),
    "a drive": (add_entry("C:evil.json"), "does not travel"),
    "code": (add_entry("model/modeling.py"), "does not travel"),
    "a pickle": (add_entry("model/weights.pkl"), "does not travel"),
    "a hidden file": (add_entry("model/.config.json"), "does not travel"),
    "a promise of terabytes": (
        lambda f: change_list(f, lambda d: d["files"]["run.json"].update(bytes=2**50)),
        "more than",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_was_damaged_is_refused_and_leaves_nothing(exported, tmp_path, kind):
    change, told = DAMAGE[kind]
    file = damaged(exported, tmp_path, change)
    with pytest.raises(InputError, match=told):
        pull(str(file), tmp_path / "here" / "run")
    assert not (tmp_path / "here").exists()
    assert not (tmp_path / "evil.json").exists()


def test_a_file_that_is_not_listed_is_not_unpacked(exported, tmp_path):
    file = damaged(exported, tmp_path, lambda f: (f / "more.py").write_text("print('hello')"))
    pull(str(file), tmp_path / "run")
    assert not (tmp_path / "run" / "more.py").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\0" * 1000])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.zip"):
        pull(str(tmp_path / "x.zip"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_more_than_its_list_is_refused(tmp_path):
    write_bundle(RUN, tmp_path / "bundle", source="x")
    check_bundle(tmp_path / "bundle", where="it")
    (tmp_path / "bundle" / "model" / "more.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"model/more\.json"):
        check_bundle(tmp_path / "bundle", where="it")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", str(RUN), "out.tar"], "ends in .zip"),
        (["export", "nowhere", "out.zip"], "nowhere"),
        (["push", str(RUN), "no-owner"], "owner/name"),
        (["pull", "no-owner", "run"], "owner/name"),
        (["pull", "gone.zip", "run"], "gone.zip"),
        (["card", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_explained(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def hub_environment(hub, cwd, token=TOKEN):
    """Of a process of its own: the library reads the hub's address when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(cwd / "hf"), "HF_HUB_OFFLINE": "0"}
    return environment | {"HF_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}


def limssr(hub, cwd, *words, token=TOKEN):
    words = [sys.executable, "-m", "limssr", *words]
    environment = hub_environment(hub, cwd, token)
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_through_a_hub_and_back(tmp_path):
    shutil.copytree(RUN, tmp_path / "mine")
    with running_hub() as hub:
        pushed = limssr(hub, tmp_path, "push", "mine", "club/skating", "--license", "mit", "--json")
        assert pushed.returncode == 0, pushed.stderr
        assert hub.private["club/skating"] is True
        first = hub.at("club/skating", "main")
        assert json.loads(pushed.stdout)["commit"].endswith(first[0])
        assert set(first[1]) == set(json.loads(pushed.stdout)["files"])
        assert b"/data/store" not in b"".join(first[1].values())
        # pulled again, also a commit that is not the newest one
        hub.commit("club/skating", {"model/model.safetensors": b"other weights"})
        altered = limssr(hub, tmp_path, "pull", "club/skating", "altered")
        assert altered.returncode == 2
        assert "other bytes" in altered.stderr
        assert not (tmp_path / "altered").exists()
        pulled = limssr(hub, tmp_path, "pull", "club/skating", "theirs", "--revision", first[0], "--json")
        assert pulled.returncode == 0, pulled.stderr
        assert json.loads(pulled.stdout)["revision"] == first[0]
        # whoever may not, and what is not there
        refused = limssr(hub, tmp_path, "push", "mine", "club/skating", token="hf_wrong")
        assert refused.returncode == 2
        assert "hf auth login" in refused.stderr
        gone = limssr(hub, tmp_path, "pull", "club/gone", "gone")
        assert gone.returncode == 2
        assert "no such repository" in gone.stderr
    before, after = (load(tmp_path / name) for name in ("mine", "theirs"))
    samples = [{one.name: [[0.5] * one.dim] * 4 for one in before.modalities}]
    assert (before.predict(samples) == after.predict(samples)).all()


def test_nothing_is_sent_by_a_dry_run(tmp_path):
    shutil.copytree(RUN, tmp_path / "mine")
    with running_hub() as hub:
        done = limssr(hub, tmp_path, "push", "mine", "club/skating", "--dry-run")
        assert done.returncode == 0
        assert "model/model.safetensors" in done.stdout
        assert hub.repositories == {}


def test_a_bundle_unpacks_to_what_it_was(tmp_path):
    names = write_bundle(RUN, tmp_path / "bundle", source="x", references=True)
    write_zip(tmp_path / "bundle", tmp_path / "x.zip")
    unpack_zip(tmp_path / "x.zip", tmp_path / "again")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "bundle" / name).read_bytes()


def test_an_estimator_travels_and_is_taken_by_its_name(tmp_path):
    folder = tmp_path / "estimator"
    samples = [{"video": np.arange(6.0).reshape(3, 2) + n} for n in range(6)]
    model = LimssrRegressor(backbone="tiny", num_layers=1, epochs=1, validation_fraction=0).fit(samples, range(6))
    model.save_pretrained(folder)
    code = (
        "import numpy as np\nfrom limssr import LimssrRegressor\n"
        "model = LimssrRegressor.from_pretrained('club/rings')\n"
        "again = LimssrRegressor.from_pretrained('club/rings')\n"
        "print(*(one.predict([{'video': np.arange(6.0).reshape(3, 2) + 2.0}])[0] for one in (model, again)))"
    )
    with running_hub() as hub:
        pushed = limssr(hub, tmp_path, "push", "estimator", "club/rings", "--public")
        assert pushed.returncode == 0, pushed.stderr
        assert hub.private["club/rings"] is False
        environment = hub_environment(hub, tmp_path) | {"LIMSSR_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
    assert found.returncode == 0, found.stderr
    first, again = found.stdout.split()
    assert float(first) == pytest.approx(model.predict(samples[2:3])[0], rel=1e-5)
    assert first == again
    (fetched,) = (tmp_path / "cache" / "pulled" / "club--rings").iterdir()
    assert (fetched / "README.md").read_text().count('from_pretrained("club/rings")') == 1


def test_a_path_that_is_mistyped_is_no_reason_to_ask_a_hub(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.HfApi", None)
    assert found_or_fetched("models/gone") == Path("models/gone")
    assert found_or_fetched("gone") == Path("gone")
