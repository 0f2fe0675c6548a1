"""`limssr train --folds`: a run for each fold of whole groups, and one evaluation of what they predicted of theirs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from limssr.core.config import RunConfig
from limssr.core.config_data import HeldOutConfig
from limssr.core.errors import InputError
from limssr.core.files import check_folder, remove_leftovers
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.reading.records import EvaluationDocument, own_file, read_document
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Sample
from limssr.data.splits import labels_of
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.scorer import KeptScorer
from limssr.report import write_report
from limssr.runs.auto.auto import OUT_OF_FOLD
from limssr.runs.auto.folds import mean_scores
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import FORMAT_VERSION, SystemScores, read_run, write_config, write_run, write_scores
from limssr.runs.record import availability_record, ownership
from limssr.studies.execute import run_all
from limssr.studies.plan import PlannedRun

Folds = int | Literal["groups"]

MOST_FOLDS = 10_000


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """What is known of one fold's run.

    Attributes:
        run: Its folder.
        data: What it read.
    """

    run: Path
    data: RunData

    def levels(self) -> np.ndarray:
        """[C]: means of the scores that the run learned from."""
        return mean_scores(np.stack([sample.scores for sample in self.data.splits["train"]]).astype(float))


def parse_folds(text: str) -> Folds:
    """A number of at least 2, or "groups".

    Raises:
        InputError: Anything else.
    """
    if text == "groups":
        return "groups"
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= MOST_FOLDS:
        raise InputError(f"Expected --folds with a number from 2 to {MOST_FOLDS:,} or the word groups, found {text!r}.")
    return int(text)


def plan_folds(config: RunConfig, folds: Folds, *, seed: int = 0) -> list[PlannedRun]:
    """A run for each fold: its samples are the test split, all others are for training and validation.

    Args:
        config: Of every run, but for its test split.
        folds: How many, or "groups": each group is a fold.
        seed: Another seed, other folds.

    Raises:
        InputError: A recipe that has its own test fold, a search, or fewer groups than folds.
    """
    if config.data.test is not None:
        raise InputError("Expected a recipe without data.test, found one: --folds makes a test split for each fold.")
    if config.model.system == "auto":
        raise InputError("`limssr auto` judges by folds already: run it without --folds.")
    if folds == "groups":
        folds = _num_groups(config)
    parts = [HeldOutConfig(folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    digits = len(str(folds - 1))
    return [PlannedRun(f"fold-{part.fold:0{digits}}", _with_test(config, part)) for part in parts]


def train_folds(
    config: RunConfig,
    out: Path,
    folds: Folds,
    *,
    processes: int = 1,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Path:
    """Train a run for each fold, or go on with them, and evaluate their predictions of held-out samples together.

    A model draws what it does not know towards the mean of its training scores, which is low where a group of high
    scores is held out. So predictions count from the mean of their fold's training scores on, as in `limssr auto`; the
    folders of the folds have them as they were.

    Args:
        config: Of every run, but for its test split.
        out: Folder to write: runs in fold-0, fold-1, ...; config.yaml, run.json, evaluation.json, tables and a report.
        folds: See `plan_folds`.
        processes: Runs at a time.
        device: See `limssr.core.runtime.choose_device`.
        reporter: Is told of the progress.

    Returns:
        `out`.

    Raises:
        InputError: Something does not fit; nothing has been written.
        RunsFailed: Some runs failed; the others are done, and the same command goes on.
    """
    reporter = reporter or SilentReporter()
    runs = plan_folds(config, folds)
    check_folder(out)
    _check_is_ours(out, config, len(runs))
    run_all(runs, out, processes=processes, device=device, reporter=reporter)
    remove_leftovers(out)
    found = [FoldData(run=out / one.key, data=load_run_data(one.config)) for one in runs]
    scores = _pooled(config, found)
    write_config(out, config)
    write_scores(out, scores)
    write_run(out, _record(config, found))
    write_report(out)
    return out


def fold_rows(out: Path) -> list[dict[str, Any]]:
    """What run.json says of each fold: run, number of samples, Spearman of incomplete subsets and of all streams."""
    return read_run(out).document["folds"]["runs"]


def _check_is_ours(out: Path, config: RunConfig, num_folds: int) -> None:
    """Refuse a folder with another run: what is in it would be written over."""
    if not (out / "run.json").exists():
        return
    record = read_run(out)
    held = (record.document.get("folds") or {}).get("num_folds")
    if held is None:
        raise InputError(f"Expected a new folder for --folds, found another run in {out}: give another --out.")
    if held != num_folds or record.config != config:
        raise InputError(
            f"Expected the cross-validation that was begun in {out} ({held} folds), found {num_folds} folds or another "
            "recipe: give another --out."
        )


def _with_test(config: RunConfig, test: HeldOutConfig) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update={"test": test})})


def _num_groups(config: RunConfig) -> int:
    data = load_run_data(_with_test(config, HeldOutConfig(folds=2)))
    return len(set(labels_of([sample for samples in data.splits.values() for sample in samples])))


def _pooled(config: RunConfig, found: Sequence[FoldData]) -> list[SystemScores]:
    data = found[0].data
    samples: list[Sample] = [sample for one in found for sample in one.data.splits["test"]]
    mean_C = mean_scores(np.stack([sample.scores for sample in samples]).astype(float))
    tables = [(read_parquet(own_file(one.run / "predictions.parquet")), mean_C - one.levels()) for one in found]
    names = [criterion.name for criterion in data.criteria]
    scores = []
    for system in _systems(tables[0][0]):
        scorer = KeptScorer(_kept([(_rows_of(table, system), shift_C) for table, shift_C in tables], names), len(names))
        evaluation = evaluate(
            scorer,
            samples,
            data.names,
            data.criteria,
            config=config.evaluation,
            split=OUT_OF_FOLD,
            selection=config.train.selection,
            availability=availability_record(config, data.store),
        )
        scores.append(SystemScores.of(system, evaluation))
    return scores


def _systems(table: pa.Table) -> list[str]:
    """In the order of the table: the run's own first."""
    return list(dict.fromkeys(table["system"].to_pylist()))


def _rows_of(table: pa.Table, system: str) -> pa.Table:
    return table.filter(pa.array([name == system for name in table["system"].to_pylist()]))


def _kept(tables: Sequence[tuple[pa.Table, np.ndarray]], names: Sequence[str]) -> dict[tuple[str, str], np.ndarray]:
    """(id, streams) -> scores [C]."""
    place = {name: column for column, name in enumerate(names)}
    kept: dict[tuple[str, str], np.ndarray] = {}
    for table, shift_C in tables:
        columns = [table[name].to_pylist() for name in ("id", "streams", "criterion", "prediction")]
        for sample, streams, criterion, prediction in zip(*columns, strict=True):
            row_C = kept.setdefault((sample, streams), np.full(len(names), np.nan))
            if prediction is not None:
                row_C[place[criterion]] = prediction + shift_C[place[criterion]]
    return kept


def _record(config: RunConfig, found: Sequence[FoldData]) -> dict[str, Any]:
    """run.json: what all folds share from the first, and an account of each."""
    documents = [read_run(one.run).document for one in found]
    first = documents[0]
    own = ("best_epoch", "epochs_run", "stopped", "learned", "sessions", "num_samples", "owned_streams", "validation")
    shared = {key: value for key, value in first.items() if key not in (*own, "format_version")}
    num_samples = sum(len(one.data.splits["test"]) for one in found)
    rows = [_fold_row(one) for one in found]
    seconds: dict[str, float] = {
        "training_s": sum(float((document.get("timings") or {}).get("training_s") or 0.0) for document in documents)
    }
    return {
        **shared,
        "name": config.name,
        "finished": documents[-1]["finished"],
        "num_samples": {"test": num_samples},
        "owned_streams": {"train": ownership(list(_learned_from(found)))},
        "timings": seconds,
        "folds": {"num_folds": len(found), "seed": _seed(found), "runs": rows},
        "status": "done",
    }


def _learned_from(found: Sequence[FoldData]) -> Iterable[Sample]:
    """Every sample once, with the streams that it has in training."""
    samples = {sample.id: sample for one in found for split in ("val", "train") for sample in one.data.splits[split]}
    return samples.values()


def _seed(found: Sequence[FoldData]) -> int:
    test = read_run(found[0].run).config.data.test
    return test.seed if test is not None else 0


def _fold_row(one: FoldData) -> dict[str, Any]:
    document = read_document(one.run / "evaluation.json", EvaluationDocument, newest_version=FORMAT_VERSION)
    test = one.data.splits["test"]
    return {
        "run": one.run.name,
        "num_samples": len(test),
        "num_groups": len(set(labels_of(test))),
        "incomplete": document["average_incomplete"]["spearman"],
        "full": document["full"]["spearman"],
    }
