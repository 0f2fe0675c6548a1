"""Tasks on a Ray cluster: on one that is there, or on a Ray of this machine that ends with the work.

A task is a function and one item. It works in the folder of the command that asks for it, which every machine of the
cluster must see, and with the same versions. A task whose machine or process is lost is begun anew elsewhere; whoever
gives tasks makes them such that this goes on with what is there.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from limssr.core.cores import threads_each
from limssr.core.errors import InputError, LimssrError, MissingExtraError
from limssr.core.signals import ENDING, told_apart
from limssr.core.version import __version__

EngineName = Literal["local", "ray"]
T = TypeVar("T")
R = TypeVar("R")
RETRIES = 3
"""How often a task is begun anew whose process or machine was lost."""
IN_FLIGHT = 1_000
"""Tasks that Ray knows of at a time; its bookkeeping then does not grow with the work."""
LOOK_S = 5.0
PATIENCE_S = 120.0
"""How long to wait for a machine where the cluster has none left that a task fits on."""
OBJECTS_BYTES = 100_000_000
"""Shared memory of a Ray of this machine: tasks and results are small, everything large stands in files."""
LOOPBACK_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's switch for its way on those systems, which is to use 127.0.0.1 and to have no other machines: "0"."""
NEEDS = re.compile(r"(cpus|gpus|gb)=(\d{1,4}(?:\.\d{1,3})?)")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one task takes of a machine of the cluster.

    Attributes:
        cpus: Cores, and threads of the task.
        gpus: Devices, or a share of one; a task without sees none.
        gb: Memory, in GB of 10^9 bytes; 0: not counted.
    """

    cpus: int = 1
    gpus: float = 0.0
    gb: float = 0.0

    @classmethod
    def read(cls, text: str) -> "Needs":
        """From "cpus=2,gpus=1,gb=8", any of them.

        Raises:
            InputError: Another form, or no core.
        """
        found = [NEEDS.fullmatch(part.strip()) for part in text.split(",")]
        values = {one[1]: float(one[2]) for one in found if one}
        if None in found or len(values) < len(found) or values.get("cpus", 1) < 1 or values.get("cpus", 1) % 1:
            raise InputError(
                f"Expected what a task takes as cpus=2,gpus=1,gb=8 (any of them, whole cores), found {text!r}."
            )
        return cls(**{**values, "cpus": int(values.get("cpus", 1))})

    def __str__(self) -> str:
        return ",".join(f"{name}={value:g}" for name, value in vars(self).items() if value)


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What every task must find where it runs.

    Attributes:
        folder: Where the command was given; paths are meant from there.
        versions: Of Python, limssr and what it computes with.
        threads: Of a task.
    """

    folder: str
    versions: Mapping[str, str]
    threads: int


@dataclass(frozen=True)
class LostTask:
    """In place of a result: the process of a task died, again and again.

    Attributes:
        reason: What Ray says of it, in one line.
    """

    reason: str


@dataclass
class Cluster:
    """A Ray cluster. It is connected to when the first task comes, and left or ended with the block.

    Attributes:
        processes: Tasks at a time on a Ray of this machine; a cluster at an address decides by itself.
        address: HOST:PORT, or auto for the one that RAY_ADDRESS or this machine knows; None: a Ray of this machine.
        needs: Of each task; a core's share of this machine where it is None.
    """

    processes: int = 1
    address: str | None = None
    needs: Needs | None = None
    _temporary: Path | None = field(default=None, init=False)
    _is_ours: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be: a missing package, no process, an address of another kind."""
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("Expected the package ray for --engine ray, found none: pip install 'limssr[ray]'")
        if self.processes < 1:
            raise InputError(f"Expected at least one process, found {self.processes}: give --processes 1 or more.")
        if self.address is not None and self.processes > 1:
            raise InputError(
                f"Expected either --address or --processes, found both: the cluster at {self.address} takes as many "
                "tasks at a time as --needs leaves room for."
            )
        if self.address is not None and "://" in self.address:
            raise InputError(
                f"Expected the address of a Ray cluster as HOST:PORT or auto, found {self.address!r}: run the command "
                "on a machine of the cluster."
            )

    @property
    def each(self) -> Needs:
        """What a task takes."""
        return self.needs or Needs(cpus=threads_each(self.processes) if self.address is None else 1)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours:
            _ray().shutdown()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def run(
        self, function: Callable[[T], R], items: Sequence[T], *, process: Literal["kept", "fresh"] = "kept"
    ) -> Iterator[tuple[int, R | LostTask]]:
        """Call a function with each item, and yield (place, result) as results come.

        Args:
            function: Of a module, or such a one with arguments bound; it must be able to go on where an earlier
                attempt was ended at any moment.
            items: Small: whatever is large is named by its path.
            process: "fresh": one for each task, so that nothing is left from the task before.

        Raises:
            InputError: No such cluster, a machine that lacks something, or no machine that is large enough.
            LimssrError: What the function raised, or the cluster has lost all machines for `PATIENCE_S`.
        """
        if not items:
            return
        self._connect()
        ray, each = _ray(), self.each
        self._check_room()
        place = Workplace(folder=str(Path.cwd()), versions=versions(), threads=each.cpus)
        task = ray.remote(
            num_cpus=each.cpus,
            num_gpus=each.gpus,
            memory=int(each.gb * 1e9) or None,
            max_retries=RETRIES,
            max_calls=1 if process == "fresh" else 0,
        )(at_work)
        waiting, pending = iter(enumerate(items)), dict[Any, int]()
        seen_room = time.monotonic()
        try:
            while True:
                for index, item in islice(waiting, IN_FLIGHT - len(pending)):
                    pending[task.remote(place, function, item)] = index
                if not pending:
                    return
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=LOOK_S)
                if ready or self._has_room():
                    seen_room = time.monotonic()
                elif time.monotonic() - seen_room > PATIENCE_S:
                    raise LimssrError(
                        f"The cluster has lost every machine with {each}: start one, then give the same command again."
                    )
                for reference in ready:
                    yield pending.pop(reference), _result(ray, reference)
        except KeyboardInterrupt as error:
            raise told_apart(error) from error
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)

    def _connect(self) -> None:
        if "ray" in sys.modules and _ray().is_initialized():  # by whoever calls this; it is theirs to end
            return
        self._is_ours = True
        if self.address is None:
            self._temporary = _temporary_folder()
            num_cpus = self.processes * self.each.cpus
            start_ray(num_cpus=num_cpus, _temp_dir=str(self._temporary))
        else:
            start_ray(address=self.address)

    def _has_room(self) -> bool:
        each = self.each
        wanted = {"CPU": each.cpus, "GPU": each.gpus, "memory": each.gb * 1e9}
        return any(
            node["Alive"] and all(node["Resources"].get(name, 0) >= amount for name, amount in wanted.items())
            for node in _ray().nodes()
        )

    def _check_room(self) -> None:
        if not self._has_room():
            machines = "; ".join(
                "{:g} CPUs, {:g} GPUs, {:.3g} GB".format(
                    *(node["Resources"].get(name, 0) for name in ("CPU", "GPU")),
                    node["Resources"].get("memory", 0) / 1e9,
                )
                for node in _ray().nodes()
                if node["Alive"]
            )
            raise InputError(
                f"Expected a machine with {self.each} in the Ray cluster, found {machines or 'none'}: change --needs."
            )


def start_ray(**how: Any) -> None:
    """Connect to the cluster at `address`, or start a Ray of this machine, which is heard on loopback alone.

    It tells nobody of its use, asks for a token that exists in memory only, and leaves signals to us.

    Args:
        how: Arguments of `ray.init`.

    Raises:
        InputError: No cluster there.
    """
    is_own, ray = "address" not in how, _ray()
    ours: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    surroundings: dict[str, str | None] = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": None}
    if is_own:
        ours |= {"address": "local", "include_dashboard": False, "object_store_memory": OBJECTS_BYTES}
        surroundings |= {
            LOOPBACK_ALONE: "0",
            "RAY_AUTH_TOKEN": _token(),  # without one Ray writes its own below the home folder
        }
    with _own_signals(), _own_words(), _environment(surroundings), _one_machine(is_own):
        try:
            ray.init(**ours, **how)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"Expected a Ray cluster at {how.get('address', 'this machine')}, found that it does not answer: "
                f"{_one_line(error)}. Look at `ray status` there."
            ) from error
    if is_own and (heard := {node["NodeManagerAddress"] for node in ray.nodes()}) != {"127.0.0.1"}:
        ray.shutdown()
        raise LimssrError(f"Expected a Ray that is heard on 127.0.0.1 alone, found {', '.join(heard)}: it was ended.")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, whose handling is ours."""
    handlers = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _own_words() -> Iterator[None]:
    """Ray praises the token, and its own commands, on stderr."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Variables inside the block; None: as it is, and so again afterwards, whatever Ray sets."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _one_machine(is_own: bool) -> Iterator[None]:
    """`LOOPBACK_ALONE` holds inside the block, also where Ray has been imported, and has read it, before."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = before and not is_own
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def versions() -> dict[str, str]:
    """What has to be the same on every machine, so that numbers are."""
    packages = ("torch", "numpy", "transformers")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "limssr": __version__, **found}


def at_work(place: Workplace, function: Callable[[T], R], item: T) -> R:
    """What a worker of the cluster runs.

    Raises:
        InputError: This machine lacks the folder, or has other versions.
    """
    here, host = versions(), socket.gethostname()
    other = [name for name, wanted in place.versions.items() if here[name] != wanted]
    if other:
        wanted, found = (", ".join(f"{name} {of[name]}" for name in other) for of in (place.versions, here))
        raise InputError(
            f"Expected {wanted} on every machine of the cluster, found {found} on {host}: install the same there."
        )
    try:
        os.chdir(place.folder)
    except OSError as error:
        raise InputError(
            f"Expected {place.folder} on every machine of the cluster, found none on {host}: work in a folder that all "
            "of them share."
        ) from error
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(place.threads)
    if "torch" in sys.modules:  # the function's module is imported by now
        sys.modules["torch"].set_num_threads(place.threads)
    return function(item)


@cache
def _token() -> str:
    """One for this process: Ray remembers the first that it is given."""
    return secrets.token_hex(32)


def _ray() -> Any:
    return importlib.import_module("ray")


def _temporary_folder() -> Path:
    """Sockets lie in it, whose paths may have 107 characters, of which Ray takes some 70."""
    parent = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="limssr-", dir=parent if len(parent) < 20 else "/tmp"))


def _result(ray: Any, reference: Any) -> Any:
    """What a task returned, or that it was lost; what it raised is raised."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, LimssrError):
            raise error.cause from None
        if "No module named 'limssr" in str(error):
            raise InputError(
                "Expected limssr on every machine of the cluster, found one without: install it there."
            ) from error
        raise
    except ray.exceptions.RayError as error:
        return LostTask(_one_line(error))


def _one_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
