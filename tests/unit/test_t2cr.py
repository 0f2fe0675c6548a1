"""What is particular to T2CR: warping, contrast, exemplars, and the score put together from them."""

import itertools

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.sequences import soft_dtw
from limssr.systems.build import build_model
from limssr.systems.complete.t2cr.parts import path_contrast

MODALITIES = (Modality("video", 4), Modality("audio", 3))
CRITERIA = (Criterion("score", 0.0, 10.0),)


def walks(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """All ways from the first cell to the last by steps down, right or both."""
    if (rows, columns) == (1, 1):
        return [[(0, 0)]]
    before = [(rows - 1, columns), (rows, columns - 1), (rows - 1, columns - 1)]
    return [[*walk, (rows - 1, columns - 1)] for size in before if min(size) > 0 for walk in walks(*size)]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (3, 3), (4, 2), (2, 4)])
def test_soft_warping_is_the_soft_minimum_over_all_walks(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows * 10 + columns)
    first, second = (torch.randn(2, n, 3, generator=generator) for n in (rows, columns))
    for sample in range(2):
        cost = torch.cdist(first[sample], second[sample]).square()
        sums = torch.stack([sum(cost[cell] for cell in walk) for walk in walks(rows, columns)])
        expected = -0.5 * torch.logsumexp(-sums / 0.5, dim=0)
        torch.testing.assert_close(soft_dtw(first, second, gamma=0.5)[sample], expected, rtol=1e-4, atol=1e-4)


def test_warping_has_finite_gradients_and_forgives_stretching() -> None:
    slow = torch.tensor([[[0.0], [0.0], [1.0], [1.0]]], requires_grad=True)
    fast, other = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[1.0], [0.0]]])
    assert soft_dtw(slow, fast, gamma=0.01).item() < 0.01
    found = soft_dtw(slow, other, gamma=0.01)
    found.sum().backward()
    assert found.item() > 1.0
    assert slow.grad.isfinite().all()


def test_contrast_is_small_where_paths_agree_and_by_hand_for_two_samples() -> None:
    first, second = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    agree = path_contrast(first, second, temperature=0.5).item()
    # of the three others one has cosine 1, two have cosine 0
    assert agree == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)))
    assert path_contrast(first, second.flip(0), temperature=0.5).item() > agree


def samples(num: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    streams = [{m.name: rng.normal(size=(6, m.dim)).astype(np.float32) for m in MODALITIES} for _ in range(num)]
    return [Sample(f"s{n}", streams[n], np.array([float(n)])) for n in range(num)]


def model_of(**options: object) -> torch.nn.Module:
    settings = {"decoder_layers": 1, "num_heads": 2, **options}
    config = {"system": "t2cr", "hidden": 8, "dropout": 0.0, "output": "standardized", "options": settings}
    return build_model(ModelConfig.model_validate(config), MODALITIES, CRITERIA, seed=0)


def test_exemplars_are_spread_over_the_ranks_of_training_samples_that_can_be_one() -> None:
    every = samples(10)
    unjudged = Sample("unjudged", every[0].streams, np.array([np.nan]))
    other_stream = every[5].restricted_to(("audio",))
    model = model_of(num_exemplars=3, num_coarse=6)
    model.calibrate([*every[:5], other_stream, *every[6:], unjudged])
    # usable scores 0 1 2 3 4 6 7 8 9: the places 1/6, 3/6 and 5/6 of nine ranks
    torch.testing.assert_close(model.exemplar_scores.flatten(), torch.tensor([0.1, 0.4, 0.8]))
    video = torch.from_numpy(np.stack([every[n].streams["video"] for n in (1, 4, 8)]))
    torch.testing.assert_close(model.exemplar_coarse, video)


def test_fewer_samples_than_exemplars_are_repeated_and_none_is_refused() -> None:
    model = model_of(num_exemplars=4)
    model.calibrate(samples(2))
    torch.testing.assert_close(model.exemplar_scores.flatten(), torch.tensor([0.0, 0.0, 0.1, 0.1]))
    with pytest.raises(InputError, match="stream video and every score"):
        model_of().calibrate([sample.restricted_to(("audio",)) for sample in samples(2)])


def test_a_score_is_the_mean_of_the_direct_one_and_of_the_nearest_exemplars_plus_differences() -> None:
    model = model_of(num_exemplars=4, votes=2).eval()
    every = samples(8)
    model.calibrate(every)
    levels = (model.exemplar_scores - model.output_scale.mean_C) / model.output_scale.deviation_C

    class Says(torch.nn.Module):
        """Direct scores near the highest exemplar; a difference of 0.25 for all that was compared."""

        def forward(self, tokens_NSH: torch.Tensor) -> torch.Tensor:
            is_compared = tokens_NSH.shape[1] == 2 * model.options.num_clips
            said = 0.25 if is_compared else levels.max().item()
            return tokens_NSH.new_full((len(tokens_NSH), 1), said)

    model.regressor = Says()
    nearest = levels.flatten().sort(descending=True).values[:2]
    expected = model.output_scale(((levels.max() + nearest.mean() + 0.25) / 2).reshape(1, 1))[0, 0]
    found = model(collate(every[:3], MODALITIES, CRITERIA)).unit_scores_BC
    torch.testing.assert_close(found, expected.expand(3, 1))


def test_targets_that_were_not_judged_leave_finite_losses() -> None:
    model = model_of()
    every = samples(6)
    model.calibrate(every)
    unjudged = [Sample(s.id, s.streams, np.array([np.nan])) for s in every[:2]]
    output = model.train()(collate([*unjudged, *every[2:]], MODALITIES, CRITERIA))
    assert all(term.isfinite() for term in itertools.chain(output.auxiliary.values(), [output.members_EBC.sum()]))
