"""The candidates: what each is, and how it learns from samples. All of them end as a network that can be saved."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from limssr.core.config import ModelConfig, RunConfig
from limssr.core.errors import LimssrError, unknown_name
from limssr.core.progress import SilentReporter
from limssr.core.types import Criterion, Modality, Sample
from limssr.nn.contract import Network
from limssr.nn.relations import Pair, pairs_as_text
from limssr.systems.build import build_model
from limssr.systems.solved.evidence import dilations_of
from limssr.systems.table import SYSTEMS
from limssr.training.loop import fit

ENSEMBLE_STEPS, ENSEMBLE_EPOCHS = 1600, (8, 40)
READING_STEPS, READING_EPOCHS = 320, (3, 12)
BATCH_SIZE = 16

SURE_AFTER = 0.1
"""Share of the allowed time after which the pace of the epochs so far is believed."""


class OutOfTime(LimssrError):
    """A candidate would take longer than the budget has left for it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all candidates share.

    Attributes:
        modalities: The M streams, in order.
        criteria: The C criteria.
        backbone: Of LIMSSR: its name.
        num_layers: Of the backbone.
        seed: Of the run.
        device: For networks that are trained.
        pairs: Streams that can be set against each other.
    """

    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    backbone: str
    num_layers: int | None
    seed: int
    device: torch.device
    pairs: tuple[Pair, ...] = ()


@dataclass
class Watch(SilentReporter):
    """Is told of a candidate's epochs, and ends its training where it would not be done in time.

    Attributes:
        allowed_s: Seconds for one training.
        history: Of the last training.
        warnings: What was said of it.
    """

    allowed_s: float = float("inf")
    history: list[Mapping[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def warn(self, text: str) -> None:
        """Keep it for the report."""
        self.warnings.append(text)

    def epoch(self, record: Mapping[str, Any], *, total: int, best_epoch: int | None) -> None:
        """Look at the clock.

        Raises:
            OutOfTime: With the last epoch's pace the training would end too late.
        """
        del best_epoch
        self.history.append(record)
        passed = time.monotonic() - self.began
        pace = sum(one["seconds"] for one in self.history) / len(self.history)
        left = (total - record["epoch"] - 1) * pace
        if passed > SURE_AFTER * self.allowed_s and passed + left > self.allowed_s:
            raise OutOfTime("it would take longer than the budget has left")


Fit = Callable[[Sequence[Sample], Setting, int, Watch], Network]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that may be a member.

    Attributes:
        summary: A line for tables.
        fit: (samples, setting, seed, watch) -> network.
        cost: "solved" takes seconds, "trained" minutes, "reading" reads the sequence with a language model.
        needs_pairs: Whether it is for data with streams of one width that can be set against each other.
    """

    summary: str
    fit: Fit
    cost: str
    needs_pairs: bool = False

    @property
    def has_language_model(self) -> bool:
        """Whether it reads with a language model."""
        return self.cost == "reading"


def _solved(system: str, kernel: str = "", *, convolutions: bool = False, relations: bool = False) -> Fit:
    def learn(samples: Sequence[Sample], setting: Setting, seed: int, watch: Watch) -> Network:
        del watch
        options: dict[str, Any] = {"seed": setting.seed} if kernel or relations else {}
        if kernel:
            options["kernel"] = kernel
        if convolutions:
            options["dilations"] = ",".join(map(str, dilations_of(samples)))
        if relations:
            options["pairs"] = pairs_as_text(setting.pairs)
        config = ModelConfig(system=system, options=options)
        model = build_model(config, setting.modalities, setting.criteria, seed=seed)
        model.calibrate(samples)
        return model

    return learn


def _trained(make: Callable[[int, Setting], dict[str, Any]]) -> Fit:
    def learn(samples: Sequence[Sample], setting: Setting, seed: int, watch: Watch) -> Network:
        config = RunConfig.model_validate(_laid_over(_BASE, {**make(len(samples), setting), "seed": seed}))
        watch.history.clear()
        watch.began = time.monotonic()
        model = build_model(config.model, setting.modalities, setting.criteria, seed=seed)
        fit(model, samples, [], config=config, device=setting.device, reporter=watch)
        return model

    return learn


_BASE: dict[str, Any] = {
    "model": {"input_scaling": "standard", "output": "standardized", "num_missing_tokens": 1, "lora": {"dropout": 0.0}},
    "loss": {"task": 1, "consistency": 0, "slots": 0},
    "train": {
        "average": 0.98,
        "batch_size": BATCH_SIZE,
        "batches": "length",
        "learning_rate": 1e-3,
        "backbone_learning_rate": 2e-4,
        "statistics_learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "warmup_epochs": 1,
        "final_learning_rate": 0.05,
        "clip_norm": 5,
        "selection": "last",
    },
}
"""recipes/percepiano.yaml, but for what each candidate says."""


def _ensemble(num_samples: int, setting: Setting) -> dict[str, Any]:
    del setting
    return {
        "model": {"system": "statistics"},
        "train": {"epochs": _epochs(num_samples, ENSEMBLE_STEPS, ENSEMBLE_EPOCHS)},
    }


def _attention(num_samples: int, setting: Setting) -> dict[str, Any]:
    del setting
    return {"model": {"system": "attention"}, "train": {"epochs": _epochs(num_samples, 1200, (8, 30))}}


def _paper(num_samples: int, setting: Setting) -> dict[str, Any]:
    model = {"backbone": {"name": setting.backbone, "num_layers": setting.num_layers}}
    return {"model": model, "train": {"epochs": _epochs(num_samples, READING_STEPS, READING_EPOCHS)}}


def _statistics_head(num_samples: int, setting: Setting, init: str = "pretrained") -> dict[str, Any]:
    reading = _epochs(num_samples, READING_STEPS, READING_EPOCHS)
    ensemble = _epochs(num_samples, ENSEMBLE_STEPS, ENSEMBLE_EPOCHS)
    model = {
        "backbone": {"name": setting.backbone, "num_layers": setting.num_layers, "init": init},
        "head": "statistics",
        "statistics": {"mix": 0.4, "first": ensemble / (ensemble + reading)},
    }
    return {"model": model, "train": {"epochs": ensemble + reading}}


def _random_head(num_samples: int, setting: Setting) -> dict[str, Any]:
    return _statistics_head(num_samples, setting, "random")


def _system(name: str) -> Callable[[int, Setting], dict[str, Any]]:
    def make(num_samples: int, setting: Setting) -> dict[str, Any]:
        declared = SYSTEMS[name]
        model = {"system": name, **declared.small}
        if declared.reads_backbone:
            model["backbone"] = {"name": setting.backbone, "num_layers": setting.num_layers}
        epochs = _epochs(num_samples, 1200, (8, 30))
        return {"model": model, "train": {"epochs": epochs, "learning_rate": declared.learning_rate}}

    return make


def _epochs(num_samples: int, steps: int, limits: tuple[int, int]) -> int:
    """Epochs that give about so many steps."""
    return max(limits[0], min(limits[1], round(steps * BATCH_SIZE / max(1, num_samples))))


def _laid_over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in more.items():
        found[key] = _laid_over(found.get(key) or {}, value) if isinstance(value, Mapping) else value
    return found


CANDIDATES: dict[str, Candidate] = {
    "constant": Candidate(summary="mean of the training scores", fit=_solved("constant"), cost="solved"),
    "ridge": Candidate(summary="ridge on moments", fit=_solved("kernel-ridge", "linear"), cost="solved"),
    "kernel-ridge": Candidate(
        summary="kernel ridge on moments", fit=_solved("kernel-ridge", "gaussian"), cost="solved"
    ),
    "convolutions": Candidate(
        summary="kernel ridge on moments and random convolutions",
        fit=_solved("kernel-ridge", "gaussian", convolutions=True),
        cost="solved",
    ),
    "extra-trees": Candidate(summary="extra-trees on moments", fit=_solved("forest"), cost="solved"),
    "relations": Candidate(
        summary="kernel ridge on moments of streams and of what they are against each other",
        fit=_solved("kernel-ridge", "gaussian", relations=True),
        cost="solved",
        needs_pairs=True,
    ),
    "related-trees": Candidate(
        summary="extra-trees on the same", fit=_solved("forest", relations=True), cost="solved", needs_pairs=True
    ),
    "ensemble": Candidate(summary="ensemble of networks on moments", fit=_trained(_ensemble), cost="trained"),
    "attention": Candidate(summary="attention over streams + MLP", fit=_trained(_attention), cost="trained"),
    "limssr": Candidate(summary="LIMSSR with the head statistics", fit=_trained(_statistics_head), cost="reading"),
    "limssr-random": Candidate(
        summary="the same on a backbone with random weights", fit=_trained(_random_head), cost="reading"
    ),
    "limssr-paper": Candidate(summary="LIMSSR with the paper's head", fit=_trained(_paper), cost="reading"),
}
"""Those that are judged unasked, in the order in which they are judged: cheap ones first."""


def candidate_of(name: str) -> Candidate:
    """A candidate by its name: one of `CANDIDATES`, or any system of the table, small and with its own learning rate.

    Raises:
        InputError: There is neither.
    """
    if name in CANDIDATES:
        return CANDIDATES[name]
    if name not in SYSTEMS:
        raise unknown_name("candidate", name, [*CANDIDATES, *SYSTEMS])
    declared = SYSTEMS[name]
    cost = "reading" if declared.reads_backbone else "trained"
    return Candidate(summary=f"the system {declared.title}", fit=_trained(_system(name)), cost=cost)


def in_order(names: Sequence[str]) -> list[str]:
    """Names in the order in which they are judged: systems of the table before what reads with a language model."""
    known, costs = list(CANDIDATES), ("solved", "trained", "reading")
    places = {name: (costs.index(candidate_of(name).cost), name not in CANDIDATES) for name in names}
    return sorted(names, key=lambda name: (*places[name], known.index(name) if name in known else names.index(name)))
