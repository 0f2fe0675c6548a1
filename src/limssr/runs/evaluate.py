"""Evaluates a finished run again, and measures what int8 weights change in it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.core.progress import Reporter, SilentReporter, counted
from limssr.core.reading.regular import exists
from limssr.core.runtime import check_model_precision, choose_device
from limssr.core.types import Split
from limssr.data.store.format import HEADER_NAME
from limssr.data.store.reader import FeatureStore
from limssr.evaluation.evaluate import Evaluation, evaluate
from limssr.evaluation.uncertainty import SEED
from limssr.model.int8 import check_int8, use_int8
from limssr.runs.data import load_split
from limssr.runs.folder import RunRecord, check_has_model, read_run
from limssr.runs.record import availability_record, learned_splits
from limssr.runs.references import scorer_of
from limssr.systems.saving import Weights, load_pretrained


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
        seed: Of percentile intervals; None: that of every verb.
        device: See `limssr.core.runtime.choose_device`.
        weights: "int8": see `limssr.model.int8`; `limssr.runs.evaluate` measures what that changes.
        reporter: Is told of the progress.

    Raises:
        InputError: The store does not fit the model, or has no samples in the split; the run's own store has changed.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
    """
    record, reporter = read_run(run), reporter or SilentReporter()
    config = record.config
    check_has_model(run, record.document)
    choice = choose_device(device)
    check_model_precision(config.model, choice.device)
    chosen_store = store or own_store(run, record)
    model = load_pretrained(run / "model", weights=weights)
    if weights == "int8":
        check_int8(model, choice.device)
    model.to(choice.device)
    if store is None:
        check_same_content(run, record, chosen_store)
    opened, samples = load_split(model, config, split, store=chosen_store, incomplete=store is None)
    availability = availability_record(config, opened) if store is None else opened.info.availability
    evaluation = evaluate(
        scorer_of(model, config, choice.device),
        samples,
        tuple(modality.name for modality in model.modalities),
        model.criteria,
        config=config.evaluation,
        seed=SEED if seed is None else seed,
        progress=counted(reporter, "scoring", unit="subset"),
        note=reporter.note,
        split=split,
        selection=config.train.selection,
        availability=availability,
    )
    is_own = opened.fingerprint == (record.document.get("store") or {}).get("fingerprint")
    return replace(evaluation, learned_from=is_own and split in learned_splits(record.document))


def scored_store(run: Path, store: Path | None) -> dict[str, Any]:
    """Which store an evaluation read: path, name, fingerprint, and whether it is what the run was trained on."""
    record = read_run(run)
    opened = FeatureStore.open(store or own_store(run, record))
    trained_on = (record.document.get("store") or {}).get("fingerprint")
    return {
        "path": str(opened.path),
        "name": opened.info.name,
        "fingerprint": opened.fingerprint,
        "is_the_runs": opened.fingerprint == trained_on,
    }


def check_same_content(run: Path, record: RunRecord, store: Path) -> None:
    """Refuse what now lies where the run's store was, if it is another: its test samples may have been trained on."""
    expected = record.document["store"].get("fingerprint")
    found = FeatureStore.open(store).fingerprint
    if expected is not None and found != expected:
        raise InputError(
            f"Expected in {store} the store that {run} was trained on (fingerprint {expected[:12]}), found another "
            f"content ({found[:12]}): splits, scores or features have changed, so test samples may have been trained "
            f"on. Restore it, train again, or score this one as it is with --store {store}."
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
    path = Path(store["path"])
    if not exists(path / HEADER_NAME):
        raise InputError(
            f"Expected the store that {run} was trained on ({store.get('name') or 'of no name'}) at {path}, found "
            "none: say where it is with --store STORE."
        )
    return path


CHANGED = ("spearman", "mse")
MIN_SAMPLES = 3


@dataclass(frozen=True)
class Int8Change:
    """Both evaluations of the validation split.

    Attributes:
        num_samples: Of the split.
        float32: With the weights as trained.
        int8: With int8 weights.
    """

    num_samples: int
    float32: Evaluation
    int8: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """Metric -> float32, int8 and their difference; null where one of them cannot be said."""
        return {
            "split": "val",
            "num_samples": self.num_samples,
            "average_incomplete": self._changes(lambda evaluation: evaluation.to_dict()["average_incomplete"]),
            "full": self._changes(lambda evaluation: evaluation.to_dict()["full"]),
        }

    def _changes(self, part: Callable[[Evaluation], dict[str, Any]]) -> dict[str, dict[str, float | None]]:
        before, after = part(self.float32), part(self.int8)
        return {name: _change(before[name], after[name]) for name in CHANGED}


def int8_change(run: Path, *, device: str = "auto", progress: Callable[[int, int], None] | None = None) -> Int8Change:
    """Measure on the run's own validation split, made incomplete as in the run, what int8 weights change.

    Args:
        run: A run folder whose training is done.
        device: See `limssr.core.runtime.choose_device`; int8 weights need a CPU.
        progress: Called with (subsets done, subsets in all), for each of the two.

    Raises:
        InputError: No int8 weights here (see `limssr.model.int8`), or no validation split.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
    """
    record, chosen = read_run(run), choose_device(device).device
    check_same_content(run, record, own_store(run, record))
    check_has_model(run, record.document)
    model, config = load_pretrained(run / "model"), record.config
    check_int8(model, chosen)
    _, samples = load_split(model, config, "val", store=own_store(run, record), incomplete=True)

    def measured() -> Evaluation:
        return evaluate(
            scorer_of(model, config, chosen),
            samples,
            tuple(modality.name for modality in model.modalities),
            model.criteria,
            # The same samples twice: a difference can be told of few, too.
            config=config.evaluation.model_copy(update={"bootstrap": 0, "min_samples": MIN_SAMPLES}),
            progress=progress,
            split="val",
        )

    before = measured()
    use_int8(model)
    return Int8Change(len(samples), before, measured())


def _change(before: float | None, after: float | None) -> dict[str, float | None]:
    difference = None if before is None or after is None else after - before
    return {"float32": before, "int8": after, "change": difference}
