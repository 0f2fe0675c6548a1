"""Options that several verbs share, each described once."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from tyro import conf

from limssr.cli.output import Answer
from limssr.core.cluster import Cluster, Needs
from limssr.core.errors import ArtifactError, InputError
from limssr.core.reading.records import EvaluationDocument, read_document
from limssr.model.backbone.families import KNOWN

Position = conf.Positional
Device = Annotated[
    str, conf.arg(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps or xpu. auto takes the fastest one there is.")
]
VariantNames = Annotated[
    conf.UseAppendAction[tuple[str, ...]],
    conf.arg(metavar="GROUP=NAME", help="Take a variant of the recipe, such as task=PCS; may be repeated."),
]
Settings = Annotated[
    conf.UseAppendAction[tuple[str, ...]],
    conf.arg(
        metavar="KEY=VALUE",
        help="Change one key of the recipe, such as train.epochs=3; may be repeated. `limssr config` lists the keys.",
    ),
]
BackboneName = Annotated[
    str | None,
    conf.arg(
        metavar="NAME",
        help=f"Short for --set model.backbone.name=NAME: {', '.join(KNOWN)}, a hub id or a folder.",
    ),
]
StoreOfRecipe = Annotated[Path | None, conf.arg(metavar="STORE", help="Short for --set data.store=STORE.")]
RecipeName = Annotated[
    Position[str],
    conf.arg(metavar="RECIPE", help="A YAML file, or a recipe that comes with limssr: own, demo, percepiano, ..."),
]
Processes = Annotated[int, conf.arg(metavar="N", help="Runs at a time, each in a process of its own.")]
EngineName = Annotated[
    Literal["local", "ray"], conf.arg(help="Where the work is done: on this machine, or on a Ray cluster.")
]
Address = Annotated[
    str | None,
    conf.arg(
        metavar="HOST:PORT|auto",
        help="The Ray cluster; without it a Ray of this machine is started, and ended afterwards.",
    ),
]
NeedsText = Annotated[
    str | None,
    conf.arg(metavar="cpus=N,gpus=N,gb=N", help="What each task takes of a machine of the Ray cluster."),
]
DryRun = Annotated[
    bool, conf.arg(help="Write nothing: print what would run, and how long it takes by a few timed steps.")
]
PrintCommands = Annotated[
    bool,
    conf.arg(
        help="Run nothing: print one command for each run that is not done, for a scheduler. Give this again when they "
        "are done, until none is left; then the same without this compares them."
    ),
]
SplitName = Literal["train", "val", "test"]
HeaderName = Annotated[
    Literal["detect", "first-line", "none"],
    conf.arg(help="Whether the first line of text tables names their columns; detect finds out."),
]
ColumnsName = Annotated[
    Literal["by-name", "by-place"],
    conf.arg(help="Whether columns are found by their names, or by their place where not all files have names."),
]


def commands_answer(commands: Sequence[str]) -> Answer:
    """Commands for a scheduler, a line each, and nothing else."""
    return Answer({"commands": list(commands)}, tuple(commands))


@dataclass(frozen=True)
class Common:
    """Options of every verb."""

    json: bool = False
    """Print exactly one JSON document on stdout; everything else goes to stderr."""
    debug: bool = False
    """With an error, also print where in the code it arose."""


class Verb(Protocol):
    """A subcommand: its fields are its options, its docstring is its help."""

    @property
    def common(self) -> Common:
        """The options of every verb."""
        ...

    def run(self) -> Answer:
        """Call one library function and describe what came back."""
        ...


def run_document(run: Path) -> dict[str, Any]:
    """What `--json` prints of a finished run: the evaluation's document and where the files are."""
    if not (run / "evaluation.json").exists():
        raise ArtifactError(f"Expected a finished run in {run}, found none. Train it again or with --resume.")
    evaluation = read_document(run / "evaluation.json", EvaluationDocument, newest_version=1)
    return {"run": str(run), "report": str(run / "report.html"), **evaluation}


def with_home_expanded(verb: Verb) -> Verb:
    """A verb whose paths that begin with ~ lead home, as they do where a shell has expanded them."""
    found = {item.name: _home_expanded(getattr(verb, item.name)) for item in dataclasses.fields(verb)}  # pyright: ignore
    return dataclasses.replace(verb, **found)  # pyright: ignore


def _home_expanded(value: Any) -> Any:
    if isinstance(value, Path):
        return Path(os.path.expanduser(value))  # noqa: PTH111 - leaves alone what is nobody's home
    if isinstance(value, str) and value.startswith("~/"):  # a recipe, a backbone: a name or a path
        return os.path.expanduser(value)  # noqa: PTH111
    if isinstance(value, tuple):
        return tuple(_home_expanded(one) for one in value)
    return value


def chosen_cluster(
    engine: Literal["local", "ray"], address: str | None, needs: str | None, processes: int
) -> Cluster | None:
    """The cluster that the options of a verb ask for; None: the work stays in this machine's own processes.

    Raises:
        InputError: Options that do not go together.
        MissingExtraError: Ray is not installed.
    """
    if engine == "local":
        for name, value in (("--address", address), ("--needs", needs)):
            if value is not None:
                raise InputError(f"Expected --engine ray with {name}, found the work left to this machine: add it.")
        return None
    return Cluster(processes=processes, address=address, needs=None if needs is None else Needs.read(needs))
