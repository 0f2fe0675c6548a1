"""Simple models that stand beside a run: trained on the same samples, scored on the same test split."""

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from limssr.baselines.pooled import Kind, PooledRegressor, Strategy
from limssr.baselines.settings import config_beside
from limssr.checkpoint import read_json, write_json
from limssr.config import RunConfig
from limssr.data.validate import unknown_name
from limssr.errors import InputError
from limssr.evaluation import evaluate
from limssr.metrics import arithmetic_mean, fisher_mean, mse, spearman
from limssr.model import build_model, save_pretrained
from limssr.progress import Reporter
from limssr.rundata import RunData, availability_record
from limssr.runfiles import FORMAT_VERSION, SystemScores, write_scores
from limssr.scorer import ModelScorer, Scorer
from limssr.selection import EpochValue, TestNumbers
from limssr.training import fit


@dataclass(frozen=True)
class Reference:
    """What a reference is.

    Attributes:
        summary: One line for tables.
        pooled: Kind and strategy of the regression on pooled statistics; None for a network.
        trained_on: "available" is what the model of the run sees; "complete" is more than that, an upper mark.
    """

    summary: str
    pooled: tuple[Kind, Strategy] | None = None
    trained_on: Literal["available", "complete"] = "available"


REFERENCES: dict[str, Reference] = {
    "ridge": Reference("ridge on pooled statistics, one model a subset", ("ridge", "per_subset")),
    "ridge-imputed": Reference("ridge on pooled statistics, absent streams imputed", ("ridge", "impute")),
    "ridge-complete": Reference(
        "ridge, one model a subset, trained on complete data", ("ridge", "per_subset"), "complete"
    ),
    "extra-trees": Reference("extra-trees on pooled statistics, one model a subset", ("extra_trees", "per_subset")),
    "extra-trees-imputed": Reference(
        "extra-trees on pooled statistics, absent streams imputed", ("extra_trees", "impute")
    ),
    "extra-trees-repeated": Reference(
        "the same, each training sample repeated for every subset of what it owns", ("extra_trees", "repeat")
    ),
    "extra-trees-complete": Reference(
        "extra-trees, one model a subset, trained on complete data", ("extra_trees", "per_subset"), "complete"
    ),
    "gradient-boosting": Reference(
        "gradient boosting on pooled statistics, one model a subset", ("gradient_boosting", "per_subset")
    ),
    "gradient-boosting-imputed": Reference(
        "gradient boosting on pooled statistics, absent streams imputed", ("gradient_boosting", "impute")
    ),
    "gradient-boosting-complete": Reference(
        "gradient boosting, one model a subset, trained on complete data",
        ("gradient_boosting", "per_subset"),
        "complete",
    ),
    "attention": Reference("cross-modal attention over the available streams + MLP"),
    "statistics": Reference("the ensemble on moments of the streams, without any language model"),
    "random-backbone": Reference("the same model on a backbone of the same shape with random weights"),
}
"""Names for `evaluation.references`."""


def check_references(config: RunConfig, data: RunData) -> None:
    """Refuse references that this run cannot have.

    Raises:
        InputError: An unknown or repeated name; a reference that equals the run itself; one that needs
            complete training samples where the store has lost the hidden streams.
    """
    names = config.evaluation.references
    for name in names:
        if name not in REFERENCES:
            raise unknown_name("reference", name, list(REFERENCES))
        if names.count(name) > 1:
            raise InputError(f"evaluation.references: found {name!r} twice: give every name once.")
        if REFERENCES[name].trained_on == "complete" and data.complete_train is None:
            raise InputError(
                f"evaluation.references: {name} is trained on the samples before streams are hidden, which takes "
                "missing.availability in the recipe and a complete store; leave it out."
            )
    if config.model.system != "limssr" and "random-backbone" in names:
        raise InputError(
            f"evaluation.references: random-backbone needs model.system limssr, found {config.model.system}."
        )
    if config.model.system in names:
        raise InputError(f"evaluation.references: {config.model.system} is the system of the run; leave it out.")
    if "random-backbone" in names and config.model.backbone.init == "random":
        raise InputError(
            "evaluation.references: random-backbone equals a run with backbone.init: random; leave it out."
        )


def run_reference(
    name: str, data: RunData, config: RunConfig, folder: Path, *, device: torch.device, reporter: Reporter
) -> tuple[SystemScores, dict[str, Any]]:
    """Train and score one reference, or read it back if that is done.

    Args:
        name: Of `REFERENCES`.
        data: Of the run.
        config: Of the run.
        folder: RUN/references/NAME.
        device: For networks.
        reporter: Hears of the epochs.

    Returns:
        Its scores, and its entry in run.json.
    """
    marker = folder / "reference.json"
    if marker.exists():
        record = read_json(marker, newest_version=FORMAT_VERSION)
        record.pop("format_version")
        return SystemScores.read(name, folder), record
    folder.mkdir(parents=True, exist_ok=True)
    reference, started = REFERENCES[name], time.monotonic()
    record: dict[str, Any] = {"name": name, "summary": reference.summary, "trained_on": reference.trained_on}
    if reference.pooled is not None:
        scorer = _fit_pooled(reference, data, config)
    else:
        scorer, details = _fit_network(name, data, config, folder, device=device, reporter=reporter)
        record |= details
    evaluation = evaluate(
        scorer,
        data.splits["test"],
        data.names,
        data.criteria,
        config=config.evaluation,
        seed=config.seed,
        split="test",
        selection=config.train.selection if reference.pooled is None else None,
        availability=availability_record(config, data.store) if reference.trained_on == "available" else None,
    )
    scores = SystemScores.of(name, evaluation)
    write_scores(folder, [scores])
    record["seconds"] = round(time.monotonic() - started, 3)
    write_json(marker, {"format_version": FORMAT_VERSION, **record})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return scores, record


def reference_config(name: str, config: RunConfig) -> RunConfig:
    """The run's configuration, changed into that of a network that stands beside it.

    random-backbone: nothing but where the backbone's weights come from. Others: see `config_beside`.
    """
    if name == "random-backbone":
        backbone = config.model.backbone.model_copy(update={"init": "random"})
        return config.model_copy(update={"model": config.model.model_copy(update={"backbone": backbone})})
    return config_beside(name, config)


def scorer_of(model: nn.Module, config: RunConfig, device: torch.device) -> ModelScorer:
    """A network as a scorer, cropping and padding as configured."""
    return ModelScorer(
        model,
        batch_size=config.evaluation.batch_size,
        device=device,
        num_segments=config.data.num_segments,
        padding=config.data.padding,
    )


def chooser_on_test(data: RunData, config: RunConfig, device: torch.device) -> EpochValue | None:
    """What `train.selection: test` chooses by, for every network of a run alike; None under another selection.

    NOTE(paper): the published code evaluates on complete test samples in every epoch. `limssr.selection` says which
    epoch is chosen by that.

    Raises:
        InputError: Fewer than 3 test samples own all streams.
    """
    if config.train.selection != "test":
        return None
    samples = [sample for sample in data.splits["test"] if len(sample.streams) == len(data.modalities)]
    if len(samples) < 3:
        raise InputError(f"train.selection: test needs at least 3 test samples with all streams, found {len(samples)}.")
    truth_NC = np.stack([sample.scores for sample in samples])

    def value(model: nn.Module) -> TestNumbers:
        predicted_NC = scorer_of(model, config, device).score(samples)
        pairs = {one.name: (truth_NC[:, n], predicted_NC[:, n]) for n, one in enumerate(data.criteria)}
        rho = float(fisher_mean({name: spearman(*pair) for name, pair in pairs.items()}))
        error = float(arithmetic_mean({name: mse(*pair) for name, pair in pairs.items()}))
        return TestNumbers(rho if math.isfinite(rho) else None, error)

    return value


def _fit_pooled(reference: Reference, data: RunData, config: RunConfig) -> Scorer:
    assert reference.pooled is not None
    kind, strategy = reference.pooled
    samples = data.complete_train if reference.trained_on == "complete" else data.splits["train"]
    assert samples is not None
    regressor = PooledRegressor(kind, strategy, modalities=data.modalities, criteria=data.criteria, seed=config.seed)
    return regressor.fit(samples)


def _fit_network(
    name: str, data: RunData, config: RunConfig, folder: Path, *, device: torch.device, reporter: Reporter
) -> tuple[Scorer, dict[str, Any]]:
    changed = reference_config(name, config)
    model = build_model(changed.model, data.modalities, data.criteria, seed=changed.seed)
    result = fit(
        model,
        data.splits["train"],
        data.splits["val"],
        config=changed,
        folder=folder,
        device=device,
        reporter=reporter,
        resume="auto",
        test_value=chooser_on_test(data, changed, device),
    )
    save_pretrained(model, folder / "model")
    scorer = scorer_of(model, changed, device)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return scorer, {"best_epoch": result.best_epoch, "epochs_run": result.epochs_run, "trained_parameters": trained}
