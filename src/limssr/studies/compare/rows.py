"""Run folders become rows of a comparison: one system with one setting, all its seeds together."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from limssr.core.config import RunConfig, offline
from limssr.core.differences import differences
from limssr.core.errors import ArtifactError, InputError
from limssr.runs.folder import owned_in_training, read_run
from limssr.runs.references import reference_config
from limssr.studies.compare.predictions import Answers, check_same_questions, read_answers
from limssr.systems.references import REFERENCES

Which = Literal["with", "without"]


class NothingToCompare(InputError):
    """The runs make a single row.

    Attributes:
        label: Its label.
    """

    def __init__(self, label: str, advice: str) -> None:
        super().__init__(f"Expected at least two systems or settings to compare, found {label} alone: {advice}.")
        self.label = label


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One scored system of one run folder.

    Attributes:
        run: The folder.
        system: Its name there: the run's own, or that of a reference.
        is_reference: Whether it is a reference of the run, not its system.
        label: Given by hand; "" without.
        config: What it was trained with; for a regression that of the run, of which it takes data and seed.
        document: run.json.
        record: What run.json says of the reference; empty for the run's own system.
        answers: Its predictions, samples and criteria in the order of the first entry of all.
        is_outside: Whether they come from a file of another framework; nothing else is known of it then, `config` and
            `document` are those of a run that it is compared with.
    """

    run: Path
    system: str
    is_reference: bool
    label: str
    config: RunConfig
    document: Mapping[str, Any]
    record: Mapping[str, Any]
    answers: Answers
    is_outside: bool = False

    @property
    def name(self) -> str:
        """For messages: "runs/first", or "ridge in runs/first"."""
        return f"{self.system} in {self.run}" if self.is_reference else str(self.run)

    @property
    def folder(self) -> Path:
        """Where its model and metrics are."""
        return self.run / "references" / self.system if self.is_reference else self.run

    @property
    def is_network(self) -> bool:
        """Whether it was trained by the loop; the others are regressions on pooled statistics."""
        return not self.is_outside and (not self.is_reference or REFERENCES[self.system].pooled is None)

    @property
    def trained_on(self) -> str:
        """`available`, or `complete`: it saw the streams that were taken away from the others."""
        # A reference beside a run on complete data has seen these, too.
        said = {self.record.get("trained_on"), self.document.get("trained_on")}
        return "complete" if "complete" in said else "available"

    @property
    def selection(self) -> str | None:
        """What its epoch was chosen on; None: a regression has no epochs."""
        return str(self.document.get("selection")) if self.is_network else None

    @property
    def owned_in_training(self) -> frozenset[str] | None:
        """Streams that some training sample owned; None: the run does not say."""
        if self.is_outside:
            return frozenset()  # it adds nothing to what the runs have learned from
        if self.is_reference and self.trained_on != self.document.get("trained_on", "available"):
            return frozenset(self.answers.subsets[-1].split("+"))  # it was given those that the run did not see
        return owned_in_training(self.document)

    @property
    def training_data(self) -> Mapping[str, Any]:
        """What decides which training samples and streams it saw, apart from `trained_on`."""
        availability = dict(self.document.get("availability") or {})
        availability.pop("source", None)
        train, val = ((self.document.get("num_samples") or {}).get(split) for split in ("train", "val"))
        return {
            "availability": availability,
            "owned": (self.document.get("owned_streams") or {}).get("train"),
            "num_train": train,
            "num_val": val if self.selection == "val" else None,
        }


@dataclass(frozen=True)
class CompareRow:
    """A row: the same system with the same settings, trained once or with several seeds.

    Attributes:
        label: Unlike those of all other rows.
        entries: One a seed.
    """

    label: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """The entry that stands for what all of them share."""
        return self.entries[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order of the runs."""
        return tuple(entry.config.seed for entry in self.entries)


@dataclass(frozen=True)
class Rows:
    """All rows of a comparison.

    Attributes:
        rows: In the order of the runs: their own systems, then the references.
        notes: What was left out on the way.
    """

    rows: tuple[CompareRow, ...]
    notes: tuple[str, ...]


def read_rows(words: Sequence[str], *, references: Which = "with", alone: bool = False) -> Rows:
    """Read run folders and put what belongs together into one row.

    Args:
        words: Run folders, or LABEL=FOLDER.
        references: Whether the references of the runs are rows too.
        alone: Whether a single row is fine, as others join it.

    Raises:
        NothingToCompare: Fewer than two rows.
        InputError: A run that is given twice or not finished, runs that cannot be compared, one label for different
            settings, or two equal runs that no label tells apart.
        ArtifactError: A folder is no run folder, or damaged.
    """
    if not words:
        raise InputError("Expected run folders to compare, found none: give the folders that train wrote.")
    entries: list[Entry] = []
    folders: set[Path] = set()
    for word in words:
        label, run = split_label(word)
        if run.resolve() in folders:
            raise InputError(f"Expected every run once, found {run} twice: leave one out.")
        folders.add(run.resolve())
        entries += _entries(run, label, references)
    first = entries[0]
    entries = [_comparable(first, entry) for entry in entries]
    kept, notes = _without_copies(entries)
    # Systems of the runs come before their references.
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(kept, key=lambda one: one.is_reference):
        groups.setdefault((entry.label, entry.system, identity(entry)), []).append(entry)
    _refuse_same_seed(groups)
    rows = _named(list(groups.values()))
    if len(rows) == 1 and not alone:
        more = "" if references == "with" else ", or take the references in"
        raise NothingToCompare(rows[0].label, f"give more runs{more}")
    return Rows(rows, tuple(notes))


def split_label(word: str) -> tuple[str, Path]:
    """LABEL=FOLDER -> both; a folder that is there may have = in its name."""
    label, sign, path = word.partition("=")
    if not sign or Path(word).exists():
        return "", Path(word)
    if not label.strip() or not path:
        raise InputError(f"Expected a run folder or LABEL=FOLDER, found {word!r}.")
    return label.strip(), Path(path)


def identity(entry: Entry) -> str:
    """What makes two entries of the same system the same settings: all but the seed, the name and the evaluation."""
    tree = _settings(entry)
    return json.dumps(tree, sort_keys=True)


def _settings(entry: Entry) -> dict[str, Any]:
    tree = entry.config.model_dump(mode="json")
    for key in ("name", "seed", "evaluation"):
        tree.pop(key, None)
    tree["data"]["store"] = (entry.document.get("store") or {}).get("fingerprint")
    if not entry.is_network:
        # A regression reads the data, and nothing of how networks are built and trained.
        tree = {key: tree[key] for key in ("data", "missing")}
    return {**tree, "trained_on": entry.trained_on}


def _entries(run: Path, label: str, references: Which) -> list[Entry]:
    record = read_run(run)
    record = replace(record, config=record.config.model_copy(update={"model": offline(record.config.model)}))
    document = record.document
    status = document.get("status")
    if status != "done":
        found = "without a status" if status is None else f"with status {status!r}"
        raise InputError(f"Expected a finished run in {run}, found one {found}: go on with --resume.")
    _check_described(document, run / "run.json")
    own = str(document.get("system") or record.config.model.system)
    answers = read_answers(run, document["modalities"])
    if own not in answers:
        raise ArtifactError(f"Expected predictions of {own} in {run}, found those of {', '.join(answers)}.")
    entries = [
        Entry(
            run=run,
            system=own,
            is_reference=False,
            label=label,
            config=record.config,
            document=document,
            record={},
            answers=answers[own],
        )
    ]
    if references == "without" or document.get("auto"):
        return entries  # members of a searched run share names with references and are something else
    known = {str(one["name"]): one for one in document.get("references") or ()}
    for name in answers:
        if name == own:
            continue
        if name not in known or name not in REFERENCES:
            raise ArtifactError(
                f"Expected in {run} references that run.json describes and that this version knows, found {name}: "
                "leave the references out."
            )
        is_network = REFERENCES[name].pooled is None
        config = reference_config(name, record.config) if is_network else record.config
        entries.append(
            Entry(
                run=run,
                system=name,
                is_reference=True,
                label="",
                config=config,
                document=document,
                record=known[name],
                answers=answers[name],
            )
        )
    return entries


def _check_described(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a run.json that lacks what a comparison reads."""

    def are_records(name: str, keys: Sequence[str]) -> bool:
        found = document.get(name)
        return isinstance(found, list) and all(isinstance(one, dict) and set(keys) <= set(one) for one in found)

    streams = document.get("modalities")
    described = {
        "modalities (names of the streams)": isinstance(streams, list) and bool(streams),
        "criteria (with name, low and high)": are_records("criteria", ("name", "low", "high")),
        "references (with name)": document.get("references") is None or are_records("references", ("name",)),
    }
    lacking = [what for what, is_there in described.items() if not is_there]
    if lacking:
        raise ArtifactError(
            f"Expected {' and '.join(lacking)} in {path}, found none or something else: the file was altered; train "
            "the run again, or leave it out."
        )


def _comparable(first: Entry, entry: Entry) -> Entry:
    """The entry, in the order of the first, or a refusal."""
    names = (str(first.run), str(entry.run))
    if set(first.document["modalities"]) != set(entry.document["modalities"]):
        raise InputError(
            f"{names[0]} and {names[1]} cannot be compared: expected the same streams, found "
            f"{', '.join(first.document['modalities'])} and {', '.join(entry.document['modalities'])}."
        )
    scales, others = ({one["name"]: one for one in item.document["criteria"]} for item in (first, entry))
    for name in [name for name in scales if name in others]:
        low, high = ([one[name][bound] for bound in ("low", "high")] for one in (scales, others))
        if low != high:
            raise InputError(
                f"{names[0]} and {names[1]} cannot be compared: expected one scale of {name}, found {low} and {high}."
            )
    answers = _renamed_subsets(entry.answers, first.answers.subsets)
    return replace(entry, answers=check_same_questions(first.answers, answers, names=names))


def _renamed_subsets(answers: Answers, subsets: Sequence[str]) -> Answers:
    """Runs may have their streams in another order: "audio+video" is "video+audio"."""
    by_streams = {frozenset(subset.split("+")): subset for subset in subsets}
    names = tuple(by_streams.get(frozenset(subset.split("+")), subset) for subset in answers.subsets)
    return replace(answers, subsets=names)


def _without_copies(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The same reference stands in several runs where these have the same data and seed; one is enough."""
    kept, notes = [], []
    seen: dict[tuple[str, int, str], Entry] = {}
    for entry in entries:
        content = hashlib.sha256(entry.answers.predicted_SNC.tobytes()).hexdigest()
        key = (entry.system, entry.config.seed, content)
        if entry.is_reference and key in seen:
            notes.append(f"{entry.name} predicts the same as {seen[key].name}, and is counted once.")
            continue
        seen.setdefault(key, entry)
        kept.append(entry)
    return kept, notes


def _refuse_same_seed(groups: Mapping[tuple[str, str, str], Sequence[Entry]]) -> None:
    labelled: dict[str, Entry] = {}
    for (label, _, _), entries in groups.items():
        if label and label in labelled:
            differing = [one.key for one in differences(_settings(labelled[label]), _settings(entries[0]))]
            raise InputError(
                f"Expected one setting under the label {label!r}, found runs that differ in {', '.join(differing)} "
                f"({labelled[label].run} and {entries[0].run}): give them labels of their own."
            )
        labelled[label] = entries[0]
        seeds: dict[int, Entry] = {}
        for entry in entries:
            other = seeds.setdefault(entry.config.seed, entry)
            if other is not entry:
                raise InputError(
                    f"Expected runs of the same settings to have different seeds, found seed {entry.config.seed} in "
                    f"{other.name} and {entry.name}: leave one out, or tell them apart as LABEL=RUN"
                    + (" and leave the references out." if entry.is_reference else ".")
                )


def row_of(entries: Sequence[Entry], taken: Sequence[str]) -> CompareRow:
    """A row of its own, such as of files; `taken` are the labels of the others.

    Raises:
        InputError: Another row is called the same.
    """
    label = entries[0].label
    if label in taken:
        raise InputError(f"Expected a label of its own for {entries[0].run}, found {label!r} twice: give LABEL=FILE.")
    return CompareRow(label, tuple(entries))


def _named(groups: Sequence[Sequence[Entry]]) -> tuple[CompareRow, ...]:
    """Labels: by hand, else the system; with the run's name, folder or path where two would be called the same."""
    firsts = [group[0] for group in groups]
    labels = [entry.label or entry.system for entry in firsts]
    for more in (lambda entry: entry.document.get("name") or entry.run.name, lambda entry: entry.run.name, _path):
        clashing = {label for label in labels if labels.count(label) > 1}
        if not clashing:
            break
        proposed = [f"{entry.label or entry.system} ({more(entry)})" for entry in firsts]
        labels = [new if old in clashing else old for new, old in zip(proposed, labels, strict=True)]
    return tuple(CompareRow(label, tuple(group)) for label, group in zip(labels, groups, strict=True))


def _path(entry: Entry) -> str:
    return str(entry.run)
