"""`limssr import-checkpoint`: turns a checkpoint of the published code into a run folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer

if TYPE_CHECKING:
    from limssr.core.types import Criterion


@dataclass(frozen=True, kw_only=True)
class ImportCheckpoint:
    """Turn a state dict saved by the published code into a run folder that predict, evaluate and describe read."""

    file: Annotated[Position[str], conf.arg(metavar="FILE")]
    """A file of torch.save (.pkl, .pt) or .safetensors, or the hub id of a repository with one such file."""
    out: Annotated[Position[Path], conf.arg(metavar="OUT")]
    """Run folder to make."""
    backbone: Annotated[str, conf.arg(metavar="NAME")]
    """The language model that it was trained on: a known name (limssr doctor), a hub id, or a folder."""
    task: Annotated[str | None, conf.arg(metavar="TASK")] = None
    """A published task such as fs1000/TES, fisv/PCS or rg/Ball: gives criterion, scale and number of segments."""
    criterion: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="NAME", help="The score it predicts, instead of --task; repeat it for a model of several."),
    ] = ()
    scale: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="LOW:HIGH", help="Scale that scores were divided by; once a criterion, in the same order."),
    ] = ()
    num_segments: Annotated[int | None, conf.arg(metavar="T")] = None
    """Number of segments it was trained on, which the file does not hold; without it the task's number."""
    streams: Annotated[
        tuple[str, ...],
        conf.arg(
            metavar="KEY=NAME", help="Our names for its streams, in its order; v=video a=audio f=flow if not given."
        ),
    ] = ()
    embeddings: Literal["used", "all"] = "used"
    """used keeps the token rows that prompts can read: small, same scores. all keeps the whole table to train on."""
    allow_download: bool = False
    """Fetch from the hub what is not in the local cache."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Import."""
        from limssr.cli.text import outline
        from limssr.core.errors import InputError
        from limssr.runs.published.import_checkpoint import import_checkpoint
        from limssr.runs.published.keys import STREAMS
        from limssr.studies.paper.tasks import published_task

        if (self.task is None) == (not self.criterion):
            raise InputError("Expected either --task, or --criterion with --scale and --num-segments.")
        task = published_task(self.task) if self.task else None
        criteria = (task.criterion,) if task else named_criteria(self.criterion, self.scale)
        num_segments = self.num_segments or (task.num_segments if task else None)
        if num_segments is None:
            raise InputError("Expected --num-segments: the number of segments that it was trained on leaves no trace.")
        imported = import_checkpoint(
            self.file,
            self.out,
            backbone=self.backbone,
            criteria=criteria,
            num_segments=num_segments,
            streams=named_streams(self.streams) or STREAMS,
            embeddings=self.embeddings,
            dropout=task.dropout if task else 0.15,
            local_files_only=not self.allow_download,
        )
        document = imported.to_dict()
        lines = (
            *outline(document),
            f"All {imported.num_tensors} tensors fit; {imported.num_compared} frozen ones equal the backbone's.",
            f"Go on with: limssr evaluate {self.out} --store STORE, or limssr predict {self.out} SOURCE",
        )
        return Answer(document, lines)


def named_criteria(names: tuple[str, ...], spans: tuple[str, ...]) -> "tuple[Criterion, ...]":
    """Names and texts of the form low:high -> criteria.

    Raises:
        InputError: Not one scale a criterion, or a text of another form.
    """
    from limssr.core.errors import InputError
    from limssr.core.types import Criterion

    if len(names) != len(spans):
        raise InputError(f"Expected one --scale LOW:HIGH for each --criterion, found {len(spans)} for {len(names)}.")
    found = []
    for name, span in zip(names, spans, strict=True):
        low, _, high = span.partition(":")
        try:
            criterion = Criterion(name, float(low), float(high))
        except ValueError:
            raise InputError(f"Expected a scale such as --scale 0:130, found {span!r}.") from None
        if not criterion.low < criterion.high < float("inf"):
            raise InputError(f"Expected a scale that goes up, such as --scale 0:130, found {span!r}.")
        found.append(criterion)
    return tuple(found)


def named_streams(texts: tuple[str, ...]) -> dict[str, str]:
    """Texts of the form key=name -> mapping, in the same order.

    Raises:
        InputError: A text of another form, or a key or a name twice.
    """
    from limssr.core.errors import InputError

    found: dict[str, str] = {}
    for text in texts:
        key, equals, name = text.partition("=")
        if not (key and equals and name) or key in found or name in found.values():
            raise InputError(f"Expected streams such as --streams v=video a=audio, each once, found {text!r}.")
        found[key] = name
    return found
