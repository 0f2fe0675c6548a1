import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from limssr.core.config import EvalConfig, ModelConfig, TrainConfig
from limssr.core.config_data import AvailabilityConfig, MissingConfig
from limssr.core.errors import ArtifactError, InputError, ResourceError
from limssr.core.progress import SilentReporter
from limssr.core.recipes import parse_config
from limssr.data.missing import availability_mask
from limssr.data.store.reader import FeatureStore, StoreWriter
from limssr.runs.data import load_run_data
from limssr.runs.evaluate import evaluate_run
from limssr.runs.folder import read_run
from limssr.runs.train import train_run
from limssr.systems.saving import load_pretrained
from limssr.training.selection import chosen_epoch


def make_config(store, *, references=(), availability=None, **changes):
    return parse_config(
        {
            "data": {"store": str(store), **changes.get("data", {})},
            "missing": {
                "availability": AvailabilityConfig().model_dump() if availability is None else availability,
                **changes.get("missing", {}),
            },
            "model": {
                **ModelConfig(
                    system="attention", hidden=16, input_scaling="standard", output="standardized"
                ).model_dump(),
                **changes.get("model", {}),
            },
            "train": {"epochs": 2, "warmup_epochs": 1, "learning_rate": 3e-3, **changes.get("train", {})},
            "evaluation": EvalConfig(bootstrap=20, references=tuple(references)).model_dump(),
        },
        where="test",
    )


class Listener(SilentReporter):
    """Remembers what it was told."""

    def __init__(self):
        self.notes, self.warnings, self.epochs = [], [], 0

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)

    def epoch(self, record, *, total, best_epoch):
        self.epochs += 1


@pytest.fixture(scope="module")
def run(store_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return train_run(make_config(store_path, references=["ridge"]), out)


def test_a_run_folder_has_all_its_files_and_nothing_else(run):
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "subsets.parquet",
        "predictions.parquet",
        "performances.csv",
        "evaluation.json",
        "calibration.parquet",
        "familiar.parquet",
        "report.html",
        "model/config.json",
        "model/model.safetensors",
        "references/ridge/calibration.parquet",
        "references/ridge/evaluation.json",
        "references/ridge/model/pooled.json",
        "references/ridge/model/pooled.safetensors",
        "references/ridge/predictions.parquet",
        "references/ridge/reference.json",
        "references/ridge/subsets.parquet",
    }


def test_run_json_says_what_was_done(run, store_path):
    document = json.loads((run / "run.json").read_text())
    assert document["status"] == "done"
    assert document["store"]["fingerprint"] == FeatureStore.open(store_path).fingerprint
    assert document["availability"]["rate"] == 0.5
    assert document["selection"] == "val"
    assert document["epochs_run"] == 2
    assert document["parameters"]["trained"] > 0
    assert sum(document["owned_streams"]["train"].values()) == document["num_samples"]["train"]
    assert document["owned_streams"]["test"] == {"video+audio+flow": document["num_samples"]["test"]}
    assert [record["name"] for record in document["references"]] == ["ridge"]
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


def test_every_system_stands_in_tables_and_document(run):
    document = json.loads((run / "evaluation.json").read_text())
    assert list(document["systems"]) == ["attention", "ridge"]
    assert {key: document[key] for key in document["systems"]["attention"]} == document["systems"]["attention"]
    assert len(document["subsets"]) == 7
    for name in ("subsets.parquet", "predictions.parquet"):
        assert set(pq.read_table(run / name)["system"].to_pylist()) == {"attention", "ridge"}


def test_evaluating_again_gives_the_same_numbers(run):
    document = json.loads((run / "evaluation.json").read_text())["systems"]["attention"]
    assert document.pop("coverage")["num_calibration"] > 0
    assert evaluate_run(run).to_dict() == document


def test_other_splits_are_incomplete_as_in_the_run(run, store_path):
    evaluation = evaluate_run(run, split="train")
    store = FeatureStore.open(store_path)
    owned = [availability_mask(name, ("video", "audio", "flow"), rate=0.5, seed=0) for name in store.ids("train")]
    expected = [sum(set(subset.streams) <= set(names) for names in owned) for subset in evaluation.subsets]
    assert [subset.num_samples for subset in evaluation.subsets] == expected
    assert expected[-1] < len(owned), "nothing was taken away"


def test_another_store_is_taken_as_it_is(run, store_path, tmp_path):
    shutil.copytree(store_path, tmp_path / "other")
    evaluation = evaluate_run(run, store=tmp_path / "other", split="val")
    assert evaluation.availability is None
    assert {subset.num_samples for subset in evaluation.subsets} == {len(FeatureStore.open(store_path).ids("val"))}


def test_a_store_of_other_streams_or_scales_is_refused(run, tmp_path, world):
    for name, criteria in [
        ("streams", world.criteria),
        ("scales", tuple(dataclasses.replace(criterion, high=99.0) for criterion in world.criteria)),
    ]:
        modalities = world.modalities[:2] if name == "streams" else world.modalities
        path = tmp_path / name
        with StoreWriter(path, name="other", modalities=modalities, criteria=criteria, provenance={}) as writer:
            for sample in world.samples:
                writer.add(sample.restricted_to(tuple(modality.name for modality in modalities)))
        with pytest.raises(InputError, match="flow" if name == "streams" else "does not fit the model"):
            evaluate_run(run, store=path)


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path, store_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="--resume"):
        train_run(make_config(store_path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_resuming_a_run_that_is_done_changes_nothing(run, store_path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    listener = Listener()
    train_run(make_config(store_path, references=["ridge"]), run, resume="auto", reporter=listener)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert listener.epochs == 0


def test_resuming_with_another_configuration_names_the_keys(run, store_path):
    with pytest.raises(InputError, match=r"train\.epochs, train\.batch_size"):
        train_run(
            make_config(store_path, references=["ridge"], train={"epochs": 3, "batch_size": 4}), run, resume="auto"
        )


def test_resuming_where_nothing_is_begins(tmp_path, store_path):
    out = train_run(make_config(store_path, train={"epochs": 1}), tmp_path / "new", resume="auto")
    assert read_run(out).document["status"] == "done"


def interrupted(out, config):
    """A run folder whose training was stopped after one epoch."""

    class Interrupt(Listener):
        finished = False

        def advance(self, what):
            raise KeyboardInterrupt

        def finish(self):
            self.finished = True

    listener = Interrupt()
    with pytest.raises(KeyboardInterrupt):
        train_run(config, out, reporter=listener)
    return listener


def test_an_interrupted_run_can_be_gone_on_with(tmp_path, store_path):
    out = tmp_path / "run"
    assert interrupted(out, make_config(store_path)).finished
    assert read_run(out).document["status"] == "running"
    with pytest.raises(ArtifactError, match="not finished"):
        evaluate_run(out)
    started = read_run(out).document["started"]
    train_run(make_config(store_path), out, resume="auto")
    document = read_run(out).document
    assert (document["status"], document["sessions"], document["started"]) == ("done", 2, started)


def test_what_a_killed_writer_left_is_removed_when_the_run_goes_on(tmp_path, store_path):
    # A process killed between writing a file and renaming it cannot remove it itself.
    out = tmp_path / "run"
    interrupted(out, make_config(store_path))
    leftovers = [out / ".run.json.0a1b2c3d.partial", out / "model" / ".xyz.partial", out / ".report.html.1.partial"]
    leftovers[1].mkdir(parents=True)
    leftovers[0].write_text("{")
    (leftovers[1] / "model.safetensors").write_bytes(b"half")
    train_run(make_config(store_path), out, resume="auto")
    leftovers[2].write_text("<html>")  # killed while the report of a finished run was written
    train_run(make_config(store_path), out, resume="auto")
    assert not [path for path in leftovers if path.exists()]


def test_resuming_on_an_altered_store_is_refused(tmp_path, world, store_path):
    def write(path, samples):
        with StoreWriter(path, name="s", modalities=world.modalities, criteria=world.criteria, provenance={}) as writer:
            for sample in samples:
                writer.add(sample)

    write(tmp_path / "store", world.samples)
    config = make_config(tmp_path / "store")
    interrupted(tmp_path / "run", config)
    shutil.rmtree(tmp_path / "store")
    write(tmp_path / "store", world.samples[:-1])
    with pytest.raises(InputError, match="fingerprint"):
        train_run(config, tmp_path / "run", resume="auto")


def test_a_newer_run_folder_is_refused_by_everything(run, tmp_path, store_path):
    newer = tmp_path / "newer"
    shutil.copytree(run, newer)
    document = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps({**document, "format_version": 2}))
    with pytest.raises(ArtifactError, match="newer limssr"):
        evaluate_run(newer)
    with pytest.raises(ArtifactError, match="newer limssr"):
        train_run(make_config(store_path, references=["ridge"]), newer, resume="auto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"store": ""}}, r"data\.store"),
        ({"data": {"store": "/nowhere/at/all"}}, "nowhere"),
        ({"data": {"modalities": ["video", "audoi"]}}, "audio"),
        ({"data": {"criteria": ["excution"]}}, "execution"),
        ({"data": {"stream_dims": {"video": 9999}}}, "9999 wide"),
        ({"model": {"system": "atention"}}, "attention"),
        ({"references": ["rigde"]}, "ridge"),
        ({"references": ["ridge", "ridge"]}, "once"),
        ({"references": ["attention"]}, "system of the run"),
        ({"references": ["random-backbone"]}, "random-backbone needs"),
        ({"availability": {"pattern": "vidio"}}, "video"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, store_path, changes, message):
    with pytest.raises(InputError, match=message):
        train_run(make_config(store_path, **changes), tmp_path / "deep" / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path, store_path):
    with pytest.raises(InputError, match="device"):
        train_run(make_config(store_path), tmp_path / "run", device="cuda:9")
    assert list(tmp_path.iterdir()) == []


def test_an_altered_shard_is_refused_before_anything_is_written(tmp_path, store_path):
    shutil.copytree(store_path, tmp_path / "store")
    shard = next((tmp_path / "store" / "shards").iterdir())
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match=shard.name):
        train_run(make_config(tmp_path / "store"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, store_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ResourceError, match="MiB free"):
        train_run(make_config(store_path), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def write_store(path, world, change):
    with StoreWriter(
        path, name="s", modalities=world.modalities, criteria=world.criteria, provenance={}, splits_required=[]
    ) as writer:
        for sample in world.samples:
            changed = change(sample)
            if changed is not None:
                writer.add(changed)
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_is_refused(tmp_path, world, split):
    store = write_store(tmp_path / "store", world, lambda sample: None if sample.split == split else sample)
    with pytest.raises(InputError, match=f"'{split}'"):
        train_run(make_config(store), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stream_that_is_never_in_training_is_warned_of(tmp_path, world):
    store = write_store(
        tmp_path / "store", world, lambda one: one.restricted_to(("video", "audio")) if one.split == "train" else one
    )
    listener = Listener()
    none = {"rate": 0.0}
    out = train_run(make_config(store, availability=none), tmp_path / "run", reporter=listener)
    assert any("no training sample owns flow" in text for text in listener.warnings)
    assert "and none owns flow, so that" in (out / "report.html").read_text()
    assert len(evaluate_run(out).subsets) == 7
    listener = Listener()
    config = make_config(store, availability=none, data={"modalities": ["video", "audio"]})
    train_run(config, tmp_path / "other", reporter=listener)
    assert not any("no training sample owns" in text for text in listener.warnings)


def test_per_batch_dropout_refuses_an_incomplete_store(tmp_path, world):
    store = write_store(tmp_path / "store", world, lambda sample: sample.restricted_to(("audio", "flow")))
    config = make_config(store).model_copy(update={"missing": MissingConfig(dropout="per_batch")})
    with pytest.raises(InputError, match="per_batch"):
        train_run(config, tmp_path / "run")


def test_availability_hides_streams_of_the_declared_splits_alone(store_path):
    config = make_config(store_path, availability={"rate": 0.5, "splits": ["train"]})
    data = load_run_data(config)
    assert any(len(sample.streams) < 3 for sample in data.splits["train"])
    for split in ("val", "test"):
        assert all(len(sample.streams) == 3 for sample in data.splits[split])
    assert data.complete_train is not None
    assert all(len(sample.streams) == 3 for sample in data.complete_train)
    again = load_run_data(config)
    assert [list(sample.streams) for sample in again.splits["train"]] == [
        list(sample.streams) for sample in data.splits["train"]
    ]


def test_every_sample_keeps_a_stream_in_use(store_path):
    config = make_config(store_path, data={"modalities": ["flow", "video"]}, availability={"rate": 1.0})
    data = load_run_data(config)
    assert data.names == ("flow", "video")
    assert all(len(sample.streams) == 1 for sample in data.splits["train"])
    assert len(data.splits["train"]) == len(FeatureStore.open(store_path).ids("train"))


def test_choosing_on_the_test_split_warns_and_is_stamped(tmp_path, store_path):
    listener = Listener()
    out = train_run(make_config(store_path, train={"selection": "test"}), tmp_path / "run", reporter=listener)
    assert any("flattered" in text for text in listener.warnings)
    assert json.loads((out / "evaluation.json").read_text())["selection"] == "test"
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    chosen = records[chosen_epoch(records, TrainConfig(selection="test"))]
    assert read_run(out).document["best_epoch"] == chosen["epoch"]
    full = evaluate_run(out).full
    assert full["spearman"].value == pytest.approx(chosen["test_spearman"])
    assert full["mse"].value == pytest.approx(chosen["test_mse"])


def test_only_some_criteria_can_be_learnt(tmp_path, store_path):
    config = make_config(store_path, data={"criteria": ["difficulty"]}, train={"epochs": 1})
    out = train_run(config, tmp_path / "run")
    assert evaluate_run(out).criteria == ("difficulty",)


def test_a_saved_model_is_bit_exact(run):
    first, second = load_pretrained(run / "model"), load_pretrained(run / "model")
    for name, value in first.state_dict().items():
        assert np.array_equal(value.numpy(), second.state_dict()[name].numpy())


def test_a_store_path_is_found_from_another_working_directory(store_path, tmp_path, monkeypatch):
    monkeypatch.chdir(store_path.parent)
    out = train_run(make_config(Path(store_path.name), train={"epochs": 1}), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert evaluate_run(out).split == "test"
