"""Whether a device computes what the CPU does: a small LIMSSR is scored with and trained on both, and compared.

For whoever has the hardware first: the same code runs in the tests on the CPU, against itself. Weights, data and
batches are the same on both devices. Dropout is off, as every device draws other random numbers.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.runtime import DTYPES, TF32, choose_device
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.simulate import simulate
from limssr.evaluation.scorer import ModelScorer
from limssr.nn.contract import Network
from limssr.systems.build import build_model
from limssr.systems.saving import as_cpu, load_saved_state, state_to_save
from limssr.training.loop import fit

STEPS = 20
SAMPLES = 32
BATCH = 8
TOLERANCES = {"scores": 1e-4, "losses": 1e-2, "trained scores": 1e-2, "saved weights": 0.0}
"""float32 against the CPU, of unit scores and as a share of a loss. Sums in another order differ by some 1e-6; steps of
AdamW make more of it."""
REDUCED = 0.1
"""Share by which a loss in reduced precision may differ from the CPU's in float32."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison.

    Attributes:
        what: What was compared.
        precision: Of the device; the CPU computes in float32.
        difference: The largest that was found.
        tolerance: What is allowed.
        seconds_a_step: Of training on the device; None: nothing was trained.
        error: What went wrong instead; None: nothing.
    """

    what: str
    precision: str
    difference: float | None
    tolerance: float
    seconds_a_step: float | None = None
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it is within the tolerance."""
        return self.difference is not None and self.difference <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class DeviceCheck:
    """All comparisons of a device."""

    device: str
    reason: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all are within their tolerances."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        checks = [check.to_dict() for check in self.checks]
        return {"device": self.device, "reason": self.reason, "passed": self.passed, "checks": checks}


def check_device(requested: str) -> DeviceCheck:
    """Score and train on a device and on the CPU, and compare.

    Args:
        requested: See `limssr.core.runtime.choose_device`.

    Raises:
        InputError: No such device here.
    """
    choice = choose_device(requested)
    modalities, criteria, samples = simulate(SAMPLES, 2, seed=1, num_segments=(6, 12))
    reference = _Side(torch.device("cpu"), "float32", modalities, criteria, samples)
    checks = []
    for precision in _precisions(choice.device):
        try:
            checks += _compared(reference, _Side(choice.device, precision, modalities, criteria, samples))
        except Exception as error:  # whatever a driver says is what the person needs to read
            checks.append(
                Check(
                    what="training",
                    precision=precision,
                    difference=None,
                    tolerance=0.0,
                    error=f"{type(error).__name__}: {error}",
                )
            )
    return DeviceCheck(str(choice.device), choice.reason, tuple(checks))


def _precisions(device: torch.device) -> tuple[str, ...]:
    """float32, and what the device can be asked to train in."""
    return ("float32", TF32, "bf16", "fp16") if device.type == "cuda" else ("float32", "bf16")


class _Side:
    """A model on one device: its scores before training, the losses of it, its scores after it."""

    def __init__(
        self,
        device: torch.device,
        precision: str,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        samples: Sequence[Sample],
    ) -> None:
        self.precision = precision
        config = _config(precision)
        model = build_model(config.model, modalities, criteria, seed=0)
        model.calibrate(samples)
        self.untrained_NC = self._scores(model.to(device), criteria, samples)
        started = time.monotonic()
        fitted = fit(model, samples, [], config=config, device=device)
        self.seconds_a_step = (time.monotonic() - started) / STEPS
        self.losses = np.array([record["train_loss"] for record in fitted.history])
        self.trained_NC = self._scores(model, criteria, samples)
        saved = as_cpu(state_to_save(model))
        again = build_model(config.model, modalities, criteria, seed=1)
        again.calibrate(samples)
        load_saved_state(again, saved)
        self.change = max(_change(value, state_to_save(again)[name]) for name, value in saved.items())

    @staticmethod
    def _scores(model: Network, criteria: Sequence[Criterion], samples: Sequence[Sample]) -> np.ndarray:
        scores_NC = ModelScorer(model).score(samples)
        return np.stack([one.to_unit(scores_NC[:, n]) for n, one in enumerate(criteria)], axis=1)


def _config(precision: str) -> RunConfig:
    epochs = STEPS * BATCH // SAMPLES
    train = {"epochs": epochs, "batch_size": BATCH, "warmup_epochs": 0, "selection": "last", "precision": precision}
    return RunConfig(
        model=ModelConfig(
            backbone=BackboneConfig(name="tiny"), lora=LoraConfig(dropout=0.0), dropout=0.0, input_scaling="standard"
        ),
        train=TrainConfig.model_validate({**train, "learning_rate": 1e-3}),
    )


def _compared(reference: _Side, side: _Side) -> list[Check]:
    share = float(np.max(np.abs(side.losses - reference.losses) / np.abs(reference.losses)))
    if side.precision in DTYPES or side.precision == TF32:
        return [
            Check(
                what=f"losses of {STEPS} steps",
                precision=side.precision,
                difference=share,
                tolerance=REDUCED,
                seconds_a_step=side.seconds_a_step,
            )
        ]
    untrained = float(np.max(np.abs(side.untrained_NC - reference.untrained_NC)))
    trained = float(np.max(np.abs(side.trained_NC - reference.trained_NC)))
    return [
        Check(
            what="scores of the same weights",
            precision=side.precision,
            difference=untrained,
            tolerance=TOLERANCES["scores"],
        ),
        Check(
            what=f"losses of {STEPS} steps",
            precision=side.precision,
            difference=share,
            tolerance=TOLERANCES["losses"],
            seconds_a_step=side.seconds_a_step,
        ),
        Check(
            what="scores after them",
            precision=side.precision,
            difference=trained,
            tolerance=TOLERANCES["trained scores"],
        ),
        Check(
            what="weights saved and loaded",
            precision=side.precision,
            difference=side.change,
            tolerance=TOLERANCES["saved weights"],
        ),
    ]


def _change(value: torch.Tensor, other: torch.Tensor) -> float:
    return 0.0 if value.numel() == 0 else float((value.double() - other.double().cpu()).abs().max())
