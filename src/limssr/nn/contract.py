"""Stages of a training, as data: some systems first train their parts and then the whole; the one loop reads which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from limssr.core.errors import InputError


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        name: What the model is told when the stage begins.
        share: Of the epochs; only the proportions between stages matter.
        trains: Beginnings of the names of the parameters that are trained; the others rest. "" begins every name.
        keeps: Which of its epochs the next stage goes on with: the last, or the one with the lowest validation loss of
            what the model answers in this stage. Of the last stage `train.selection` decides.
    """

    name: str
    share: float = 1.0
    trains: tuple[str, ...] = ("",)
    keeps: Literal["last", "best"] = "last"

    def moves(self, parameter: str) -> bool:
        """Whether a parameter of this name is trained in the stage."""
        return parameter.startswith(self.trains)


@dataclass(frozen=True)
class Place:
    """Where an epoch stands.

    Attributes:
        stage: Which.
        epoch: Counted from 0 at the beginning of the stage.
        epochs: Of the stage.
        is_last: Whether it is the last stage: only its epochs can be chosen, as only then the whole is trained.
    """

    stage: Stage
    epoch: int
    epochs: int
    is_last: bool


WHOLE = Stage("training")
"""The only stage of a system that has no stages."""


def stage_epochs(stages: Sequence[Stage], epochs: int) -> tuple[int, ...]:
    """Epochs of each stage, in proportion to their shares, at least one each; together `epochs`.

    Raises:
        InputError: Fewer epochs than stages.
    """
    if epochs < len(stages):
        named = ", ".join(stage.name for stage in stages)
        raise InputError(
            f"Expected at least {len(stages)} epochs for the stages {named}, found {epochs}: raise train.epochs."
        )
    total, given, found = sum(stage.share for stage in stages), 0, []
    for index, stage in enumerate(stages[:-1]):
        still_needed = len(stages) - 1 - index
        wanted = max(1, round(epochs * stage.share / total))
        found.append(min(wanted, epochs - given - still_needed))
        given += found[-1]
    return (*found, epochs - given)


def place_of(stages: Sequence[Stage], epoch: int, epochs: int) -> Place:
    """The stage that an epoch (counted from 0) belongs to.

    Raises:
        InputError: Fewer epochs than stages.
    """
    first = 0
    for index, (stage, length) in enumerate(zip(stages, stage_epochs(stages, epochs), strict=True)):
        if epoch < first + length or index == len(stages) - 1:
            return Place(stage, epoch - first, length, index == len(stages) - 1)
        first += length
    raise InputError("Expected at least one stage, found none.")
