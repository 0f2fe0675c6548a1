"""`limssr explain`: everything that can be asked of a run, as numbers, points and figures in its folder."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.core.files import check_output, write_atomically, write_json, write_table
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.types import Sample, Split
from limssr.core.version import __version__
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.against import clouds_of_runs
from limssr.explain.figures.against import draw_against
from limssr.explain.figures.scores import draw_coverage, draw_returns, draw_shares, draw_timeline
from limssr.explain.found import Explanation
from limssr.explain.gradients import gradients_table, integrated_gradients
from limssr.explain.groups import groups_of
from limssr.explain.hallucination import swap_documents
from limssr.explain.network import explain_network
from limssr.explain.performance import performance_document, windows_table
from limssr.explain.scored import Scored, Subset, score_subsets
from limssr.explain.shares import shapley_of, shapley_table, shares_document
from limssr.explain.subject import Subject, chosen_samples, open_subject, samples_from
from limssr.explain.trust import coverage_document, return_document, returns, widths_of
from limssr.report import write_report
from limssr.runs.record import learned_splits
from limssr.runs.reliability.calibration import LEVEL

FOLDER = "explain"
DOCUMENT = "explain.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be explained.

    Attributes:
        split: Of the samples.
        samples: Ids of single samples; empty: one with a low, a middle and a high score.
        source: Where these samples come from; None: from the split.
        subsets: Subsets ("video+audio") to look at; empty: all that an evaluation scores.
        member: See `limssr.explain.subject.open_subject`.
        against: Other runs on the same store, to draw next to this one.
        store: See `limssr.explain.subject.open_subject`.
    """

    split: Split = "test"
    samples: tuple[str, ...] = ()
    source: Path | None = None
    subsets: tuple[str, ...] = ()
    member: str | None = None
    against: tuple[Path, ...] = ()
    store: Path | None = None


def explain_run(
    run: Path, wish: Wish | None = None, *, device: str = "auto", reporter: Reporter | None = None
) -> dict[str, Any]:
    """Explain a finished run and write `explain/` into its folder (of a member: into the member's folder).

    Args:
        run: A run folder.
        wish: What of it; None: the defaults.
        device: See `limssr.core.runtime.choose_device`.
        reporter: Is told of the progress.

    Returns:
        The document that was written to explain.json, and under "folder" where.

    Raises:
        InputError: An unknown sample, stream or member; the store has changed.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
        ResourceError: The disk is full.
    """
    begun, wish, reporter = time.monotonic(), wish or Wish(), reporter or SilentReporter()
    clouds = clouds_of_runs(run, wish.against) if wish.against else []  # refused before anything is scored
    subject = open_subject(run, split=wish.split, member=wish.member, store=wish.store, device=device)
    folder = subject.found.folder / FOLDER
    check_output(folder / DOCUMENT, "a copy of the run folder")
    found = Explanation()
    if subject.split in learned_splits(subject.record.document):
        found.notes.append("the model learned from these samples: how well it scores them says nothing of new ones")
    single, segment_s = _single_samples(subject, wish, found.notes.append)
    scored = score_subsets(
        subject.found.scorer,
        subject.samples,
        subject.names,
        subject.criteria,
        subject.config.evaluation,
        progress=_progress(reporter, "scoring subsets"),
    )
    subsets = _chosen_subsets(scored, wish.subsets)
    single = single or _typical(scored)
    _explain_streams(subject, scored, found)
    _explain_samples(subject, single, segment_s, found, reporter)
    _explain_trust(subject, scored, subsets, found)
    explain_network(subject, scored, subsets, single, found, reporter=reporter)
    if clouds:
        found.drawings.append(draw_against(clouds))
    reporter.finish()
    document = {
        "format_version": FORMAT_VERSION,
        "limssr": __version__,
        "run": subject.run.absolute().name,
        "system": subject.system,
        "split": wish.split,
        "num_samples": len(subject.samples),
        "num_groups": len(set(groups_of(subject.samples).tolist())),
        "seed": subject.config.seed,
        "level": LEVEL,
        **found.sections,
        "against": [one.to_dict() for one in clouds] or None,
        "not_applicable": found.why_not,
        "notes": found.notes,
        "figures": [{"name": one.name, "words": one.words} for one in found.drawings],
        "seconds": round(time.monotonic() - begun, 1),
    }
    _write(folder, document, found)
    if wish.member is None:
        write_report(subject.run)
    return {**document, "folder": str(folder)}


def _progress(reporter: Reporter, what: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == 1:
            reporter.start(what, total)
        reporter.advance(what)

    return progress


def _single_samples(
    subject: Subject, wish: Wish, say: Callable[[str], None]
) -> tuple[tuple[Sample, ...], float | None]:
    if wish.source is not None:
        return samples_from(subject, wish.source, wish.samples, say)
    return chosen_samples(subject, wish.samples), subject.segment_s


def _chosen_subsets(scored: Scored, wanted: Sequence[str]) -> tuple[Subset, ...]:
    """The subsets that are looked at and that some sample owns.

    Raises:
        InputError: An unknown stream, or a subset that was not scored or that nobody owns.
    """
    owned = [subset for subset in scored.by_subset if any(set(subset) <= set(own) for own in scored.owned)]
    if not wanted:
        return tuple(owned)
    found = []
    for words in wanted:
        subset = tuple(name for name in scored.names if name in words.replace("+", ",").split(","))
        if len(subset) != len(words.replace("+", ",").split(",")):
            raise InputError(f"Expected streams of {', '.join(scored.names)} in --subsets, found {words!r}.")
        if subset not in owned:
            raise InputError(f"Expected a subset that was scored and that some sample owns, found {words!r}.")
        found.append(subset)
    return tuple(dict.fromkeys(found))


def _typical(scored: Scored) -> tuple[Sample, ...]:
    """Samples with a low, a middle and a high score, by the mean over criteria on their scales."""
    unit_N = ((scored.own_NC - [one.low for one in scored.criteria]) / scored.spans_C).mean(axis=1)
    order = [n for n in unit_N.argsort() if unit_N[n] == unit_N[n]]
    places = dict.fromkeys(len(order) * tenth // 10 for tenth in (1, 5, 9)) if order else {}
    return tuple(scored.samples[order[place]] for place in places)


def _explain_streams(subject: Subject, scored: Scored, found: Explanation) -> None:
    shapley_NMC = shapley_of(scored, subject.baseline_C)
    group_N = groups_of(scored.samples)
    document = shares_document(scored, shapley_NMC, subject.baseline_C, group_N)
    found.sections["contributions"] = {**document, "samples": []}
    found.tables["contributions"] = shapley_table(scored, shapley_NMC)
    if any(one["size"]["value"] is not None for one in document["streams"].values()):
        found.drawings.append(draw_shares(document))
    else:
        found.notes.append("what streams add is not shared out: not every subset was scored (evaluation.subsets)")


def _explain_samples(
    subject: Subject, samples: Sequence[Sample], segment_s: float | None, found: Explanation, reporter: Reporter
) -> None:
    names = [one.name for one in subject.criteria]
    windows, slopes = [], []
    scorer = subject.found.scorer
    reporter.start("performances", len(samples))
    for place, sample in enumerate(samples):
        shown = sample.restricted_to(subject.names)
        document, timed = performance_document(
            subject.found.scorer,
            shown,
            subject.criteria,
            subject.baseline_C,
            errors=subject.errors,
            level=LEVEL,
            segment_s=segment_s,
        )
        windows.append((sample.id, timed))
        if subject.network is not None and isinstance(scorer, ModelScorer):
            slopes.append((sample.id, integrated_gradients(scorer, shown)))
            for column, one in enumerate(names):
                document["criteria"][one]["gradients"] = slopes[-1][1].to_dict(column)
        name = f"timeline-{place + 1}"
        found.drawings.append(draw_timeline(document, timed, subject.names, names, name))
        found.sections["contributions"]["samples"].append({**document, "figure": name})
        reporter.advance("performances")
    if slopes:
        found.tables["gradients"] = gradients_table(slopes, names)
    found.tables["windows"] = windows_table(windows, subject.criteria)


def _explain_trust(subject: Subject, scored: Scored, subsets: Sequence[Subset], found: Explanation) -> None:
    if subject.errors is None:
        why = "the run has no calibration.parquet: it had no validation split, or an older limssr trained it"
        found.why_not["coverage"] = why
        found.why_not["hallucination"] = f"movements are measured in widths of intervals, and {why}"
        return
    errors, group_N = subject.errors, groups_of(scored.samples)
    document = coverage_document(scored, errors, group_N, level=LEVEL)
    found.sections["coverage"] = document
    found.drawings.append(draw_coverage(document))
    if subject.split == "val":
        found.notes.append("intervals were made from errors on the validation split: their coverage there is too good")
    all_returns = returns(scored, lambda subset: widths_of(errors, subset, subject.criteria, LEVEL))
    rows = [return_document(one, group_N) for one in all_returns if one.subset in subsets]
    swaps = [
        row
        for subset in subsets
        for row in swap_documents(
            subject.found.scorer, scored, subset, widths_of(errors, subset, subject.criteria, LEVEL), group_N
        )
    ]
    found.sections["hallucination"] = {"returns": rows, "sensitivity": swaps, "recovery": None, "usefulness": None}
    if rows:
        found.drawings.append(draw_returns(rows, subject.names))


def _write(folder: Path, document: dict[str, Any], found: Explanation) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.tables.items():
        write_table(folder / f"{name}.parquet", table)
    for one in found.drawings:
        write_atomically(folder / f"{one.name}.png", one.png)
        write_atomically(folder / f"{one.name}.svg", one.svg)
    write_json(folder / DOCUMENT, document)
