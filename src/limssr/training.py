"""The visible loop (paper section 4.1, appendix B; docs/protocol.md).

An epoch is a function of (weights, optimizer, seed, epoch): its order, crops, hidden streams and dropout noise are
drawn from (seed, epoch) and nothing else. A killed run goes on from its last checkpoint and ends with the same bits.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn

from limssr.averaging import WeightAverage
from limssr.checkpoint import (
    TrainingState,
    load_checkpoint,
    load_scoring_weights,
    pack_optimizer,
    save_checkpoint,
    unpack_optimizer,
    write_metrics,
)
from limssr.config import RunConfig, TrainConfig
from limssr.errors import LimssrError
from limssr.feed import EpochBatches, check_training_input
from limssr.losses import total_loss
from limssr.model import calibrate, load_saved_state, parameter_groups, state_to_save
from limssr.progress import Reporter, SilentReporter
from limssr.runtime import check_precision, make_accelerator, seeded
from limssr.selection import EpochValue, chosen_epoch, out_of_patience, own_subset_loss
from limssr.types import Sample, ScoreOutput

TERMS = ("total", "task", "consistency", "slots")


@dataclass(frozen=True)
class FitResult:
    """What training found.

    Attributes:
        best_epoch: The epoch whose weights the model now has, counted from 0.
        epochs_run: Number of epochs trained, those before an interruption included.
        stopped: "epochs" when all were run, "patience" when the validation loss stopped falling.
        history: One record an epoch, as in metrics.jsonl.
    """

    best_epoch: int
    epochs_run: int
    stopped: Literal["epochs", "patience"]
    history: tuple[dict[str, Any], ...]


@dataclass
class _Loop:
    """What the epochs share."""

    model: nn.Module
    optimizer: Any
    accelerator: Accelerator
    average: WeightAverage | None
    rates: list[float]
    config: RunConfig
    reporter: Reporter


def fit(
    model: nn.Module,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    *,
    config: RunConfig,
    folder: Path | None = None,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
    resume: Literal["never", "auto"] = "never",
    test_value: EpochValue | None = None,
) -> FitResult:
    """Train a model; afterwards it holds the weights of the chosen epoch and is in evaluation mode.

    Args:
        model: From `limssr.model.build_model`.
        train_samples: As the data set has them (availability applied).
        val_samples: May be empty when `train.selection` is "last".
        config: Of the run; `model.system` and the like are not read here.
        folder: Gets `checkpoints/` and `metrics.jsonl`; None keeps nothing on disk.
        device: None is the CPU.
        reporter: Hears of every epoch.
        resume: "auto" goes on from the newest checkpoint in `folder`, if there is one.
        test_value: What `train.selection: test` chooses by; lower is better.

    Raises:
        InputError: The samples or the device do not fit the configuration.
        LimssrError: The loss is no longer a number.
    """
    train, device, reporter = config.train, device or torch.device("cpu"), reporter or SilentReporter()
    check_precision(train.precision, device)
    check_training_input(train_samples, val_samples, config, model.modalities, can_use_test=test_value is not None)
    # 1. the model, on its device, with scales measured on the training samples
    accelerator = make_accelerator(device, train.precision)
    calibrate(model, train_samples)
    groups = parameter_groups(model, train)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(groups, lr=train.learning_rate))
    average = WeightAverage(train.average) if train.average else None
    rates = [group["lr"] for group in optimizer.param_groups]
    loop = _Loop(model, optimizer, accelerator, average, rates, config, reporter)
    # 2. where it stopped, if it was stopped
    history, kept = _restore(loop, folder) if resume == "auto" and folder else ([], {})
    reporter.start("training", train.epochs, len(history))
    # 3. the epochs
    while len(history) < train.epochs and not out_of_patience(history, train):
        epoch, started = len(history), time.monotonic()
        with seeded(config.seed, "epoch", epoch):
            record = _train_epoch(loop, train_samples, epoch)
        with average.in_place_of_weights(model) if average else contextlib.nullcontext():
            record["val_loss"] = (
                own_subset_loss(model, val_samples, config=config, device=device) if val_samples else None
            )
            if test_value is not None and train.selection == "test":
                record["test_value"] = test_value(model)
        record["seconds"] = round(time.monotonic() - started, 3)
        history.append(record)
        best_epoch = chosen_epoch(history, train)
        if best_epoch == epoch:
            source = average.values if average else state_to_save(model)
            kept = {name: value.detach().clone() for name, value in source.items()}
        if folder:
            save_checkpoint(folder / "checkpoints", _state(loop, history), keep_epoch=best_epoch)
            write_metrics(folder / "metrics.jsonl", history)
        reporter.epoch(record, total=train.epochs, best_epoch=best_epoch)
        reporter.advance("training")
    # 4. the weights of the chosen epoch
    reporter.finish()
    load_saved_state(accelerator.unwrap_model(model, keep_fp32_wrapper=False), kept)
    model.eval()
    stopped = "epochs" if len(history) == train.epochs else "patience"
    return FitResult(chosen_epoch(history, train), len(history), stopped, tuple(history))


def learning_rate_factor(epoch: int, train: TrainConfig) -> float:
    """Share of the learning rate in an epoch: a straight warm-up, then a cosine, constant within an epoch.

    The cosine starts at 1 in the first epoch after the warm-up and would reach the final rate after the last.
    """
    if epoch < train.warmup_epochs:
        return train.warmup_start + (1 - train.warmup_start) * epoch / train.warmup_epochs
    done = (epoch - train.warmup_epochs) / max(1, train.epochs - train.warmup_epochs)
    return train.final_learning_rate + (1 - train.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


def _train_epoch(loop: _Loop, samples: Sequence[Sample], epoch: int) -> dict[str, Any]:
    model, optimizer, accelerator, config = loop.model, loop.optimizer, loop.accelerator, loop.config
    factor = learning_rate_factor(epoch, config.train)
    for group, rate in zip(optimizer.param_groups, loop.rates, strict=True):
        group["lr"] = rate * factor
    model.train()
    plan = EpochBatches(samples, model.modalities, model.criteria, config=config, epoch=epoch)
    update_sizes = plan.update_sizes()
    # Sums stay on the device: reading a number inside a step would make it wait.
    sums = torch.zeros(len(TERMS), device=accelerator.device)
    for step, batch in enumerate(plan.loader()):
        batch = batch.to(accelerator.device)
        terms = total_loss(_in_float32(model(batch)), batch.unit_scores_BC, config.loss)
        accelerator.backward(terms.total * (len(batch) / update_sizes[step]))
        sums += len(batch) * torch.stack([getattr(terms, name).detach().float() for name in TERMS])
        if (step + 1) % config.train.accumulate and step + 1 < len(plan):
            continue
        accelerator.clip_grad_norm_(model.parameters(), config.train.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if loop.average:
            loop.average.update(model)
    means = dict(zip(TERMS, (sums / len(samples)).tolist(), strict=True))
    if not math.isfinite(means["total"]):
        raise LimssrError(
            f"Expected a finite training loss, found {means['total']} in epoch {epoch + 1}: lower "
            "train.learning_rate, or use train.precision=float32. The last checkpoint is from before."
        )
    losses = {"train_loss" if name == "total" else f"train_{name}": value for name, value in means.items()}
    return {"epoch": epoch, **losses, "learning_rate": config.train.learning_rate * factor}


def _state(loop: _Loop, history: list[dict[str, Any]]) -> TrainingState:
    average, scaler = loop.average, loop.accelerator.scaler
    progress = {
        "history": history,
        "num_updates": average.num_updates if average else None,
        "scaler": scaler.state_dict() if scaler else None,
    }
    optimizer = pack_optimizer(loop.optimizer.state_dict()["state"])
    return TrainingState(
        len(history) - 1, state_to_save(loop.model), average.values if average else None, optimizer, progress
    )


def _restore(loop: _Loop, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    state = load_checkpoint(folder / "checkpoints")
    if state is None:
        return [], {}
    load_saved_state(loop.model, dict(state.weights))
    fresh = loop.optimizer.state_dict()
    loop.optimizer.load_state_dict({"state": unpack_optimizer(state.optimizer), "param_groups": fresh["param_groups"]})
    if loop.average:
        loop.average.restore(state.average or {}, state.progress["num_updates"], loop.accelerator.device)
    if loop.accelerator.scaler:
        loop.accelerator.scaler.load_state_dict(state.progress["scaler"])
    history = list(state.progress["history"])
    write_metrics(folder / "metrics.jsonl", history)
    loop.reporter.note(f"going on after epoch {len(history)} of {loop.config.train.epochs}")
    return history, load_scoring_weights(folder / "checkpoints", chosen_epoch(history, loop.config.train))


def _in_float32(output: ScoreOutput) -> ScoreOutput:
    values = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    return ScoreOutput(**{name: value if value is None else value.float() for name, value in values.items()})
