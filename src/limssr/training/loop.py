"""The training loop (paper section 4.1, appendix B; docs/protocols.md).

An epoch is a function of (weights, optimizer, seed, epoch): its order, crops, hidden streams and dropout noise are
drawn from (seed, epoch) and nothing else. A killed run goes on from its last checkpoint and ends with the same bits.
"""

import contextlib
import dataclasses
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from limssr.core.config import RunConfig, TrainConfig
from limssr.core.errors import InputError
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import check_one_process, check_precision, make_accelerator, seeded, tf32
from limssr.core.team import Team
from limssr.core.types import Sample, ScoreOutput
from limssr.evaluation.scorer import check_can_score
from limssr.nn.contract import Network, Place, place_of
from limssr.nn.losses import total_loss
from limssr.systems.saving import as_cpu, load_saved_state, state_to_save
from limssr.training.batches import EpochBatches, check_training_input
from limssr.training.checkpoint import TrainingParts
from limssr.training.divergence import RESTART_SHARE, Diverged, DivergedTwice, DivergenceLimit, why_diverged
from limssr.training.optimizer import WeightAverage, make_optimizer
from limssr.training.selection import EpochValue, chosen_epoch, out_of_patience, own_subset_loss
from limssr.training.together import exchange_gradients, join, restored, take_over_weights, waiting

TERMS = ("total", "task", "consistency", "slots", "auxiliary")


class Paused(Exception):
    """Training has done the epochs that were asked for, and can be resumed.

    Attributes:
        epochs: How many are done.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(f"paused after {epochs} epochs")
        self.epochs = epochs


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


def fit(
    model: Network,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    *,
    config: RunConfig,
    folder: Path | None = None,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
    resume: Literal["never", "auto"] = "never",
    test_value: EpochValue | None = None,
    team: Team | None = None,
    until: int | None = None,
) -> FitResult:
    """Train a model; afterwards it holds the weights of the chosen epoch and is in evaluation mode.

    Args:
        model: From `limssr.systems.build.build_model`.
        train_samples: As the data set has them (availability applied).
        val_samples: May be empty when `train.selection` is not "val" and there is no patience.
        config: Of the run.
        folder: Gets `checkpoints/` and `metrics.jsonl`; None keeps nothing on disk.
        device: None is the CPU.
        reporter: Is told of every epoch.
        resume: "auto" goes on from the newest checkpoint in `folder`, if there is one.
        test_value: What `train.selection: test` chooses by.
        team: The processes that train together, all of which call this with the same arguments; None: this one alone.
        until: Pause after so many epochs in all, those before an interruption included; None: train all of them.

    Training that diverges begins once more, at a tenth of every learning rate.

    Raises:
        InputError: The samples or the device do not fit the configuration.
        DivergedTwice: Training diverged again. What `folder` had of it is removed.
        Paused: `until` is reached before the training is over; `folder` has its checkpoint.
    """
    if team is None:
        check_one_process()
    reporter, team = reporter or SilentReporter(), team or Team.alone()
    start = as_cpu(state_to_save(model))
    settings: Any = {"config": config, "folder": folder, "device": device, "reporter": reporter, "team": team}
    settings |= {"last": min(until or config.train.epochs, config.train.epochs)}
    try:
        return _fit(model, train_samples, val_samples, resume=resume, test_value=test_value, **settings)
    except Diverged as first:
        reporter.finish()
        reporter.warn(f"{first}: training begins again at a tenth of the learning rate")
    # as it was, but for where the model is
    load_saved_state(model, start)
    if team.is_first:
        _forget(folder)
    try:
        return _fit(
            model, train_samples, val_samples, resume="never", test_value=test_value, share=RESTART_SHARE, **settings
        )
    except Diverged as second:
        reporter.finish()
        if team.is_first:
            _forget(folder)
        raise DivergedTwice(why_diverged(second, train_samples, config)) from second


def _forget(folder: Path | None) -> None:
    """Remove the epochs of an attempt that diverged."""
    if folder:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        (folder / "metrics.jsonl").unlink(missing_ok=True)


def _fit(
    model: Network,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    *,
    config: RunConfig,
    folder: Path | None,
    device: torch.device | None,
    reporter: Reporter,
    team: Team,
    resume: Literal["never", "auto"],
    test_value: EpochValue | None,
    last: int,
    share: float = 1.0,
) -> FitResult:
    train, device = config.train, device or torch.device("cpu")
    # 1. the model on its device, with scales measured on the training samples
    check_precision(train.precision, device)
    _check_fits(model, train_samples, val_samples, config, can_use_test=test_value is not None)
    parts = _prepare(model, train_samples, val_samples, config=config, device=device, reporter=reporter, team=team)
    stages = parts.model.stages
    # 2. where it was stopped, if it was
    history, kept = restored(parts, folder) if resume == "auto" and folder else ([], {})
    share = history[-1].get("rate_share", share) if history else share
    parts.rates[:] = [rate * share for rate in parts.rates]
    limit = DivergenceLimit.of(parts.model, train_samples, history)
    reporter.start("training", train.epochs, len(history), unit="epoch")
    # 3. the epochs
    while len(history) < last and not out_of_patience(history, train):
        epoch, started, waited_s = len(history), time.monotonic(), team.waited_s
        place = place_of(stages, epoch, train.epochs)
        if history and place.epoch == 0:  # what rests from now on rests as it was in the epoch that its stage keeps
            load_saved_state(parts.model, kept[chosen_epoch(history, train)])
        with seeded(config.seed, "epoch", epoch), tf32(train.precision, device):
            record = _train_epoch(parts, train_samples, epoch, place)
        record = team.told_by_first(record | waiting(team, waited_s, started))
        take_over_weights(parts.model, team)
        try:
            limit.check(record)
        except Diverged:
            parts.accelerator.unwrap_model(parts.model, keep_fp32_wrapper=False)  # the next attempt prepares it anew
            raise
        if share != 1.0:
            record |= {"rate_share": share, "learning_rate": record["learning_rate"] * share}
        is_judged = place.is_last or place.stage.keeps == "best"
        record |= _judge(parts, val_samples if is_judged else (), test_value if place.is_last else None)
        if len(stages) > 1:
            record |= {"stage": place.stage.name, "can_be_chosen": place.is_last}
        history.append(team.told_by_first({**record, "seconds": round(time.monotonic() - started, 3)}))
        kept = parts.keep(kept, history)
        parts.save(folder, history)
        reporter.epoch(history[-1], total=train.epochs, best_epoch=chosen_epoch(history, train))
        reporter.advance("training")
    _end_or_pause(history, last, train, reporter)
    # 4. the weights of the chosen epoch
    whole = parts.accelerator.unwrap_model(parts.model, keep_fp32_wrapper=False)
    load_saved_state(whole, kept[chosen_epoch(history, train)])
    whole.join(Team.alone())
    whole.eval()
    return _found(history, train)


def _end_or_pause(history: Sequence[dict[str, Any]], last: int, train: TrainConfig, reporter: Reporter) -> None:
    reporter.finish()
    if last <= len(history) < train.epochs and not out_of_patience(history, train):
        raise Paused(len(history))


def _found(history: Sequence[dict[str, Any]], train: TrainConfig) -> FitResult:
    stopped = "epochs" if len(history) == train.epochs else "patience"
    return FitResult(chosen_epoch(history, train), len(history), stopped, tuple(history))


def _check_fits(
    model: Network,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    config: RunConfig,
    *,
    can_use_test: bool,
) -> None:
    modalities: Any = model.modalities
    check_training_input(train_samples, val_samples, config, tuple(modalities), can_use_test=can_use_test)
    stages = model.stages
    place_of(stages, 0, config.train.epochs)  # refuses fewer epochs than stages
    if not val_samples and any(stage.keeps == "best" for stage in stages[:-1]):
        raise InputError(
            "Expected validation samples, by whose loss a stage of the training keeps its best epoch, found none: give "
            "some, or set model.statistics.keeps=last."
        )


def _prepare(
    model: Network,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    *,
    config: RunConfig,
    device: torch.device,
    reporter: Reporter,
    team: Team,
) -> TrainingParts:
    train = config.train
    model.calibrate(train_samples)
    check_can_score(model, {"training": train_samples, "validation": val_samples})
    accelerator = make_accelerator(device, train.precision)
    model.to(device)
    join(model, team, reporter)
    model, optimizer = accelerator.prepare(model, make_optimizer(model, train))
    average = WeightAverage(train.average) if train.average else None
    rates = [group["lr"] for group in optimizer.param_groups]
    return TrainingParts(
        model=model,
        optimizer=optimizer,
        accelerator=accelerator,
        average=average,
        rates=rates,
        config=config,
        reporter=reporter,
        team=team,
    )


def learning_rate_factor(epoch: int, train: TrainConfig, epochs: int | None = None) -> float:
    """Share of the learning rate in an epoch: a straight warm-up, then a cosine, constant within an epoch.

    The cosine starts at 1 in the first epoch after the warm-up and would reach the final rate after the last. Every
    stage of a training has its own: `epoch` is then counted within the stage, which has `epochs`.
    """
    epochs = train.epochs if epochs is None else epochs
    if epoch < train.warmup_epochs:
        return train.warmup_start + (1 - train.warmup_start) * epoch / train.warmup_epochs
    done = (epoch - train.warmup_epochs) / max(1, epochs - train.warmup_epochs)
    return train.final_learning_rate + (1 - train.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


def _train_epoch(parts: TrainingParts, samples: Sequence[Sample], epoch: int, place: Place) -> dict[str, Any]:
    model, optimizer, accelerator, train = parts.model, parts.optimizer, parts.accelerator, parts.config.train
    factor = learning_rate_factor(place.epoch, train, place.epochs)
    for group, rate in zip(optimizer.param_groups, parts.rates, strict=True):
        group["lr"] = rate * factor
    _enter(parts, place)
    resting = [one for name, one in model.named_parameters() if not place.stage.moves(name)]
    model.read_in_pieces(train.accumulate)
    model.train()
    plan = EpochBatches(
        samples,
        model.modalities,
        model.criteria,
        config=parts.config,
        epoch=epoch,
        with_owned=model.looks_at_hidden,
    )
    # Sums stay on the device: reading a number inside a step would make it wait.
    sums = torch.zeros(len(TERMS), device=accelerator.device)
    what = f"training, {place.stage.name}" if len(model.stages) > 1 else "training"
    for step, batch in enumerate(plan.loader()):
        parts.reporter.within(what, step, len(plan))
        batch = batch.to(accelerator.device)
        terms = total_loss(_in_float32(model(batch)), batch.unit_scores_BC, parts.config.loss)
        accelerator.backward(terms.total)
        sums += len(batch) * torch.stack([getattr(terms, name).detach() for name in TERMS])
        for parameter in resting:
            parameter.grad = None  # and so neither moment nor weight decay moves it
        exchange_gradients(model, parts.team)
        accelerator.clip_grad_norm_(model.parameters(), train.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if parts.average:
            parts.average.update(model)
    means = dict(zip(TERMS, (sums / len(samples)).tolist(), strict=True))
    losses = {"train_loss" if name == "total" else f"train_{name}": value for name, value in means.items()}
    return {"epoch": epoch, **losses, "learning_rate": train.learning_rate * factor}


def _enter(parts: TrainingParts, place: Place) -> None:
    """Tell the model its stage, and let a new average begin with it."""
    parts.model.enter(place.stage)
    if parts.average and place.epoch == 0:
        parts.average.restore({}, 0, parts.accelerator.device)


def _judge(parts: TrainingParts, val_samples: Sequence[Sample], test_value: EpochValue | None) -> dict[str, Any]:
    """The numbers by which the epoch may be chosen, for the weights that would be kept."""
    model, config = parts.model, parts.config
    average = parts.average
    with average.in_place_of_weights(model) if average else contextlib.nullcontext():
        model.eval()
        device = parts.accelerator.device
        numbers: dict[str, Any] = {"val_loss": None}
        if val_samples:
            numbers["val_loss"] = own_subset_loss(model, val_samples, config=config, device=device, team=parts.team)
        if test_value is not None and config.train.selection == "test" and parts.team.is_first:
            judged = test_value(model)
            numbers |= {"test_spearman": judged.spearman, "test_mse": judged.mse}
    return numbers


def _in_float32(output: ScoreOutput) -> ScoreOutput:
    """Losses are computed in full precision, whatever the model computed in."""
    values = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    numbers = {name: value.float() for name, value in values.items() if _is_number(value)}
    own = {name: value.float() for name, value in (output.auxiliary or {}).items()}
    return dataclasses.replace(output, **numbers, auxiliary=own)


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
