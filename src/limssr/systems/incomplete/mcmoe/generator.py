"""MCMoE's gated generator: a stream that is absent, made from those that are there."""

from typing import Literal

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.nn.layers import masked_mean
from limssr.nn.transformers import sinusoidal_positions

Queries = Literal["zeros", "positions"]


class StreamGenerator(nn.Module):
    """Cross-attention from empty queries to what is there, then a gate.

    With queries "zeros", as published, every segment asks the same and gets the same answer: the generated sequence is
    constant over time (and so is computed once). With "positions" the queries are sinusoidal positions, which the first
    attention's own query map turns into learned ones.

    Args:
        hidden: H.
        num_heads: Of the attentions.
        num_layers: Attentions, one after the other, without residuals.
        queries: What asks.
    """

    def __init__(self, hidden: int, *, num_heads: int, num_layers: int, queries: Queries) -> None:
        super().__init__()
        if hidden % num_heads:
            raise InputError(
                f"Expected a width that {num_heads} attention heads divide, found model.hidden = {hidden}: "
                "change model.hidden or model.options.generator_heads."
            )
        self.queries = queries
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(hidden, num_heads, batch_first=True) for _ in range(num_layers)
        )
        self.gate = nn.Linear(2 * hidden, hidden)

    def forward(self, context_NSH: Tensor, known_NS: Tensor, real_NT: Tensor) -> Tensor:
        """Make N sequences.

        Args:
            context_NSH: The segments of all streams that are there, one behind the other.
            known_NS: Which of them are valid; at least one a row.
            real_NT: Which segments the generated sequence has; at least one a row.

        Returns:
            [N, T, H], zeros where nothing is real.
        """
        num_segments, hidden = real_NT.shape[1], context_NSH.shape[2]
        if self.queries == "zeros":
            made_NQH = context_NSH.new_zeros(len(context_NSH), 1, hidden)
        else:
            positions_TH = sinusoidal_positions(num_segments, hidden).to(context_NSH)
            made_NQH = positions_TH.expand(len(context_NSH), -1, -1)
        for attention in self.attentions:
            made_NQH, _ = attention(made_NQH, context_NSH, context_NSH, key_padding_mask=~known_NS, need_weights=False)
        made_NTH = made_NQH.expand(-1, num_segments, -1)
        summary_N2H = torch.cat([masked_mean(made_NTH, real_NT), masked_mean(context_NSH, known_NS)], dim=-1)
        opened_NTH = torch.sigmoid(self.gate(summary_N2H))[:, None] * made_NTH
        return opened_NTH.masked_fill(~real_NT[..., None], 0.0)
