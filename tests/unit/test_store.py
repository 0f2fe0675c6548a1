import copy
import errno
import hashlib
import json
import os
import shutil

import numpy as np
import pytest

from limssr.core.errors import ArtifactError, InputError, ResourceError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store import format as shards
from limssr.data.store.reader import FeatureStore, StoreWriter

MODALITIES = (Modality("video", 4), Modality("audio", 3))
CRITERIA = (Criterion("total", 0.0, 40.0, "points"), Criterion("art", -1.0, 1.0, "marks"))


def make_samples(count=9, seed=0):
    generator = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        length = int(generator.integers(2, 7))
        streams = {m.name: generator.normal(size=(length, m.dim)).astype(np.float32) for m in MODALITIES}
        if number % 4 == 1:
            del streams["audio"]
        if number % 4 == 2:
            streams["video"][1] = np.nan
        scores = np.array([number * 2.5, np.nan if number == 3 else number / 10])
        samples.append(
            Sample(f"clip {number}", streams, scores, f"person {number}", ("train", "val", "test")[number % 3])
        )
    return samples


def write(path, samples=None, **options):
    settings = {"name": "clips", "modalities": MODALITIES, "criteria": CRITERIA, "provenance": {"source": "here"}}
    with StoreWriter(path, **(settings | {"shard_bytes": 200} | options)) as writer:
        for sample in make_samples() if samples is None else samples:
            writer.add(sample)
    return FeatureStore.open(path)


def all_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same(found, expected):
    assert (found.id, found.group, found.split) == (expected.id, expected.group, expected.split)
    assert list(found.streams) == list(expected.streams)
    for name, stream_TD in expected.streams.items():
        assert found.streams[name].dtype == np.float32
        np.testing.assert_array_equal(found.streams[name], stream_TD)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_everything_comes_back(tmp_path):
    store = write(tmp_path / "store", segment_s=0.5)
    assert store.modalities == MODALITIES
    assert store.criteria == CRITERIA
    assert (store.info.name, store.info.segment_s, store.info.format_version) == ("clips", 0.5, 1)
    assert store.info.provenance == {"source": "here"}
    assert len(store) == 9
    assert len(list((store.path / "shards").iterdir())) > 2
    for found, expected in zip(store.samples(), make_samples(), strict=True):
        assert_same(found, expected)
    store.verify()


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first, second = write(tmp_path / "one"), write(tmp_path / "elsewhere" / "two")
    assert all_bytes(first.path) == all_bytes(second.path)
    assert first.fingerprint == second.fingerprint
    other = write(tmp_path / "three", make_samples(seed=1))
    assert other.fingerprint != first.fingerprint


def test_other_bits_of_nan_give_the_same_bytes(tmp_path):
    samples = make_samples()
    samples[2].streams["video"][1] = np.frombuffer(b"\x01\x00\xc0\x7f", np.float32)[0]
    assert write(tmp_path / "one", samples).fingerprint == write(tmp_path / "two").fingerprint


def test_streams_are_read_only_views_of_the_file(tmp_path):
    stream_TD = write(tmp_path / "store").sample("clip 0").streams["video"]
    assert not stream_TD.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        stream_TD[0, 0] = 1.0


def test_doubles_and_integers_become_float32(tmp_path):
    samples = make_samples()
    given = {"video": np.arange(8, dtype=np.int16).reshape(2, 4), "audio": np.ones((2, 3), np.float64)}
    samples[0] = Sample("clip 0", given, samples[0].scores, "g", "train")
    found = write(tmp_path / "store", samples).sample("clip 0").streams
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["video"], given["video"])


def test_a_stream_of_gaps_only_is_absent(tmp_path):
    samples = make_samples()
    samples[0].streams["audio"][:] = np.nan
    store = write(tmp_path / "store", samples)
    assert list(store.sample("clip 0").streams) == ["video"]
    assert store.index.column("valid:audio").to_pylist()[0] is None


def test_the_index_counts_valid_segments(tmp_path):
    store = write(tmp_path / "store")
    rows = store.index.to_pylist()
    assert rows[1]["valid:audio"] is None
    assert rows[2]["valid:video"] == rows[2]["num_segments"] - 1
    assert rows[3]["score:art"] is None
    assert rows[3]["score:total"] == 7.5


def test_ids_and_samples_of_a_split(tmp_path):
    store = write(tmp_path / "store")
    assert store.ids("val") == ("clip 1", "clip 4", "clip 7")
    assert [sample.id for sample in store.samples("val")] == list(store.ids("val"))
    assert len(store.ids()) == 9


def test_samples_with_some_streams_and_scores_in_the_order_asked_for(tmp_path):
    store = write(tmp_path / "store")
    samples = store.samples(modalities=["audio", "video"], criteria=["art"])
    assert list(samples[0].streams) == ["audio", "video"]
    assert samples[4].scores.tolist() == [0.4]
    only_audio = store.samples(modalities=["audio"])
    assert "clip 1" not in [sample.id for sample in only_audio]
    assert len(only_audio) == 7


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"modalities": ["vido"]}, "Unknown stream 'vido'.*did you mean 'video'"),
        ({"criteria": ["totl"]}, "Unknown criterion 'totl'.*did you mean 'total'"),
        ({"modalities": []}, "at least one"),
        ({"modalities": ["video", "video"]}, "once"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(tmp_path, question, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path / "store").select(**question)


def test_unknown_ids_and_splits_are_refused(tmp_path):
    store = write(tmp_path / "store")
    with pytest.raises(InputError, match="did you mean 'clip"):
        store.sample("clip 77")
    with pytest.raises(InputError, match="did you mean 'train'"):
        store.samples("training")


def test_a_store_travels_to_another_process(tmp_path):
    store = write(tmp_path / "store")
    store.sample("clip 0")
    # Processes exchange objects through the same protocol (__reduce__) that copy uses.
    assert_same(copy.deepcopy(store).sample("clip 0"), store.sample("clip 0"))


def test_a_truncated_shard_is_found_at_once(tmp_path):
    store = write(tmp_path / "store")
    shard = store.path / "shards" / "00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"00001\.safetensors.*bytes.*truncated") as caught:
        FeatureStore.open(store.path)
    assert caught.value.exit_code == 2
    with pytest.raises(ArtifactError, match=r"00001\.safetensors"):
        store.verify()


def test_an_altered_shard_is_found_by_verify(tmp_path):
    store = write(tmp_path / "store")
    shard = store.path / "shards" / "00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"00000\.safetensors.*SHA-256") as caught:
        FeatureStore.open(store.path).verify()
    assert caught.value.exit_code == 2


def test_a_shard_with_another_header_is_refused_when_it_is_read(tmp_path):
    store = write(tmp_path / "store")
    shard = store.path / "shards" / "00000.safetensors"
    content = shard.read_bytes()
    for broken in (b"\xff" * len(content), content.replace(b'"F32"', b'"F16"')):
        shard.write_bytes(broken)
        with pytest.raises(ArtifactError, match=r"00000\.safetensors"):
            FeatureStore.open(store.path).sample("clip 0")


@pytest.mark.parametrize("name", ["index.parquet", "shards/00000.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    store = write(tmp_path / "store")
    (store.path / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        FeatureStore.open(store.path)


def test_an_altered_index_is_found_at_once(tmp_path):
    store = write(tmp_path / "store")
    index = store.path / "index.parquet"
    content = bytearray(index.read_bytes())
    content[len(content) // 2] ^= 1
    index.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"index\.parquet.*SHA-256"):
        FeatureStore.open(store.path)


def edit_header(folder, **changes):
    path = folder / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3}, "expected format version 2 or older, found 3.*upgrade limssr"),
        ({"format": "other"}, "limssr-store"),
        ({"criteria": [{"name": "total", "tone": 3}]}, "criteria.0.low: Field required"),
        ({"files": {}}, "every field"),
        ({"provenance": {"decisions": 10**30}}, "provenance.decisions"),
        ({"provenance": {"decisions": ["cut", 3]}}, "provenance.decisions.1"),
        ({"provenance": {"importer": ["table"]}}, "provenance.importer"),
        ({"provenance": {"parent": {"provenance": {"reading": "by-name"}}}}, "provenance.parent.provenance.reading"),
    ],
)
def test_a_header_of_another_format_is_refused(tmp_path, changes, message):
    store = write(tmp_path / "store")
    edit_header(store.path, **changes)
    with pytest.raises(ArtifactError, match=message) as caught:
        FeatureStore.open(store.path)
    assert caught.value.exit_code == 2


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(ArtifactError, match="JSON"):
        FeatureStore.open(tmp_path)
    with pytest.raises(ArtifactError, match="found nothing"):
        FeatureStore.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="found a folder without it"):
        FeatureStore.open(tmp_path / "empty")


def test_verify_finds_content_that_breaks_the_rules_under_right_hashes(tmp_path):
    store = write(tmp_path / "store", shard_bytes=10**6)
    streams = {
        shards.tensor_name(sample.id, name): np.array(stream_TD)
        for sample in store.samples()
        for name, stream_TD in sample.streams.items()
    }
    streams["clip 4/video"][0, 0] = np.nan
    content = shards.encode(streams)
    name = "shards/00000.safetensors"
    (store.path / name).write_bytes(content)
    files = json.loads((store.path / "store.json").read_text())["files"]
    edit_header(
        store.path, files=files | {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}}
    )
    with pytest.raises(ArtifactError, match=r"'clip 4', stream 'video'.*NaN"):
        FeatureStore.open(store.path).verify()


def test_verify_tells_how_far_it_is(tmp_path):
    calls = []
    store = write(tmp_path / "store")
    store.verify(lambda done, total: calls.append((done, total)))
    assert calls == [(done, len(calls)) for done in range(1, len(calls) + 1)]
    assert len(calls) > 3


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing(tmp_path, interruption):
    target = tmp_path / "deep" / "down" / "store"

    def interrupted():
        for number, sample in enumerate(make_samples()):
            if number == 5:
                raise interruption
            yield sample

    with pytest.raises(interruption):
        write(target, interrupted())
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_sample_leaves_nothing(tmp_path):
    samples = make_samples()
    samples[7].streams["video"][0, 0] = np.inf
    with pytest.raises(InputError, match="clip 7"):
        write(tmp_path / "store", samples)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full_at", [0, 2, -1])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch, full_at):
    writes = []
    num_writes = len(all_bytes(write(tmp_path / "whole").path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 88, 12))

    def fsync(_):
        writes.append(1)
        if len(writes) == 1 + full_at % num_writes:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ResourceError, match=r"room for [\d,]+ bytes.*found 12 bytes free") as caught:
        write(tmp_path / "store")
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_other_errors_of_the_system_are_not_hidden(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    store = write(tmp_path / "store")
    before = all_bytes(store.path)
    with pytest.raises(InputError, match="does not exist"):
        write(store.path)
    assert all_bytes(store.path) == before


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="can be written"):
        write(tmp_path / "file" / "store")


def test_a_store_that_appears_while_writing_stays(tmp_path):
    target = tmp_path / "store"

    def meanwhile():
        yield from make_samples()
        target.mkdir()
        (target / "theirs").write_text("x")

    with pytest.raises(InputError, match="does not exist"):
        write(target, meanwhile())
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert [path.name for path in target.iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"provenance": {"when": object()}}, "plain JSON"),
        ({"provenance": {"rate": float("nan")}}, "plain JSON"),
        ({"criteria": ()}, "at least one criterion"),
        ({"segment_s": 0.0}, "above 0 s"),
        ({"derived_scales": ["totl"]}, "did you mean 'total'"),
    ],
)
def test_the_writer_refuses_wrong_settings(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path / "store", **options)
    assert list(tmp_path.iterdir()) == []


def test_scores_beyond_a_derived_scale_are_kept(tmp_path):
    samples = make_samples()
    samples[1].scores[0] = 41.0
    with pytest.raises(InputError, match="its scale 0 to 40, found 41"):
        write(tmp_path / "declared", samples)
    store = write(tmp_path / "derived", samples, derived_scales=["total"])
    assert store.info.derived_scales == ("total",)
    store.verify()


def test_a_store_may_lack_splits_that_nobody_needs(tmp_path):
    train = [sample for sample in make_samples() if sample.split == "train"]
    store = write(tmp_path / "store", train, splits_required=["train"])
    store.verify()
    assert store.ids("test") == ()
