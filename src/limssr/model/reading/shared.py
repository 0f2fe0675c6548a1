"""A training batch that several processes read together: who reads which samples, and how gradients find their way.

Every process has the whole batch and computes everything around the language model by itself: projections with their
BatchNorm, heads, losses over pairs. Only the language model's reading is divided. Each process reads the sequences of
its share; the hidden states are gathered, so that all processes go on with those of the whole batch. On the way back

* the gradient of a hidden state goes to the process that has read it,
* the gradients of the input rows are summed over the processes, so that whatever lies before is given its whole
  gradient everywhere,
* the gradients of the language model's own parameters are sums over the processes, which training takes
  (`limssr.training.together`).

So a step has the numbers of one process, up to the rounding of sums.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.team import Team

OWN_DROPOUT = ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout", "dropout")
"""Names of the rates in the configurations of language models."""


def check_draws_by_sequence(backbone: nn.Module, how: str) -> None:
    """Refuse dropout that is drawn for a whole batch, which no process alone could do.

    Args:
        backbone: With its adapters.
        how: "packed" or "padded".

    Raises:
        InputError: There is such a one.
    """
    config: Any = backbone.config
    own = [name for name in OWN_DROPOUT if getattr(config, name, 0.0)]
    if own:
        raise InputError(
            f"Expected a backbone without dropout of its own for several processes, found {', '.join(own)}: "
            "train it with one process."
        )
    drops = [part for part in backbone.modules() if isinstance(part, nn.Dropout) and part.p > 0]
    if how == "padded" and drops:
        raise InputError(
            "Expected model.backbone.reading: packed for several processes, found padded, where the dropout of the "
            "adapters is drawn for a whole batch: use reading: packed, model.lora.dropout=0, or one process."
        )


def shares_of(lengths: Sequence[int], prompts: Sequence[tuple[int, ...]], number: int) -> list[list[int]]:
    """Samples of a batch for each process, some of them none, so that all have about as much to read.

    The longest are dealt first, each to whoever has least so far, in tokens; a prompt that several samples share is
    read once by each process that needs it.
    """
    shares: list[list[int]] = [[] for _ in range(number)]
    work = [0] * number
    for b in sorted(range(len(lengths)), key=lambda b: (-lengths[b], b)):
        costs = [
            work[n] + _body(lengths[b], prompts[b]) + _prompt(prompts[b], shares[n], prompts) for n in range(number)
        ]
        best = min(range(number), key=lambda n: (costs[n], n))
        work[best] = costs[best]
        shares[best].append(b)
    return [sorted(share) for share in shares]


def _body(length: int, prompt: tuple[int, ...]) -> int:
    return length - len(prompt)


def _prompt(prompt: tuple[int, ...], share: Sequence[int], prompts: Sequence[tuple[int, ...]]) -> int:
    return 0 if any(prompts[b] == prompt for b in share) else len(prompt)


def shared_rows(bank_RH: Tensor, team: Team) -> Tensor:
    """The same rows; on the way back their gradients are summed over the processes."""
    return _Shared.apply(bank_RH, team)  # type: ignore[return-value]


def gathered(own: Tensor, share: Sequence[int], num_samples: int, length: int, *, team: Team) -> Tensor:
    """Hidden states of all samples [B, L, H], of which this process has read those of its share [b, l, H].

    Args:
        own: Of the share, in its order; where that is empty, no row, but one that the way back leads through.
        share: Samples that this process has read.
        num_samples: B.
        length: L, no less than l.
        team: The processes.
    """
    whole_BLH = own.new_zeros(num_samples, length, own.shape[2])
    if share:
        index = torch.tensor(list(share), device=own.device)
        padded = nn.functional.pad(own, (0, 0, 0, length - own.shape[1]))
        whole_BLH = whole_BLH.index_copy(0, index, padded)
    else:
        whole_BLH = whole_BLH + own.sum()  # zero; but the way back passes here, and every process has to take it
    return _Gathered.apply(whole_BLH, team)  # type: ignore[return-value]


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, team: Team) -> Tensor:
        ctx.team = team
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.team.add_up(gradients[0].contiguous().clone()), None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, team: Team) -> Tensor:
        return team.add_up(whole.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None
