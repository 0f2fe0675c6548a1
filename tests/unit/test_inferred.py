"""Inferred streams and hallucination on states that were made, so that the answer is known."""

import numpy as np
import pytest

from limssr.core.recipes import parse_config
from limssr.core.types import Sample
from limssr.data.simulate import simulate_world
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.clusters import Cloud, cloud_document
from limssr.explain.gradients import gradients_table, integrated_gradients
from limssr.explain.hallucination import recovery_document, reduced, usefulness_document
from limssr.explain.inferred import cka_over_groups, inferred_document, inferred_table, pair_document, pairs_of
from limssr.explain.probes import altered_placeholders, score_altered, with_other_streams
from limssr.explain.reading import Read, read_subset
from limssr.explain.similarity import linear_cka
from limssr.systems.build import build_model

NAMES = ("video", "audio")
NUM = 60
GROUPS = np.arange(NUM) // 4
GENERATOR = np.random.default_rng(0)
TRUE = {name: GENERATOR.normal(size=(NUM, 5)) for name in NAMES}
MAPS = {name: GENERATOR.normal(size=(5, 12)) for name in NAMES}


def read(subset, blocks):
    states = np.stack([blocks[name] for name in NAMES], axis=1)
    nothing = np.zeros((NUM, 1))
    return Read(
        subset=subset, rows_N=np.arange(NUM), attention_NKP=nothing[:, None], uniform_NP=nothing,
        length_N=np.full(NUM, 9), entropy_NK=nothing, inputs_NMH=states, states_NMH=states,
        spread_NMH=np.zeros_like(states), difference=0.0, exactness=0.0,
    )  # fmt: skip


def reads(inferred_audio):
    true = {name: TRUE[name] @ MAPS[name] for name in NAMES}
    return {
        ("video",): read(("video",), {"video": true["video"], "audio": inferred_audio}),
        NAMES: read(NAMES, true),
    }


SAMPLES = [
    # One segment each, so that the mean of a stream is the stream; its deviation is zero and left out.
    Sample(f"s{n}", {name: TRUE[name][n : n + 1].astype(np.float32) for name in NAMES}, np.zeros(1), f"g{n // 4}")
    for n in range(NUM)
]
COPY, NOISE = TRUE["audio"] @ MAPS["audio"], GENERATOR.normal(size=(NUM, 12))
OF_SHOWN = TRUE["video"] @ MAPS["audio"]


def test_a_copy_is_recovered_and_noise_and_copies_of_what_is_shown_are_not():
    found = {}
    for name, inferred in (("copy", COPY), ("noise", NOISE), ("shown", OF_SHOWN)):
        given = reads(inferred)
        [pair] = pairs_of(given, NAMES)
        assert (pair.stream, pair.subset, pair.streams) == ("audio", ("video",), NAMES)
        found[name] = recovery_document(pair, given, SAMPLES, NAMES, GROUPS)
    assert found["copy"]["placeholders"]["value"] > 0.97
    assert found["copy"]["beyond"]["interval"][0] > 0.8
    for name in ("noise", "shown"):
        assert found[name]["placeholders"]["value"] < 0.1
        assert found[name]["beyond"]["interval"][0] < 0.05
    assert found["copy"]["shuffled"]["value"] < 0.1


def test_similarity_tells_the_true_stream_from_the_others_and_from_its_floors():
    [copied], [made_up] = (pairs_of(reads(inferred), NAMES) for inferred in (COPY, NOISE))
    document = inferred_document([copied, made_up], [made_up, made_up], GROUPS)
    good, bad = document["pairs"]
    assert good["to"]["audio"]["cosine"]["value"] == pytest.approx(1.0)
    assert good["to"]["audio"]["cka"]["value"] == pytest.approx(1.0)
    assert good["margin"]["interval"][0] > 0.5
    assert good["first"]["value"] == 1.0
    assert good["first_by_chance"] == 0.5
    assert abs(bad["margin"]["value"]) < 0.2
    assert bad["to"]["audio"]["cka"]["interval"][0] < bad["shuffled"]["cka"] + 0.05
    assert document["verdict"] == {
        "num_pairs": 2, "nearest_to_its_own": 1, "cosine_above_shuffled": 1, "cka_above_shuffled": 1,
        "cka_above_untrained": 1,
    }  # fmt: skip
    table = inferred_table([copied], [one.id for one in SAMPLES])
    assert (len(table), set(table["to"].to_pylist())) == (2 * NUM, set(NAMES))


def test_columns_add_up_to_one_and_gram_matrices_give_the_same_cka():
    [pair] = pairs_of(reads(np.abs(COPY)), NAMES)
    normalised = [one["normalised"]["value"] for one in pair_document(pair, GROUPS)["to"].values()]
    assert sum(normalised) == pytest.approx(1.0)
    assert cka_over_groups(COPY, NOISE, GROUPS).value == pytest.approx(linear_cka(COPY, NOISE))


def test_many_moments_are_reduced_and_keep_their_spread():
    wide = GENERATOR.normal(size=(NUM, 200)) * np.linspace(3, 0.01, 200)
    narrow = reduced(wide)
    assert narrow.shape == (NUM, 32)
    assert (narrow**2).sum() > 0.6 * ((wide - wide.mean(axis=0)) ** 2).sum()
    np.testing.assert_array_equal(reduced(wide[:, :20]), wide[:, :20])


def test_clusters_tell_alignment_from_collapse():
    shared, own = GENERATOR.normal(size=(NUM, 1, 8)), GENERATOR.normal(size=(NUM, 2, 8))
    centres = np.array([[[5.0] + [0.0] * 7, [-5.0] + [0.0] * 7]])
    apart = cloud_document(Cloud(label="raw", subset=NAMES, points_NMH=centres + own), NAMES)
    aligned = cloud_document(Cloud(label="a", subset=NAMES, points_NMH=np.repeat(shared, 2, axis=1) + 0.1 * own), NAMES)
    shrunk = cloud_document(Cloud(label="b", subset=NAMES, points_NMH=7.0 + 0.01 * own), NAMES)
    assert apart["ratio"] > 2.5
    assert apart["paired"] == pytest.approx(1.0, abs=0.15)
    assert aligned["ratio"] < 0.2
    assert aligned["paired"] < 0.2
    assert aligned["mean_within"] > 0.8
    assert shrunk["mean_within"] < 0.01
    assert shrunk["paired"] == pytest.approx(1.0, abs=0.15)


def test_a_stream_of_another_sample_is_brought_to_length():
    short = Sample("a", {"video": np.full((2, 1), 7.0, np.float32), "audio": np.ones((2, 1), np.float32)})
    long = Sample("b", {"video": np.arange(5, dtype=np.float32)[:, None], "audio": np.zeros((5, 1), np.float32)})
    first, second = with_other_streams([short, long], "video", seed=0)
    assert first.streams["video"][:, 0].tolist() == [0.0, 4.0]
    assert second.streams["video"][:, 0].tolist() == [7.0] * 5
    assert first.streams["audio"] is short.streams["audio"]


@pytest.fixture(scope="module")
def tiny():
    world = simulate_world(16, seed=3, num_segments=(3, 6), invalid_rate=0.1)
    tree = {"model": {"backbone": {"name": "tiny"}, "output": "linear"}}
    model = build_model(parse_config(tree, where="test").model, world.modalities, world.criteria, seed=0)
    model.calibrate(world.samples)
    model.eval()
    return ModelScorer(model, scale="open"), [one.restricted_to(("video",)) for one in world.samples]


def test_sequences_that_are_not_altered_give_the_ordinary_scores(tiny):
    scorer, shown = tiny
    np.testing.assert_array_equal(score_altered(scorer, shown, lambda _, laid_out: laid_out), scorer.score(shown))


@pytest.mark.parametrize("kind", ["blanked", "exchanged", "noise"])
def test_altered_placeholders_reach_the_score_and_leave_the_model_alone(tiny, kind):
    scorer, shown = tiny
    before = scorer.score(shown)
    altered = score_altered(scorer, shown, altered_placeholders(scorer.model, 1, kind))
    assert np.abs(altered - before).max() > 1e-7
    # The stream is there: none of its placeholders is read where every segment is valid.
    whole = [Sample(one.id, {"audio": np.ones((4, scorer.model.modalities[1].dim), np.float32)}) for one in shown[:3]]
    np.testing.assert_array_equal(
        score_altered(scorer, whole, altered_placeholders(scorer.model, 1, "noise")), scorer.score(whole)
    )
    np.testing.assert_array_equal(scorer.score(shown), before)


def test_watched_reading_gives_the_states_of_ordinary_reading(tiny):
    scorer, shown = tiny
    found = read_subset(scorer, shown, ("video",))
    assert found.difference < 1e-4
    assert found.exactness < 1e-4
    np.testing.assert_allclose(found.attention_NKP.sum(axis=2), 1.0, atol=1e-5)
    np.testing.assert_allclose(found.uniform_NP.sum(axis=1), 1.0, atol=1e-9)
    assert (found.entropy_NK > 0).all()
    assert (found.entropy_NK <= 1.0 + 1e-6).all()


def test_usefulness_is_what_blanking_costs_on_average():
    def row(stream, kind, nearer):
        return {"stream": stream, "kind": kind, "nearer": {"value": nearer}}

    rows = [row("audio", "blanked", -0.2), row("audio", "blanked", -0.4), row("audio", "noise", 5.0)]
    found = usefulness_document({"reliabilities": {"audio": 0.6}}, rows, NAMES)
    assert found["audio"] == {"reliability": 0.6, "lost": pytest.approx(0.3)}
    assert found["video"] == {"reliability": None, "lost": None}


def test_integrated_gradients_add_up_and_are_those_of_valid_segments(tiny):
    scorer, shown = tiny
    found = integrated_gradients(scorer, shown[0])
    valid = ~np.isnan(shown[0].streams["video"]).all(axis=1)
    assert found.streams == ("video",) * int(valid.sum())
    np.testing.assert_array_equal(found.segment_R, np.flatnonzero(valid))
    np.testing.assert_allclose(found.score_C, scorer.score(shown[:1])[0], rtol=1e-5)
    change = np.abs(found.score_C - found.baseline_C)
    assert (found.gap_C < 1e-3 * np.maximum(change, 1e-3)).all()
    coarse = integrated_gradients(scorer, shown[0], steps=1)
    assert coarse.gap_C.sum() > found.gap_C.sum()
    np.testing.assert_array_equal(scorer.score(shown[:1]), scorer.score(shown[:1]))
    table = gradients_table([("a", found)], [one.name for one in scorer.model.criteria])
    assert len(table) == found.added_RC.size
