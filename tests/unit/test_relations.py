"""Streams that are set against each other: read alike one by one and in batches, and found where the answer is."""

import numpy as np
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.relations import pairs_as_text, pairs_from_text, pairs_of, relate_batch, relate_samples, related
from limssr.systems.build import build_model

MODALITIES = (Modality("left", 3), Modality("right", 3), Modality("other", 2))
CRITERIA = (Criterion("score", 0.0, 10.0),)


def make_samples(num=80, seed=0):
    """The score is how far right is from left, which neither shows by itself."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num):
        length, score = int(rng.integers(4, 9)), rng.uniform(0, 10)
        left = rng.normal(size=(length, 3)) * 5
        right = left + rng.normal(size=(length, 3)) * score / 5
        right[rng.random(length) < 0.2] = np.nan
        right[0] = left[0]
        streams = {"left": left, "right": right, "other": rng.normal(size=(length, 2))}
        if number % 4 == 0:
            del streams["left" if number % 8 else "other"]
        streams = {name: stream.astype(np.float32) for name, stream in streams.items()}
        found.append(Sample(f"p{number}", streams, np.array([score]), f"g{number}", "train"))
    return found


def test_pairs_have_one_width_and_enough_owners():
    samples = make_samples()
    assert pairs_of(samples, MODALITIES) == [(0, 1)]
    assert pairs_of(samples[:9], MODALITIES) == []
    many = tuple(Modality(f"s{m}", 2) for m in range(9))
    twins = [Sample(f"{n}", {one.name: np.zeros((2, 2), np.float32) for one in many}) for n in range(20)]
    assert pairs_of(twins, many) == []
    assert pairs_from_text(pairs_as_text([(0, 1)]), MODALITIES) == [(0, 1)]
    assert pairs_from_text("1-0,0-2,0-9,x", MODALITIES) == []


def test_batches_and_samples_are_read_alike():
    samples, means = make_samples(12), [torch.tensor([0.5, 0.0, -0.5])]
    batch = relate_batch(collate(samples, MODALITIES, CRITERIA), MODALITIES, [(0, 1)], means)
    every = (*MODALITIES, *related(MODALITIES, [(0, 1)]))
    other = collate(relate_samples(samples, MODALITIES, [(0, 1)], means), every, CRITERIA)
    assert torch.equal(batch.present_BM, other.present_BM)
    assert torch.equal(batch.valid_BMT, other.valid_BMT)
    for one in every:
        torch.testing.assert_close(batch.features[one.name], other.features[one.name])


def test_a_score_that_lies_between_two_streams_is_found():
    samples, new = make_samples(160), make_samples(80, seed=1)
    truth = np.array([one.scores[0] for one in new])
    both = np.array([len(one.streams) == 3 for one in new])
    rows = [(n, tuple(one.streams)) for n, one in enumerate(new)]
    found = {}
    for pairs in ("", "0-1"):
        config = ModelConfig(system="kernel-ridge", options={"kernel": "gaussian", "pairs": pairs})
        model = build_model(config, MODALITIES, CRITERIA, seed=0)
        model.calibrate(samples)
        predicted = model.score_subsets(new, rows)[:, 0]
        with torch.no_grad():
            alone = model(collate(new, MODALITIES, CRITERIA)).unit_scores_BC[:, 0].numpy()
        np.testing.assert_allclose(10 * alone.clip(0, 1), predicted, atol=1e-3)
        found[pairs] = np.corrcoef(predicted[both], truth[both])[0, 1]
    assert found["0-1"] > 0.65
    assert found["0-1"] > found[""] + 0.15
