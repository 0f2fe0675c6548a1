"""What is particular to MoMKE: experts alone first, then weighed answers of all."""

import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("points"),)


def momke(**options: int) -> torch.nn.Module:
    config = ModelConfig(system="momke", hidden=8, dropout=0.0, output="linear", options=options)
    return build_model(config, MODALITIES, CRITERIA, seed=0)


def batch_of(*owned: tuple[str, ...]) -> Batch:
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            f"s{n}",
            {m.name: rng.normal(size=(4, m.dim)).astype(np.float32) for m in MODALITIES if m.name in names},
            np.array([rng.uniform()]),
        )
        for n, names in enumerate(owned)
    ]
    return collate(samples, MODALITIES, CRITERIA)


def test_in_the_first_stage_a_stream_moves_its_own_expert_and_no_other() -> None:
    model = momke()
    model.enter(model.stages[0])
    output = model.train()(batch_of(("video",), ("video",)))
    assert not output.scored_B.any()
    output.auxiliary["streams alone"].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any(name.startswith("experts.0.") for name in moved)
    assert not any(name.startswith(("experts.1.", "own_heads.1", "routers.", "residual.", "head.")) for name in moved)


def test_the_first_stage_adds_the_squared_errors_of_the_streams_over_their_own_samples() -> None:
    model = momke()
    model.enter(model.stages[0])
    batch = batch_of(("video", "audio"), ("audio",), ("video",))
    together = model.train()(batch).auxiliary["streams alone"]
    parts = []
    for index, rows in enumerate(([0, 2], [0, 1])):
        other = torch.ones_like(batch.valid_BMT)
        other[:, 1 - index] = False
        one = dataclasses.replace(batch, valid_BMT=batch.valid_BMT & other, present_BM=batch.present_BM & other[..., 0])
        kept = [n for n in range(3) if one.present_BM[n].any()]
        assert kept == rows
        parts.append(model(one).auxiliary["streams alone"])
    assert together.item() == pytest.approx(sum(part.item() for part in parts), rel=1e-5)


def test_a_router_that_is_sure_of_one_expert_leaves_the_others_no_say() -> None:
    model = momke().eval()
    batch = batch_of(("video",), ("video", "audio"))
    with torch.no_grad():
        for router in model.routers:
            router[2].weight.zero_()
            router[2].bias.copy_(torch.tensor([100.0, -100.0]))
        before = model(batch).unit_scores_BC
        for parameter in model.experts[1].parameters():
            parameter.add_(1.0)
        torch.testing.assert_close(model(batch).unit_scores_BC, before)
        for parameter in model.experts[0].parameters():
            parameter.add_(1.0)
        assert not torch.allclose(model(batch).unit_scores_BC, before)
