"""Networks of a size that this machine can hold: each setting has bounds of its own, and so has their product."""

import math
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from limssr.core.errors import InputError
from limssr.nn.contract import Network

SHARE = 0.5
"""Of the memory, for weights: training keeps a gradient and two moments of each besides."""
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_ATEN = torch.ops.aten
MAKERS = frozenset(
    [
        _ATEN.empty.memory_format,
        _ATEN.full.default,
        _ATEN.ones.default,
        _ATEN.rand.default,
        _ATEN.randn.default,
        _ATEN.zeros.default,
    ]
)
"""What makes a tensor of nothing but a shape."""
COPIERS = frozenset([_ATEN.clone.default, _ATEN.empty_like.default, _ATEN.rand_like.default, _ATEN.zeros_like.default])
"""What makes one more like a tensor that is there."""


def build_bounded(system: str, build: Callable[[], Network], *, first_without_memory: bool) -> Network:
    """Build a network, or refuse it before its weights have taken the machine's memory.

    Args:
        system: Its name, for the message.
        build: Builds it.
        first_without_memory: Whether it is first built without any memory for its weights. A builder may be one of the
            user's own, or take a loaded language model, and is then called once only.

    Raises:
        InputError: Its settings ask for more weights than fit.
    """
    if first_without_memory:
        # What no tensor without memory can do is left to the second building.
        with suppress(NotImplementedError, RuntimeError), torch.device("meta"), _bounded(system):
            build()
    with _bounded(system):
        return build()


def memory_bytes() -> int:
    """Memory that this process may use: of the machine, or less where it is limited."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits += [soft] if soft != resource.RLIM_INFINITY else []
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits)


class _Counted(TorchDispatchMode):
    """Counts the bytes of all new tensors before they are made."""

    def __init__(self, system: str, limit: int) -> None:
        super().__init__()
        self.system, self.limit, self.total = system, limit, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MAKERS or func in COPIERS:
            shape = args[0] if func in MAKERS else args[0].shape
            kind = kwargs.get("dtype") or torch.get_default_dtype()
            self.total += math.prod(map(int, shape)) * kind.itemsize
            if self.total > self.limit:
                raise InputError(
                    f"Expected weights that fit into half of this machine's memory ({self.limit / 1e9:.1f} GB), "
                    f"found settings of {self.system} that ask for more: lower model.hidden, model.options, or the "
                    "ranks and numbers of tokens and members."
                )
        return func(*args, **kwargs)


@contextmanager
def _bounded(system: str) -> Iterator[None]:
    with _Counted(system, int(SHARE * memory_bytes())):
        yield
