"""References of a run: simple models trained on the same samples, scored on the same test split."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.files import write_json
from limssr.core.progress import NamedReporter, Reporter, counted
from limssr.core.reading.records import ReferenceDocument, read_document
from limssr.evaluation.evaluate import evaluate
from limssr.evaluation.metrics import arithmetic_mean, fisher_mean, mse, spearman
from limssr.evaluation.scorer import ModelScorer, Scorer
from limssr.nn.contract import Network
from limssr.runs.data import RunData
from limssr.runs.folder import FORMAT_VERSION, SystemScores, write_scores
from limssr.runs.record import availability_record
from limssr.runs.reliability.calibration import calibrate, covered, write_calibration
from limssr.systems.build import build_model
from limssr.systems.catalogue import config_beside
from limssr.systems.references import REFERENCES
from limssr.systems.regressions import PooledRegressor
from limssr.systems.saving import save_pretrained
from limssr.training.loop import fit
from limssr.training.selection import EpochValue, TestNumbers


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
        reporter: Is told of every epoch.

    Returns:
        Its scores, and its entry in run.json.
    """
    marker = folder / "reference.json"
    if marker.exists():
        record = read_document(marker, ReferenceDocument, newest_version=FORMAT_VERSION)
        record.pop("format_version")
        record.pop("data", None)
        return SystemScores.read(name, folder), record
    folder.mkdir(parents=True, exist_ok=True)
    reference, started = REFERENCES[name], time.monotonic()
    record: dict[str, Any] = {"name": name, "summary": reference.summary, "trained_on": reference.trained_on}
    if reference.pooled is not None:
        scorer = _fit_pooled(name, data, config, folder, reporter=reporter)
    else:
        scorer, details = _fit_network(name, data, config, folder, device=device, reporter=reporter)
        record |= details
    errors = calibrate(scorer, data.splits["val"], data.names, data.criteria, config.evaluation)
    write_calibration(folder, errors)
    evaluation = evaluate(
        scorer,
        data.splits["test"],
        data.names,
        data.criteria,
        config=config.evaluation,
        progress=counted(reporter, f"scoring {name}", unit="subset"),
        split="test",
        selection=config.train.selection if reference.pooled is None else None,
        availability=availability_record(config, data.store) if reference.trained_on == "available" else None,
    )
    scores = SystemScores.of(name, evaluation, coverage=covered(errors, evaluation, data.criteria))
    write_scores(folder, [scores])
    record["seconds"] = round(time.monotonic() - started, 3)
    # How it is scored with, also where the folder stands alone; run.json has it once for all.
    cropping = config.data.model_dump(mode="json", include={"num_segments", "padding"})
    write_json(marker, {"format_version": FORMAT_VERSION, **record, "data": cropping})
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return scores, record


def reference_config(name: str, config: RunConfig) -> RunConfig:
    """The run's configuration, changed into that of a reference network.

    random-backbone: nothing but where the backbone's weights come from. Others: see `config_beside`.
    """
    if name == "random-backbone":
        backbone = config.model.backbone.model_copy(update={"init": "random"})
        return config.model_copy(update={"model": config.model.model_copy(update={"backbone": backbone})})
    return config_beside(name, config)


def scorer_of(model: Network, config: RunConfig, device: torch.device) -> ModelScorer:
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

    NOTE(paper): the published code evaluates on complete test samples in every epoch. `limssr.training.selection` says
    which epoch is chosen by that.

    Raises:
        InputError: Fewer than 3 test samples own all streams.
    """
    if config.train.selection != "test":
        return None
    samples = [sample for sample in data.splits["test"] if len(sample.streams) == len(data.modalities)]
    if len(samples) < 3:
        raise InputError(f"train.selection: test needs at least 3 test samples with all streams, found {len(samples)}.")
    truth_NC = np.stack([sample.scores for sample in samples])

    def value(model: Network) -> TestNumbers:
        predicted_NC = scorer_of(model, config, device).score(samples)
        pairs = {one.name: (truth_NC[:, n], predicted_NC[:, n]) for n, one in enumerate(data.criteria)}
        rho = float(fisher_mean({name: spearman(*pair) for name, pair in pairs.items()}))
        error = float(arithmetic_mean({name: mse(*pair) for name, pair in pairs.items()}))
        return TestNumbers(rho if math.isfinite(rho) else None, error)

    return value


def _fit_pooled(name: str, data: RunData, config: RunConfig, folder: Path, *, reporter: Reporter) -> Scorer:
    reference = REFERENCES[name]
    assert reference.pooled is not None
    kind, strategy = reference.pooled
    samples = data.complete_train if reference.trained_on == "complete" else data.splits["train"]
    assert samples is not None
    more: Any = {"seed": config.seed, "rule": config.evaluation.subsets}
    regressor = PooledRegressor(kind, strategy, modalities=data.modalities, criteria=data.criteria, **more)
    model = regressor.fit(samples, counted(reporter, name, unit="regression")).model
    assert model is not None
    model.save(folder / "model")
    return model


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
        reporter=NamedReporter(reporter, name),
        resume="auto",
        test_value=chooser_on_test(data, changed, device),
    )
    save_pretrained(model, folder / "model")
    scorer = scorer_of(model, changed, device)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return scorer, {"best_epoch": result.best_epoch, "epochs_run": result.epochs_run, "trained_parameters": trained}
