"""Gives both sides the same weights, and compares them by name after training."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limssr.model.limssr import LimssrModel
from limssr.model.prompt import prompt_text
from limssr.runs.published.keys import KeyMap
from limssr.studies.speed.literal import LiteralModel


@dataclass(frozen=True)
class Difference:
    """How far two sides are apart.

    Attributes:
        scores: Largest absolute difference of a unit score.
        gradients: Largest difference of a gradient, as a share of that tensor's norm (tensors that hardly matter are
            held against a thousandth of the norm of all gradients).
        worst: The tensor it belongs to.
    """

    scores: float
    gradients: float
    worst: str


@torch.no_grad()
def copy_weights(ours: LimssrModel, literal: LiteralModel, table_VH: Tensor) -> None:
    """Give the literal model our weights.

    Args:
        ours: The source.
        literal: Of the same shape.
        table_VH: The backbone's embedding rows, of which ours keeps only those it uses.
    """
    keys, expected = _keys(literal), literal.state_dict()
    state = {keys.table: _whole_table(ours, literal, table_VH)}
    for name, tensor in ours.state_dict().items():
        key = keys.published(name)
        if key is not None:
            state[key] = tensor.reshape(expected[key].shape)
    literal.load_state_dict(state | {keys.output_matrix: state[keys.table]})


def compare(ours: nn.Module, literal: LiteralModel, scores: tuple[Tensor, Tensor]) -> Difference:
    """Scores (ours, literal) of one batch, and the gradients that both models hold."""
    assert isinstance(ours, LimssrModel)
    pairs = _gradient_pairs(ours, literal)
    total = torch.stack([theirs.norm() for _, theirs in pairs.values()]).norm().item()
    shares = {
        name: (mine - theirs).norm().item() / max(theirs.norm().item(), 1e-3 * total)
        for name, (mine, theirs) in pairs.items()
    }
    worst = max(shares, key=lambda name: shares[name])
    return Difference((scores[0] - scores[1]).abs().max().item(), shares[worst], worst)


def _gradient_pairs(ours: LimssrModel, literal: LiteralModel) -> dict[str, tuple[Tensor, Tensor]]:
    keys, theirs = _keys(literal), {key: parameter.grad for key, parameter in literal.named_parameters()}
    pairs = {}
    for name, parameter in ours.named_parameters():
        key = keys.published(name)
        if key is not None and parameter.requires_grad:
            pairs[name] = _both(parameter.grad, theirs[key], parameter)
    table_grad = theirs[keys.table]
    assert table_grad is not None
    if isinstance(ours.tokens.words, nn.Parameter):
        grads = [rows.grad for rows in (ours.tokens.words, ours.tokens.special) if rows is not None]
        mine = torch.cat([grad for grad in grads if grad is not None])
        rows = _row_of_table(ours, literal)
        # the gradient of the whole table has to stand in the used rows and nowhere else
        pairs["tokens (used rows)"] = (mine, table_grad[rows])
        unused = table_grad.index_fill(0, torch.tensor(rows, device=table_grad.device), 0.0)
        pairs["tokens (other rows)"] = (torch.zeros_like(unused), unused)
    return pairs


def _keys(literal: LiteralModel) -> KeyMap:
    return KeyMap(literal.letters, adapters="none")


def _both(mine: Tensor | None, theirs: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
    zero = torch.zeros_like(like)
    return (
        zero if mine is None else mine.reshape(like.shape).float(),
        zero if theirs is None else theirs.reshape(like.shape).float(),
    )


def _whole_table(ours: LimssrModel, literal: LiteralModel, table_VH: Tensor) -> Tensor:
    if ours.tokens.table is not None:
        return ours.tokens.table
    special = ours.tokens.special
    assert special is not None
    return torch.cat([table_VH[: literal.shape.vocabulary].to(special), special])


def _row_of_table(ours: LimssrModel, literal: LiteralModel) -> list[int]:
    """For each of our learned rows, its row in the published table."""
    found = {}
    for pattern, rows in ours.tokens.rows.prompts.items():
        ids = literal.encode(prompt_text(literal.shape.prompt, literal.names, pattern))
        found |= dict(zip(rows, ids, strict=True))
    num_special = literal.shape.num_rows - literal.shape.vocabulary
    return [found[row] for row in range(len(found))] + [literal.shape.vocabulary + row for row in range(num_special)]
