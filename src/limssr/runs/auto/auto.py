"""`limssr auto`: look at the data, judge candidates by folds, make the best of them one model in one run folder."""

import time
from pathlib import Path

import torch

from limssr.core.config import RunConfig
from limssr.core.files import check_disk, check_folder, remove_leftovers, write_table
from limssr.core.locks import being_written, check_nobody_writes
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import choose_device
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.scorer import ModelScorer, Scorer
from limssr.report import write_report
from limssr.runs.auto.document import document_of, references_of
from limssr.runs.auto.held_out import out_of_fold_errors, out_of_fold_scorer, out_of_fold_table
from limssr.runs.auto.look import Material
from limssr.runs.auto.search import Found, Plan, search
from limssr.runs.auto.settings import AutoSettings
from limssr.runs.checks import folder_status, left_out_words
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import SystemScores, write_config, write_run, write_scores
from limssr.runs.record import availability_record, now_text, opening_record
from limssr.runs.reliability.calibration import covered, write_calibration
from limssr.runs.reliability.familiar import write_familiar
from limssr.systems.saving import MEMBERS, save_pretrained
from limssr.systems.solved.mixture import Mixture

DISK_BYTES = 2**28
OUT_OF_FOLD = "out of fold"
"""The split of an evaluation that was made of predictions of held-out samples, where a store has no test split."""


def train_auto(config: RunConfig, out: Path, *, device: str = "auto", reporter: Reporter | None = None) -> Path:
    """Find the best model for a store, within a budget of time.

    Candidates are judged by folds of whole groups of training and validation together, under every subset of what
    held-out samples own; the test split is scored once, at the end, by what was chosen. Where there is none, the
    evaluation is that of the folds.

    Args:
        config: From `auto_config`.
        out: Run folder to write, by one process at a time; must not exist, or be empty.
        device: See `limssr.core.runtime.choose_device`.
        reporter: Is told of the progress; None: nobody is.

    Returns:
        The run folder: like any other, with the account of the search in run.json.

    Raises:
        InputError: The store or the settings are not right; nothing has been written.
    """
    reporter = reporter or SilentReporter()
    check_nobody_writes(out, "run")
    folder_status(out, config, "cannot")
    check_folder(out)
    with being_written(out, "run"):
        folder_status(out, config, "cannot")
        _train_locked(config, out, device=device, reporter=reporter)
    return out


def plan_auto(config: RunConfig, out: Path) -> list[str]:
    """What a search would do, in six lines; nothing is written and nothing is learned.

    Raises:
        InputError: As for `train_auto`.
    """
    folder_status(out, config, "cannot")
    check_folder(out)
    return Plan.of(_material(load_run_data(config, needs_test=False)), AutoSettings.of(config), seed=config.seed).lines


def _material(data: RunData) -> Material:
    return Material(
        modalities=data.modalities,
        criteria=data.criteria,
        samples=[*data.splits["train"], *data.splits["val"]],
        test=data.splits["test"],
    )


def _train_locked(config: RunConfig, out: Path, *, device: str, reporter: Reporter) -> None:
    settings, began = AutoSettings.of(config), time.monotonic()
    choice = choose_device(device)
    data = load_run_data(config, reporter.note, needs_test=False)
    check_disk(out, DISK_BYTES)
    if text := left_out_words(data):
        reporter.note(text)
    material = _material(data)
    try:
        found = search(material, settings, seed=config.seed, device=choice.device, reporter=reporter)
    finally:
        reporter.finish()
    opening = opening_record(config, data, choice, found.model) | {"parameters": _parameters(found)}
    remove_leftovers(out)
    write_config(out, config)
    write_run(out, {**opening, "status": "running"})
    save_pretrained(found.model, out / "model")
    _write_out_of_fold(found, data, out)
    write_calibration(out, found.errors)
    write_familiar(out, data.splits["train"], data.modalities)
    reporter.note("scoring" if data.splits["test"] else "no test split: the evaluation is that of the folds")
    write_scores(out, _scored(found, data, config, choice.device))
    document = document_of(out, found)
    timings = {"training_s": time.monotonic() - began}
    closing = {"finished": now_text(), "timings": timings, "auto": document, "references": references_of(found)}
    write_run(out, {**opening, **closing, "status": "done"})
    write_report(out)


def _parameters(found: Found) -> dict[str, int]:
    """Of the members that carry the score; empty where all of them are solved."""
    members = [found.model.members[name] for name in found.choice.members]
    parts = [network for one in members for network in (one.members.values() if isinstance(one, Mixture) else [one])]
    sizes = [(one.numel(), one.requires_grad) for part in parts for one in part.parameters()]
    total = sum(count for count, _ in sizes)
    return {"total": total, "trained": sum(count for count, trained in sizes if trained)} if total else {}


def _write_out_of_fold(found: Found, data: RunData, out: Path) -> None:
    """The table of all predictions, and beside every member the errors that its intervals are made of."""
    tables = [(one.name, repeat, part) for one in found.judged for repeat, part in enumerate(one.predicted)]
    tables.append(("auto", 0, found.choice.predicted_RC))
    names = [one.name for one in data.criteria]
    write_table(out / "out_of_fold.parquet", out_of_fold_table(found.shown, tables, found.folds, names))
    for one in found.judged:
        if one.name in found.model.members:
            errors = out_of_fold_errors(found.shown, one.predicted[0], data.modalities, data.criteria)
            write_calibration(out / "model" / MEMBERS / one.name, errors)


def _scored(found: Found, data: RunData, config: RunConfig, device: torch.device) -> list[SystemScores]:
    """The chosen model and its members, on the test split or as they were while samples were held out."""
    systems: dict[str, Scorer] = {}
    if data.splits["test"]:
        samples, split = data.splits["test"], "test"
        for name, one in {"auto": found.model, **found.model.members}.items():
            systems[name] = ModelScorer(one.to(device), device=device, batch_size=config.evaluation.batch_size)
    else:
        samples, split = found.shown.samples, OUT_OF_FOLD
        systems["auto"] = out_of_fold_scorer(found.shown, found.choice.levelled["auto"])
        for one in found.judged:
            if one.name in found.model.members:
                systems[one.name] = out_of_fold_scorer(found.shown, found.choice.levelled[one.name])
    scores = []
    for name, scorer in systems.items():
        evaluation = evaluate(
            scorer,
            samples,
            data.names,
            data.criteria,
            config=config.evaluation,
            split=split,
            selection="last",
            availability=availability_record(config, data.store),
        )
        covered_here = covered(found.errors, evaluation, data.criteria) if name == "auto" and split == "test" else None
        scores.append(SystemScores.of(name, evaluation, coverage=covered_here))
    return scores
