"""A run: check everything, train, score every subset of the streams, add the references, write the report.

Nothing is written before all checks have passed. After that, a run can be interrupted at any moment and gone on with.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from limssr.core.config import RunConfig
from limssr.core.files import check_disk, check_folder, remove_leftovers
from limssr.core.launched import ToldByFirst
from limssr.core.locks import being_written, check_nobody_writes
from limssr.core.progress import Reporter, SilentReporter, counted
from limssr.core.recipes import dump_config
from limssr.core.runtime import DeviceChoice, check_model_precision, check_one_process, check_precision, device_of
from limssr.core.team import Team
from limssr.evaluation.evaluate import evaluate
from limssr.nn.contract import Network, stage_epochs
from limssr.report import write_report
from limssr.runs.checks import check_references, check_same_store, checkpoint_bytes, folder_status, say_what_to_know
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import SystemScores, write_config, write_run, write_scores
from limssr.runs.record import availability_record, kept_from_before, now_text, opening_record
from limssr.runs.references import chooser_on_test, run_reference, scorer_of
from limssr.runs.reliability.calibration import calibrate, covered, write_calibration
from limssr.runs.reliability.familiar import write_familiar
from limssr.systems.build import build_model
from limssr.systems.references import REFERENCES
from limssr.systems.saving import save_pretrained
from limssr.training.divergence import DivergedTwice
from limssr.training.loop import Paused, fit
from limssr.training.selection import EpochValue
from limssr.training.together import check_same


def train_run(
    config: RunConfig,
    out: Path,
    *,
    device: str = "auto",
    resume: Literal["never", "auto"] = "never",
    reporter: Reporter | None = None,
    team: Team | None = None,
    until: int | None = None,
) -> Path:
    """Train and evaluate what `config` describes.

    Args:
        config: The run.
        out: Run folder to write, by one process at a time; must not exist (or be empty) unless it is resumed.
        device: See `limssr.core.runtime.choose_device`.
        resume: "auto" goes on with an interrupted run in `out`, whose configuration and store must be the same; a run
            that is done is left as it is, and where there is none a new one begins.
        reporter: Is told of the progress; None: nobody is.
        team: The processes that train together, each of which calls this; None: this one alone. The first of them
            writes, and does alone what comes after the training.
        until: Pause after so many epochs in all; the run is then as one that was interrupted, and can be resumed.

    Returns:
        The run folder.

    Raises:
        InputError: Something does not fit, or another process is training there; nothing has been written.
        ArtifactError: The store or the run folder is damaged, or of a newer format.
        ResourceError: The disk is, or would be, full.
    """
    if team is None:
        check_one_process()
    reporter, team = reporter or SilentReporter(), team or Team.alone()
    with contextlib.ExitStack() as held:

        def open_folder() -> bool:
            return held.enter_context(_opened(out, config, resume, reporter)) if team.is_first else True

        if team.told_by_first(team.agree(open_folder)):
            try:
                _train_locked(config, out, device=device, reporter=reporter, team=team, until=until)
            except Paused as paused:
                reporter.note(f"{out} is {paused}; --resume goes on")
    return out


@contextlib.contextmanager
def _opened(out: Path, config: RunConfig, resume: Literal["never", "auto"], reporter: Reporter) -> Iterator[bool]:
    """Nobody else trains in the run folder inside the block; False: the run is done, its report written."""
    check_nobody_writes(out, "run")
    status = folder_status(out, config, resume)
    if status == "done" and (out / "report.html").exists():
        remove_leftovers(out)
        reporter.note(f"{out} is done; nothing to do")
        yield False
        return
    check_folder(out)
    with being_written(out, "run"):
        # Another process may have come first between the look and the lock.
        is_done = folder_status(out, config, resume) == "done"
        if is_done:
            reporter.note(f"{out} is done; nothing to do")
            remove_leftovers(out)
            write_report(out)
        yield not is_done


@dataclass(frozen=True)
class _Checked:
    """What was found before anything is written: nothing speaks against the run."""

    choice: DeviceChoice
    data: RunData
    chooser: EpochValue | None
    model: Network


def _check(config: RunConfig, out: Path, device: str, reporter: Reporter, team: Team) -> _Checked:
    choice = device_of(device, team)
    check_precision(config.train.precision, choice.device)
    check_model_precision(config.model, choice.device)
    several = f", one of {team.size} processes" if team.size > 1 else ""
    reporter.note(f"device {choice.device} ({choice.reason}){several}")
    data = load_run_data(config, reporter.note)
    check_references(config, data)
    chooser = chooser_on_test(data, config, choice.device)
    check_same_store(out, data)
    say_what_to_know(config, data, reporter)
    model = build_model(config.model, data.modalities, data.criteria, seed=config.seed)
    stage_epochs(model.stages, config.train.epochs)  # refuses fewer epochs than stages
    check_disk(out, checkpoint_bytes(model, config))
    return _Checked(choice, data, chooser, model)


def _write_beginning(document: dict[str, Any], config: RunConfig, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    write_config(out, config)
    write_run(out, {**document, "status": "running"})


def _train_locked(
    config: RunConfig, out: Path, *, device: str, reporter: Reporter, team: Team, until: int | None
) -> None:
    # 1. everything that can be wrong, before anything is written
    found = team.agree(lambda: _check(config, out, device, reporter, team))
    data, model, choice = found.data, found.model, found.choice
    check_same(team, [data.store.fingerprint, dump_config(config)], "store and recipe")
    # 2. from here on there is a run folder
    document = opening_record(config, data, choice, model) | kept_from_before(out)
    if team.size > 1:
        document["num_processes"] = team.size
    team.agree(lambda: _write_beginning(document, config, out) if team.is_first else None)
    with _bars_taken_away(reporter):
        # 3. train, keep the chosen weights
        try:
            result = fit(
                model,
                data.splits["train"],
                data.splits["val"],
                config=config,
                folder=out,
                device=choice.device,
                reporter=reporter,
                resume="auto",
                test_value=found.chooser,
                team=team,
                until=until,
            )
        except DivergedTwice as error:
            if not team.is_first:
                raise ToldByFirst(error.exit_code, str(error)) from error
            write_run(out, {**document, "status": "diverged", "reason": str(error)})
            kept = f"{out} keeps config.yaml and run.json, which say so, and no weights"
            raise DivergedTwice(f"{error} {kept}: take another folder for the next attempt, or remove it.") from error
        if not team.is_first:
            return
        team.disband()
        save_pretrained(model, out / "model")
        # 4. score it and its references
        main = _score(model, data, config, out, device=choice.device, reporter=reporter)
        beside, left_out = _score_references(data, config, out, choice.device, reporter)
        write_scores(out, [main, *(scores for scores, _ in beside)])
    # 5. close the books
    learned = model.learned()
    timings = {"training_s": sum(record["seconds"] for record in result.history)}
    outcome = {"best_epoch": result.best_epoch, "epochs_run": result.epochs_run, "stopped": result.stopped}
    closing = {"finished": now_text(), "timings": timings, "learned": learned, "references": [one for _, one in beside]}
    closing |= {"references_left_out": left_out} if left_out else {}
    write_run(out, {**document, **outcome, **closing, "status": "done"})
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    write_report(out)


@contextlib.contextmanager
def _bars_taken_away(reporter: Reporter) -> Iterator[None]:
    """Whatever ends the work early, Ctrl+C or an error, is not written into a progress bar."""
    try:
        yield
    except BaseException:
        reporter.finish()
        raise


def _score(
    model: Network, data: RunData, config: RunConfig, out: Path, *, device: torch.device, reporter: Reporter
) -> SystemScores:
    scorer = scorer_of(model, config, device)
    errors = calibrate(scorer, data.splits["val"], data.names, data.criteria, config.evaluation)
    write_calibration(out, errors)
    write_familiar(out, data.splits["train"], data.modalities)
    evaluation = evaluate(
        scorer,
        data.splits["test"],
        data.names,
        data.criteria,
        config=config.evaluation,
        progress=counted(reporter, "scoring", unit="subset"),
        note=reporter.note,
        split="test",
        selection=config.train.selection,
        availability=availability_record(config, data.store),
    )
    reporter.finish()
    return SystemScores.of(config.model.system, evaluation, coverage=covered(errors, evaluation, data.criteria))


def _score_references(
    data: RunData, config: RunConfig, out: Path, device: torch.device, reporter: Reporter
) -> tuple[list[tuple[SystemScores, dict[str, Any]]], dict[str, str]]:
    """References with their entries in run.json; those whose training diverges are left out, with the reason."""
    found, left_out = [], {}
    for name in config.evaluation.references:
        reporter.note(f"reference {name}: {REFERENCES[name].summary}")
        folder = out / "references" / name
        try:
            found.append(run_reference(name, data, config, folder, device=device, reporter=reporter))
        except DivergedTwice as error:
            reporter.warn(f"reference {name} is left out: {error}")
            left_out[name] = str(error)
            shutil.rmtree(folder, ignore_errors=True)
    return found, left_out
