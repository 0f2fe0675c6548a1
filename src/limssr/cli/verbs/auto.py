"""`limssr auto`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro import conf

from limssr.cli.options import BackboneName, Common, Device, Position, Settings
from limssr.cli.output import Answer

if TYPE_CHECKING:
    from limssr.core.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Find the best model for a store in the time there is: judge several by folds of whole groups and mix them."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """A feature store. Its test split is scored once, in the end, by what was chosen."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """Run folder to make; without it runs/NAME with the name of the store's folder."""
    minutes: Annotated[float | None, conf.arg(metavar="N")] = None
    """Minutes that the whole search may take; without it 30."""
    candidates: Annotated[str | None, conf.arg(metavar="NAMES")] = None
    """Judge only these, separated by commas: ridge,convolutions,limssr; also any system that `limssr systems` lists."""
    without: Annotated[str | None, conf.arg(metavar="NAMES")] = None
    """Do not judge these; language-model stands for all that have one."""
    set: Settings = ()
    backbone: BackboneName = None
    seed: Annotated[int | None, conf.arg(metavar="N")] = None
    """Seed of folds, models and resamples."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Search."""
        import json

        from limssr.studies.recipes import Changes, default_folder, read_config

        options = {"minutes": self.minutes, "candidates": self.candidates, "without": self.without}
        given = [f"model.options.{key}={json.dumps(one)}" for key, one in options.items() if one is not None]
        changes = Changes(settings=(*self.set, *given), backbone=self.backbone, store=self.store, seed=self.seed)
        config = read_config("auto", changes)
        return auto_answer(config, self.out or Path("runs") / default_folder("auto", changes, config), self.device)


def auto_answer(config: "RunConfig", out: Path, device: str) -> Answer:
    """Search as configured, and say what was found."""
    from limssr.core.progress import make_reporter
    from limssr.runs.auto.auto import train_auto
    from limssr.runs.folder import read_run

    run = train_auto(config, out, device=device, reporter=make_reporter())
    document: dict[str, Any] = dict(read_run(run).document["auto"])
    document["run"], document["report"] = str(run), str(run / "report.html")
    return Answer(document, (*auto_lines(document), f"Report: {document['report']}"))


def auto_preview(config: "RunConfig", out: Path) -> Answer:
    """What the search would do."""
    from limssr.runs.auto.auto import plan_auto

    lines = plan_auto(config, out)
    return Answer({"run": str(out), "plan": lines}, (*lines, "Nothing was written: --dry-run."))


def auto_lines(document: Mapping[str, Any]) -> list[str]:
    """Leaderboard, what carries the score, what the language model adds, warnings."""
    from limssr.report.search_words import HEADS, TOLD, leaderboard_rows, sentences

    return [
        f"{TOLD}:",
        *_aligned([HEADS, *leaderboard_rows(document)]),
        *sentences(document),
        *(f"left out: {name}: {why}" for name, why in document["left_out"].items()),
        *(f"warning: {text}" for text in document["warnings"]),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
