"""A run: check everything, train, score every subset of streams, put the references beside it, write the report.

Nothing is written before all checks have passed. After that, a run can be interrupted at any moment and gone on with.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from limssr.baselines.catalogue import hidden_values, target_words
from limssr.config import RunConfig
from limssr.data.files import remove_leftovers
from limssr.errors import ArtifactError, InputError
from limssr.evaluation import Evaluation, evaluate
from limssr.model import build_model, load_pretrained, save_pretrained, state_to_save
from limssr.model.int8 import check_int8
from limssr.model.saving import Weights
from limssr.precision import check_precision
from limssr.progress import Reporter, SilentReporter
from limssr.references import REFERENCES, check_references, chooser_on_test, run_reference, scorer_of
from limssr.report import write_report
from limssr.rundata import (
    RunData,
    availability_record,
    left_out_words,
    load_run_data,
    load_split,
    unseen_words,
    validation_record,
)
from limssr.runfiles import (
    RunRecord,
    SystemScores,
    check_disk,
    read_run,
    write_config,
    write_run,
    write_scores,
)
from limssr.runtime import DeviceChoice, check_model_precision, choose_device, environment
from limssr.training import fit
from limssr.types import Sample, Split


def train_run(
    config: RunConfig,
    out: Path,
    *,
    device: str = "auto",
    resume: Literal["never", "auto"] = "never",
    reporter: Reporter | None = None,
) -> Path:
    """Train and evaluate what `config` describes.

    Args:
        config: The run.
        out: Run folder to write; must not exist (or be empty) unless it is resumed.
        device: See `limssr.runtime.choose_device`.
        resume: "auto" goes on with an interrupted run in `out`, whose configuration and store must be the same; a run
            that is done is left as it is, and where there is none a new one begins.
        reporter: Hears of everything; None: silence.

    Returns:
        The run folder.

    Raises:
        InputError: Something does not fit; nothing has been written.
        ArtifactError: The store or the run folder is damaged, or of a newer format.
        ResourceError: The disk is, or would be, full.
    """
    reporter = reporter or SilentReporter()
    if folder_status(out, config, resume) == "done":
        reporter.note(f"{out} is done; nothing to do")
        remove_leftovers(out)
        if not (out / "report.html").exists():
            write_report(out)
        return out
    # 1. everything that can be wrong, before anything is written
    choice = choose_device(device)
    check_precision(config.train.precision, choice.device)
    check_model_precision(config.model, choice.device)
    reporter.note(f"device {choice.device} ({choice.reason})")
    data = load_run_data(config)
    check_references(config, data)
    chooser = chooser_on_test(data, config, choice.device)
    check_same_store(out, data)
    _say_what_to_know(config, data, reporter)
    model = build_model(config.model, data.modalities, data.criteria, seed=config.seed)
    check_disk(out, _checkpoint_bytes(model, config))
    # 2. from here on there is a run folder
    document = _opening(config, data, choice, model) | _from_before(out)
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    write_config(out, config)
    write_run(out, {**document, "status": "running"})
    with _bars_taken_away(reporter):
        # 3. train, keep the chosen weights
        result = fit(
            model,
            data.splits["train"],
            data.splits["val"],
            config=config,
            folder=out,
            device=choice.device,
            reporter=reporter,
            resume="auto",
            test_value=chooser,
        )
        save_pretrained(model, out / "model")
        # 4. score it and what stands beside it
        main = _score(model, data, config, choice.device, reporter)
        beside = _score_references(data, config, out, choice.device, reporter)
        write_scores(out, [main, *(scores for scores, _ in beside)])
    # 5. close the books
    learned = model.learned() if hasattr(model, "learned") else None  # type: ignore[operator]
    timings = {"training_s": sum(record["seconds"] for record in result.history)}
    outcome = {"best_epoch": result.best_epoch, "epochs_run": result.epochs_run, "stopped": result.stopped}
    closing = {"finished": _now(), "timings": timings, "learned": learned, "references": [one for _, one in beside]}
    write_run(out, {**document, **outcome, **closing, "status": "done"})
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    write_report(out)
    return out


def run_warnings(config: RunConfig) -> list[str]:
    """What is allowed but should be known before it is trained."""
    train, warnings = config.train, []
    if train.selection == "test":
        warnings.append(
            "train.selection: test chooses the epoch on the test split, so the result on that split is flattered; "
            "it exists only to repeat published tables, and the report says so"
        )
    if train.epochs <= train.warmup_epochs:
        warnings.append(
            f"train.epochs ({train.epochs}) is not above train.warmup_epochs ({train.warmup_epochs}), so the learning "
            "rate never reaches its full value"
        )
    if config.loss.regularizer == "eq17" and config.loss.slots > 0:
        warnings.append(
            "loss.regularizer: eq17 cannot prevent collapse: identical and orthogonal slots score the same, and with "
            "two fusion tokens its gradient is zero; slot_triplet can"
        )
    if "random-backbone" in config.evaluation.references and config.model.backbone.name == "tiny":
        warnings.append("the backbone tiny has random weights itself, so random-backbone will equal the run")
    return warnings


def evaluate_run(
    run: Path,
    *,
    store: Path | None = None,
    split: Split = "test",
    seed: int | None = None,
    device: str = "auto",
    weights: Weights = "trained",
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score the saved model of a run again, under all subsets of streams.

    Args:
        run: A run folder whose training is done.
        store: Another store with the run's streams and criteria, taken as it is; None: the run's own store, made
            incomplete as in the run.
        split: The samples to score.
        seed: Of the bootstrap intervals; None: the run's.
        device: See `limssr.runtime.choose_device`.
        weights: "int8": see `limssr.model.int8`; `limssr.int8_change` measures what that changes.
        reporter: Hears of the progress.

    Raises:
        InputError: The store does not fit the model, or has no samples in the split.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
    """
    record = read_run(run)
    config = record.config
    if not (run / "model").is_dir():
        raise ArtifactError(
            f"Expected a trained model in {run}, found none: the run is not finished; go on with --resume."
        )
    choice = choose_device(device)
    check_model_precision(config.model, choice.device)
    chosen_store = store or own_store(run, record)
    model = load_pretrained(run / "model", weights=weights)
    if weights == "int8":
        check_int8(model, choice.device)
    model.to(choice.device)
    opened, samples = load_split(model, config, split, store=chosen_store, incomplete=store is None)
    availability = availability_record(config, opened) if store is None else opened.info.availability
    return evaluate(
        scorer_of(model, config, choice.device),
        samples,
        tuple(modality.name for modality in model.modalities),  # type: ignore[union-attr]
        model.criteria,  # type: ignore[arg-type]
        config=config.evaluation,
        seed=config.seed if seed is None else seed,
        progress=_progress(reporter or SilentReporter()),
        split=split,
        selection=config.train.selection,
        availability=availability,
    )


def own_store(run: Path, record: RunRecord) -> Path:
    """The store that a run was trained on.

    Raises:
        InputError: It has none, as a checkpoint that was imported does.
    """
    store = record.document.get("store")
    if not store:
        raise InputError(
            f"Expected the store that {run} was trained on, found none: it is an {record.document.get('origin')}. "
            "Give one with --store."
        )
    return Path(store["path"])


@contextlib.contextmanager
def _bars_taken_away(reporter: Reporter) -> Iterator[None]:
    """Whatever ends the work early, Ctrl+C or an error, is not written into a progress bar."""
    try:
        yield
    except BaseException:
        reporter.finish()
        raise


def _score(
    model: nn.Module, data: RunData, config: RunConfig, device: torch.device, reporter: Reporter
) -> SystemScores:
    evaluation = evaluate(
        scorer_of(model, config, device),
        data.splits["test"],
        data.names,
        data.criteria,
        config=config.evaluation,
        seed=config.seed,
        progress=_progress(reporter),
        split="test",
        selection=config.train.selection,
        availability=availability_record(config, data.store),
    )
    reporter.finish()
    return SystemScores.of(config.model.system, evaluation)


def _score_references(
    data: RunData, config: RunConfig, out: Path, device: torch.device, reporter: Reporter
) -> list[tuple[SystemScores, dict[str, Any]]]:
    found = []
    for name in config.evaluation.references:
        reporter.note(f"reference {name}: {REFERENCES[name].summary}")
        folder = out / "references" / name
        found.append(run_reference(name, data, config, folder, device=device, reporter=reporter))
    return found


def _say_what_to_know(config: RunConfig, data: RunData, reporter: Reporter) -> None:
    if text := left_out_words(data):
        reporter.note(text)
    if text := unseen_words(data):
        reporter.warn(text)
    if text := target_words(config.model.system, config.missing.training):
        reporter.note(text)
    for text in run_warnings(config):
        reporter.warn(text)


def _progress(reporter: Reporter) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == 1:
            reporter.start("subsets", total)
        reporter.advance("subsets")
        if done == total:
            reporter.finish()

    return progress


def folder_status(out: Path, config: RunConfig, resume: Literal["never", "auto"]) -> Literal["new", "running", "done"]:
    """How far the run in a folder is.

    Raises:
        InputError: A file, or a folder that holds something and is not to be resumed, or a run of other settings.
        ArtifactError: The run folder is damaged, or of a newer format.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return "new"
    if not out.is_dir():
        raise InputError(f"Expected a folder for the run, found a file at {out}: choose another path.")
    if resume == "never":
        raise InputError(
            f"Expected a run folder that does not exist, found files in {out}: choose another path, or add --resume "
            "to go on with the run in it."
        )
    if not (out / "run.json").exists() and {path.name for path in out.iterdir()} <= {"config.yaml"}:
        return "new"  # stopped between the first two files
    record = read_run(out)
    differing = _differences(record.config.model_dump(mode="json"), config.model_dump(mode="json"))
    if differing:
        raise InputError(
            f"Expected the configuration of the run in {out}, found other values of {', '.join(differing)}: resume "
            f"with {out / 'config.yaml'}, or start a new run in another folder."
        )
    return record.document.get("status", "running")


def _differences(before: Any, now: Any, prefix: str = "") -> list[str]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [prefix]
    keys = [*before, *(key for key in now if key not in before)]
    return [name for key in keys for name in _differences(before.get(key), now.get(key), f"{prefix}.{key}".lstrip("."))]


def check_same_store(out: Path, data: RunData) -> None:
    """Refuse to go on with a run whose store has changed meanwhile.

    Raises:
        InputError: Another content than the run began with.
    """
    if not (out / "run.json").exists():
        return
    recorded = read_run(out).document["store"]["fingerprint"]
    if recorded != data.store.fingerprint:
        raise InputError(
            f"Expected the store that the run in {out} began with (fingerprint {recorded[:12]}), found another content "
            f"in {data.store.path} ({data.store.fingerprint[:12]}): restore it, or start a new run in another folder."
        )


def _checkpoint_bytes(model: nn.Module, config: RunConfig) -> int:
    """Two checkpoints at once while one replaces the other, the weights that may be chosen, and the saved model."""
    state = sum(tensor.numel() * tensor.element_size() for tensor in state_to_save(model).values())
    trained = sum(parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad)
    copies = 2 if config.train.average else 1
    candidates = 2 if config.train.selection == "test" else 1
    return 2 * (copies * state + 2 * trained) + (candidates * copies + 1) * state


def _opening(config: RunConfig, data: RunData, choice: DeviceChoice, model: nn.Module) -> dict[str, Any]:
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {
        "name": config.name,
        "started": _now(),
        "seed": config.seed,
        "selection": config.train.selection,
        "availability": availability_record(config, data.store),
        "trained_on": config.missing.training,
        "hidden_values": hidden_values(config.model.system),
        "dropout": config.missing.dropout,
        "store": {
            "path": str(data.store.path.absolute()),
            "name": data.store.info.name,
            "segment_s": data.store.info.segment_s,
            "fingerprint": data.store.fingerprint,
        },
        "system": config.model.system,
        "modalities": list(data.names),
        "criteria": [vars(criterion) for criterion in data.criteria],
        "validation": validation_record(config, data),
        "num_samples": {split: len(samples) for split, samples in data.splits.items()},
        "left_out": dict(data.left_out),
        "owned_streams": {split: _ownership(samples) for split, samples in data.splits.items()},
        "parameters": {
            "total": sum(count for count, _ in sizes),
            "trained": sum(count for count, trained in sizes if trained),
        },
        "device": {"name": str(choice.device), "reason": choice.reason},
        "environment": environment(choice.device),
        "sessions": 1,
    }


def _from_before(out: Path) -> dict[str, Any]:
    """What a run that is resumed keeps of its first session."""
    if not (out / "run.json").exists():
        return {}
    before = read_run(out).document
    return {"started": before["started"], "sessions": before["sessions"] + 1}


def _ownership(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples own exactly which streams."""
    counts: dict[str, int] = {}
    for sample in samples:
        key = "+".join(sample.streams)
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
