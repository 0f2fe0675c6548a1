import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from limssr.core.config import EvalConfig, ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample, ScoreOutput
from limssr.data.missing import subsets
from limssr.evaluation.evaluate import ModelScorer, attend_padding, evaluate
from limssr.evaluation.metrics import mean_spearman
from limssr.nn.contract import Network
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained

NAMES = ("video", "audio", "flow")
CRITERIA = (Criterion("TES", 0.0, 130.0), Criterion("PCS", 10.0, 60.0))
QUICK = EvalConfig(bootstrap=50)


def make_samples(num_samples=24, *, seed=0, owned=lambda n: NAMES, scores=None):
    rng = np.random.default_rng(seed)
    found = []
    for n in range(num_samples):
        length = int(rng.integers(2, 9))
        streams = {name: rng.normal(size=(length, 2)).astype(np.float32) for name in NAMES}
        row = rng.uniform([0.0, 10.0], [130.0, 60.0]) if scores is None else scores[n]
        found.append(Sample(f"s{n}", {name: streams[name] for name in owned(n)}, np.asarray(row, float), split="test"))
    return found


class MeanScorer:
    """Scores that depend on every value handed over, and a record of what was handed over."""

    def __init__(self):
        self.seen = []

    def score(self, samples):
        self.seen += [(sample.id, tuple(sample.streams)) for sample in samples]
        level = np.array([np.mean([x.mean() for x in sample.streams.values()]) for sample in samples])
        return np.stack([level, -level], axis=1)


def test_every_subset_once_and_nothing_else_is_handed_over():
    owned = [("video",), ("audio", "flow"), NAMES]
    samples = make_samples(owned=lambda n: owned[n % 3])
    scorer = MeanScorer()
    found = evaluate(scorer, samples, NAMES, CRITERIA, config=QUICK)
    assert [result.streams for result in found.subsets] == list(subsets(NAMES))
    assert [result.num_samples for result in found.subsets] == [16, 16, 16, 8, 8, 16, 8]
    expected = [
        (sample.id, streams) for streams in subsets(NAMES) for sample in samples if set(streams) <= set(sample.streams)
    ]
    assert scorer.seen == expected


def test_numbers_by_hand():
    samples = make_samples()
    found = evaluate(MeanScorer(), samples, NAMES, CRITERIA, config=QUICK)
    truth_NC = np.stack([sample.scores for sample in samples])
    audio_NC = MeanScorer().score([sample.restricted_to(("audio",)) for sample in samples])
    result = found.subsets[1]
    assert result.metrics["spearman"].value == pytest.approx(mean_spearman(truth_NC, audio_NC).value)
    assert result.metrics["mse"].value == pytest.approx(((truth_NC - audio_NC) ** 2).mean())
    assert result.per_criterion["PCS"]["mae"].value == pytest.approx(np.abs(truth_NC - audio_NC)[:, 1].mean())
    span = np.ptp(truth_NC[:, 0])
    assert result.per_criterion["TES"]["relative_l2"].value == pytest.approx(
        100 * (((truth_NC - audio_NC)[:, 0] / span) ** 2).mean()
    )
    z = [math.atanh(r.metrics["spearman"].value) for r in found.subsets[:-1]]
    assert found.average_incomplete["spearman"].value == pytest.approx(math.tanh(np.mean(z)))
    assert found.average_incomplete["mse"].value == pytest.approx(
        np.mean([r.metrics["mse"].value for r in found.subsets[:-1]])
    )
    assert found.full == found.subsets[-1].metrics
    low, high = result.spearman_ci
    assert low < result.metrics["spearman"].value < high
    assert found.average_ci[0] < found.average_incomplete["spearman"].value < found.average_ci[1]


def test_not_judged_criteria_are_left_out():
    scores = np.random.default_rng(0).uniform(10, 60, size=(24, 2))
    scores[:6, 1] = np.nan
    samples = make_samples(scores=scores)
    found = evaluate(MeanScorer(), samples, NAMES, CRITERIA, config=QUICK)
    only_judged = evaluate(MeanScorer(), samples[6:], NAMES, CRITERIA, config=QUICK)
    for name in ("spearman", "mse"):
        assert found.full[name].reason is None
        assert found.subsets[0].per_criterion["PCS"][name] == only_judged.subsets[0].per_criterion["PCS"][name]


def test_document_has_the_agreed_fields_and_is_json():
    availability = {"rate": 0.5, "seed": 0, "pattern": "independent"}
    found = evaluate(
        MeanScorer(), make_samples(), NAMES, CRITERIA, config=QUICK, selection="val", availability=availability
    )
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    agreed = {"split", "selection", "availability", "criteria", "subsets", "average_incomplete", "full"}
    assert agreed <= set(document)
    assert (document["split"], document["selection"], document["availability"]) == ("test", "val", availability)
    assert document["criteria"] == ["TES", "PCS"]
    subset_keys = {"streams", "num_samples", "spearman", "spearman_ci", "mse", "pearson", "mae", "relative_l2"}
    for subset in document["subsets"]:
        assert subset_keys | {"per_criterion"} <= set(subset)
        assert set(subset["per_criterion"]) == {"TES", "PCS"}
        assert len(subset["spearman_ci"]) == 2
    assert {"spearman", "mse"} <= set(document["average_incomplete"])
    assert {"spearman", "mse"} <= set(document["full"])


def test_nan_is_null_with_a_reason():
    class Constant:
        def score(self, samples):
            return np.full((len(samples), 2), 5.0)

    subset = evaluate(Constant(), make_samples(), NAMES, CRITERIA, config=QUICK).to_dict()["subsets"][0]
    assert subset["spearman"] is None
    assert subset["spearman_ci"] == [None, None]
    assert subset["reasons"]["spearman"] == "constant prediction"
    assert subset["per_criterion"]["TES"]["reasons"]["spearman"] == "constant prediction"
    assert subset["mse"] > 0


def test_a_subset_nobody_owns_and_a_scorer_that_explains_itself():
    class Partial(MeanScorer):
        def score(self, samples):
            return np.full((len(samples), 2), np.nan) if "flow" in samples[0].streams else super().score(samples)

        def why_no_prediction(self, streams):
            return "3 training samples" if "flow" in streams else None

    samples = make_samples(owned=lambda n: ("video", "flow"))
    found = evaluate(Partial(), samples, NAMES, CRITERIA, config=QUICK)
    by_streams = {result.streams: result.metrics["spearman"] for result in found.subsets}
    assert by_streams[("video",)].is_defined
    assert by_streams[("flow",)].reason == "3 training samples"
    assert by_streams[("audio",)].reason == "no judged samples"
    average = found.average_incomplete["spearman"]
    assert not average.is_defined
    # A subset that nobody owns is no reason.
    assert average.reason == "flow: 3 training samples; video+flow: 3 training samples"
    assert np.isnan(found.average_ci).all()
    document = found.to_dict()["average_incomplete"]
    assert (document["spearman"], document["mse"]) == (None, None)
    assert document["partial"]["spearman"] == pytest.approx(by_streams[("video",)].value)
    assert document["partial"]["mse"] == pytest.approx(found.subsets[0].metrics["mse"].value)
    assert set(document["num_partial"].values()) == {1}
    assert set(document["num_subsets"].values()) == {3}


def test_a_subset_that_nobody_could_judge_is_passed_over():
    samples = make_samples(owned=lambda n: ("video", "flow") if n > 1 else NAMES)
    found = evaluate(MeanScorer(), samples, NAMES, CRITERIA, config=QUICK)
    spearmans = {result.streams: result.metrics["spearman"] for result in found.subsets}
    assert spearmans[("audio",)].reason == "fewer than 3 samples"
    average, document = found.average_incomplete["spearman"], found.to_dict()["average_incomplete"]
    z = [math.atanh(spearmans[names].value) for names in (("video",), ("flow",), ("video", "flow"))]
    assert average.value == pytest.approx(math.tanh(np.mean(z)))
    assert average.reason is not None
    assert "audio: fewer than 3 samples" in average.reason
    assert (document["num_partial"]["spearman"], document["num_subsets"]["spearman"]) == (3, 3)
    assert (document["num_partial"]["mse"], document["num_subsets"]["mse"]) == (3, 3)
    assert document["partial"]["spearman"] is None


def test_the_same_prediction_for_everybody_is_a_gap_of_the_correlation_alone():
    class Flat(MeanScorer):
        def score(self, samples):
            return np.full((len(samples), 2), 5.0) if list(samples[0].streams) == ["flow"] else super().score(samples)

    found = evaluate(Flat(), make_samples(), NAMES, CRITERIA, config=QUICK)
    assert found.average_incomplete["spearman"].reason == "flow: constant prediction"
    assert found.average.coverage["spearman"].num_partial == 5
    assert found.average_incomplete["mse"].is_defined


@pytest.mark.parametrize("absent", ["audio", "flow"])
def test_subsets_that_read_the_same_are_averaged_once(absent):
    seen = tuple(name for name in NAMES if name != absent)

    class Deaf(MeanScorer):
        unseen = (absent,)

        def score(self, samples):
            if set(samples[0].streams) == {absent}:
                return np.full((len(samples), 2), np.nan)
            return super().score([sample.restricted_to(seen) for sample in samples])

    found = evaluate(Deaf(), make_samples(), NAMES, CRITERIA, config=QUICK)
    z = [math.atanh(r.metrics["spearman"].value) for r in found.subsets if r.streams in [(name,) for name in seen]]
    assert len(z) == 2
    assert found.average_incomplete["spearman"].value == pytest.approx(math.tanh(np.mean(z)))
    assert found.average_incomplete["spearman"].reason is None
    assert found.average_ci[0] < found.average_incomplete["spearman"].value < found.average_ci[1]
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))["average_incomplete"]
    assert document["num_subsets"]["spearman"] == 2
    same_as = {"+".join(one["streams"]): "+".join(one["same_as"]) for one in document["left_out"]}
    full = "+".join(NAMES)
    both = {"+".join(name for name in NAMES if name in (one, absent)): one for one in seen}
    assert same_as == {absent: "", "+".join(seen): full, **both}
    assert {one["reason"] for one in document["left_out"]} == {f"no training sample had {absent}"}


def test_one_seen_stream_has_no_average():
    class Deaf(MeanScorer):
        unseen = ("audio", "flow")

    found = evaluate(Deaf(), make_samples(), NAMES, CRITERIA, config=QUICK)
    reason = "no incomplete subset differs from all streams: no training sample had audio or flow"
    assert found.average_incomplete["spearman"].reason == reason
    assert len(found.average.left_out) == 6


def test_one_stream_has_no_incomplete_subset():
    samples = [sample.restricted_to(("video",)) for sample in make_samples()]
    found = evaluate(MeanScorer(), samples, ("video",), CRITERIA, config=QUICK)
    assert found.average_incomplete["spearman"].reason == "one stream has no incomplete subset"
    assert found.full["spearman"].is_defined
    assert found.to_dict()["average_incomplete"]["spearman"] is None


def test_without_resamples_there_is_no_interval():
    found = evaluate(MeanScorer(), make_samples(), NAMES, CRITERIA, config=EvalConfig(bootstrap=0))
    assert found.to_dict()["subsets"][0]["spearman_ci"] == [None, None]
    assert found.subsets[0].metrics["spearman"].is_defined


def test_bad_input():
    with pytest.raises(InputError, match="none"):
        evaluate(MeanScorer(), [], NAMES, CRITERIA)
    with pytest.raises(InputError, match="'s0'"):
        evaluate(MeanScorer(), [Sample("s0", {})], NAMES, CRITERIA)

    class Wide:
        def score(self, samples):
            return np.zeros((len(samples), 5))

    with pytest.raises(InputError, match="Wide"):
        evaluate(Wide(), make_samples(), NAMES, CRITERIA)


def test_tables_for_the_run_folder():
    found = evaluate(MeanScorer(), make_samples(), NAMES, CRITERIA, config=QUICK)
    subset_table = found.to_table("mine")
    assert subset_table.num_rows == 7 * 3
    means = [row for row in subset_table.to_pylist() if row["criterion"] == "mean"]
    assert [row["streams"] for row in means][3:] == ["video+audio", "video+flow", "audio+flow", "video+audio+flow"]
    assert means[0]["spearman"] == found.subsets[0].metrics["spearman"].value
    assert means[0]["spearman_low"] == found.subsets[0].spearman_ci[0]
    assert found.predictions.column_names == ["id", "streams", "criterion", "score", "prediction", "group"]
    assert found.predictions.num_rows == 7 * 24 * 2
    named = found.to_predictions("mine")
    assert named.column_names == ["system", "split", "id", "streams", "criterion", "score", "prediction", "group"]
    assert set(named["split"].to_pylist()) == {"test"}


def test_progress_is_told():
    told = []
    evaluate(MeanScorer(), make_samples(), NAMES, CRITERIA, config=QUICK, progress=lambda *x: told.append(x))
    assert told == [(done, 7) for done in range(1, 8)]


class SumModel(Network):
    """Mean of all valid values, as a network: shows dropout mode, crop and order."""

    def __init__(self):
        super().__init__(ModelConfig(), [Modality(name, 2) for name in NAMES], CRITERIA)
        self.bias = nn.Parameter(torch.zeros(()))
        self.batches = []

    def measure(self, samples):
        pass

    def forward(self, batch):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.batches.append(batch)
        total_B = sum(x.sum(dim=(1, 2)) for x in batch.features.values())
        unit_B = torch.sigmoid(total_B / batch.valid_BMT.sum(dim=(1, 2)) + self.bias)
        return ScoreOutput(unit_scores_BC=unit_B[:, None].expand(-1, 2))


def test_model_scorer_keeps_order_converts_units_and_hides_targets():
    samples = make_samples()
    model = SumModel().train()
    scores_NC = ModelScorer(model, batch_size=5).score(samples)
    assert model.training
    unit_N = np.array([1 / (1 + np.exp(-2 * np.mean([x.mean() for x in s.streams.values()]))) for s in samples])
    np.testing.assert_allclose(scores_NC, np.stack([unit_N * 130, unit_N * 50 + 10], axis=1), rtol=1e-5)
    assert all(batch.unit_scores_BC is None for batch in model.batches)
    lengths = [int(t) for batch in model.batches for t in batch.lengths_B]
    assert lengths == sorted(lengths)
    np.testing.assert_allclose(ModelScorer(model, batch_size=24).score(samples), scores_NC, rtol=1e-5)


def test_model_scorer_puts_fewer_long_samples_together(monkeypatch):
    monkeypatch.setattr("limssr.evaluation.scorer.MAX_SEGMENTS_AT_ONCE", 30)
    sizes = []

    class Recorder(Network):
        def __init__(self):
            super().__init__(ModelConfig(), [Modality(name, 2) for name in NAMES], CRITERIA)
            self.weight = nn.Parameter(torch.zeros(1))

        def measure(self, samples):
            pass

        def forward(self, batch):
            sizes.append(batch.lengths_B.tolist())
            return ScoreOutput(unit_scores_BC=batch.lengths_B[:, None].float().repeat(1, 2) / 100)

    lengths = [4, 9, 2, 3, 40, 4, 5]
    samples = [Sample(str(n), {"audio": np.zeros((length, 2), np.float32)}) for n, length in enumerate(lengths)]
    scores = ModelScorer(Recorder(), batch_size=3).score(samples)
    assert sizes == [[2, 3, 4], [4, 5], [9], [40]]
    np.testing.assert_allclose(scores[:, 0], 1.3 * np.array(lengths), rtol=1e-6)
    assert ModelScorer(Recorder()).score([]).shape == (0, 2)


def test_model_scorer_takes_the_centre():
    samples = make_samples()
    model = SumModel()
    ModelScorer(model, num_segments=3).score(samples)
    longest = max(samples, key=lambda sample: sample.num_segments)
    batch = model.batches[0]
    start = (longest.num_segments - 3) // 2
    np.testing.assert_array_equal(
        batch.features["audio"][batch.ids.index(longest.id)].numpy(), longest.streams["audio"][start : start + 3]
    )


def test_attended_padding_is_marked_as_real_only_for_present_streams():
    samples = make_samples(owned=lambda n: ("video", "flow"))
    model = SumModel()
    ModelScorer(model, num_segments=12, padding="attended").score(samples)
    batch = model.batches[0]
    assert batch.valid_BMT.shape[2] == 12
    assert batch.valid_BMT[:, [0, 2]].all()
    assert not batch.valid_BMT[:, 1].any()
    assert batch.lengths_B.tolist() == [12] * len(batch)
    with pytest.raises(InputError, match="num_segments"):
        ModelScorer(model, padding="attended")


def test_attended_padding_keeps_missing_segments_missing():
    hole = make_samples(2)
    hole[0].streams["video"][1] = np.nan
    model = SumModel()
    ModelScorer(model).score(hole)
    valid_BMT = attend_padding(model.batches[0]).valid_BMT
    row = model.batches[0].ids.index("s0")
    assert not valid_BMT[row, 0, 1]
    assert valid_BMT[row, 0].sum() == valid_BMT.shape[2] - 1


def test_a_stream_that_no_training_sample_owned_is_left_out_and_alone_not_scored(store):
    first, *others = (modality.name for modality in store.modalities)
    model = build_model(ModelConfig(system="attention"), store.modalities, store.criteria, seed=0)
    model.calibrate([sample.restricted_to(tuple(others)) for sample in store.samples("train")])
    assert model.unseen == (first,)
    samples = [sample for sample in store.samples("test") if len(sample.streams) == len(others) + 1]
    scorer = ModelScorer(model)
    without = scorer.score([sample.restricted_to(tuple(others)) for sample in samples])
    np.testing.assert_array_equal(scorer.score(samples), without)
    alone = [sample.restricted_to((first,)) for sample in samples]
    assert np.isnan(scorer.score(alone)).all()
    assert np.isnan(scorer.score([alone[0], samples[1]])).all(axis=1).tolist() == [True, False]
    evaluation = evaluate(scorer, samples, (first, *others), store.criteria)
    reasons = [result.metrics["spearman"].reason for result in evaluation.subsets]
    assert reasons[0]
    assert first in reasons[0]
    assert not any(reasons[1:])
    assert len(evaluation.average.left_out) == 2 ** (len(others) + 1) - 2 - (2 ** len(others) - 2)


def test_what_was_not_seen_in_training_is_saved_with_the_model(store, tmp_path):
    model = build_model(ModelConfig(system="attention"), store.modalities, store.criteria, seed=0)
    first, *others = (modality.name for modality in store.modalities)
    model.calibrate([sample.restricted_to(tuple(others)) for sample in store.samples("train")])
    save_pretrained(model, tmp_path / "model")
    assert load_pretrained(tmp_path / "model").unseen == (first,)
