"""BibTeX entries for this software, the paper it implements, and the systems that it compares."""

import re

from limssr.core.version import __version__
from limssr.systems.system import System
from limssr.systems.table import SYSTEMS

PAPER = """@article{limssr-paper,
  title = {LIMSSR: LLM-Driven Sequence-to-Score Reasoning under Training-Time Incomplete Multimodal Observations},
  author = {Xu, Huangbiao and Wu, Huanqi and Ke, Xiao and Peng, Yuxin},
  journal = {arXiv preprint arXiv:2605.00434},
  year = {2026}
}"""
JOURNALS = ("TPAMI", "TCSVT", "TMM", "TIP", "Information Sciences", "Knowledge-Based Systems")
SOURCE = re.compile(r"(?:IEEE )?(?P<venue>[A-Z][\w' -]*?) (?P<year>(?:19|20)\d\d)$")


def bibtex() -> str:
    """All entries. Those of other systems hold what the table of systems knows: name, first author, venue and year."""
    software = (
        "@software{limssr,\n  title = {limssr},\n  author = {{limssr developers}},\n"
        f"  version = {{{__version__}}},\n  year = {{2026}}\n}}"
    )
    others = [entry for name in SYSTEMS if name != "limssr" and (entry := _entry(name, SYSTEMS[name]))]
    return "\n\n".join([software, PAPER, *others])


def _entry(name: str, system: System) -> str | None:
    """One system's entry; None for one that no paper describes."""
    *before, last = system.source.split(", ")
    found = SOURCE.fullmatch(last)
    if not found:
        return None
    kind, place = ("article", "journal") if found["venue"] in JOURNALS else ("inproceedings", "booktitle")
    author = next((part for part in before if part.endswith(" et al.") or " and " in part), None)
    fields = {
        "title": f"{{{system.title}}}",
        "author": author and author.replace(" et al.", " and others"),
        place: found["venue"],
        "year": found["year"],
        "note": "Name, first author, venue and year as limssr lists them; complete the entry before you cite it",
    }
    lines = [f"  {key} = {{{value}}}" for key, value in fields.items() if value]
    return f"@{kind}{{{name},\n" + ",\n".join(lines) + "\n}"
