"""`limssr systems`: lists the comparison systems."""

import textwrap
from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.console import RenderableType
from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer

WIDTH = 78


@dataclass(frozen=True)
class Systems:
    """List the comparison systems: what each needs, what it does where a stream is absent, what was verified."""

    name: Annotated[Position[str | None], conf.arg(metavar="[NAME]")] = None
    """One system: everything about it, with its options."""
    bibtex: bool = False
    """Print BibTeX entries: of this software, of the paper it implements, and of the systems compared."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """List."""
        from limssr.systems.catalogue import catalogue, regressions, system_document

        if self.bibtex:
            from limssr.systems.bibtex import bibtex

            return Answer({"bibtex": bibtex()}, (bibtex(),))
        if self.name is None:
            document = {**catalogue(), "regressions": regressions()}
            return Answer(document, _lines(document))
        document = system_document(self.name)
        return Answer(document, _one(document))


def _lines(document: dict[str, Any]) -> tuple[RenderableType, ...]:
    from limssr.systems.catalogue import FAMILIES

    lines: list[RenderableType] = []
    for family, title in FAMILIES.items():
        members = [system for system in document["systems"] if system["family"] == family]
        if members:
            lines += ["", title[0].upper() + title[1:], *map(_short, members)]
    named = ", ".join(document["regressions"])
    return (
        *lines,
        f"Regressions on pooled statistics, for evaluation.references of a recipe: {named}",
        "Train one: limssr train RECIPE --system NAME. Everything about one: limssr systems NAME.",
    )


def _short(system: dict[str, Any]) -> str:
    """A system in the list: what it is, then what is peculiar to it."""
    facts = (
        f"complete training data: {_need(system)}",
        _special(system),
        f"an absent stream is: {system['absent']}",
        f"checked against: {system['checked']}",
    )
    head = f"{system['name']}: {system['title']}: {system['summary']}"
    lines = [("  ", head), *(("      ", fact) for fact in facts if fact)]
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False)
        for indent, text in lines
    )


def _need(system: dict[str, Any]) -> str:
    meaning = {
        "no": "not needed",
        "pairs": "needs samples with two streams or more",
        "yes": "assumed by its paper; without them it is re-masked",
    }
    return meaning[system["needs_complete_training"]]


def _special(system: dict[str, Any]) -> str:
    """What most systems do not have: stages, losses that look at hidden streams, random scoring."""
    found = []
    if len(system["stages"]) > 1:
        found.append(f"stages: {', then '.join(system['stages'])}")
    if system["hidden_values"]:
        found.append(f"losses that look at hidden streams: {', '.join(system['hidden_values'])}")
    if system["stochastic"]:
        found.append("random scoring")
    return "; ".join(found)


def _one(document: dict[str, Any]) -> tuple[RenderableType, ...]:
    from limssr.report.columns import Columns

    facts = {
        "what it is": document["summary"],
        "source": document["source"],
        "complete training data": _need(document),
        "losses that look at hidden streams": ", ".join(document["hidden_values"]) or "none",
        "stages": ", then ".join(document["stages"]),
        "an absent stream is": document["absent"],
        "scoring": "takes random numbers, the same for every sample" if document["stochastic"] else "deterministic",
        "checked against": document["checked"],
        "adapted": document["changed"] or "nothing",
        "learning rate": f"{document['learning_rate']:g}",
        "reduced for two cores": ", ".join(f"{key} {value}" for key, value in document["small"].items()) or "nothing",
    }
    lines: list[RenderableType] = [document["title"], *(f"  {name}: {value}" for name, value in facts.items())]
    if document["options"]:
        table = Columns("model.options.", "default", "meaning", others="left")
        for option in document["options"]:
            table.add_row(option["name"], str(option["default"]), option["meaning"])
        lines.append(table)
    return tuple(lines)
