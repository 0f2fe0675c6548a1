"""Solved networks: what they read, that they learn, and that they come back from disk as they were."""

import json

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import ArtifactError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.evaluation.scorer import ModelScorer
from limssr.nn.random_convolutions import RandomConvolutions, dilations_for
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained
from limssr.systems.solved.evidence import shown_subsets
from limssr.systems.solved.mixture import MIXTURE, Mixture

MODALITIES = (Modality("video", 4), Modality("audio", 3))
CRITERIA = (Criterion("score", 0.0, 10.0), Criterion("other", 0.0, 10.0))
KINDS = {
    "linear": ModelConfig(system="kernel-ridge", options={"kernel": "linear"}),
    "gaussian": ModelConfig(system="kernel-ridge", options={"kernel": "gaussian"}),
    "convolutions": ModelConfig(system="kernel-ridge", options={"kernel": "gaussian", "dilations": "1,2"}),
    "forest": ModelConfig(system="forest"),
    "constant": ModelConfig(system="constant"),
}


def make_samples(num_samples: int, *, seed: int = 0) -> list[Sample]:
    """The first score is the level of video; every third sample has no video, and every fourth no audio."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num_samples):
        score, length = rng.uniform(1, 9), int(rng.integers(6, 12))
        streams = {
            "video": (rng.normal(size=(length, 4)) + score).astype(np.float32),
            "audio": rng.normal(size=(length, 3)).astype(np.float32),
        }
        streams["video"][2] = np.nan
        if number % 3 == 0:
            del streams["video"]
        elif number % 4 == 0:
            del streams["audio"]
        other = np.nan if number % 5 == 0 else 10 - score
        found.append(Sample(f"{number}", streams, np.array([score, other]), f"g{number % 12}", "train"))
    return found


@pytest.fixture(scope="module")
def learned():
    samples = make_samples(80)
    found = {}
    for name, config in KINDS.items():
        found[name] = build_model(config, MODALITIES, CRITERIA, seed=0)
        found[name].calibrate(samples)
        found[name].eval()
    return found


class TestSolvedNetworks:
    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "constant"])
    def test_learns_what_a_stream_tells_and_falls_back_to_the_mean_without_it(self, learned, kind):
        new = [one for one in make_samples(60, seed=1) if "video" in one.streams]
        predicted_NC = ModelScorer(learned[kind]).score(new)
        truth_N = np.array([sample.scores[0] for sample in new])
        assert np.corrcoef(predicted_NC[:, 0], truth_N)[0, 1] > 0.85
        assert np.corrcoef(predicted_NC[:, 1], truth_N)[0, 1] < -0.85
        blind = [one.restricted_to(("audio",)) for one in new if "audio" in one.streams]
        assert np.ptp(ModelScorer(learned[kind]).score(blind)[:, 0]) < 0.6 * np.ptp(predicted_NC[:, 0])

    @pytest.mark.parametrize("kind", KINDS)
    def test_reading_each_sample_once_gives_the_scores_of_a_scorer(self, learned, kind):
        samples = make_samples(12, seed=2)
        rows = [(n, s) for n, one in enumerate(samples) for s in shown_subsets(one, ["video", "audio"], seed=0)]
        at_once = learned[kind].score_subsets(samples, rows)
        one_by_one = ModelScorer(learned[kind]).score([samples[n].restricted_to(streams) for n, streams in rows])
        np.testing.assert_allclose(at_once, one_by_one, atol=1e-4)

    @pytest.mark.parametrize("kind", KINDS)
    def test_comes_back_from_disk_with_the_same_scores(self, learned, kind, tmp_path):
        save_pretrained(learned[kind], tmp_path)
        samples = make_samples(10, seed=3)
        before, after = (ModelScorer(one).score(samples) for one in (learned[kind], load_pretrained(tmp_path)))
        np.testing.assert_array_equal(before, after)

    def test_a_shared_draw_of_subsets_holds_all_that_is_owned(self):
        names = [f"s{m}" for m in range(9)]
        sample = Sample("one", {name: np.zeros((3, 1), np.float32) for name in names})
        shown = shown_subsets(sample, names, seed=0)
        assert tuple(names) in shown
        assert len(shown) == len(set(shown)) <= 12


class TestMixture:
    def make(self, learned, common, patterns):
        members = {"linear": learned["linear"], "constant": learned["constant"]}
        model = Mixture(ModelConfig(system=MIXTURE), MODALITIES, CRITERIA, members)
        model.set_weights(common, patterns)
        model.set_mean(learned["constant"].mean_C.numpy())
        return model.eval()

    def test_weights_belong_to_the_streams_that_are_there(self, learned):
        model = self.make(learned, [1.0, 0.0], {("audio",): [0.0, 1.0]})
        samples = [one for one in make_samples(20, seed=4) if len(one.streams) == 2]
        np.testing.assert_allclose(
            ModelScorer(model).score(samples), ModelScorer(learned["linear"]).score(samples), atol=1e-4
        )
        alone = [one.restricted_to(("audio",)) for one in samples]
        assert np.ptp(ModelScorer(model).score(alone)[:, 0]) < 1e-6

    def test_comes_back_from_disk_with_its_members(self, learned, tmp_path):
        model = self.make(learned, [0.7, 0.3], {("audio",): [0.5, 0.5]})
        save_pretrained(model, tmp_path)
        samples = make_samples(10, seed=5)
        again = load_pretrained(tmp_path)
        np.testing.assert_array_equal(ModelScorer(model).score(samples), ModelScorer(again).score(samples))
        alone = load_pretrained(tmp_path / "members" / "linear")
        np.testing.assert_array_equal(ModelScorer(alone).score(samples), ModelScorer(learned["linear"]).score(samples))

    def test_a_member_that_leads_out_of_the_folder_is_refused(self, learned, tmp_path):
        save_pretrained(self.make(learned, [1.0, 0.0], {}), tmp_path)
        settings = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**settings, "members": ["../elsewhere"]}))
        with pytest.raises(ArtifactError, match="names of members"):
            load_pretrained(tmp_path)

    def test_without_a_member_the_others_take_its_weight(self, learned):
        model = self.make(learned, [0.25, 0.75], {}).without(["constant"])
        samples = make_samples(10, seed=6)
        np.testing.assert_allclose(
            ModelScorer(model.eval()).score(samples), ModelScorer(learned["linear"]).score(samples), atol=1e-4
        )


class TestRandomConvolutions:
    def read(self, *streams: np.ndarray, fitted_on: int = 1):
        found = RandomConvolutions(Modality("s", 2), num_kernels=32, dilations=(1, 2), seed=0)
        samples = [Sample(str(n), {"s": stream.astype(np.float32)}) for n, stream in enumerate(streams)]
        found.fit(samples[:fitted_on])
        batch = collate(samples, [Modality("s", 2)], ())
        return found(batch.features["s"], batch.valid_BMT[:, 0])

    def test_no_kernel_reads_across_what_is_missing(self):
        rng = np.random.default_rng(0)
        whole, first, second = rng.normal(size=(40, 2)), rng.normal(size=(9, 2)), rng.normal(size=(7, 2))
        gap = np.full((2, 2), np.nan)
        one_way = np.concatenate([first, gap, second])
        other_way = np.concatenate([second, gap, first])
        read = self.read(whole, one_way, other_way)
        torch.testing.assert_close(read[1], read[2], msg="the order of two runs says nothing")
        without = self.read(whole, np.concatenate([first, second]), np.concatenate([second, first]))
        assert (without[1] - without[2]).abs().max() > 1e-3, "without a gap it does"

    def test_padding_and_neighbours_change_nothing(self):
        rng = np.random.default_rng(1)
        whole, short = rng.normal(size=(40, 2)), rng.normal(size=(5, 2))
        torch.testing.assert_close(self.read(whole, short)[1], self.read(whole, short, rng.normal(size=(60, 2)))[1])

    def test_one_seed_draws_one_set_of_kernels(self):
        two = [RandomConvolutions(Modality("s", 2), num_kernels=16, dilations=(1,), seed=s) for s in (0, 0)]
        torch.testing.assert_close(two[0].weights_KCL, two[1].weights_KCL)

    def test_order_in_time_is_seen(self):
        rng = np.random.default_rng(2)
        rising = np.cumsum(np.abs(rng.normal(size=(30, 2))), axis=0)
        read = self.read(rng.normal(size=(40, 2)).cumsum(axis=0), rising, rising[::-1].copy())
        assert (read[1] - read[2]).abs().max() > 1e-2

    @pytest.mark.parametrize(("lengths", "expected"), [([4], (1,)), ([30, 30], (1, 2, 4)), ([500], (1, 2, 4, 8, 16))])
    def test_dilations_fit_the_lengths(self, lengths, expected):
        assert dilations_for(lengths) == expected
