"""What is particular to ActionMAE: what is rebuilt, what it is compared with, and who is scored from what."""

import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.incomplete.actionmae import reconstruction_loss

MODALITIES = (Modality("video", 3), Modality("audio", 2))
NAMES = ("video", "audio")
CRITERIA = (Criterion("points"),)


def actionmae(**options: float | bool | str) -> torch.nn.Module:
    config = ModelConfig(system="actionmae", hidden=8, dropout=0.0, options={"temporal_depth": 1, **options})
    return build_model(config, MODALITIES, CRITERIA, seed=0)


def batch_of(*owned: tuple[str, ...]) -> Batch:
    samples = []
    for number, names in enumerate(owned):
        rng = np.random.default_rng(number)
        streams = {m.name: rng.normal(size=(4, m.dim)).astype(np.float32) for m in MODALITIES}
        samples.append(Sample(f"s{number}", streams, np.array([0.5])).restricted_to(names))
    return collate(samples, MODALITIES, CRITERIA)


def test_the_reconstruction_is_right_where_it_equals_the_standardised_token() -> None:
    own_BMH = torch.randn(2, 2, 64, generator=torch.Generator().manual_seed(0)) * 3 + 5
    right_BMH = (own_BMH - own_BMH.mean(dim=2, keepdim=True)) / own_BMH.std(dim=2, keepdim=True, correction=0)
    target_BM = torch.tensor([[True, False], [False, False]])
    assert reconstruction_loss(right_BMH, own_BMH, target_BM).item() == pytest.approx(0.0, abs=1e-9)
    wrong_BMH = right_BMH + torch.tensor([[2.0, 50.0], [50.0, 50.0]])[..., None]  # only the first is a target
    assert reconstruction_loss(wrong_BMH, own_BMH, target_BM).item() == pytest.approx(4.0, rel=1e-4)


def test_only_streams_that_exist_and_are_hidden_are_targets() -> None:
    model = actionmae().train()
    shown = batch_of(("video",), ("audio",))
    as_much = dataclasses.replace(shown, owned=shown)
    assert model(as_much).auxiliary["reconstruction"].item() == 0.0
    assert model(shown).auxiliary["reconstruction"].item() == 0.0
    more = dataclasses.replace(shown, owned=batch_of(NAMES, ("audio",)))
    assert model(more).auxiliary["reconstruction"].item() > 0.0


@pytest.mark.parametrize("detach_target", [True, False])
def test_a_target_learns_from_the_reconstruction_unless_it_is_detached(detach_target: bool) -> None:
    model = actionmae(detach_target=detach_target).train()
    batch = dataclasses.replace(batch_of(("video",)), owned=batch_of(NAMES))
    model(batch).auxiliary["reconstruction"].backward()
    gradient = model.streams[1].project.weight.grad  # of the hidden stream, which is only a target
    assert (gradient is None or not gradient.abs().max() > 0) == detach_target


@pytest.mark.parametrize(("complete_samples", "is_own"), [("own", True), ("rebuilt", False)])
def test_complete_samples_are_scored_from_their_own_tokens_and_others_from_rebuilt_ones(
    complete_samples: str, is_own: bool
) -> None:
    model = actionmae(complete_samples=complete_samples).eval()
    batch = batch_of(NAMES, ("video",))
    with torch.no_grad():
        before = model(batch).unit_scores_BC
        model.rebuild.predict.bias.add_(1.0)
        after = model(batch).unit_scores_BC
    assert torch.equal(before[0], after[0]) == is_own
    assert not torch.allclose(before[1], after[1])
