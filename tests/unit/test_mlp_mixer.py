"""What is particular to Skating-Mixer: clips, the memory between them, both directions, zeros for what is absent."""

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("points"),)


def mixer(**options: int | str) -> torch.nn.Module:
    config = ModelConfig(system="mlp-mixer", hidden=8, dropout=0.0, options=options)
    return build_model(config, MODALITIES, CRITERIA, seed=0).eval()


def sample(length: int, *names: str) -> Sample:
    rng = np.random.default_rng(0)
    streams = {m.name: rng.normal(size=(9, m.dim)).astype(np.float32)[:length] for m in MODALITIES}
    return Sample("s", streams, np.array([0.5])).restricted_to(names or ("video", "audio"))


def batch_of(*samples: Sample) -> Batch:
    return collate(samples, MODALITIES, CRITERIA)


@torch.no_grad()
def test_a_clip_hears_of_those_before_it_and_of_none_behind() -> None:
    model = mixer()
    tokens_BJNH = torch.randn(2, 5, 2, 8, generator=torch.Generator().manual_seed(0))
    changed_BJNH = tokens_BJNH.clone()
    changed_BJNH[:, 2] = tokens_BJNH[:, 3]
    before, after = (model._read(x, x) for x in (tokens_BJNH, changed_BJNH))
    moved_J = (before - after).abs().amax(dim=(0, 2)) > 1e-6
    assert moved_J.tolist() == [False, False, True, True, True]


@torch.no_grad()
def test_the_last_clip_of_a_sample_is_the_first_of_its_reverse_order() -> None:
    model = mixer(clip_segments=2)
    short, long = sample(5), sample(9)
    seen = []
    model._read, read = (lambda *clips: seen.append(clips) or read(*clips)), model._read
    model(batch_of(short, long))
    tokens_BJNH, reversed_BJNH = seen[0]
    assert tokens_BJNH.shape == (2, 5, 4, 8)
    torch.testing.assert_close(reversed_BJNH[0, :3], tokens_BJNH[0, :3].flip(0))
    torch.testing.assert_close(reversed_BJNH[1], tokens_BJNH[1].flip(0))


@torch.no_grad()
@pytest.mark.parametrize(("absent", "read_as_zeros"), [("zeros", True), ("learned", False)])
def test_an_absent_stream_is_zeros_unless_a_token_is_learned_for_it(absent: str, read_as_zeros: bool) -> None:
    model = mixer(absent=absent)
    present = sample(4)
    zeros = Sample("s", {**present.streams, "audio": np.zeros((4, 2), np.float32)}, present.scores)
    score_absent, score_zeros = (model(batch_of(one)).unit_scores_BC for one in (sample(4, "video"), zeros))
    assert torch.allclose(score_absent, score_zeros, atol=1e-7) == read_as_zeros
