"""What LIMSSR makes of samples under one subset: attention of its slots, and the mean state of every block."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from limssr.core.types import Batch, Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.places import binned, places_of
from limssr.model.limssr import LaidOut, LimssrModel
from limssr.model.reading.reader import States


@dataclass(frozen=True, kw_only=True)
class Read:
    """N samples under one subset; the M streams are in the model's order.

    Attributes:
        subset: The streams that were shown.
        rows_N: Places among the samples that were given.
        attention_NKP: Of each slot in the last layer, mean over heads, on the common scale of `places.bin_names`.
        uniform_NP: The same, were attention spread evenly.
        length_N: Positions of each sequence.
        entropy_NK: Of each slot's attention, as a share of the largest possible one.
        inputs_NMH: Mean input of each block: what stands there before the language model.
        states_NMH: Mean last hidden state of each block.
        spread_NMH: Deviation of the states within each block.
        difference: Largest difference of a slot's state from ordinary (packed) reading, relative to the largest state.
        exactness: Largest difference between what the attention makes of the values and what the layer made.
    """

    subset: tuple[str, ...]
    rows_N: np.ndarray
    attention_NKP: np.ndarray
    uniform_NP: np.ndarray
    length_N: np.ndarray
    entropy_NK: np.ndarray
    inputs_NMH: np.ndarray
    states_NMH: np.ndarray
    spread_NMH: np.ndarray
    difference: float
    exactness: float


@torch.inference_mode()
def read_subset(scorer: ModelScorer, samples: Sequence[Sample], subset: tuple[str, ...]) -> Read:
    """Read all samples that own a subset, showing nothing else of them.

    The first batch is read in the ordinary way, too, and the states of the slots are compared.

    Args:
        scorer: Of a LIMSSR model.
        samples: To read.
        subset: The streams to show.

    Raises:
        InputError: A backbone whose attention cannot be seen.
    """
    model = scorer.model
    assert isinstance(model, LimssrModel)
    owning = [n for n, sample in enumerate(samples) if set(subset) <= set(sample.streams)]
    shown = [samples[n].restricted_to(subset) for n in owning]
    order: list[int] = []
    parts: list[tuple[np.ndarray, ...]] = []
    difference = exactness = 0.0
    was_training = model.training
    model.eval()
    try:
        for rows, batch, laid_out in laid_out_batches(scorer, shown):
            states, watch = model.reader.watched(laid_out.bank_RH, laid_out.layout)
            weights_BHKL = next(iter(watch.found.values()))
            if not order:
                difference = _difference(states, model.read(laid_out))
            exactness = max(exactness, watch.difference)
            order += rows
            place_BL = places_of(model, batch, laid_out)
            parts.append((*_attention(weights_BHKL.mean(dim=1).cpu().numpy(), place_BL, len(model.modalities)),
                          *_blocks(states)))  # fmt: skip
    finally:
        model.train(was_training)
    attention, uniform, length, entropy, inputs, hidden, spread = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    back = np.argsort(order)
    return Read(
        subset=subset,
        rows_N=np.array([owning[n] for n in sorted(order)], dtype=int),
        attention_NKP=attention[back],
        uniform_NP=uniform[back],
        length_N=length[back],
        entropy_NK=entropy[back],
        inputs_NMH=inputs[back],
        states_NMH=hidden[back],
        spread_NMH=spread[back],
        difference=difference,
        exactness=exactness,
    )


def laid_out_batches(scorer: ModelScorer, samples: Sequence[Sample]) -> Iterator[tuple[list[int], Batch, LaidOut]]:
    """Places among the samples, their batch on the device, and its sequences before they are read."""
    model = scorer.model
    assert isinstance(model, LimssrModel)
    for rows, batch in scorer.batches(samples):
        on_device = batch.to(scorer.device)
        yield rows, on_device, model.lay_out(on_device)


def _difference(padded: States, packed: States) -> float:
    slots = [
        states.hidden_BLH.gather(1, states.fusion_BK[..., None].expand(-1, -1, states.hidden_BLH.shape[2]))
        for states in (padded, packed)
    ]
    return float((slots[0] - slots[1]).abs().max() / slots[1].abs().max().clamp(min=1e-12))


def _attention(weights_BKL: np.ndarray, place_BL: np.ndarray, num_streams: int) -> tuple[np.ndarray, ...]:
    length_B = (place_BL >= -1).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_BKL = np.where(weights_BKL > 0, -weights_BKL * np.log(weights_BKL), 0.0)
    entropy_BK = terms_BKL.sum(axis=2) / np.log(np.maximum(length_B, 2))[:, None]
    rows = [binned(weights_KL, place_L, num_streams) for weights_KL, place_L in zip(weights_BKL, place_BL, strict=True)]
    even_BL = (place_BL >= -1) / length_B[:, None]
    even = [binned(even_L[None], place_L, num_streams) for even_L, place_L in zip(even_BL, place_BL, strict=True)]
    slots = weights_BKL.shape[1]
    uniform_BP = np.stack([_with_slots(row[0], slots) for row in even])
    return np.stack(rows), uniform_BP, length_B, entropy_BK


def _with_slots(even_P: np.ndarray, slots: int) -> np.ndarray:
    """One bin for all slots -> one each."""
    return np.concatenate([even_P[:-1], np.full(slots, even_P[-1] / slots)])


def _blocks(states: States) -> tuple[np.ndarray, ...]:
    assert states.inputs_BLH is not None
    means = []
    for x_BLH in (states.inputs_BLH, states.hidden_BLH, states.hidden_BLH.square()):
        means.append(torch.bmm(states.pool_BML.to(x_BLH.dtype), x_BLH).float().cpu().numpy())
    inputs_BMH, mean_BMH, square_BMH = means
    return inputs_BMH, mean_BMH, np.sqrt(np.maximum(square_BMH - mean_BMH**2, 0.0))
