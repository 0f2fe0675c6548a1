"""A new version of a store holds the samples of two, and its shards are the old files."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.append import append
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter

STREAMS = (Modality("video", 3), Modality("audio", 2))

SCORES = (Criterion("score", 0.0, 10.0),)


def made(path, names, *, criteria=SCORES, group="g", split="train"):
    rng = np.random.default_rng(len(names))
    settings = {"name": path.name, "modalities": STREAMS, "criteria": criteria, "provenance": {"importer": "test"}}
    with StoreWriter(path, **settings, splits_required=(), shard_bytes=100) as writer:
        for n, name in enumerate(names):
            streams = {one.name: rng.normal(size=(n + 2, one.dim)).astype(np.float32) for one in STREAMS[: 1 + n % 2]}
            writer.add(Sample(name, streams, np.array([float(n)] * len(criteria)), f"{group}{name}", split))
    return path


def test_a_version_with_more_samples_shares_the_shards(tmp_path):
    old, new = made(tmp_path / "old", "abc"), made(tmp_path / "new", "de", split="test")
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    store = append(old, new, tmp_path / "both")
    assert store.ids() == tuple("abcde")
    assert store.ids("test") == tuple("de")
    store.verify()
    for part in map(FeatureStore.open, (old, new)):
        for name in part.ids():
            found, expected = store.sample(name), part.sample(name)
            assert (found.group, found.split, found.scores.tolist()) == (
                *(expected.group, expected.split, expected.scores.tolist()),
            )
            assert found.streams.keys() == expected.streams.keys()
            assert all((found.streams[one] == expected.streams[one]).all() for one in expected.streams)
    assert {path: path.read_bytes() for path in before} == before
    shard = "shards/00000.safetensors"
    assert (tmp_path / "both" / shard).stat().st_ino == (old / shard).stat().st_ino
    again = append(tmp_path / "both", made(tmp_path / "third", "fg"), tmp_path / "all")
    assert [one["name"] for one in again.info.provenance["appended"]] == ["new", "third"]


@pytest.mark.parametrize(
    ("names", "more", "said"),
    [
        ("cd", {}, "that the store has"),
        ("de", {"criteria": (Criterion("other", 0.0, 10.0),)}, "same criteria"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, names, more, said):
    old, new = made(tmp_path / "old", "abc"), made(tmp_path / "new", names, **more)
    with pytest.raises(InputError, match=said):
        append(old, new, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_group_on_two_sides_of_the_split_is_refused(tmp_path):
    old = made(tmp_path / "old", "ac", group="same")
    with StoreWriter(
        tmp_path / "new",
        name="new",
        modalities=STREAMS,
        criteria=(Criterion("score", 0.0, 10.0),),
        provenance={},
        splits_required=(),
    ) as writer:
        writer.add(Sample("b", {"audio": np.ones((2, 2), np.float32)}, np.array([1.0]), "samea", "test"))
    with pytest.raises(InputError, match="one side of the split"):
        append(old, tmp_path / "new", tmp_path / "both")
