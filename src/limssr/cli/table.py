"""The table of verbs: what `limssr VERB` can be, in the order of a project's life."""

from typing import Annotated

from tyro.conf import subcommand

from limssr.cli.verbs.ablate import Ablate
from limssr.cli.verbs.benchmark import Benchmark
from limssr.cli.verbs.checkpoint import ImportCheckpoint
from limssr.cli.verbs.compare import Compare
from limssr.cli.verbs.data import Data
from limssr.cli.verbs.extract import Extract
from limssr.cli.verbs.reproduce import Reproduce
from limssr.cli.verbs.run import Demo, Describe, Doctor, Evaluate, Predict, Report, Train
from limssr.cli.verbs.sweep import Sweep
from limssr.cli.verbs.systems import Systems

VERBS = (
    Annotated[Doctor, subcommand("doctor")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Extract, subcommand("extract")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Systems, subcommand("systems")]
    | Annotated[Train, subcommand("train")]
    | Annotated[ImportCheckpoint, subcommand("import-checkpoint")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Describe, subcommand("describe")]
    | Annotated[Reproduce, subcommand("reproduce")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Ablate, subcommand("ablate")]
    | Annotated[Benchmark, subcommand("benchmark")]
)
