"""Samples that are unlike the training data, and what is kept to know it."""

import numpy as np
import pyarrow as pa
import pytest

from limssr.core.errors import ArtifactError
from limssr.core.files import write_table
from limssr.core.types import Modality, Sample
from limssr.runs.reliability.familiar import FAMILIAR, measure, read_familiar, why_unlike, write_familiar

MODALITIES = (Modality("motion", 3, ("left", "right", "still")), Modality("sound", 2))
GENERATOR = np.random.default_rng(0)


def motion(num_segments, **changes):
    x_TD = GENERATOR.uniform(0.0, 1.0, size=(num_segments, 3)).astype(np.float32)
    x_TD[:, 2] = 4.0
    for place, value in changes.items():
        x_TD[1, MODALITIES[0].columns.index(place)] = value
    return x_TD


TRAINING = [Sample(f"t{n}", {"motion": motion(8 + n % 5)}) for n in range(60)]


@pytest.fixture
def usual(tmp_path):
    write_familiar(tmp_path, TRAINING, MODALITIES)
    found = read_familiar(tmp_path, MODALITIES)
    for name, one in measure(TRAINING, MODALITIES).items():
        for key, value in vars(one).items():
            np.testing.assert_array_equal(getattr(found[name], key), value)
    return found


def test_what_is_like_the_training_data_is_not_flagged(usual):
    flagged = [why_unlike(usual, Sample("n", {"motion": motion(9)}), MODALITIES) for _ in range(100)]
    assert sum(map(bool, flagged)) <= 6  # one in a hundred is meant to be further away than 99 % of the training data


@pytest.mark.parametrize(
    ("streams", "part"),
    [
        ({"motion": motion(9, right=40.0)}, "motion: right reaches 40, in training"),
        ({"motion": motion(9, left=-3.0)}, "motion: left reaches -3, in training"),
        ({"motion": motion(90)}, "90 segments, in training at most 12"),
        ({"motion": motion(9) * 0.1 + np.float32(0.45)}, "further from the mean of training"),
    ],
)
def test_what_is_unlike_it_is_flagged_with_the_reason(usual, streams, part):
    assert part in why_unlike(usual, Sample("n", streams), MODALITIES)


def test_streams_of_which_nothing_is_known_are_not_judged(usual, tmp_path):
    assert why_unlike(usual, Sample("n", {"sound": np.full((4, 2), 1e9, np.float32)}), MODALITIES) == ""
    assert why_unlike(usual, Sample("n", {"motion": np.full((4, 3), np.nan, np.float32)}), MODALITIES) == ""
    few = measure(TRAINING[:5], MODALITIES)
    assert why_unlike(few, Sample("n", {"motion": motion(9, right=40.0)}), MODALITIES) == ""
    assert read_familiar(tmp_path / "elsewhere", MODALITIES) is None


def test_what_was_altered_is_refused(tmp_path):
    write_familiar(tmp_path, TRAINING, MODALITIES)
    with pytest.raises(ArtifactError, match="3 features of motion"):
        read_familiar(tmp_path, (Modality("motion", 4),))
    write_table(tmp_path / FAMILIAR, pa.table({"stream": ["motion"], "low": [0.0]}))
    with pytest.raises(ArtifactError, match="train again"):
        read_familiar(tmp_path, (Modality("motion", 1),))
