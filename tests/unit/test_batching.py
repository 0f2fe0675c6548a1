import numpy as np
import pytest
import torch

from limssr.core.errors import InputError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import batches, collate, crop

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("total", 0.0, 40.0), Criterion("art", -5.0, 5.0))


def sample(sample_id="a", length=6, streams=("video", "audio"), scores=(20.0, 0.0)):
    generator = np.random.default_rng(length)
    arrays = {m.name: generator.normal(size=(length, m.dim)).astype(np.float32) for m in MODALITIES}
    return Sample(sample_id, {name: arrays[name] for name in streams}, np.array(scores))


def test_collate_pads_at_the_end_and_marks_what_is_real():
    first, second = sample("a", 4), sample("b", 2, streams=("audio",))
    first.streams["video"][1] = np.nan
    batch = collate([first, second], MODALITIES, CRITERIA)
    assert batch.ids == ("a", "b")
    assert list(batch.features) == ["video", "audio"]
    assert batch.present_BM.tolist() == [[True, True], [False, True]]
    assert batch.valid_BMT[0].tolist() == [[True, False, True, True], [True] * 4]
    assert batch.valid_BMT[1].tolist() == [[False] * 4, [True, True, False, False]]
    assert batch.lengths_B.tolist() == [4, 2]
    assert batch.lengths_B.dtype == torch.int64
    for column, modality in enumerate(MODALITIES):
        features_BTD = batch.features[modality.name]
        assert not features_BTD[~batch.valid_BMT[:, column]].any()
        assert torch.isfinite(features_BTD).all()
    assert torch.equal(batch.features["audio"][1, :2], torch.from_numpy(second.streams["audio"]))


def test_collate_converts_scores_to_the_unit_scale_and_keeps_what_was_not_judged():
    batch = collate([sample(scores=(30.0, np.nan))], MODALITIES, CRITERIA)
    assert batch.unit_scores_BC[0, 0] == pytest.approx(0.75)
    assert torch.isnan(batch.unit_scores_BC[0, 1])


def test_collate_without_scores_has_none():
    assert collate([sample(scores=())], MODALITIES, CRITERIA).unit_scores_BC is None


def test_collate_pads_to_a_given_length():
    batch = collate([sample(length=3)], MODALITIES, CRITERIA, pad_to=8)
    assert batch.valid_BMT.shape == (1, 2, 8)
    assert batch.valid_BMT.sum() == 6


def test_collate_follows_the_order_of_the_model_and_ignores_other_streams():
    batch = collate([sample()], MODALITIES[::-1][:1], CRITERIA)
    assert list(batch.features) == ["audio"]
    assert batch.present_BM.shape == (1, 1)


def test_a_stream_without_valid_segment_in_the_piece_is_absent():
    whole = sample(length=8)
    whole.streams["video"][4:] = np.nan
    piece = Sample(whole.id, {name: x[4:] for name, x in whole.streams.items()}, whole.scores)
    assert collate([piece], MODALITIES, CRITERIA).present_BM.tolist() == [[False, True]]


def test_collate_does_not_change_the_arrays_it_is_given():
    given = sample()
    given.streams["video"][2] = np.nan
    before = given.streams["video"].copy()
    collate([given], MODALITIES, CRITERIA)
    np.testing.assert_array_equal(given.streams["video"], before)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([], {}, "at least one sample"),
        ([sample(length=5)], {"pad_to": 4}, "at most 4 segments"),
        ([sample(), sample("b", scores=())], {}, "2 scores for every sample"),
        ([sample(scores=(1.0,))], {}, "2 scores for every sample"),
    ],
)
def test_collate_refuses(samples, options, message):
    with pytest.raises(InputError, match=message):
        collate(samples, MODALITIES, CRITERIA, **options)


def test_collate_refuses_another_width():
    with pytest.raises(InputError, match=r"'a', stream 'video'.*\(6, 4\).*\(6, 3\)"):
        collate([sample()], (Modality("video", 4),), CRITERIA)


def test_crop_takes_the_same_piece_of_every_stream():
    whole = sample(length=9)
    piece = crop(whole, 4, place="random", seed=1, epoch=2)
    start = next(t for t in range(6) if np.array_equal(whole.streams["video"][t : t + 4], piece.streams["video"]))
    np.testing.assert_array_equal(piece.streams["audio"], whole.streams["audio"][start : start + 4])
    assert (piece.id, piece.group, piece.split) == (whole.id, whole.group, whole.split)


def test_center_crop_is_in_the_middle():
    whole = sample(length=9)
    np.testing.assert_array_equal(crop(whole, 4, place="center").streams["audio"], whole.streams["audio"][2:6])


def test_random_crop_depends_on_seed_id_and_epoch_and_reaches_every_place():
    whole = sample(length=9)

    def start(**options):
        piece = crop(whole, 4, place="random", **options).streams["video"]
        return next(t for t in range(6) if np.array_equal(whole.streams["video"][t : t + 4], piece))

    assert start(seed=3, epoch=5) == start(seed=3, epoch=5)
    assert {start(seed=3, epoch=epoch) for epoch in range(100)} == set(range(6))
    assert {start(seed=seed, epoch=0) for seed in range(100)} == set(range(6))


def test_a_short_sample_or_no_length_leaves_it_whole():
    whole = sample(length=5)
    assert crop(whole, 5, place="random") is whole
    assert crop(whole, 50, place="center") is whole
    assert crop(whole, None, place="random") is whole


@pytest.mark.parametrize("place", ["random", "center"])
def test_crop_never_shows_only_gaps(place):
    whole = sample(length=30)
    for stream_TD in whole.streams.values():
        stream_TD[3:] = np.nan
    for epoch in range(50):
        piece = crop(whole, 5, place=place, epoch=epoch)
        assert piece.num_segments == 5
        assert collate([piece], MODALITIES, CRITERIA).present_BM.all()


def test_crop_refuses_nothing():
    with pytest.raises(InputError, match="at least 1 segment"):
        crop(sample(), 0, place="center")


LENGTHS = [3, 20, 4, 19, 5, 18, 6, 17, 7, 16, 8]


def plan(shuffle, *, seed=0, epoch=0, batch_size=4):
    samples = [sample(str(number), length) for number, length in enumerate(LENGTHS)]
    return batches(samples, batch_size=batch_size, seed=seed, epoch=epoch, shuffle=shuffle)


@pytest.mark.parametrize("shuffle", ["none", "random", "length"])
def test_every_sample_stands_in_exactly_one_batch(shuffle):
    planned = plan(shuffle)
    assert sorted(index for batch in planned for index in batch) == list(range(len(LENGTHS)))
    assert sorted(map(len, planned), reverse=True) == [4, 4, 3]
    assert planned == plan(shuffle)


def test_without_shuffling_the_order_stays():
    assert plan("none") == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize("shuffle", ["random", "length"])
def test_another_seed_or_epoch_gives_another_order(shuffle):
    assert len({str(plan(shuffle, epoch=epoch)) for epoch in range(20)}) > 3
    assert len({str(plan(shuffle, seed=seed)) for seed in range(20)}) > 3


def test_batches_of_similar_length_pad_less():
    def padding(shuffle):
        return sum(
            max(LENGTHS[i] for i in batch) - LENGTHS[index] for batch in plan(shuffle, batch_size=3) for index in batch
        )

    assert padding("length") < 0.6 * padding("random")


def test_batches_refuse_an_empty_batch():
    with pytest.raises(InputError, match="batch size of at least 1"):
        plan("none", batch_size=0)


def test_a_batch_knows_its_masks_on_the_host():
    batch = collate([sample("a", 4), sample("b", 2, streams=("audio",))], MODALITIES, CRITERIA)
    moved = batch.to(torch.device("meta"))
    assert all(torch.equal(*pair) for pair in zip(moved.masks_on_host(), batch.masks_on_host(), strict=True))
    shorter = batch.valid_BMT.clone()
    shorter[0] = False
    there = batch.to(torch.device("cpu"))
    altered = Batch(
        ids=there.ids,
        features=there.features,
        present_BM=there.present_BM,
        valid_BMT=shorter,
        lengths_B=there.lengths_B,
        host_masks=there.host_masks,
    )
    assert torch.equal(altered.masks_on_host()[1], shorter)
