import numpy as np
import torch

from limssr.core.config import LossConfig, ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.losses import total_loss
from limssr.systems.build import build_model

MODALITIES = (Modality("a", 3), Modality("b", 2))
CRITERIA = (Criterion("x"),)


def samples(*owned: tuple[str, ...]) -> list[Sample]:
    rng = np.random.default_rng(0)
    widths = {"a": 3, "b": 2}
    return [
        Sample(f"s{n}", {m: rng.normal(size=(4, widths[m])).astype(np.float32) for m in names}, np.array([0.2 * n]))
        for n, names in enumerate(owned)
    ]


def late_fusion():
    return build_model(ModelConfig(system="late-fusion", hidden=8, dropout=0.0), MODALITIES, CRITERIA, seed=0)


def test_two_streams_score_the_mean_of_each_alone():
    model = late_fusion().eval()
    (both,) = samples(("a", "b"))
    alone = [both.restricted_to((name,)) for name in ("a", "b")]
    with torch.no_grad():
        mean, first, second = (model(collate([one], MODALITIES, CRITERIA)).unit_scores_BC for one in (both, *alone))
    torch.testing.assert_close(mean, (first + second) / 2)
    assert (first - second).abs() > 1e-4


def test_a_network_learns_the_same_whatever_the_others_say():
    def gradient(model):
        model.zero_grad()
        batch = collate(samples(("a", "b"), ("a",)), MODALITIES, CRITERIA)
        total_loss(model.train()(batch), batch.unit_scores_BC, LossConfig()).total.backward()
        return torch.cat([one.grad.flatten() for one in model.scorers[0].parameters()])

    model = late_fusion()
    before = gradient(model)
    with torch.no_grad():
        model.scorers[1].head[-1].bias += 3.0
    torch.testing.assert_close(gradient(model), before)
