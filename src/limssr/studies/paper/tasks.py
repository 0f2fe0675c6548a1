"""The thirteen published tasks, with the scales that a state dict does not hold (paper, appendix B)."""

from dataclasses import dataclass

from limssr.core.errors import InputError
from limssr.core.types import Criterion


@dataclass(frozen=True)
class PublishedTask:
    """One data set and one score.

    Attributes:
        name: "fs1000/TES" and the like.
        criterion: The score, with the published divisor as its highest value.
        num_segments: T.
        dropout: Rate in training.
    """

    name: str
    criterion: Criterion
    num_segments: int
    dropout: float


def _tasks() -> dict[str, PublishedTask]:
    figure_skating = {"TES": 130.0, "PCS": 60.0, **dict.fromkeys(("SS", "TR", "PE", "CO", "IN"), 10.0)}
    rows = [("fs1000", score, divisor, 95, 0.15) for score, divisor in figure_skating.items()]
    rows += [("fisv", "TES", 45.0, 124, 0.15), ("fisv", "PCS", 40.0, 124, 0.15)]
    rows += [("rg", apparatus, 25.0, 68, 0.35) for apparatus in ("Ball", "Clubs", "Ribbon")]
    rows += [("rg", "Hoop", 25.0, 68, 0.3)]
    return {
        f"{dataset}/{score}": PublishedTask(f"{dataset}/{score}", Criterion(score, 0.0, divisor), segments, dropout)
        for dataset, score, divisor, segments, dropout in rows
    }


TASKS: dict[str, PublishedTask] = _tasks()
"""Name -> task."""


def published_task(name: str) -> PublishedTask:
    """The task of a name, whatever the case of its letters.

    Raises:
        InputError: There is none.
    """
    known = {task.lower(): task for task in TASKS}
    if name.lower() not in known:
        raise InputError(f"Expected one of the published tasks {', '.join(TASKS)}; found {name!r}.")
    return TASKS[known[name.lower()]]
