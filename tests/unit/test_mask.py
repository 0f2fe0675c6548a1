import numpy as np
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.data.mask import Availability, mask_store, masked
from limssr.data.missing import availability_mask
from limssr.data.store.reader import FeatureStore


def owned(samples):
    return {sample.id: tuple(sample.streams) for sample in samples}


@pytest.mark.parametrize("pattern", ["independent", "one-stream", "audio"])
def test_on_disk_and_in_memory_are_the_same(store, tmp_path, pattern):
    out = mask_store(store, tmp_path / "masked", rate=0.5, seed=3, pattern=pattern)
    in_memory = masked(store.samples(), Availability(0.5, 3, pattern))
    assert owned(out.samples()) == owned(in_memory)
    assert owned(out.samples()) != owned(store.samples())
    for found, expected in zip(out.samples(), in_memory, strict=True):
        for name, stream_TD in expected.streams.items():
            np.testing.assert_array_equal(found.streams[name], stream_TD)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert (found.group, found.split) == (expected.group, expected.split)


def test_any_order_gives_the_same_streams(store):
    samples = store.samples()
    assert owned(masked(samples, Availability())) == owned(masked(samples[::-1], Availability()))
    alone = {sample.id: tuple(masked([sample], Availability())[0].streams) for sample in samples}
    assert alone == owned(masked(samples, Availability()))


def test_other_splits_stay_complete(store, tmp_path):
    out = mask_store(store, tmp_path / "masked", rate=1.0, seed=0, splits=["train"])
    assert {len(sample.streams) for sample in out.samples("train")} == {1}
    assert {len(sample.streams) for sample in out.samples("val") + out.samples("test")} == {3}


def test_samples_without_a_split_are_masked(world):
    new = [sample for sample in world.samples if sample.split == "test"]
    assert owned(masked(new, Availability(1.0))) == owned(new)
    unsplit = [type(sample)(sample.id, sample.streams, sample.scores) for sample in new]
    assert {len(sample.streams) for sample in masked(unsplit, Availability(1.0))} == {1}


def test_hidden_values_are_physically_gone(store, tmp_path):
    out = mask_store(store, tmp_path / "masked", rate=0.5, seed=0)
    out.verify()
    content = b"".join(path.read_bytes() for path in sorted((out.path / "shards").iterdir()))
    gone = 0
    for sample in store.samples():
        kept = out.sample(sample.id).streams
        for name, stream_TD in sample.streams.items():
            row = stream_TD[~np.isnan(stream_TD[:, 0])][0].tobytes()
            assert (row in content) == (name in kept)
            gone += name not in kept
    assert gone > 20


def test_provenance_says_how_and_from_what(store, tmp_path):
    out = mask_store(store, tmp_path / "masked", rate=0.25, seed=9, pattern="one-stream", splits=["train"])
    expected = {"rate": 0.25, "seed": 9, "pattern": "one-stream", "splits": ["train"]}
    assert out.info.availability == expected
    assert out.info.provenance["parent"]["fingerprint"] == store.fingerprint
    assert out.info.provenance["parent"]["provenance"] == store.info.provenance
    assert store.info.availability is None
    assert out.info.name == store.info.name


def test_the_same_mask_gives_the_same_bytes(store_path, tmp_path):
    first = mask_store(store_path, tmp_path / "one")
    assert first.fingerprint == mask_store(str(store_path), tmp_path / "two").fingerprint


def test_samples_that_are_incomplete_already_keep_what_the_hash_says(store, tmp_path):
    once = mask_store(store, tmp_path / "once", rate=0.5, seed=0)
    twice = mask_store(once, tmp_path / "twice", rate=0.5, seed=1)
    for sample in once.samples("train"):
        expected = availability_mask(sample.id, tuple(sample.streams), rate=0.5, seed=1, pattern="independent")
        assert tuple(twice.sample(sample.id).streams) == expected
    assert twice.info.provenance["parent"]["provenance"]["availability"]["seed"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "vidoe"}, "did you mean 'video'"),
        ({"rate": 1.5}, "rate from 0 to 1"),
        ({"splits": ["training"]}, "did you mean 'train'"),
    ],
)
def test_wrong_options_are_refused(store, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        mask_store(store, tmp_path / "masked", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_and_a_damaged_store_are_refused(store, tmp_path):
    out = mask_store(store, tmp_path / "masked")
    with pytest.raises(InputError, match="does not exist"):
        mask_store(store, out.path)
    shard = out.path / "shards" / "00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArtifactError, match="SHA-256"):
        mask_store(FeatureStore.open(out.path), tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["masked"]


def test_progress_is_told(store, tmp_path):
    calls = []
    mask_store(store, tmp_path / "masked", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (60, 60)
    assert len(calls) == 60
