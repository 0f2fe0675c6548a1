import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import batches, collate, crop

MODALITIES = (Modality("a", 2), Modality("b", 1), Modality("c", 3))
CRITERIA = (Criterion("x", -1.0, 3.0), Criterion("y", 0.0, 10.0))


@st.composite
def samples(draw, sample_id="s"):
    length = draw(st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    owned = draw(st.lists(st.sampled_from(MODALITIES), min_size=1, unique=True))
    streams = {}
    for modality in owned:
        stream_TD = generator.normal(size=(length, modality.dim)).astype(np.float32)
        gaps = draw(st.lists(st.integers(0, length - 1), max_size=length - 1))
        stream_TD[gaps] = np.nan
        streams[modality.name] = stream_TD
    return Sample(sample_id, streams, generator.uniform([-1, 0], [3, 10]))


many = st.lists(samples(), min_size=1, max_size=5).map(
    lambda found: [Sample(f"s{number}", s.streams, s.scores) for number, s in enumerate(found)]
)


@given(many, st.integers(0, 4))
def test_a_batch_holds_exactly_what_the_samples_hold(found, extra):
    longest = max(sample.num_segments for sample in found)
    batch = collate(found, MODALITIES, CRITERIA, pad_to=longest + extra)
    assert batch.valid_BMT.shape == (len(found), 3, longest + extra)
    assert torch.equal(batch.present_BM, batch.valid_BMT.any(dim=2))
    for column, modality in enumerate(MODALITIES):
        features_BTD, valid_BT = batch.features[modality.name], batch.valid_BMT[:, column]
        assert torch.isfinite(features_BTD).all()
        assert not features_BTD[~valid_BT].any()
        for row, sample in enumerate(found):
            length = sample.num_segments
            assert not valid_BT[row, length:].any()
            assert bool(batch.present_BM[row, column]) == (modality.name in sample.streams)
            if modality.name in sample.streams:
                stream_TD = sample.streams[modality.name]
                back_TD = np.where(valid_BT[row, :length, None], features_BTD[row, :length], np.nan)
                np.testing.assert_array_equal(back_TD, stream_TD)
    for column, criterion in enumerate(CRITERIA):
        back_B = criterion.to_score(batch.unit_scores_BC[:, column].double().numpy())
        np.testing.assert_allclose(back_B, [sample.scores[column] for sample in found], atol=1e-5)


@given(many, st.randoms())
def test_permuting_the_samples_permutes_the_batch(found, random):
    order = list(range(len(found)))
    random.shuffle(order)
    batch = collate(found, MODALITIES, CRITERIA)
    permuted = collate([found[index] for index in order], MODALITIES, CRITERIA)
    assert permuted.ids == tuple(batch.ids[index] for index in order)
    assert torch.equal(permuted.valid_BMT, batch.valid_BMT[order])
    assert torch.equal(permuted.lengths_B, batch.lengths_B[order])
    for name, features_BTD in batch.features.items():
        assert torch.equal(permuted.features[name], features_BTD[order])


@given(many)
def test_a_batch_is_its_samples_side_by_side(found):
    longest = max(sample.num_segments for sample in found)
    together = collate(found, MODALITIES, CRITERIA)
    for row, sample in enumerate(found):
        alone = collate([sample], MODALITIES, CRITERIA, pad_to=longest)
        assert torch.equal(alone.valid_BMT[0], together.valid_BMT[row])
        assert all(torch.equal(alone.features[name][0], x[row]) for name, x in together.features.items())


@given(samples(), st.integers(1, 9), st.sampled_from(["random", "center"]), st.integers(0, 99), st.integers(0, 99))
def test_a_crop_is_one_piece_with_something_in_it(sample, length, place, seed, epoch):
    piece = crop(sample, length, place=place, seed=seed, epoch=epoch)
    assert piece.num_segments == min(length, sample.num_segments)
    starts = [
        start
        for start in range(sample.num_segments - piece.num_segments + 1)
        if all(
            np.array_equal(piece.streams[name], x[start : start + piece.num_segments], equal_nan=True)
            for name, x in sample.streams.items()
        )
    ]
    assert starts
    assert any(not np.isnan(stream_TD).all() for stream_TD in piece.streams.values())


@given(
    st.lists(st.integers(1, 40), max_size=60),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["none", "random", "length"]),
)
def test_an_epoch_is_a_partition_of_the_samples(lengths, batch_size, seed, epoch, shuffle):
    found = [Sample(str(number), {"b": np.zeros((length, 1))}) for number, length in enumerate(lengths)]
    planned = batches(found, batch_size=batch_size, seed=seed, epoch=epoch, shuffle=shuffle)
    assert sorted(index for batch in planned for index in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in planned)
    assert len(planned) == -(-len(lengths) // batch_size)
