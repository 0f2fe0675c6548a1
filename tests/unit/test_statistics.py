"""The moments, their quantiles, and the ensemble that reads them."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from limssr.core.config import BackboneConfig, LossConfig, ModelConfig, StatisticsConfig, TrainConfig
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.model.heads.statistics import StatisticsHead
from limssr.nn.losses import task_loss, total_loss
from limssr.nn.moments import Members, PooledStatistics, moments
from limssr.systems.build import build_model
from limssr.training.optimizer import parameter_groups

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("execution", 0.0, 10.0),)


def make_samples(count: int = 80) -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = []
    for index in range(count):
        streams = {m.name: rng.lognormal(size=(rng.integers(2, 9), m.dim)).astype(np.float32) for m in MODALITIES[:1]}
        samples.append(Sample(str(index), streams, rng.uniform(0, 10, 1)))
    return samples


def test_moments_are_numpy_s_over_the_valid_segments() -> None:
    x = torch.randn(1, 7, 3)
    valid = torch.tensor([[True, True, False, True, True, True, False]])
    kept = x[0, valid[0]].numpy()
    steps = np.concatenate([np.diff(x[0, :2].numpy(), axis=0), np.diff(x[0, 3:6].numpy(), axis=0)])
    expected = [kept.mean(0), kept.std(0), kept.min(0), kept.max(0), steps.std(0), np.abs(steps).mean(0)]
    np.testing.assert_allclose(moments(x, valid)[0].numpy(), np.concatenate(expected), atol=1e-5)


def test_moments_do_not_read_what_is_not_valid() -> None:
    x, valid = torch.randn(2, 5, 2), torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
    poisoned = x.masked_fill(~valid[..., None], torch.nan)
    torch.testing.assert_close(moments(poisoned, valid), moments(x, valid))
    assert moments(poisoned, valid)[1].abs().sum() == 0


def test_training_statistics_become_normal() -> None:
    pooled, samples = PooledStatistics(MODALITIES, None), make_samples(400)
    pooled.fit(samples)
    longest = max(sample.num_segments for sample in samples)
    features = {m.name: torch.zeros(len(samples), longest, m.dim) for m in MODALITIES}
    valid = torch.zeros(len(samples), 2, longest, dtype=torch.bool)
    for b, sample in enumerate(samples):
        features["video"][b, : sample.num_segments] = torch.from_numpy(np.array(sample.streams["video"]))
        valid[b, 0, : sample.num_segments] = True
    lengths = valid[:, 0].sum(dim=1)
    got = pooled(features, valid, valid.any(dim=2), lengths)
    assert got.shape == (400, pooled.num_outputs)
    means = got[:, :3].sort(dim=0).values  # the means of three features, in order
    expected = torch.from_numpy(norm.ppf((np.arange(400) + 0.5) / 400)).float().clamp(-2.5, 2.5)
    body = slice(20, -20)  # a hundred quantiles follow the tails of four hundred values only roughly
    torch.testing.assert_close(means[body], expected[body, None].expand(-1, 3), atol=0.06, rtol=0)
    assert got[:, 18:30].abs().sum() == 0  # nobody owns audio
    assert got[:, -2:].tolist() == [[1.0, 0.0]] * 400


def test_equal_training_values_take_the_middle_of_their_places() -> None:
    pooled = PooledStatistics(MODALITIES[:1], None)
    samples = [Sample(str(i), {"video": np.full((3, 3), float(i >= 20), np.float32)}) for i in range(100)]
    pooled.fit(samples)
    features = {"video": torch.zeros(1, 3, 3)}
    valid = torch.ones(1, 1, 3, dtype=torch.bool)
    place = norm.cdf(pooled(features, valid, valid.any(dim=2), torch.tensor([3]))[0, 0].item())
    assert place == pytest.approx(0.1, abs=0.02)


def test_members_share_nothing() -> None:
    members = Members(3, 4, hidden=5, num_criteria=2, input_dropout=0.0, dropout=0.0)
    members(torch.randn(6, 4))[1].sum().backward()
    assert members.first.grad[0].abs().sum() == 0
    assert members.first.grad[1].abs().sum() > 0


def statistics_model(**options: object) -> tuple[torch.nn.Module, Batch]:
    config = ModelConfig(
        backbone=BackboneConfig(name="tiny"), head="statistics", statistics=StatisticsConfig(**options), dropout=0.0
    )
    model = build_model(config, MODALITIES, CRITERIA, seed=0)
    model.calibrate(make_samples())
    valid = torch.ones(4, 2, 5, dtype=torch.bool)
    features = {m.name: torch.randn(4, 5, m.dim) for m in MODALITIES}
    return model, Batch(
        ids=tuple("abcd"),
        features=features,
        present_BM=valid.any(2),
        valid_BMT=valid,
        lengths_B=torch.full((4,), 5),
        unit_scores_BC=torch.rand(4, 1),
    )


def test_score_is_the_fixed_mix_of_both_paths() -> None:
    model, batch = statistics_model(mix=0.25)
    output = model.eval()(batch)
    torch.testing.assert_close(output.unit_scores_BC, 0.25 * output.main_BC + 0.75 * output.aux_BC)
    assert (model.learned()["mix"], model.learned()["mix_is_fixed"]) == (0.25, True)


def test_each_member_learns_on_its_own() -> None:
    model, batch = statistics_model(members=2)
    output = model.eval()(batch)
    losses = [task_loss(scores, batch.unit_scores_BC) for scores in output.members_EBC]
    assert len(losses) == 4  # path 1 counts as much as the ensemble
    expected = sum(losses) / 4
    got = total_loss(output, batch.unit_scores_BC, LossConfig(task=1, consistency=0, slots=0)).total
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_ensemble_has_its_own_learning_rate() -> None:
    model, _ = statistics_model()
    assert isinstance(model.head, StatisticsHead)
    train = TrainConfig(
        learning_rate=1e-3, backbone_learning_rate=1e-4, statistics_learning_rate=5e-3, statistics_weight_decay=0.5
    )
    groups = parameter_groups(model, train)
    of = {id(p): group for group in groups for p in group["params"]}
    assert of[id(model.head.members.first)]["lr"] == 5e-3
    assert of[id(model.head.members.first)]["weight_decay"] == 0.5
    assert of[id(model.head.members.first_offset)]["weight_decay"] == 0.0
    assert of[id(model.tokens.special)]["lr"] == 1e-4
    assert of[id(model.projections[0].layers[0].weight)]["lr"] == 1e-3
    assert len(of) == sum(p.requires_grad for p in model.parameters())
