"""`limssr explain`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro import conf

from limssr.cli.options import Common, Device, Position, SplitName
from limssr.cli.output import Answer


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Show why a run's scores are what they are and how far to trust them: numbers and figures in RUN/explain."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder."""
    split: SplitName = "test"
    """The split whose performances are looked at."""
    samples: Annotated[tuple[str, ...], conf.arg(metavar="ID ...")] = ()
    """Performances to explain one by one; without it one with a low, a middle and a high score."""
    source: Annotated[Path | None, conf.arg(metavar="SOURCE")] = None
    """Take these performances from here instead of the split: recordings, a manifest or a store, as for predict."""
    subsets: Annotated[tuple[str, ...], conf.arg(metavar="STREAMS ...")] = ()
    """Subsets to look at, as video+audio flow; without it all that an evaluation scores."""
    member: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Explain a reference of the run or a member of a mixture, such as ridge, instead of the run itself."""
    against: Annotated[tuple[Path, ...], conf.arg(metavar="RUN ...")] = ()
    """Other runs on the same store, whose predictions are drawn next to this one's."""
    store: Annotated[Path | None, conf.arg(metavar="STORE")] = None
    """Another store with the run's streams and criteria, taken as it is; without it the run's own."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Explain."""
        from limssr.core.progress import make_reporter
        from limssr.explain.run import Wish, explain_run

        wish = Wish(
            split=self.split,
            samples=self.samples,
            source=self.source,
            subsets=self.subsets,
            member=self.member,
            against=self.against,
            store=self.store,
        )
        document = explain_run(self.run_folder, wish, device=self.device, reporter=make_reporter())
        return Answer(document, tuple(explain_lines(document)))


def explain_lines(document: Mapping[str, Any]) -> list[str]:
    """What the figures show, a sentence each, and what does not apply."""
    groups = f"{document['num_samples']} performances in {document['num_groups']} groups"
    lines = [f"{document['system']} on the {document['split']} split: {groups}"]
    lines += [f"{one['name']}: {one['words']}" for one in document["figures"]]
    lines += [_adds_up(one) for one in document["contributions"]["samples"]]
    lines += [f"not applicable: {section}: {why}" for section, why in document["not_applicable"].items()]
    lines += [f"note: {note}" for note in document["notes"]]
    return [*lines, f"Written: {document['folder']} (explain.json, figures, Parquet) in {document['seconds']:g} s"]


def _adds_up(sample: Mapping[str, Any]) -> str:
    """How far contributions are from adding up to the score minus its baseline, the worst of the criteria."""
    every = sample["criteria"].values()
    told = f"{sample['id']}: what its streams add sums to its scores to within {max(_gaps(every)):.1g}"
    slopes = [one["gradients"] for one in every if "gradients" in one]
    return f"{told}, what its segments add to within {max(_gaps(slopes)):.1g}" if slopes else told


def _gaps(parts: Iterable[Mapping[str, Any]]) -> list[float]:
    return [part["completeness"] for part in parts if part["completeness"] is not None] or [0.0]
