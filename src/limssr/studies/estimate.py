"""Estimates time and disk space of a study from a few real training steps."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from limssr.core.config import RunConfig
from limssr.core.cores import threads_each
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.runtime import choose_device
from limssr.core.types import Sample
from limssr.data.missing import chosen_subsets
from limssr.nn.contract import Network, Stage, stage_epochs
from limssr.runs.data import RunData, load_run_data
from limssr.runs.references import scorer_of
from limssr.studies.plan import PlannedRun
from limssr.systems.build import build_model
from limssr.systems.saving import state_to_save
from limssr.training.loop import fit


@dataclass(frozen=True)
class Estimate:
    """What one run will take.

    Attributes:
        seconds: To train all its epochs and score every subset, with `random-backbone` beside it counted as a second
            run and other references not counted. Early stopping makes it less.
        saved_bytes: Of the model that it leaves behind.
    """

    seconds: float
    saved_bytes: int


@dataclass(frozen=True)
class _Pace:
    """Measured once for all runs of one shape.

    Attributes:
        stages: Of the training.
        steps_s: A training step in each of them.
        score_s: Scoring a sample.
        saved_bytes: Of the model.
        data: What is trained and scored on.
    """

    stages: tuple[Stage, ...]
    steps_s: tuple[float, ...]
    score_s: float
    saved_bytes: int
    data: RunData


def estimate(
    runs: Sequence[PlannedRun],
    *,
    device: str = "auto",
    num_steps: int = 3,
    processes: int = 1,
    reporter: Reporter | None = None,
) -> dict[str, Estimate]:
    """Time a few training steps of one run of each shape, on its real store and model.

    Args:
        runs: Not yet done.
        device: See `limssr.core.runtime.choose_device`.
        num_steps: Steps to time, after one that is not.
        processes: Runs at a time; the steps are timed with one process's share of the threads.
        reporter: Is told what is being timed.

    Returns:
        Key -> what the run will take by itself; nothing is written.

    Raises:
        InputError: A run is not possible here; see `limssr.studies.check_runs`.
    """
    reporter = reporter or SilentReporter()
    chosen = choose_device(device).device
    paces: dict[str, _Pace] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, threads_each(processes)))
    try:
        for run in runs:
            shape = _shape_of(run.config)
            if shape not in paces:
                reporter.note(f"timing {num_steps} steps of {run.key}")
                paces[shape] = _measure(run.config, chosen, num_steps)
    finally:
        torch.set_num_threads(threads)
    return {run.key: _total(run.config, paces[_shape_of(run.config)]) for run in runs}


def _shape_of(config: RunConfig) -> str:
    """What decides how long a step takes: the model, the data and the batch; which score is predicted does not."""
    criteria = config.data.criteria
    data = config.data.model_copy(update={"criteria": None if criteria is None else ("?",) * len(criteria)})
    own = config.train
    train = (own.batch_size, own.accumulate, own.precision, own.batches, own.selection)
    parts = (config.model.model_dump_json(), data.model_dump_json(), config.missing.model_dump_json(), str(train))
    return "\n".join(parts)


def _measure(config: RunConfig, device: torch.device, num_steps: int) -> _Pace:
    data = load_run_data(config)
    # Without validation no stage can keep its best epoch; which one is kept takes no time.
    statistics = config.model.statistics.model_copy(update={"keeps": "last"})
    settings = config.model.model_copy(update={"statistics": statistics})
    model = build_model(settings, data.modalities, data.criteria, seed=config.seed)
    # `fit` itself is timed, for one epoch a stage of as many samples as the steps need and without validation.
    stages = model.stages
    train = config.train.model_copy(
        update={"epochs": len(stages), "selection": "last", "patience": None, "warmup_epochs": 0}
    )
    short = config.model_copy(update={"train": train, "model": settings})
    size = config.train.batch_size * config.train.accumulate
    samples = _spread(data.splits["train"], num_steps * size)
    fit(model, samples[:size], (), config=short, device=device)
    timed = fit(model, samples, (), config=short, device=device)
    num_batches = math.ceil(len(samples) / size)
    steps_s = tuple(record["seconds"] / num_batches for record in timed.history)
    shown = _spread(data.splits["test"] or data.splits["train"], config.evaluation.batch_size)
    started = time.perf_counter()
    scorer_of(model, short, device).score(shown)
    score_s = (time.perf_counter() - started) / len(shown)
    return _Pace(stages, steps_s, score_s, _bytes_of(model), data)


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Up to `count` samples from all over the list, so that their lengths are typical."""
    step = max(1, len(samples) // count)
    return list(samples[::step][:count])


def _bytes_of(model: Network) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in state_to_save(model).values())


def _total(config: RunConfig, pace: _Pace) -> Estimate:
    splits, train = pace.data.splits, config.train

    def num_chosen(sample: Sample) -> int:
        return len(chosen_subsets(tuple(sample.streams), config.evaluation.subsets))

    judged = sum(num_chosen(sample) for sample in splits["val"])
    if train.selection == "test":
        judged += len(splits["test"])
    steps = math.ceil(len(splits["train"]) / (train.batch_size * train.accumulate))
    scored = sum(num_chosen(sample) for sample in splits["test"])
    lengths = stage_epochs(pace.stages, train.epochs)
    trained_s = steps * sum(epochs * step_s for epochs, step_s in zip(lengths, pace.steps_s, strict=True))
    seconds = trained_s + (lengths[-1] * judged + scored) * pace.score_s  # only the last stage's epochs are judged
    times = 2 if "random-backbone" in config.evaluation.references else 1
    return Estimate(times * seconds, times * pace.saved_bytes)
