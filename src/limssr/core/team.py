"""A team: the processes that train one model together, started by a launcher such as torchrun.

Every process has the same weights and sees the same batches; what is divided is the reading of the language model
(`limssr.model.reading.shared`) and validation. The first process writes and decides; the others follow. All that the
processes tell one another passes through here. `Team.alone()` is the team of one process; it tells nobody anything.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from limssr.core.errors import InputError, LimssrError
from limssr.core.launched import LAUNCHED, LostProcess, ToldByFirst, check_launcher, launched_size

TIMEOUT = timedelta(hours=2)
"""Longer than any work that the others wait for. A process that has ended is noticed at once, by its connections."""
T = TypeVar("T")


@dataclass
class Team:
    """Some processes, of which this is one.

    Attributes:
        number: Of this process; 0 is the first.
        size: How many there are.
        local: Number of this process among those of its machine; it decides which GPU is its own.
        waited_s: Seconds that this process has waited for the others in sums, on a CPU.
    """

    number: int = 0
    size: int = 1
    local: int = 0
    waited_s: float = 0.0

    @classmethod
    def alone(cls) -> "Team":
        """One process."""
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this process writes and decides."""
        return self.number == 0

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.size > 1:
            started = time.monotonic()
            with _noticing_losses(self):
                distributed.all_reduce(tensor)
            self.waited_s += time.monotonic() - started
        return tensor

    def take_over(self, tensor: Tensor) -> Tensor:
        """The first process's values, in place."""
        if self.size > 1:
            with _noticing_losses(self):
                distributed.broadcast(tensor, src=0)
        return tensor

    def told_by_first(self, value: T) -> T:
        """The first process's value, of plain types."""
        if self.size == 1:
            return value
        box = [value]
        with _noticing_losses(self):
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def told_by_all(self, value: T) -> list[T]:
        """The value of every process, of plain types, in the order of their numbers."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _noticing_losses(self):
            distributed.all_gather_object(found, value)
        return found

    def agree(self, work: Callable[[], T]) -> T:
        """Do something in every process; where one fails, all of them raise.

        Raises:
            LimssrError: Of the first process that failed, with its exit code.
        """
        if self.size == 1:
            return work()
        result, own = None, None
        try:
            result = work()
        except Exception as error:
            own = error
        told_by_all = self.told_by_all(_told(own))
        failed = [told for told in told_by_all if told is not None]
        if not failed:
            return result  # type: ignore[return-value]
        if own is not None and self.is_first:
            raise own
        if not self.is_first:
            raise ToldByFirst(*failed[0])
        number, (code, text) = next((n, told) for n, told in enumerate(told_by_all) if told is not None)
        raise (InputError if code == 2 else LimssrError)(f"process {number + 1} of {self.size}: {text}")

    def disband(self) -> None:
        """From now on this process is alone, and so is whatever it does next."""
        if self.size > 1:
            with contextlib.suppress(RuntimeError):
                distributed.destroy_process_group()
            for name in LAUNCHED:
                os.environ.pop(name, None)
        self.number, self.size, self.local = 0, 1, 0


@contextlib.contextmanager
def launched_team() -> Iterator[Team]:
    """The team that a launcher has started; of one process where none did. It is disbanded at the end.

    Raises:
        InputError: The launcher does not say enough, or asks for a computation that is not ours.
    """
    if launched_size() == 1:
        yield Team.alone()
        return
    check_launcher()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT)
    team = Team(distributed.get_rank(), distributed.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    try:
        yield team
    finally:
        team.disband()


def _told(error: BaseException | None) -> tuple[int, str] | None:
    if error is None:
        return None
    if isinstance(error, LimssrError):
        return error.exit_code, str(error)
    return 1, f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _noticing_losses(team: Team) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        raise LostProcess(
            f"process {team.number + 1} of {team.size} lost its connection to another one, which has ended: look for "
            "its message, then go on with --resume; any number of processes will do."
        ) from error
