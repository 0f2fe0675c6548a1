"""What the processes of a team exchange in training: gradients before a step, and what the first one decides.

A parameter whose gradient is divided (`Network.is_divided`) is given the sum over the processes. Any other has its
whole gradient in every process already, the same but for the rounding of some GPUs: the first process's is taken, so
that all weights stay the same bits.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limssr.core.differences import differences
from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.core.quoting import listed
from limssr.core.runtime import environment
from limssr.core.team import Team
from limssr.nn.contract import Network
from limssr.systems.saving import state_to_save
from limssr.training.checkpoint import TrainingParts

SAME_EVERYWHERE = ("limssr", "python", "packages")
"""Of the environment: with other versions, processes would compute other numbers."""


def join(model: Network, team: Team, reporter: Reporter) -> None:
    """Begin to train together: the same versions, the same weights.

    Raises:
        InputError: The processes differ in what must be the same, or the network needs one process.
    """
    if team.size == 1:
        model.join(team)
        return
    team.agree(lambda: model.join(team))
    own = environment()
    check_same(team, {name: own[name] for name in SAME_EVERYWHERE}, "versions")
    check_same(team, {name: tuple(value.shape) for name, value in state_to_save(model).items()}, "models")
    take_over_weights(model, team)
    if not model.divides_reading:
        reporter.warn(
            f"system {model.config.system} has no language model whose reading could be divided: each of the "
            f"{team.size} processes computes all of it, and one would be as fast"
        )


def check_same(team: Team, value: Any, what: str) -> None:
    """Refuse processes that differ.

    Raises:
        InputError: A process has another value than the first.
    """
    found = team.told_by_all(value)
    for number, other in enumerate(found):
        if other != found[0]:
            raise InputError(
                f"Expected the same {what} in all {team.size} processes, found others in process {number + 1}: "
                f"{_difference(found[0], other)}. Give all of them the same environment, recipe and files."
            )


def restored(parts: TrainingParts, folder: Path) -> tuple[list[dict[str, Any]], dict[int, dict[str, Tensor]]]:
    """`TrainingParts.restore` in every process.

    Raises:
        InputError: They do not find the same checkpoint.
        ArtifactError: It is damaged.
    """
    history, kept = parts.team.agree(lambda: parts.restore(folder))
    found = parts.team.told_by_all(len(history))
    if len(set(found)) > 1:
        raise InputError(
            f"Expected one run folder that all {parts.team.size} processes see, found {listed(found)} epochs in "
            f"theirs: put {folder} on a file system that all machines share."
        )
    return history, kept


def take_over_weights(model: Network, team: Team) -> None:
    """Every process has the weights and buffers of the first; not a bit changes where they are the same already."""
    if team.size > 1:
        with torch.no_grad():
            for value in state_to_save(model).values():
                team.take_over(value)


def exchange_gradients(model: Network, team: Team) -> None:
    """Give every parameter the gradient of the whole batch; one that no process has a gradient for keeps none."""
    if team.size == 1:
        return
    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    divided = [one for name, one in trained if model.is_divided(name)]
    if divided:
        device = divided[0].device
        has_one = torch.tensor([one.grad is not None for one in divided], dtype=torch.float32, device=device)
        taken = [one for one, count in zip(divided, team.add_up(has_one).tolist(), strict=True) if count]
        for one in taken:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
        _as_one(taken, team.add_up)
    _as_one([one for name, one in trained if not model.is_divided(name) and one.grad is not None], team.take_over)


def waiting(team: Team, waited_s: float, started: float) -> dict[str, Any]:
    """Share of the time since `started` in which the processes waited for one another; nothing for one process."""
    if team.size == 1:
        return {}
    share = (team.waited_s - waited_s) / max(time.monotonic() - started, 1e-9)
    return {"waiting_share": round(sum(team.told_by_all(share)) / team.size, 4)}


def _as_one(parameters: Iterable[nn.Parameter], exchange: Callable[[Tensor], Tensor]) -> None:
    """Exchange the gradients of parameters as one tensor a type."""
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for one in parameters:
        assert one.grad is not None
        kinds.setdefault(one.grad.dtype, []).append(one.grad)
    for gradients in kinds.values():
        flat = exchange(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _difference(first: Any, other: Any) -> str:
    found = list(differences(first, other))[:3]
    return "; ".join(f"{one.key}: {one.first} and {one.second}".removeprefix(": ") for one in found)
