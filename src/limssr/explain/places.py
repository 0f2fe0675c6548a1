"""What each position of a sequence is: prompt, a stream's block, or fusion slots; and a common scale for them."""

from collections.abc import Sequence

import numpy as np

from limssr.core.types import Batch
from limssr.model.limssr import LaidOut, LimssrModel

PROMPT = -1
PROMPT_BINS = 6
BLOCK_BINS = 20


def places_of(model: LimssrModel, batch: Batch, laid_out: LaidOut) -> np.ndarray:
    """[B, L] `PROMPT`, the number of the stream whose block it is (boundaries included), M for fusion slots.

    What is behind a sequence's end is -2.
    """
    layout, num_streams = laid_out.layout, len(model.modalities)
    source_BL, pool_BML = layout.source_BL.numpy(), layout.pool_BML.numpy()
    stream_of_row = _stream_of_rows(model, batch, len(laid_out.bank_RH))
    place_BL = np.where((pool_BML > 0).any(axis=1), pool_BML.argmax(axis=1), stream_of_row[source_BL])
    for b, (length, prompt) in enumerate(zip(layout.lengths_B.tolist(), laid_out.prompt_lengths, strict=True)):
        slots = length - layout.fusion_BK.shape[1]
        body = place_BL[b, prompt:slots]
        place_BL[b, prompt:slots] = _filled(body)
        place_BL[b, :prompt], place_BL[b, slots:length], place_BL[b, length:] = PROMPT, num_streams, -2
    return place_BL


def _stream_of_rows(model: LimssrModel, batch: Batch, num_rows: int) -> np.ndarray:
    """Row of the bank -> its stream; -2 where a row alone does not say it."""
    rows = model.tokens.rows
    counts = batch.masks_on_host()[1].sum(dim=(0, 2)).numpy().copy()
    counts[list(model.words.columns)] = 0  # tokens of words come last, and their positions are all pooled
    found = np.full(num_rows, -2)
    for m in range(len(counts)):
        for named in (rows.starts, rows.ends):
            found[list(named[m : m + 1])] = m
        if len(set(rows.missing)) == len(rows.missing):
            found[list(rows.missing[m : m + 1])] = m
    found[rows.count : rows.count + counts.sum()] = np.repeat(np.arange(len(counts)), counts)
    return found


def _filled(body: np.ndarray) -> np.ndarray:
    """Positions that do not say their stream belong to that of the one before them."""
    known = np.where(body >= 0, np.arange(len(body)), 0)
    return body[np.maximum.accumulate(known)] if len(body) else body


def bin_names(names: Sequence[str], num_slots: int) -> tuple[str, ...]:
    """What each bin of the common scale belongs to: "prompt", a stream, or "slots"."""
    blocks = [name for name in names for _ in range(BLOCK_BINS)]
    return (*["prompt"] * PROMPT_BINS, *blocks, *["slots"] * num_slots)


def binned(weights_KL: np.ndarray, place_L: np.ndarray, num_streams: int) -> np.ndarray:
    """Weights on the common scale [K, bins]: prompt, blocks in the model's order of streams, slots.

    Each part is cut into equal bins; a position that lies in two gives each its share, so that sums stay as they are.
    """
    num_slots = len(weights_KL)
    parts = [(PROMPT, PROMPT_BINS), *((m, BLOCK_BINS) for m in range(num_streams)), (num_streams, num_slots)]
    return np.concatenate([_rebinned(weights_KL[:, place_L == place], bins) for place, bins in parts], axis=1)


def _rebinned(weights_KP: np.ndarray, bins: int) -> np.ndarray:
    num = weights_KP.shape[1]
    if not num:
        return np.zeros((len(weights_KP), bins))
    upto_KP = np.concatenate([np.zeros((len(weights_KP), 1)), np.cumsum(weights_KP, axis=1)], axis=1)
    edges = np.linspace(0, num, bins + 1)
    return np.diff(np.stack([np.interp(edges, np.arange(num + 1), row) for row in upto_KP]), axis=1)
