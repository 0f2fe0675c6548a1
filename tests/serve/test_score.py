"""Scoring over HTTP gives what the command line gives."""

import io
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.recipes import parse_config
from limssr.data.store.reader import FeatureStore
from limssr.media.clock import parse_segments
from limssr.media.extract import ExtractOptions, extract
from limssr.runs.prediction.predict import predict
from limssr.runs.train import train_run


def written(samples, folder):
    """A manifest of samples, for `limssr predict`."""
    lines = ["id,stream:video,stream:audio,stream:flow"]
    for number, sample in enumerate(samples):
        cells = []
        for name in ("video", "audio", "flow"):
            if name in sample.streams:
                np.save(folder / f"{number}-{name}.npy", sample.streams[name])
            cells.append(f"{number}-{name}.npy" if name in sample.streams else "")
        lines.append(",".join([sample.id, *cells]))
    path = folder / "new.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def scores_of(document):
    return [[one["score"] for one in row["scores"].values()] for row in document["samples"]]


def test_scores_and_intervals_are_those_of_predict_to_the_last_bit(client, served_run, performances, tools, tmp_path):
    some = [
        performances[0],
        performances[1].restricted_to(("audio",)),
        performances[2].restricted_to(("video", "flow")),
    ]
    rows = predict(served_run, written(some, tmp_path), device="cpu", interval=0.8).to_pylist()
    answer = client.post("/v1/score", tools.body_of(*some, interval=0.8))
    assert answer.status == 200, answer.content
    document = answer.document
    assert document["model"] == "run"
    assert document["interval"] == 0.8
    for row, found in zip(rows, document["samples"], strict=True):
        assert found["id"] == row["id"]
        assert "+".join(found["streams"]) == row["streams"]
        assert set(found["streams"]) | set(found["missing"]) == {"video", "audio", "flow"}
        for name, one in found["scores"].items():
            assert (one["score"], one["low"], one["high"]) == (row[name], row[f"low:{name}"], row[f"high:{name}"])
    assert document["samples"][0]["scores"]["execution"]["scale"] == [0.0, 10.0]
    assert document["timings_ms"].keys() == {"reading", "waiting", "scoring"}


@pytest.fixture(scope="module")
def worn(tmp_path_factory):
    """A run on features of two sensors, and the folder of its tables."""
    folder, dice = tmp_path_factory.mktemp("worn"), np.random.default_rng(0)
    lines = ["id,split,score:total,sensor:wrist,sensor:belt"]
    for number, split in enumerate(("train", "train", "train", "val", "test")):
        for name in ("wrist", "belt"):
            rows = [
                f"{second / 4:g};{value:.3f}".replace(".", ",") for second, value in enumerate(dice.normal(size=40))
            ]
            (folder / f"{name}{number}.csv").write_text("\n".join([f"time_s;{name}_x", *rows]) + "\n")
        lines.append(f"r{number},{split},{number},wrist{number}.csv,belt{number}.csv")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    extract(folder / "table.csv", folder / "store", ExtractOptions(segments=parse_segments("1"), encoders=("sound",)))
    document = {
        "data": {"store": str(folder / "store")},
        "model": {"system": "attention", "hidden": 8},
        "train": {"epochs": 1, "warmup_epochs": 0},
        "evaluation": {"bootstrap": 0, "references": []},
    }
    return train_run(parse_config(document, where="test"), folder / "run"), folder


def test_tables_of_sensors_are_scored_by_the_names_of_their_streams(start, settings, worn, tools):
    """As the page sends them; arrays of features under the same names stay what they are."""
    run, folder = worn
    store = FeatureStore.open(folder / "store")
    whole, part = store.sample("r4"), store.sample("r3")
    for sample in (whole, part):
        for name, array in sample.streams.items():
            np.save(folder / f"{name}{sample.id[1:]}.npy", array)
    (folder / "new.csv").write_text("id,stream:wrist,stream:belt\nr4,wrist4.npy,belt4.npy\nr3,wrist3.npy,\n")
    expected = [[row["total"]] for row in predict(run, folder / "new.csv", device="cpu").to_pylist()]
    tables = {name: (f"{name}.csv", (folder / f"{name}4.csv").read_bytes()) for name in ("wrist", "belt")}
    features = {name: (f"{name}.npy", tools.npy(array)) for name, array in whole.streams.items()}
    with start(settings, runs=(run,)) as client:
        assert scores_of(client.form("/v1/score", tables).document) == expected[:1]
        one = {"wrist": ("w.csv", (folder / "wrist3.csv").read_bytes())}
        assert scores_of(client.form("/v1/score", one).document) == expected[1:]
        assert scores_of(client.form("/v1/score", features).document) == expected[:1]
        wrong = client.form("/v1/score", {"wrist": ("w.csv", b"time_s,other\n0,1\n1,2\n")})
        assert wrong.status == 422
        assert "expected the readings wrist_x, found other" in wrong.document["detail"]


def test_every_kind_of_file_gives_the_same_scores(client, performances, tools):
    sample = performances[0]
    expected = scores_of(client.post("/v1/score", tools.body_of(sample)).document)

    def npz(**arrays):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    def parquet(values):
        buffer = io.BytesIO()
        pq.write_table(pa.table({f"c{n}": column for n, column in enumerate(values.T)}), buffer)
        return buffer.getvalue()

    def csv(values):
        return "\n".join(",".join("" if np.isnan(x) else repr(float(x)) for x in row) for row in values).encode()

    kinds = {"npy": tools.npy, "npz": lambda values: npz(x=values), "parquet": parquet, "csv": csv}
    for ending, write in kinds.items():
        files = {name: (f"take 1.{ending}", write(values)) for name, values in sample.streams.items()}
        answer = client.form("/v1/score", files, {"model": "run", "id": "x"})
        assert answer.status == 200, (ending, answer.content)
        assert answer.document["samples"][0]["id"] == "x"
        assert scores_of(answer.document) == expected, ending
    together = client.form("/v1/score", {"streams": ("all.npz", npz(**sample.streams))}, {"model": "run"})
    assert scores_of(together.document) == expected
    many = {f"{one.id}/{name}": (f"{name}.npy", tools.npy(values))
            for one in performances[:3] for name, values in one.streams.items()}  # fmt: skip
    answer = client.form("/v1/score", many, {"model": "run"}).document
    assert [row["id"] for row in answer["samples"]] == [one.id for one in performances[:3]]
    np.testing.assert_allclose(scores_of(answer)[0], expected[0], rtol=1e-5)


def test_streams_can_be_switched_off(client, performances, tools):
    sample = performances[0]
    whole = client.post("/v1/score", tools.body_of(sample, streams=["flow"])).document
    alone = client.post("/v1/score", tools.body_of(sample.restricted_to(("flow",)))).document
    assert scores_of(whole) == scores_of(alone)
    assert whole["samples"][0]["missing"] == ["video", "audio"]
    nothing = client.post("/v1/score", tools.body_of(sample.restricted_to(("flow",)), streams=["video"])).document
    assert scores_of(nothing) == [[None, None]]


def test_a_model_without_calibration_has_no_intervals_and_says_so_when_asked(
    start, settings, served_run, performances, tools
):
    with start(settings, runs=(served_run / "model",)) as client:
        found = client.post("/v1/score", {**tools.body_of(performances[0]), "model": None}).document
        assert found["interval"] is None
        assert all(one["low"] is None for one in found["samples"][0]["scores"].values())
        asked = client.post("/v1/score", {**tools.body_of(performances[0]), "model": None, "interval": 0.9})
        assert asked.status == 422
        assert "calibration.parquet" in asked.document["detail"]


def test_references_are_served_too(client, served_run, performances, tools, tmp_path):
    rows = predict(served_run, written(performances[:2], tmp_path), member="ridge").to_pylist()
    found = client.post("/v1/score", {**tools.body_of(*performances[:2]), "model": "ridge"}).document
    assert scores_of(found) == [[row["execution"], row["difficulty"]] for row in rows]


@pytest.mark.parametrize("wait_ms", [0.0, 30.0])
def test_many_at_once_get_their_own_scores(start, settings, performances, tools, wait_ms):
    with start(settings, wait_ms=wait_ms) as client:
        alone = [scores_of(client.post("/v1/score", tools.body_of(one)).document)[0] for one in performances]
        found = [None] * len(performances)

        def ask(n):
            found[n] = scores_of(client.post("/v1/score", tools.body_of(performances[n])).document)[0]

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(performances))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wait_ms == 0:
        assert found == alone
    else:
        np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-4)


def test_what_can_be_scored_is_described(client):
    document = client.get("/v1/models").document
    assert [one["id"] for one in document["models"]] == ["run", "ridge"]
    first = document["models"][0]
    assert {one["name"]: one["width"] for one in first["streams"]}.keys() == {"video", "audio", "flow"}
    assert first["intervals"]
    assert not first["recordings"]
    more = client.get("/v1/models/run").document
    assert len(more["subsets"]) == 7
    assert more["coverage"]["level"] == 0.9
    assert more["card"]["system"] == "limssr"
    unknown = client.get("/v1/models/rum")
    assert unknown.status == 404
    assert "did you mean 'run'" in unknown.document["detail"]


def test_an_explanation_adds_up(client, performances, tools):
    sample = performances[0]
    body = {"model": "run", "sample": tools.body_of(sample)["samples"][0], "windows": 4}
    found = client.post("/v1/explain", body).document
    for name, one in found["sample"]["scores"].items():
        parts = sum(stream["contribution"][name] for stream in found["streams"].values())
        assert found["baseline"][name] + parts == pytest.approx(one["score"], abs=1e-5)  # a few last bits of float32
        assert len(found["time"]["video"][name]) == len(found["windows"])
    assert len(found["subsets"]) == 7
    files = {name: (f"{name}.npy", tools.npy(values)) for name, values in sample.streams.items()}
    again = client.form("/v1/explain", files, {"model": "run", "windows": "4"}).document
    assert again["subsets"] == found["subsets"]


def test_what_the_model_is_given_is_told(client, performances, tools):
    sample = performances[0]
    files = {name: (f"{name}.npy", tools.npy(values)) for name, values in sample.streams.items()}
    found = client.form("/v1/features", files, {"model": "run", "id": "take"}).document["sample"]
    assert found == {"id": "take", "streams": {name: tools.as_rows(x) for name, x in sample.streams.items()}}
    two = {f"{take}/{name}": one for take in "ab" for name, one in files.items()}
    assert client.form("/v1/features", two, {"model": "run"}).status == 422


def test_the_service_says_how_it_is(client):
    assert client.get("/healthz").document == {"status": "ok"}
    assert client.get("/readyz").document == {"status": "ready"}
    text = client.get("/metrics").content.decode()
    assert 'limssr_requests_total{route="/healthz",status="200"}' in text
    routes = client.get("/openapi.json").document["paths"]
    assert {"/v1/score", "/v1/explain", "/v1/models", "/v1/models/{model_id}", "/healthz", "/readyz"} <= routes.keys()
    assert b"cdn" not in client.get("/docs").content
