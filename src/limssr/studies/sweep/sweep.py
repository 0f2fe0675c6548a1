"""`limssr sweep systems`: every system on one store, under one protocol and one budget of tuning."""

from pathlib import Path
from typing import Any

from limssr.core.cluster import Cluster
from limssr.core.files import write_json
from limssr.core.progress import Reporter, SilentReporter
from limssr.runs.folder import FORMAT_VERSION
from limssr.studies.estimate import estimate
from limssr.studies.execute import run_all
from limssr.studies.plan import PlannedRun, check_runs, check_study, distinct_runs, is_paused, unfinished_runs
from limssr.studies.sweep.plan import SweepPlan, SweepResult
from limssr.studies.sweep.search import Found, Round, epochs_share, searched
from limssr.studies.systems import LIMSSR


def run_sweep(
    plan: SweepPlan,
    out: Path,
    *,
    processes: int = 1,
    device: str = "auto",
    cluster: Cluster | None = None,
    reporter: Reporter | None = None,
) -> SweepResult:
    """Tune, then train every system with every seed; what is done in `out` is kept.

    Args:
        plan: From `plan_sweep`.
        out: Folder of the study; gets a run folder for each run, and sweep.json, which names those of each system.
        processes: Runs at a time.
        device: See `limssr.core.runtime.choose_device`.
        cluster: Trains in place of this machine.
        reporter: Is told of the progress.

    Raises:
        InputError: Something is wrong with a run; found before the first one starts.
        RunsFailed: Some runs failed; the others are done.
    """
    reporter = reporter or SilentReporter()
    found = None
    if plan.request.tries > 1:
        reporter.note(f"tuning: {plan.request.tries} settings for each of {len(plan.contestants)} systems")
        settings_of = {"processes": processes, "device": device, "cluster": cluster, "reporter": reporter}
        found = searched(plan.search(out).rounds(), lambda one: run_all(one.runs, out, until=one.until, **settings_of))
    finals, planned, owners = _finals(plan, found)
    run_all(planned, out, processes=processes, device=device, cluster=cluster, reporter=reporter)
    runs = {
        one.label: tuple(out / owners[run.key].key for (label, _), run in finals.items() if label == one.label)
        for one in plan.contestants
    }
    result = SweepResult(
        found.chosen if found else {one.label: 0 for one in plan.contestants},
        found.losses if found else {},
        runs,
        {label: tuple(one.setting for one in tries) for label, tries in found.tries.items()} if found else {},
    )
    write_json(out / "sweep.json", {"format_version": FORMAT_VERSION, **to_document(plan, result)})
    return result


def _finals(
    plan: SweepPlan, found: Found | None
) -> tuple[dict[tuple[str, int], PlannedRun], list[PlannedRun], dict[str, PlannedRun]]:
    """(label, seed) -> its run; what is left to train; key -> in whose folder its result is.

    A try that won is the run of its seed, in the folder of the try. Tries that lost by halving stay as they are.
    """
    settled = {label: found.tries[label][number].setting for label, number in found.chosen.items()} if found else {}
    finals, tried = plan.final_runs(settled), found.runs() if found else []
    owners = distinct_runs([*tried, *finals.values()])
    if plan.request.halving:
        return finals, [owners[run.key] for run in finals.values()], owners
    return finals, [*tried, *finals.values()], owners


def next_runs(plan: SweepPlan, out: Path) -> Round:
    """What can be done now: a round of the search that is not done; once there is none, all runs with every seed."""
    found = None
    if plan.request.tries > 1:
        rounds = plan.search(out).rounds()
        while found is None:
            try:
                one = next(rounds)
            except StopIteration as end:
                found = end.value
                continue
            unfinished = unfinished_runs(one.runs, out)
            if any(not is_paused(out / run.key, one.until.get(run.key)) for run in unfinished):
                return one
    return Round(tuple(_finals(plan, found)[1]))


def preview(plan: SweepPlan, out: Path, *, processes: int = 1, device: str = "auto") -> dict[str, Any]:
    """What is left to run and how long that takes, from a few timed steps of every system; writes nothing.

    Which try wins is not known yet; the runs with all seeds are priced as the first one.
    """
    tried = plan.trial_runs()
    planned = [*tried, *plan.final_runs({}).values()]
    check_study(out, processes=processes)
    waiting = check_runs(planned, out, device=device)
    estimates = estimate(waiting, device=device, processes=processes)
    share = epochs_share(plan.request.tries) if plan.request.halving else 1.0
    of_tries = {run.key for run in tried}
    seconds = {key: found.seconds * (share if key in of_tries else 1.0) for key, found in estimates.items()}
    return {
        "num_runs": len({id(run) for run in distinct_runs(planned).values()}),
        "to_run": [{"run": run.key, "seconds": round(seconds[run.key], 1)} for run in waiting],
        "total_s": round(sum(seconds.values()) / processes, 1),
        "left_out": dict(plan.left_out),
    }


def budget_of(plan: SweepPlan) -> str:
    """What every system was allowed, in sentences: settings tried and how they were judged, sizes, epochs, seeds."""
    request, number = plan.request, len(plan.tries)
    tried = "One setting for each system, not tuned here"
    if number > 1:
        tried = f"{number} settings tried for each system, judged by validation loss"
        tried += f", each by {request.folds}-fold cross-validation" if request.folds else ""
        tried += ", found by a tree-structured Parzen estimator" if request.sampler == "tpe" else ""
        tried += (
            f", halved after a quarter and half of the epochs ({epochs_share(number):.0%} of the epochs of all)"
            if request.halving
            else ""
        )
    labels: dict[str, list[str]] = {}
    for one in plan.contestants:
        train = one.config.train
        length = f"at most {train.epochs}" if train.patience is not None else str(train.epochs)
        labels.setdefault(length, []).append(one.label)
    usual = max(labels, key=lambda length: len([label for label in labels[length] if label != LIMSSR]))
    others = "; ".join(f"{', '.join(names)} {length}" for length, names in labels.items() if length != usual)
    parts = [
        f"{tried}.",
        f"Sizes of the comparison systems: {request.sizes}.",
        f"Epochs: {usual}{f' ({others})' if others else ''}.",
        f"Seeds: {request.num_seeds}.",
    ]
    if plan.left_out:
        reasons = "; ".join(f"{name} ({' '.join(why.split()).rstrip('.')})" for name, why in plan.left_out.items())
        parts.append(f"Left out: {reasons}.")
    return " ".join(parts)


def to_document(plan: SweepPlan, result: SweepResult) -> dict[str, Any]:
    """The budget and what it chose, as plain JSON values."""
    request, is_found = plan.request, plan.request.sampler != "random"
    return {
        "tries": [] if is_found else [setting.to_dict() for setting in plan.tries],
        **({"sampler": request.sampler} if is_found else {}),
        **({"halving": True} if request.halving else {}),
        "folds": plan.request.folds,
        "sizes": plan.request.sizes,
        "epochs": plan.request.epochs,
        "seeds": plan.request.num_seeds,
        "left_out": dict(plan.left_out),
        "systems": [
            {
                "label": one.label,
                "system": one.system,
                "trained_on": one.config.missing.training,
                "chosen_try": result.chosen[one.label],
                **({"tries": [setting.to_dict() for setting in result.tries[one.label]]} if is_found else {}),
                "validation_losses": list(result.losses.get(one.label, ())),
                "runs": [folder.name for folder in result.runs[one.label]],
            }
            for one in plan.contestants
        ],
    }
