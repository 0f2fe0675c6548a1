"""`limssr extract`: from recordings to a store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from tyro import conf

from limssr.cli.options import Address, Common, EngineName, NeedsText, Position, chosen_cluster
from limssr.cli.output import PARTIAL, Answer
from limssr.core.counting import counting
from limssr.core.errors import InputError

if TYPE_CHECKING:
    from limssr.media.extract import ExtractReport


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Turn recordings (video, sound, sensor tables) into a store that is ready to train on."""

    manifest: Annotated[Position[Path | None], conf.arg(metavar="MANIFEST")] = None
    """A table (CSV, .xlsx, JSONL): id, group, split, score:NAME, media:NAME, sensor:NAME, stream:NAME, text:NAME."""
    store: Annotated[Position[Path | None], conf.arg(metavar="STORE")] = None
    """Folder to make."""
    list: bool = False
    """Show the encoders: what each reads and gives, where its weights come from, licence, what was verified."""
    encoders: Annotated[
        tuple[str, ...],
        conf.arg(
            metavar="NAME ...",
            help="Which to use: names, NAME=SOURCE, or fs1000, fisv, rg for those of the published features.",
        ),
    ] = ()
    segments: Annotated[str | None, conf.arg(metavar="rg|fisv|fs1000|LENGTH[:STRIDE]")] = None
    """How a recording is cut; rg, fisv: 1.28 s, fs1000: 5 s with 3 s of overlap. (default: as --encoders, else rg)"""
    scale: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="NAME=LOW:HIGH", help="Scale that a criterion is judged on; repeat it for each criterion."),
    ] = ()
    split: Annotated[str | None, conf.arg(metavar="SHARES")] = None
    """Divide the performances by whole groups where the manifest has no splits, such as 70/15/15 or 80/20."""
    seed: Annotated[int, conf.arg(metavar="N")] = 0
    """Seed of the division into splits."""
    words: Annotated[str, conf.arg(metavar="states|states:LAYERS|hashed")] = "states"
    """How systems of numbers see words of text:NAME: states of a frozen SmolLM2-135M, or hashed counts of words."""
    name: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """What the data set is called in tables and reports; without it the manifest's name."""
    processes: Annotated[int, conf.arg(metavar="N")] = 1
    """Files that are read at a time, each in a process of its own; the store is the same."""
    engine: EngineName = "local"
    address: Address = None
    needs: NeedsText = None
    resume: bool = False
    """Go on with an extraction that was stopped; a store that is already complete is left as it is."""
    contained: bool = False
    """Refuse files outside the manifest's folder."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Extract, or list."""
        if self.list:
            from limssr.media.catalogue import encoder_documents

            documents = encoder_documents()
            return Answer({"encoders": documents}, _encoder_lines(documents))
        if self.manifest is None or self.store is None:
            raise InputError(
                "Expected a manifest and a store, found "
                f"{'only one of them' if self.manifest else 'neither'}: limssr extract recordings.csv stores/mine "
                "(limssr extract --list shows the encoders)."
            )
        from limssr.cli.verbs.data import scales
        from limssr.media.clock import parse_segments
        from limssr.media.encoders.sets import set_of
        from limssr.media.extract import ExtractOptions, extract

        cluster = chosen_cluster(self.engine, self.address, self.needs, self.processes)
        options = ExtractOptions(
            segments=parse_segments(self.segments or set_of(self.encoders) or "rg"),
            encoders=self.encoders or None,
            words=self.words,
            split=self.split,
            seed=self.seed,
            name=self.name,
            scales=scales(self.scale),
            processes=self.processes,
            cluster=cluster,
            paths="contained" if self.contained else "any",
            resume="auto" if self.resume else "never",
        )
        with counting("decoding") as progress:
            report = extract(self.manifest, self.store, options, progress=progress)
        return Answer(report.to_dict(), _report_lines(report), exit_code=PARTIAL if report.failures else 0)


def _report_lines(report: "ExtractReport") -> tuple[RenderableType, ...]:
    from limssr.cli.text import outline

    document = report.imported.to_dict()
    shown = {key: value for key, value in document.items() if key not in ("notes", "decisions", "details")}
    lines = [*outline(shown), *(f"note: {note}" for note in report.imported.notes)]
    if report.failures:
        lines.append(f"Not in the store: {len(report.failures)} of the performances ({report.failure_list}):")
        lines += [f"  {name}: {reason}" for name, reason in report.failures.items()]
    return tuple(lines)


def _encoder_lines(documents: "list[dict[str, Any]]") -> tuple[RenderableType, ...]:
    """The encoders, a few lines each."""
    return tuple("\n    ".join(_encoder_facts(card)) for card in documents)


def _encoder_facts(card: "dict[str, Any]") -> tuple[str, ...]:
    width = f"{card['width']} columns" if card["width"] else "as many columns as configured"
    return (
        f"{card['name']}{' (default)' if card['default'] else ''}: {card['does']}",
        f"reads {card['reads']}, gives {width}",
        f"weights: {card['weights']} ({card['licence']})",
        f"verified: {card['verified']}",
        "here: ready" if card["ready"] else f"here: not yet: {' && '.join(card['install'])}",
    )
