"""`train.accumulate` is one large batch, for every system: BatchNorm and losses over pairs of samples see all of it."""

import pytest
import torch

from helpers.networks import ALL_MODALITIES, VARIANTS, small_config
from limssr.core.config import RunConfig
from limssr.core.types import Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.testing import CRITERIA, samples_of_every_pattern
from limssr.training.loop import fit

NETWORKS = ("limssr", *VARIANTS, "mcmoe", "bidirectional", "late-fusion", "gcnet", "imder")


def samples() -> list[Sample]:
    found = [one for seed in range(4) for one in samples_of_every_pattern(ALL_MODALITIES[:2], seed)]
    return [Sample(f"{n}", one.streams, one.scores) for n, one in enumerate(found)]


def trained(name: str, *, batch_size: int, accumulate: int) -> list[float]:
    """The loss of each epoch, with dropout: what is drawn must not depend on the pieces either."""
    train = {"epochs": 3, "batch_size": batch_size, "accumulate": accumulate, "warmup_epochs": 0, "selection": "last"}
    # sequences side by side share the draws of the adapters' dropout
    model = small_config(name, lora=None) if name == "limssr-padded" else small_config(name)
    run = RunConfig.model_validate({"model": model.model_dump(), "train": train | {"learning_rate": 1e-3}})
    network = build_model(run.model, ALL_MODALITIES[:2], CRITERIA, seed=0)
    return [record["train_loss"] for record in fit(network, samples(), [], config=run).history]


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_that_are_accumulated_are_one_large_batch(name: str) -> None:
    """The losses of the second and third epoch are of weights that earlier steps have made."""
    large, small = trained(name, batch_size=12, accumulate=1), trained(name, batch_size=4, accumulate=3)
    assert small == pytest.approx(large, rel=1e-4)


@pytest.mark.parametrize("name", ["limssr", "limssr-padded"])
def test_the_language_model_reads_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(small_config(name), ALL_MODALITIES[:2], CRITERIA, seed=0)
    widths: list[tuple[int, ...]] = []
    forward = model.backbone.forward

    def counted(*args, **named):
        widths.append(tuple(named["inputs_embeds"].shape[:2]))
        return forward(*args, **named)

    monkeypatch.setattr(model.backbone, "forward", counted)
    batch = collate(samples()[:9], ALL_MODALITIES[:2], CRITERIA)
    model.read_in_pieces(3)
    model.train()(batch).unit_scores_BC.sum().backward()
    assert len(widths) == 6, "three pieces, each read once more for its gradient"
    assert max(rows * length for rows, length in widths) < 0.6 * sum(rows * length for rows, length in widths[:3])
    with torch.inference_mode():
        model.eval()(batch)
    assert len(widths) <= 8, "scoring reads at once"
