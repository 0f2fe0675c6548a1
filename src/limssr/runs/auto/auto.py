"""`limssr auto`: look at the data, judge candidates by folds, make the best of them one model in one run folder."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from limssr.core.config import RunConfig
from limssr.core.files import check_disk, write_table
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import choose_device
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.scorer import ModelScorer
from limssr.report import write_report
from limssr.runs.auto.candidates import CANDIDATES
from limssr.runs.auto.judge import MOST_STREAMS, Score, interval
from limssr.runs.auto.look import Material
from limssr.runs.auto.search import Found, search
from limssr.runs.auto.settings import AutoSettings
from limssr.runs.checks import folder_status
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import SystemScores, write_config, write_run, write_scores
from limssr.runs.record import availability_record, now_text, opening_record
from limssr.systems.saving import save_pretrained
from limssr.systems.solved.mixture import Mixture

DISK_BYTES = 2**28


def train_auto(config: RunConfig, out: Path, *, device: str = "auto", reporter: Reporter | None = None) -> Path:
    """Find the best model for a store, within a budget of time.

    Candidates are judged by folds of whole groups of training and validation together, under every subset of what
    held-out samples own; the test split is scored once, at the end, by what was chosen.

    Args:
        config: From `auto_config`.
        out: Run folder to write; must not exist, or be empty.
        device: See `limssr.core.runtime.choose_device`.
        reporter: Is told of the progress; None: nobody is.

    Returns:
        The run folder: like any other, and auto.json in it.

    Raises:
        InputError: The store or the settings are not right; nothing has been written.
    """
    reporter = reporter or SilentReporter()
    settings, began = AutoSettings.of(config), time.monotonic()
    folder_status(out, config, "never")
    choice = choose_device(device)
    data = load_run_data(config)
    check_disk(out, DISK_BYTES)
    material = Material(
        modalities=data.modalities,
        criteria=data.criteria,
        samples=[*data.splits["train"], *data.splits["val"]],
        test=data.splits["test"],
    )
    found = search(material, settings, seed=config.seed, device=choice.device, reporter=reporter)
    model = found.model
    opening = opening_record(config, data, choice, model)
    out.mkdir(parents=True, exist_ok=True)
    write_config(out, config)
    write_run(out, {**opening, "status": "running"})
    save_pretrained(model, out / "model")
    write_table(out / "out_of_fold.parquet", _out_of_fold(found, data))
    _score_test(model, data, config, out, choice.device)
    document = _document(out, found)
    timings = {"training_s": time.monotonic() - began}
    closing = {"finished": now_text(), "timings": timings, "auto": document, "references": _references(found)}
    write_run(out, {**opening, **closing, "status": "done"})
    write_report(out)
    return out


def _score_test(model: Mixture, data: RunData, config: RunConfig, out: Path, device: torch.device) -> None:
    """The chosen model and its members on the test split, under every subset; what has too many streams, as it is."""
    if len(data.names) > MOST_STREAMS + 1:
        return
    found = []
    systems = {"auto": model.to(device), **model.members}
    for name, one in systems.items():
        evaluation = evaluate(
            ModelScorer(one, device=device, batch_size=config.evaluation.batch_size),
            data.splits["test"],
            data.names,
            data.criteria,
            config=config.evaluation,
            seed=config.seed,
            split="test",
            selection="last",
            availability=availability_record(config, data.store),
        )
        found.append(SystemScores.of(name, evaluation))
    write_scores(out, found)


def _references(found: Found) -> list[dict[str, Any]]:
    seconds = {one.name: one.seconds for one in found.judged}
    return [
        {
            "name": name,
            "summary": CANDIDATES[name].summary,
            "trained_on": "available",
            "seconds": round(seconds[name], 3),
        }
        for name in found.model.members
    ]


def _document(out: Path, found: Found) -> dict[str, Any]:
    """What `limssr auto --json` prints."""
    choice = found.choice
    rows = [_row(one.name, choice.scores[one.name], one.seconds) for one in found.judged]
    if choice.sum_score is not None:
        rows.append(_row("sum", choice.sum_score, sum(one.seconds for one in found.judged)))
    rows.sort(key=lambda row: -(row["value"] if row["value"] is not None else -1.0))
    common = dict(zip(choice.members, (round(float(w), 4) for w in choice.weights.common), strict=True))
    by_pattern = {
        "+".join(streams): dict(zip(choice.members, (round(float(w), 4) for w in weights), strict=True))
        for streams, weights in choice.weights.by_pattern.items()
    }
    for row in rows:
        other = choice.sum_score if row["member"] == "sum" else choice.scores[row["member"]]
        assert other is not None
        row["behind"] = choice.difference(other)
    return {
        "run": str(out),
        "leaderboard": [{key: value for key, value in row.items() if key != "value"} for row in rows],
        "weights": {"common": common, "by_streams": by_pattern},
        "chosen": "sum" if len(choice.members) > 1 else choice.members[0],
        "language_model_adds": choice.language_model_adds,
        "left_out": found.dropped,
        "members": list(found.model.members),
        "warnings": found.warnings,
    }


def _row(name: str, score: Score, seconds: float) -> dict[str, Any]:
    parts = {"incomplete": (score.incomplete, score.draws_2D[0]), "full": (score.full, score.draws_2D[1])}
    row: dict[str, Any] = {"member": name, "seconds": round(seconds, 1)}
    for key, (value, draws_D) in parts.items():
        row[key] = {"spearman": None if np.isnan(value) else float(value), "ci": interval(draws_D)}
    row["value"] = None if np.isnan(score.value) else score.value
    return row


def _out_of_fold(found: Found, data: RunData) -> pa.Table:
    """Every out-of-fold prediction: what intervals and later questions need."""
    shown = found.shown
    count = len(data.criteria)
    parts = []
    tables = [(one.name, repeat, part) for one in found.judged for repeat, part in enumerate(one.predicted)]
    for name, repeat, predicted_RC in [*tables, ("auto", 0, found.choice.predicted_RC)]:
        parts.append(
            pa.table({
                "member": [name] * predicted_RC.size,
                "repeat": [repeat] * predicted_RC.size,
                "fold": np.repeat(found.folds.fold_RR[repeat], count),
                "id": [shown.samples[n].id for n, _ in shown.rows for _ in range(count)],
                "group": [shown.groups[n] for n, _ in shown.rows for _ in range(count)],
                "streams": ["+".join(streams) for _, streams in shown.rows for _ in range(count)],
                "criterion": [one.name for one in data.criteria] * len(shown.rows),
                "score": shown.truth_RC.ravel(),
                "prediction": predicted_RC.ravel(),
            })
        )  # fmt: skip
    return pa.concat_tables(parts)
