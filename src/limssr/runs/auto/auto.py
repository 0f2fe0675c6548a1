"""`limssr auto`: look at the data, judge candidates by folds, make the best of them one model in one run folder."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from limssr.core.config import ModelConfig, RunConfig
from limssr.core.errors import InputError
from limssr.core.files import check_disk, write_table
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import choose_device
from limssr.core.types import Sample
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.scorer import ModelScorer
from limssr.report import write_report
from limssr.runs.auto.candidates import CANDIDATES, OutOfTime, Setting, Watch
from limssr.runs.auto.choice import Choice, choose
from limssr.runs.auto.folds import Clock, Folds, Judged, judge_all
from limssr.runs.auto.judge import MOST_STREAMS, Score, Shown, interval
from limssr.runs.auto.look import seen_lines, warnings_of
from limssr.runs.auto.settings import AutoSettings
from limssr.runs.checks import folder_status
from limssr.runs.data import RunData, load_run_data
from limssr.runs.folder import SystemScores, write_config, write_run, write_scores
from limssr.runs.record import _now, _opening, availability_record
from limssr.systems.saving import save_pretrained
from limssr.systems.solved.mixture import MIXTURE, Mixture

ENDING_SHARE = 0.05
"""Of the budget, for scoring the test split and writing the run."""

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
    samples = [*data.splits["train"], *data.splits["val"]]
    shown = Shown.of(samples, _seen(data, samples), seed=config.seed)
    folds = Folds.of(shown, seed=config.seed)
    clock = Clock(60.0 * settings.minutes, ENDING_SHARE * 60.0 * settings.minutes, began)
    for line in seen_lines(data, samples, folds, settings.minutes, settings.candidates):
        reporter.note(line)
    setting = Setting(
        modalities=data.modalities,
        criteria=data.criteria,
        backbone=settings.backbone,
        num_layers=settings.num_layers,
        seed=config.seed,
        device=choice.device,
    )
    judged, dropped = judge_all(settings.candidates, shown, folds, setting, clock=clock, reporter=reporter)
    found = choose(shown, judged, folds, seed=config.seed)
    warnings = warnings_of(data, shown, judged, found, seed=config.seed)
    model = _final_model(found, judged, samples, setting=setting, reporter=reporter, clock=clock)
    opening = _opening(config, data, choice, model)
    out.mkdir(parents=True, exist_ok=True)
    write_config(out, config)
    write_run(out, {**opening, "status": "running"})
    save_pretrained(model, out / "model")
    write_table(out / "out_of_fold.parquet", _out_of_fold(shown, judged, folds, found, data))
    _score_test(model, data, config, out, choice.device)
    document = _document(out, judged, found, dropped=dropped, warnings=warnings, model=model)
    timings = {"training_s": time.monotonic() - began}
    closing = {"finished": _now(), "timings": timings, "auto": document, "references": _references(model, judged)}
    write_run(out, {**opening, **closing, "status": "done"})
    write_report(out)
    return out


def _seen(data: RunData, samples: Sequence[Sample]) -> list[str]:
    """Streams that somebody owns; the others are not read, so subsets with them are no questions."""
    return [name for name in data.names if any(name in sample.streams for sample in samples)]


def _final_model(
    choice: Choice,
    judged: Sequence[Judged],
    samples: Sequence[Sample],
    *,
    setting: Setting,
    reporter: Reporter,
    clock: Clock,
) -> Mixture:
    """Members learned once more from all labelled samples; solved candidates are kept with them, without a weight.

    Members whose training would end too late are left out, and the others take their weight.
    """
    members, late = {}, []
    solved = [one.name for one in judged if CANDIDATES[one.name].cost == "solved"]
    clock.reserved_s = ENDING_SHARE * clock.total_s
    for name in dict.fromkeys([*choice.members, *solved]):
        watch = Watch(allowed_s=max(30.0, clock.left_s))
        try:
            members[name] = CANDIDATES[name].fit(samples, setting, setting.seed, watch).to("cpu")
        except OutOfTime:
            reporter.warn(f"{name} could not be learned from all samples in time and is left out of the final model")
            late.append(name)
    if not set(choice.members) - set(late):
        raise InputError("Expected time for the final model, found none left: give more minutes, or fewer candidates.")
    model = Mixture(ModelConfig(system=MIXTURE), setting.modalities, setting.criteria, members)
    places = [choice.members.index(name) if name in choice.members else None for name in members]

    def placed(weights_K: np.ndarray) -> list[float]:
        return [0.0 if place is None else float(weights_K[place]) for place in places]

    by_pattern = {streams: placed(weights_K) for streams, weights_K in choice.weights.by_pattern.items()}
    model.set_weights(placed(choice.weights.common), by_pattern)
    unit_NC = np.stack([[c.to_unit(s) for c, s in zip(setting.criteria, one.scores, strict=True)] for one in samples])
    model.set_mean(np.nanmean(unit_NC, axis=0))
    names = [modality.name for modality in setting.modalities]
    model.leave_unseen([name for name in names if not any(name in sample.streams for sample in samples)])
    model.remember_seed(setting.seed)
    model.eval()
    return model


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


def _references(model: Mixture, judged: Sequence[Judged]) -> list[dict[str, Any]]:
    seconds = {one.name: one.seconds for one in judged}
    return [
        {
            "name": name,
            "summary": CANDIDATES[name].summary,
            "trained_on": "available",
            "seconds": round(seconds[name], 3),
        }
        for name in model.members
    ]


def _document(
    out: Path, judged: Sequence[Judged], choice: Choice, *, dropped: dict[str, str], warnings: list[str], model: Mixture
) -> dict[str, Any]:
    """What `limssr auto --json` prints."""
    rows = [_row(one.name, choice.scores[one.name], one.seconds) for one in judged]
    if choice.sum_score is not None:
        rows.append(_row("sum", choice.sum_score, sum(one.seconds for one in judged)))
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
        "left_out": dropped,
        "members": list(model.members),
        "warnings": warnings,
    }


def _row(name: str, score: Score, seconds: float) -> dict[str, Any]:
    parts = {"incomplete": (score.incomplete, score.draws_2D[0]), "full": (score.full, score.draws_2D[1])}
    row: dict[str, Any] = {"member": name, "seconds": round(seconds, 1)}
    for key, (value, draws_D) in parts.items():
        row[key] = {"spearman": None if np.isnan(value) else float(value), "ci": interval(draws_D)}
    row["value"] = None if np.isnan(score.value) else score.value
    return row


def _out_of_fold(shown: Shown, judged: Sequence[Judged], folds: Folds, choice: Choice, data: RunData) -> pa.Table:
    """Every out-of-fold prediction: what intervals and later questions need."""
    count = len(data.criteria)
    parts = []
    tables = [(one.name, repeat, part) for one in judged for repeat, part in enumerate(one.predicted)]
    for name, repeat, predicted_RC in [*tables, ("auto", 0, choice.predicted_RC)]:
        parts.append(
            pa.table({
                "member": [name] * predicted_RC.size,
                "repeat": [repeat] * predicted_RC.size,
                "fold": np.repeat(folds.fold_RR[repeat], count),
                "id": [shown.samples[n].id for n, _ in shown.rows for _ in range(count)],
                "group": [shown.groups[n] for n, _ in shown.rows for _ in range(count)],
                "streams": ["+".join(streams) for _, streams in shown.rows for _ in range(count)],
                "criterion": [one.name for one in data.criteria] * len(shown.rows),
                "score": shown.truth_RC.ravel(),
                "prediction": predicted_RC.ravel(),
            })
        )  # fmt: skip
    return pa.concat_tables(parts)
