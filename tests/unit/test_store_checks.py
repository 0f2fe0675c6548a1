"""A store is hashed once; afterwards size, times and place of its files say whether it is still the same."""

import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from limssr.core.errors import ArtifactError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.mask import mask_store
from limssr.data.store import mapped
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter

VIDEO = Modality("video", 8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test alone."""
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path, num_samples=8, num_segments=3, **options):
    generator = np.random.default_rng(0)
    criteria = [Criterion("total", 0, 10)]
    with StoreWriter(path, name="s", modalities=[VIDEO], criteria=criteria, provenance={}, **options) as writer:
        for number in range(num_samples):
            split = ("train", "val", "test")[number % 3]
            streams = {"video": generator.normal(size=(num_segments, 8))}
            writer.add(Sample(f"c{number}", streams, np.array([float(number % 10)]), split=split))
    return path


@pytest.fixture
def hashes(monkeypatch):
    """The files that were hashed, by name."""
    from limssr.data.store import reader

    seen = []
    original = reader.check_hash
    monkeypatch.setattr(reader, "check_hash", lambda path, expected: (seen.append(path.name), original(path, expected)))
    return seen


def checked(path, hashes):
    """Whether a check read the shards, and what it said."""
    store, said = FeatureStore.open(path), []
    hashes.clear()
    store.check(said.append)
    return bool(hashes), said


def test_a_store_that_was_just_written_is_not_hashed_again(tmp_path, cache, hashes):
    path = write(tmp_path / "store")
    assert checked(path, hashes) == (False, [])
    mask_store(path, tmp_path / "half")
    assert "00000.safetensors" not in hashes
    FeatureStore.open(path).verify()
    assert "00000.safetensors" in hashes


def test_a_store_that_nobody_saw_here_is_verified_once(tmp_path, cache, hashes):
    path = write(tmp_path / "store")
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    assert checked(copy, hashes) == (True, [])
    assert checked(copy, hashes) == (False, [])
    shutil.rmtree(cache)
    assert checked(path, hashes) == (True, [])


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("hide", ["not at all", "the time", "the file"])
def test_a_file_that_was_altered_is_found_without_a_word_from_its_size(tmp_path, cache, hashes, hide):
    path = write(tmp_path / "store")
    shard = path / "shards" / "00000.safetensors"
    status = shard.stat()
    if hide == "the file":
        other = tmp_path / "other"
        shutil.copy2(shard, other)
        flip(other)
        os.replace(other, shard)
    else:
        flip(shard)
    if hide != "not at all":
        os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    said = []
    with pytest.raises(ArtifactError, match=r"00000\.safetensors: expected SHA-256"):
        FeatureStore.open(path).check(said.append)
    assert "verifying every file again" in said[0]


def test_a_touched_store_is_verified_again_and_goes_on(tmp_path, cache, hashes):
    path = write(tmp_path / "store")
    os.utime(path / "shards" / "00000.safetensors")
    read, said = checked(path, hashes)
    assert read
    assert "verified" in said[0]
    assert checked(path, hashes) == (False, [])


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch, hashes):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "file"))
    path = write(tmp_path / "store")
    assert checked(path, hashes)[0]
    assert checked(path, hashes)[0]


@pytest.mark.parametrize("use", ["verify", "samples", "sample"])
def test_many_shards_need_few_open_files(tmp_path, cache, use):
    path = write(tmp_path / "store", num_samples=150, shard_bytes=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
        store = FeatureStore.open(path)
        if use == "verify":
            store.verify()
        elif use == "samples":
            assert len({float(sample.streams["video"].sum()) for sample in store.samples()}) == 150
        else:
            kept = [store.sample(sample_id) for sample_id in store.ids()]
            assert np.isfinite([sample.streams["video"].sum() for sample in kept]).all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident():
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_pages_of_a_store_are_given_back_and_read_again(tmp_path, cache):
    path = write(tmp_path / "store", num_samples=6, num_segments=100_000)
    streams = [sample.streams["video"] for sample in FeatureStore.open(path).samples()]
    before = resident()
    total = sum(float(stream.sum()) for stream in streams)
    used = resident()
    assert used - before > 15e6
    for stream in streams:
        mapped.give_back(stream[7:])
    assert used - resident() > 15e6
    assert sum(float(stream.sum()) for stream in streams) == total
    # Memory that is no file stays what it is.
    own = np.arange(1_000_000.0)
    mapped.give_back(own)
    mapped.give_back(own[3:])
    assert own[999_999] == 999_999


@pytest.mark.parametrize("change", [{"columns": ["a"]}, {"columns": ["a"] * 8}, {"offsets": [1.0]}, {"columns": 3}])
def test_columns_that_do_not_fit_their_stream_are_refused(tmp_path, cache, change):
    path = write(tmp_path / "store")
    header = json.loads((path / "store.json").read_text())
    header["modalities"][0] |= change
    (path / "store.json").write_text(json.dumps(header))
    with pytest.raises(ArtifactError):
        FeatureStore.open(path)
