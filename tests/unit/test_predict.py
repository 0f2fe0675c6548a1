import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from limssr.core.config import EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.data.store.reader import FeatureStore, StoreWriter
from limssr.evaluation.scorer import ModelScorer
from limssr.runs.prediction.predict import predict, write_predictions
from limssr.runs.train import train_run
from limssr.systems.build import build_model
from limssr.systems.saving import save_pretrained


@pytest.fixture(scope="module")
def model_folder(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    config = ModelConfig(system="attention", hidden=16, input_scaling="standard")
    model = build_model(config, world.modalities, world.criteria, seed=0)
    model.calibrate(world.samples)
    save_pretrained(model, folder)
    return folder


@pytest.fixture
def manifest(world, tmp_path):
    """Three samples: complete, one stream, two streams."""
    rows = [("a", ("video", "audio", "flow")), ("b", ("flow",)), ("c", ("video", "flow"))]
    lines = ["id,stream:video,stream:audio,stream:flow"]
    for sample, (name, streams) in zip(world.samples, rows, strict=False):
        cells = []
        for stream in ("video", "audio", "flow"):
            file = f"{name}-{stream}.npy"
            if stream in streams:
                np.save(tmp_path / file, sample.streams[stream])
            cells.append(file if stream in streams else "")
        lines.append(",".join([name, *cells]))
    path = tmp_path / "new.csv"
    path.write_text("\n".join(lines) + "\n")
    return path, [sample.restricted_to(streams) for sample, (_, streams) in zip(world.samples, rows, strict=False)]


def test_a_manifest_is_scored_from_what_each_sample_has(model_folder, manifest):
    path, samples = manifest
    table = predict(model_folder, path, device="cpu")
    assert table.column_names == ["id", "streams", "execution", "difficulty"]
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert table["streams"].to_pylist() == ["video+audio+flow", "flow", "video+flow"]
    from limssr.systems.saving import load_pretrained

    expected = ModelScorer(load_pretrained(model_folder)).score(samples)
    found = np.stack([table["execution"].to_numpy(), table["difficulty"].to_numpy()], axis=1)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) == 6


def test_a_store_is_scored_in_its_order_and_by_split(model_folder, store_path):
    store = FeatureStore.open(store_path)
    assert predict(model_folder, store_path)["id"].to_pylist() == list(store.ids())
    assert predict(model_folder, store_path, split="test")["id"].to_pylist() == list(store.ids("test"))


def test_a_run_folder_crops_as_in_the_run(store_path, tmp_path):
    config = RunConfig.model_validate(
        {
            "data": {"store": str(store_path), "num_segments": 3},
            "model": {"system": "attention", "hidden": 16},
            "train": TrainConfig(epochs=1).model_dump(),
            "evaluation": EvalConfig(bootstrap=0).model_dump(),
        }
    )
    run = train_run(config, tmp_path / "run")
    cropped, whole = predict(run, store_path), predict(run / "model", store_path)
    assert not np.allclose(cropped["execution"].to_numpy(), whole["execution"].to_numpy())
    written = pq.read_table(run / "predictions.parquet").to_pylist()
    wanted = {row["id"]: row["prediction"] for row in written if row["streams"] == "video+audio+flow" and row["criterion"] == "execution"}  # fmt: skip  # noqa: E501
    found = dict(zip(cropped["id"].to_pylist(), cropped["execution"].to_pylist(), strict=True))
    # In other batches sums are taken in another order.
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)


def test_a_store_with_some_of_the_streams_is_enough(model_folder, world, tmp_path):
    only = (world.modalities[2],)
    with StoreWriter(tmp_path / "s", name="s", modalities=only, criteria=world.criteria, provenance={}) as writer:
        for sample in world.samples:
            writer.add(sample.restricted_to(("flow",)))
    table = predict(model_folder, tmp_path / "s")
    assert set(table["streams"].to_pylist()) == {"flow"}
    assert np.isfinite(table["execution"].to_numpy()).all()


def test_a_store_of_other_streams_is_refused(model_folder, tmp_path):
    from limssr.data.simulate import simulate_store

    simulate_store(tmp_path / "s", 60, ["touch"], 7, num_segments=(4, 9))
    with pytest.raises(InputError, match="at least one of the streams video"):
        predict(model_folder, tmp_path / "s")


def test_a_stream_the_model_does_not_know_is_refused(model_folder, manifest):
    path, _ = manifest
    path.write_text(path.read_text().replace("stream:audio", "stream:adio"))
    with pytest.raises(InputError, match="audio"):
        predict(model_folder, path)


def test_nothing_there_is_refused(model_folder, tmp_path, store_path):
    with pytest.raises(InputError, match="found nothing"):
        predict(model_folder, tmp_path / "none.csv")
    with pytest.raises(ArtifactError):
        predict(tmp_path, store_path)


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_every_format_holds_the_same(model_folder, manifest, tmp_path, ending):
    table = predict(model_folder, manifest[0])
    path = tmp_path / f"out{ending}"
    write_predictions(table, path)
    if ending == ".parquet":
        assert pq.read_table(path).equals(table)
    elif ending == ".json":
        assert json.loads(path.read_text()) == table.to_pylist()
    else:
        rows = list(csv.DictReader(path.read_text().splitlines()))
        assert [row["streams"] for row in rows] == table["streams"].to_pylist()
        assert [float(row["difficulty"]) for row in rows] == table["difficulty"].to_pylist()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["out.txt", "out", "missing/out.csv"])
def test_a_place_that_cannot_be_written_is_refused(model_folder, manifest, tmp_path, name):
    with pytest.raises(InputError):
        write_predictions(predict(model_folder, manifest[0]), tmp_path / name)


def test_a_stream_that_training_never_saw_is_ignored_and_said_in_one_line(world, manifest, tmp_path):
    path, _ = manifest
    model = build_model(ModelConfig(system="attention", hidden=16), world.modalities, world.criteria, seed=0)
    model.calibrate([sample.restricted_to(("audio", "flow")) for sample in world.samples])
    save_pretrained(model, tmp_path / "model")
    said = []
    table = predict(tmp_path / "model", path, say=said.append)
    assert [line for line in said if "video" in line] == ["'video' is not read: no training sample owned it"]
    scores = table["execution"].to_pylist()
    without = tmp_path / "without.csv"
    without.write_text(path.read_text().replace("a-video.npy", "").replace("c-video.npy", ""))
    said.clear()
    assert predict(tmp_path / "model", without, say=said.append)["execution"].to_pylist() == scores
    assert not [line for line in said if "video" in line]
