"""A performance scored while it goes on ends with the score of the whole."""

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.model.growing import GrowingSample
from limssr.runs.live.scorer import LiveScorer
from limssr.runs.load import Loaded, load
from limssr.systems.build import build_model
from limssr.systems.saving import save_pretrained

STREAMS = ("video", "audio", "flow")
VARIANTS = {
    "statistics": {"head": "statistics"},
    "paper": {"head": "paper"},
    "zeros": {"head": "paper", "absent": "zeros"},
    "no boundaries": {"head": "statistics", "boundary_tokens": "none"},
    "read padded": {"head": "paper", "backbone": {"name": "tiny", "reading": "padded"}},
    "standard inputs": {"head": "statistics", "input_scaling": "standard", "output": "standardized"},
}


def model_of(world, **settings):
    config = ModelConfig.model_validate({"backbone": {"name": "tiny"}, "block_order": "interleaved", **settings})
    model = build_model(config, world.modalities, world.criteria, seed=0)
    model.calibrate(world.samples)
    # A model that was never trained has fresh placeholders and flat gates: whatever is read has to matter.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def live_of(model, tmp_path, **options):
    scorer = ModelScorer(model, **options)
    return LiveScorer(
        Loaded(name="x", modalities=model.modalities, criteria=model.criteria, scorer=scorer, folder=tmp_path)
    )


@pytest.fixture(scope="module")
def live(world, tmp_path_factory):
    return live_of(model_of(world, head="paper"), tmp_path_factory.mktemp("live"))


def gaps(streams, name, begin, end):
    changed = {one: array.copy() for one, array in streams.items()}
    changed[name][begin:end] = np.nan
    return changed


def cases(samples):
    """Streams of performances: every subset, late ones, ones that stop, gaps, silence at both ends."""
    whole = [one for one in samples if len(one.streams) == 3 and one.num_segments >= 6]
    for subset in (STREAMS, ("audio",), ("video", "flow"), ("flow",)):
        yield {name: whole[0].streams[name] for name in subset}
    late = gaps(whole[1].streams, "audio", 0, 3)
    yield late
    yield gaps(late, "flow", 3, None)
    yield gaps(whole[2].streams, "video", 2, 4)
    silent = whole[2].streams
    for name in STREAMS:
        silent = gaps(gaps(silent, name, 0, 2), name, -1, None)
    yield silent


def pieces(number, sizes):
    begin = 0
    while begin < number:
        size = min(sizes[begin % len(sizes)], number - begin)
        yield begin, begin + size
        begin += size


def whole_score(live, streams):
    """As the performance is scored at once, in the form that every sample is brought into."""
    valid = [np.flatnonzero(~np.isnan(array[:, 0])) for array in streams.values()]
    end = max(int(found[-1]) + 1 for found in valid if found.size)
    kept = {name: array[:end] for (name, array), found in zip(streams.items(), valid, strict=True) if found.size}
    return live.found.score([Sample("whole", kept)])[0]


def units(live, score_C):
    return np.array([one.to_unit(value) for one, value in zip(live.found.criteria, score_C, strict=True)])


@pytest.mark.parametrize(
    ("variant", "sizes"), [*((name, (2, 1, 3)) for name in VARIANTS), ("paper", (1,)), ("statistics", (100,))]
)
def test_after_the_last_segment_the_score_is_that_of_the_whole(world, tmp_path, variant, sizes):
    live = live_of(model_of(world, **VARIANTS[variant]), tmp_path)
    assert live.reads_again is None
    seen = set()
    for streams in cases(world.samples):
        session, number = live.session(), len(next(iter(streams.values())))
        for begin, end in pieces(number, sizes):
            score = live.add(session, {name: array[begin:end] for name, array in streams.items()})
            if score.streams:
                so_far = whole_score(live, {name: array[:end] for name, array in streams.items()})
                np.testing.assert_allclose(units(live, score.score_C), units(live, so_far), atol=1e-5)
                assert score.how == "kept"
        seen.add(round(float(score.score_C[0]), 6))
    assert len(seen) > 4  # the cases do differ


def test_only_what_is_new_is_read(live, world, monkeypatch):
    streams = next(cases(world.samples))
    session = live.session()
    read = []
    grown = live._growing._plan
    monkeypatch.setattr(live._growing, "_plan", lambda one, rows: read.append(plan := grown(one, rows)) or plan)
    for t in range(4):
        live.add(session, {name: array[t : t + 1] for name, array in streams.items()})
    sizes = [(len(plan.growth.new_NH), len(plan.growth.tail_KH)) for plan in read]
    model = live.found.scorer.model
    ends = len(model.tokens.rows.ends) + model.config.num_fusion_tokens
    assert sizes[1:] == [(3, ends)] * 3
    assert sizes[0][0] > 3
    assert session.num_bytes > 0


def test_a_stream_that_appears_later_costs_one_reading(live, world):
    streams = gaps(next(cases(world.samples)), "audio", 0, 2)
    session = live.session()
    told = []
    for t in range(5):
        told.append(live.add(session, {name: array[t : t + 1] for name, array in streams.items()}).streams)
    assert told[1] == ("video", "flow")
    assert told[2] == STREAMS
    assert session.growing.num_again == 1


def test_sessions_side_by_side_are_scored_as_alone(live, world):
    every = list(cases(world.samples))
    number = min(len(next(iter(streams.values()))) for streams in every)
    together, alone = [live.session() for _ in every], [live.session() for _ in every]
    for t in range(number):
        parts = [{name: array[t : t + 1] for name, array in streams.items()} for streams in every]
        found = live.add_to(list(zip(together, parts, strict=True)))
        expected = [live.add(session, part) for session, part in zip(alone, parts, strict=True)]
        for one, other in zip(found, expected, strict=True):
            assert one.streams == other.streams
            np.testing.assert_allclose(one.score_C, other.score_C, atol=1e-4, equal_nan=True)


def test_wrong_segments_leave_the_performance_as_it_was(live, world, monkeypatch):
    streams = next(cases(world.samples))
    session = live.session()
    first = {name: array[:2] for name, array in streams.items()}
    live.add(session, first)
    for wrong, words in [
        ({"vidoe": first["video"]}, "did you mean 'video'"),
        ({"video": first["video"][:, :2]}, "expected width"),
        ({"video": first["video"], "audio": first["audio"][:1]}, "same number"),
        ({"video": np.full_like(first["video"], np.inf)}, "Segment 3, stream 'video'"),
        ({"video": np.zeros((30_000, first["video"].shape[1]))}, "at most 20,000"),
    ]:
        with pytest.raises(InputError, match=words):
            live.add(session, wrong)
    with monkeypatch.context() as patched:
        patched.setattr(live._growing, "unit_scores", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            live.add(session, {name: array[2:4] for name, array in streams.items()})
    assert session.length == session.end == 2
    score = live.add(session, {name: array[2:] for name, array in streams.items()})
    np.testing.assert_allclose(score.score_C, whole_score(live, streams), atol=1e-3)


def test_nothing_valid_is_nothing_to_score(live):
    session = live.session()
    score = live.add(session, {})
    assert score.streams == ()
    assert np.isnan(score.score_C).all()
    assert session.length == 1


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        ({"block_order": "paper"}, {}, "block_order: paper"),
        ({"num_fusion_tokens": 0, "paths": "path2", "head": "paper"}, {}, "no fusion tokens"),
        ({"system": "attention", "hidden": 8}, {}, "no language model"),
        ({}, {"padding": "attended", "num_segments": 9}, "attended"),
    ],
)
def test_other_runs_read_the_whole_again_and_say_why(world, tmp_path, settings, options, reason):
    live = live_of(model_of(world, **settings), tmp_path, **options)
    assert reason in live.reads_again
    streams = list(cases(world.samples))[4]
    session = live.session()
    for t in range(len(streams["video"])):
        score = live.add(session, {name: array[t : t + 1] for name, array in streams.items()})
        assert score.how == "read again"
    np.testing.assert_allclose(score.score_C, whole_score(live, streams), rtol=1e-5)


def test_a_run_that_crops_reads_again_where_it_has_to(world, tmp_path):
    live = live_of(model_of(world, head="paper"), tmp_path, num_segments=3)
    streams = next(cases(world.samples))
    session = live.session()
    hows = [live.add(session, {n: a[t : t + 1] for n, a in streams.items()}).how for t in range(len(streams["video"]))]
    assert hows[:3] == ["kept"] * 3
    assert set(hows[3:]) == {"read again"}
    np.testing.assert_allclose(session.last.score_C, whole_score(live, streams), rtol=1e-5)


def test_a_saved_model_is_opened_and_regressions_are_scored_too(world, tmp_path):
    folder = tmp_path / "model"
    save_pretrained(model_of(world, head="paper"), folder)
    live = LiveScorer.open(folder, device="cpu")
    assert live.reads_again is None
    session = live.session()
    score = live.add(session, {"audio": world.samples[0].streams.get("audio", np.zeros((2, 16), np.float32))})
    assert np.isnan(score.low_C).all()  # nothing was calibrated
    assert load(folder).name == "model"
    assert isinstance(session.growing, GrowingSample)
