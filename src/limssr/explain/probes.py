"""Scores of LIMSSR whose sequences were altered before they were read: placeholders blanked, exchanged, made noise."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from limssr.core.types import Batch, Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.reading import laid_out_batches
from limssr.model.limssr import LaidOut, LimssrModel

Alteration = Callable[[Batch, LaidOut], LaidOut]
Kind = Literal["blanked", "exchanged", "noise"]
KINDS: tuple[Kind, ...] = ("blanked", "exchanged", "noise")


@torch.inference_mode()
def score_altered(scorer: ModelScorer, samples: Sequence[Sample], alter: Alteration) -> np.ndarray:
    """Scores [N, C] as `ModelScorer.score` makes them, from altered sequences; NaN where nothing can be read.

    Args:
        scorer: Of a LIMSSR model.
        samples: As they are shown.
        alter: Sequences of a batch -> those that are read.
    """
    model = scorer.model
    assert isinstance(model, LimssrModel)
    unit_NC = np.full((len(samples), len(model.criteria)), np.nan)
    was_training = model.training
    model.eval()
    try:
        for rows, batch, laid_out in laid_out_batches(scorer, samples):
            output = model.judge(batch, model.read(alter(batch, laid_out)))
            unit_NC[rows] = output.unit_scores_BC.double().cpu().numpy()
    finally:
        model.train(was_training)
    unit_NC = unit_NC if scorer.scale == "open" else unit_NC.clip(0.0, 1.0)
    return np.stack([one.to_score(unit_NC[:, c]) for c, one in enumerate(model.criteria)], axis=1)


def altered_placeholders(model: LimssrModel, stream: int, kind: Kind, *, seed: int = 0) -> Alteration:
    """Alter the placeholders of one absent stream.

    Args:
        model: With learned placeholders.
        stream: Its column.
        kind: "blanked": zero vectors, and the head reads nothing of the block; "exchanged": those of the next stream;
            "noise": normal noise of the same length.
        seed: Of the noise.
    """
    rows = model.tokens.rows.missing
    own, other = rows[stream], rows[(stream + 1) % len(rows)]

    def alter(batch: Batch, laid_out: LaidOut) -> LaidOut:
        del batch
        bank_RH, layout = laid_out.bank_RH.clone(), laid_out.layout
        if kind == "blanked":
            pool_BML = layout.pool_BML.clone()
            pool_BML[:, stream] = 0.0
            bank_RH[own] = 0.0
            return replace(laid_out, bank_RH=bank_RH, layout=replace(layout, pool_BML=pool_BML))
        if kind == "exchanged":
            bank_RH[own] = laid_out.bank_RH[other]
            return replace(laid_out, bank_RH=bank_RH)
        noise_H = torch.randn(bank_RH.shape[1], generator=torch.Generator().manual_seed(seed)).to(bank_RH)
        bank_RH[own] = noise_H * laid_out.bank_RH[own].norm() / noise_H.norm()
        return replace(laid_out, bank_RH=bank_RH)

    return alter


def with_other_streams(samples: Sequence[Sample], stream: str, seed: int) -> list[Sample]:
    """Samples with one stream taken from another sample, brought to their length by the nearest segment.

    Words of the stream go with it.
    """
    order = np.random.default_rng(seed).permutation(len(samples))
    donor = {int(order[n]): samples[order[n - 1]] for n in range(len(order))}
    found = []
    for n, sample in enumerate(samples):
        given_TD = donor[n].streams[stream]
        place_T = np.linspace(0, len(given_TD) - 1, sample.num_segments).round().astype(int)
        words = {name: said for name, said in sample.words.items() if name != stream}
        if stream in donor[n].words:
            words[stream] = donor[n].words[stream]
        found.append(replace(sample, streams={**sample.streams, stream: given_TD[place_T]}, words=words))
    return found
