"""Every kind of wrong data: a clear word, exit code 2, and no store left behind."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.reader import StoreWriter
from limssr.data.validate import check_collection, check_criteria, check_modalities, check_sample

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("total", 0.0, 10.0),)


def good(number, **changes):
    fields = {
        "id": f"s{number}",
        "streams": {"video": np.ones((4, 3), np.float32), "audio": np.ones((4, 2), np.float32)},
        "scores": np.array([float(number)]),
        "group": f"g{number}",
        "split": ("train", "train", "val", "test")[number % 4],
    }
    return Sample(**(fields | changes))


def write(path, samples):
    with StoreWriter(path, name="x", modalities=MODALITIES, criteria=CRITERIA, provenance={}) as writer:
        for sample in samples:
            writer.add(sample)


def streams(**changes):
    return {**good(0).streams, **changes}


def with_value(value, where):
    video_TD = np.ones((4, 3), np.float32)
    video_TD[where] = value
    return streams(video=video_TD)


BAD_SAMPLES = {
    "NaN in part of a segment": (
        good(5, streams=with_value(np.nan, (2, 1))),
        "'s5', stream 'video': expected segments that are all NaN.*1 of 3 values NaN in segment 2",
    ),
    "Inf": (good(5, streams=with_value(np.inf, (1, 2))), "stream 'video'.*finite.*inf.*segment 1, feature 2"),
    "minus Inf": (good(5, streams=with_value(-np.inf, (1, 2))), "stream 'video'.*finite.*-inf"),
    "Inf in a gap": (
        good(5, streams=streams(video=np.array([[np.nan, np.inf, np.nan]] * 4))),
        "stream 'video'.*finite",
    ),
    "too large for float32": (good(5, streams=with_value(1.0, 0) | {"audio": np.full((4, 2), 1e300)}), "1e\\+300"),
    "width": (good(5, streams=streams(video=np.ones((4, 5)))), "stream 'video': expected width 3, found 5"),
    "rank 1": (good(5, streams=streams(video=np.ones(4))), "stream 'video': expected rank 2.*rank 1"),
    "rank 3": (good(5, streams=streams(video=np.ones((4, 2, 3)))), "expected rank 2.*rank 3"),
    "rank 0": (good(5, streams=streams(video=np.float32(1))), "expected rank 2.*rank 0"),
    "text": (good(5, streams=streams(video=np.full((4, 3), "x"))), "stream 'video'.*real numbers.*dtype <U1"),
    "objects": (good(5, streams=streams(video=np.full((4, 3), None))), "real numbers.*dtype object"),
    "complex": (good(5, streams=streams(video=np.ones((4, 3), complex))), "real numbers.*complex128"),
    "booleans": (good(5, streams=streams(video=np.ones((4, 3), bool))), "real numbers.*bool"),
    "zero segments": (good(5, streams=streams(video=np.ones((0, 3)))), "stream 'video'.*at least one segment.*zero"),
    "different lengths": (
        good(5, streams=streams(audio=np.ones((3, 2)))),
        "'s5'.*same number of segments.*video 4, audio 3",
    ),
    "different length of a stream of gaps": (
        good(5, streams=streams(audio=np.full((3, 2), np.nan))),
        "same number of segments",
    ),
    "no stream": (good(5, streams={}), "'s5'.*at least one stream.*all streams are absent"),
    "streams of None": (good(5, streams={"video": None}), "all streams are absent"),
    "only gaps": (good(5, streams={"video": np.full((4, 3), np.nan)}), "every segment of every stream is NaN"),
    "unknown stream": (good(5, streams=streams(vidoe=np.ones((4, 3)))), "'s5'.*'vidoe'.*did you mean 'video'"),
    "score below the scale": (good(5, scores=np.array([-0.1])), "'s5'.*'total' on its scale 0 to 10, found -0.1"),
    "score above the scale": (good(5, scores=np.array([10.5])), "scale 0 to 10, found 10.5"),
    "infinite score": (good(5, scores=np.array([np.inf])), "found inf"),
    "two scores for one criterion": (good(5, scores=np.ones(2)), "expected 1 numeric scores"),
    "no scores": (good(5, scores=np.empty(0)), "expected 1 numeric scores"),
    "scores as text": (good(5, scores=np.array(["5"])), "numeric scores"),
    "no split": (good(5, split=None), "'s5': expected a split"),
    "unknown split": (good(5, split="training"), "'training'.*did you mean 'train'"),
    "empty id": (good(5, id=" "), "sample id"),
    "id with a line break": (good(5, id="a\nb"), "sample id"),
    "duplicate id": (good(5, id="s1"), "occur once, found 's1'"),
    "group on two sides": (good(6, group="g1"), "group 'g1' in train and val"),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_a_bad_sample_is_refused_and_leaves_no_store(tmp_path, kind):
    bad, message = BAD_SAMPLES[kind]
    with pytest.raises(InputError, match=message) as caught:
        write(tmp_path / "store", [*(good(number) for number in range(4)), bad])
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def flat(number, score):
    return good(number, scores=np.array([score]), split="train")


BAD_COLLECTIONS = {
    "empty test": ([good(0), good(1), good(2)], "split 'test', found none.*train 2, val 1, test 0"),
    "empty val": ([good(0), good(1), good(3)], "split 'val', found none"),
    "empty train": ([good(2), good(3)], "split 'train', found none"),
    "nothing": ([], "split 'train', found none"),
    "constant scores": (
        [flat(0, 5.0), flat(1, 5.0), good(2), good(3)],
        "'total': expected at least two different scores among the 2 training samples, found only 5",
    ),
    "never judged": ([flat(0, np.nan), flat(1, np.nan), good(2), good(3)], "'total'.*found no score at all"),
}


@pytest.mark.parametrize("kind", BAD_COLLECTIONS)
def test_a_bad_collection_is_refused_and_leaves_no_store(tmp_path, kind):
    samples, message = BAD_COLLECTIONS[kind]
    with pytest.raises(InputError, match=message) as caught:
        write(tmp_path / "store", samples)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_good_samples_pass_and_are_normalised():
    gap = np.ones((4, 2))
    gap[1] = np.nan
    given = good(0, streams={"audio": gap, "video": np.full((4, 3), np.nan)})
    checked = check_sample(given, MODALITIES, CRITERIA)
    assert list(checked.streams) == ["audio"]
    assert checked.streams["audio"].dtype == np.float32
    assert checked.scores.dtype == np.float64
    complete = check_sample(good(0, streams=dict(reversed(good(0).streams.items()))), MODALITIES, CRITERIA)
    assert list(complete.streams) == ["video", "audio"]


def test_new_samples_need_no_scores():
    assert check_sample(good(0, scores=np.empty(0)), MODALITIES, CRITERIA, scores="optional").scores.size == 0
    with pytest.raises(InputError, match="scale 0 to 10"):
        check_sample(good(0, scores=np.array([11.0])), MODALITIES, CRITERIA, scores="optional")


def test_the_ends_of_a_scale_belong_to_it():
    for score in (0.0, 10.0, 10.0 + 1e-10):
        check_sample(good(0, scores=np.array([score])), MODALITIES, CRITERIA)


def test_samples_without_a_group_may_stand_anywhere():
    check_collection([good(number, group="") for number in range(4)], CRITERIA)


def test_all_samples_together_may_repeat_no_id():
    with pytest.raises(InputError, match="found 's0' more than once"):
        check_collection([good(0), good(1), good(0)], CRITERIA, splits_required=())


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ((), "at least one stream"),
        ((Modality("a", 0),), "width of at least 1"),
        ((Modality("a", 1), Modality("a", 2)), "'a' 2 times"),
        ((Modality("a/b", 1),), "'a/b'"),
        ((Modality("", 1),), "stream name"),
        ((Modality("independent", 1),), "none of independent"),
    ],
)
def test_bad_streams_are_refused(modalities, message):
    with pytest.raises(InputError, match=message):
        check_modalities(modalities)


@pytest.mark.parametrize("name", ["video", "rgb_VST", "left hand", "é2", "a.b-c"])
def test_good_stream_names(name):
    check_modalities([Modality(name, 1)])


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ([Criterion("a", 1.0, 1.0)], "low < high"),
        ([Criterion("a", 0.0, float("inf"))], "both finite"),
        ([Criterion("a"), Criterion("a")], "'a' 2 times"),
        ([Criterion("\t")], "printable"),
    ],
)
def test_bad_criteria_are_refused(criteria, message):
    with pytest.raises(InputError, match=message):
        check_criteria(criteria)
