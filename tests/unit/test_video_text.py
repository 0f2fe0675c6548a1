import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.complete.vatp_net import alignment_loss, parsing_loss, step_distance
from limssr.systems.parts.video_text import QueryReader, mean_of_rows

MODALITIES = (Modality("audio", 2), Modality("video", 3), Modality("text", 4))
CRITERIA = (Criterion("x"),)


def build(system: str, modalities=MODALITIES, **options):
    config = ModelConfig(system=system, hidden=8, dropout=0.0, options=options)
    return build_model(config, modalities, CRITERIA, seed=0)


def samples(num: int = 3) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(f"s{n}", {m.name: rng.normal(size=(5, m.dim)).astype(np.float32) for m in MODALITIES}, np.array([n / 4]))
        for n in range(num)
    ]


@pytest.mark.parametrize("system", ["sgn", "vatp-net"])
def test_streams_are_found_by_their_usual_names_or_by_options(system):
    assert (build(system).video, build(system).text) == (1, 2)
    named = build(system, video="audio", text="video")
    assert (named.video, named.text) == (0, 1)


@pytest.mark.parametrize("system", ["sgn", "vatp-net"])
def test_the_only_stream_of_words_is_the_text(system):
    streams = (Modality("transcript", 3, words="hashed"), Modality("slide", 2))
    assert (build(system, streams).video, build(system, streams).text) == (1, 0)
    more = (*streams, Modality("video", 2))
    assert (build(system, more).video, build(system, more).text) == (2, 0)


@pytest.mark.parametrize("system", ["sgn", "vatp-net"])
@pytest.mark.parametrize(
    ("modalities", "options", "message"),
    [
        (MODALITIES[:2], {}, "stream of text, expected one called 'text', found audio, video"),
        (MODALITIES, {"video": "flow"}, "'flow'"),
        (MODALITIES, {"video": "text"}, "two streams"),
    ],
)
def test_without_video_or_text_there_is_no_model(system, modalities, options, message):
    with pytest.raises(InputError, match=message):
        build(system, modalities, **options)


@pytest.mark.parametrize("system", ["sgn", "vatp-net"])
def test_training_samples_that_never_own_both_are_refused(system):
    apart = [one.restricted_to(("audio", ("video", "text")[n % 2])) for n, one in enumerate(samples(4))]
    with pytest.raises(InputError, match="both video and text, found none among 4"):
        build(system).calibrate(apart)
    build(system).calibrate([*apart, *samples(1)])


def test_sgn_scores_video_alone_and_says_so():
    model = build("sgn").eval()
    whole = samples()
    alone = [one.restricted_to(("video",)) for one in whole]
    scores = [model(collate(some, MODALITIES, CRITERIA)).unit_scores_BC for some in (whole, alone)]
    assert torch.equal(*scores)
    assert model.why_no_prediction(("video",)) is None
    assert "video" in model.why_no_prediction(("audio", "text"))


def test_sgn_learns_from_text_that_the_step_hides_and_from_no_text_but_scores():
    model = build("sgn").train()
    whole = samples()
    shown = collate([one.restricted_to(("video",)) for one in whole], MODALITIES, CRITERIA)
    taught = model(dataclasses.replace(shown, owned=collate(whole, MODALITIES, CRITERIA))).auxiliary
    assert min(taught[name] for name in ("teacher", "semantics", "distribution", "response")) > 0
    assert max(abs(term) for term in model(dataclasses.replace(shown, owned=shown)).auxiliary.values()) == 0


def test_vatp_net_needs_both_streams():
    model = build("vatp-net").eval()
    whole = samples(2)
    batch = collate([whole[0], whole[1].restricted_to(("audio", "video"))], MODALITIES, CRITERIA)
    assert model(batch).scored_B.tolist() == [True, False]
    assert model.why_no_prediction(("video", "text")) is None
    assert model.why_no_prediction(("audio", "video")).endswith("absent: text")


def test_the_middle_of_a_step_is_its_nearest_place():
    distance_TK = step_distance(torch.tensor([8]), 8, 4)[0]
    assert distance_TK.abs().argmin(dim=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert distance_TK[0].tolist() == [-0.25, -1.25, -2.25, -3.25]


def test_clear_steps_that_are_all_used_parse_best():
    valid = torch.ones(1, 4, dtype=torch.bool)

    def loss(share_TK):
        share = torch.tensor([share_TK])
        return parsing_loss(share.clamp(min=1e-8).log(), share, valid).item()

    clear, unused = loss([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), loss([[1.0, 0.0]] * 4)
    assert clear == pytest.approx(-np.log(2))
    assert clear < loss([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]) < unused
    assert loss([[0.5, 0.5]] * 4) == pytest.approx(unused, abs=1e-6)


def test_steps_align_with_their_own_descriptions():
    steps = torch.eye(3)[None]
    assert alignment_loss(steps, steps, 0.1) < 0.01
    assert alignment_loss(steps, steps.roll(1, dims=1), 0.1) > 5


def test_queries_do_not_attend_to_what_is_not_there():
    reader = QueryReader(4, 2)
    x, real = torch.randn(2, 3, 4), torch.tensor([[True, True, False], [False, False, False]])
    tokens, log = reader(x, real)
    torch.testing.assert_close(log.exp()[0].sum(dim=1), torch.ones(2))
    assert (log.exp()[0, :, 2] == 0).all()
    assert tokens.isfinite().all()
    assert mean_of_rows(torch.tensor([1.0, 5.0]), torch.tensor([True, False])) == 1.0
