import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.reader import FeatureStore, StoreWriter

MODALITIES = (Modality("a", 2), Modality("b", 1))
CRITERIA = (Criterion("x", -10.0, 10.0), Criterion("y", 0.0, 1.0))
ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def samples(draw, sample_id, split):
    length = draw(st.integers(1, 4))
    owned = draw(st.lists(st.sampled_from(MODALITIES), min_size=1, unique=True))
    streams = {}
    for modality in MODALITIES:
        if modality in owned:
            row = st.lists(finite, min_size=modality.dim, max_size=modality.dim)
            rows = draw(st.lists(st.one_of(row, st.none()), min_size=length, max_size=length))
            # The first segment is valid: a stream of gaps only does not exist.
            rows[0] = rows[0] or [1.5] * modality.dim
            nothing = [np.nan] * modality.dim
            streams[modality.name] = np.array([row or nothing for row in rows], np.float32)
    scores = [draw(st.one_of(st.just(np.nan), st.floats(c.low, c.high))) for c in CRITERIA]
    return Sample(sample_id, streams, np.array(scores), draw(st.sampled_from(["", f"g-{split}"])), split)


@st.composite
def collections(draw):
    names = draw(st.lists(ids, min_size=4, max_size=8, unique=True))
    splits = ["train", "train", "val", "test"] + [draw(st.sampled_from(["train", "val", "test"])) for _ in names[4:]]
    found = [draw(samples(name, split)) for name, split in zip(names, splits, strict=True)]
    # Two different training scores of each criterion, or there would be nothing to learn.
    for number in (0, 1):
        found[number].scores[:] = [number, number]
    return draw(st.permutations(found))


def write(path, found, shard_bytes):
    with StoreWriter(
        path, name="any", modalities=MODALITIES, criteria=CRITERIA, provenance={}, shard_bytes=shard_bytes
    ) as writer:
        for sample in found:
            writer.add(sample)
    return FeatureStore.open(path)


@settings(max_examples=20, deadline=None)
@given(collections(), st.integers(1, 200))
def test_what_is_written_is_what_is_read(found, shard_bytes):
    with tempfile.TemporaryDirectory() as folder:
        store = write(Path(folder) / "one", found, shard_bytes)
        store.verify()
        assert store.ids() == tuple(sample.id for sample in found)
        for sample in found:
            back = store.sample(sample.id)
            assert (back.group, back.split) == (sample.group, sample.split)
            np.testing.assert_array_equal(back.scores, sample.scores)
            assert list(back.streams) == list(sample.streams)
            # Segments at the end that no stream has are padding.
            valid_T = np.any([~np.isnan(stream_TD[:, 0]) for stream_TD in sample.streams.values()], axis=0)
            end = int(np.flatnonzero(valid_T)[-1]) + 1
            for name, stream_TD in sample.streams.items():
                np.testing.assert_array_equal(back.streams[name], stream_TD[:end])
        assert write(Path(folder) / "two", found, shard_bytes).fingerprint == store.fingerprint


@settings(max_examples=20, deadline=None)
@given(collections(), st.randoms(use_true_random=False), st.integers(1, 200))
def test_the_order_of_writing_changes_no_sample(found, random, shard_bytes):
    shuffled = list(found)
    random.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as folder:
        one, two = (write(Path(folder) / str(n), s, shard_bytes) for n, s in enumerate((found, shuffled)))
        for sample_id in one.ids():
            for name, stream_TD in one.sample(sample_id).streams.items():
                np.testing.assert_array_equal(two.sample(sample_id).streams[name], stream_TD)
