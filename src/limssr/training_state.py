"""The parts of a training that change together, and how they go to a checkpoint and come back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

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
from limssr.config import RunConfig
from limssr.model import load_saved_state, state_to_save
from limssr.model.saving import check_backbone
from limssr.progress import Reporter
from limssr.selection import candidate_epochs
from limssr.types import Criterion, Modality


@dataclass(frozen=True)
class TrainingParts:
    """What the epochs of a training share.

    Attributes:
        model: On its device, prepared by Accelerate.
        optimizer: AdamW, prepared by Accelerate.
        accelerator: Holds device, precision and the loss scaler.
        average: Moving average of the weights; None: none.
        rates: Highest learning rate of each parameter group.
        modalities: M streams.
        criteria: C scores.
        config: Of the run.
        reporter: Hears of every epoch.
    """

    model: nn.Module
    optimizer: Any
    accelerator: Accelerator
    average: WeightAverage | None
    rates: list[float]
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    config: RunConfig
    reporter: Reporter

    def scoring_weights(self) -> dict[str, Tensor]:
        """A copy of the weights that are scored with."""
        source = self.average.values if self.average else state_to_save(self.model)
        return {name: value.detach().clone() for name, value in source.items()}

    def keep(
        self, kept: Mapping[int, dict[str, Tensor]], history: Sequence[dict[str, Any]]
    ) -> dict[int, dict[str, Tensor]]:
        """Epoch -> scoring weights, for the epochs that may still be chosen; the last of `history` is taken anew."""
        last = history[-1]["epoch"]
        return {
            epoch: self.scoring_weights() if epoch == last else kept[epoch]
            for epoch in candidate_epochs(history, self.config.train)
        }

    def save(self, folder: Path, history: Sequence[dict[str, Any]]) -> None:
        """Write a checkpoint after the last epoch of `history`, then metrics.jsonl."""
        scaler = self.accelerator.scaler
        progress = {
            "history": list(history),
            "num_updates": self.average.num_updates if self.average else None,
            "scaler": scaler.state_dict() if scaler else None,
            "backbone_sha256": getattr(self.model, "fingerprint", ""),
        }
        state = TrainingState(
            history[-1]["epoch"],
            state_to_save(self.model),
            self.average.values if self.average else None,
            pack_optimizer(self.optimizer.state_dict()["state"]),
            progress,
        )
        save_checkpoint(folder / "checkpoints", state, keep_epochs=candidate_epochs(history, self.config.train))
        write_metrics(folder / "metrics.jsonl", history)

    def restore(self, folder: Path) -> tuple[list[dict[str, Any]], dict[int, dict[str, Tensor]]]:
        """Take up the newest checkpoint, if there is one.

        Returns:
            The history, and the scoring weights of the epochs that may be chosen; both empty where training has not
            begun.
        """
        state = load_checkpoint(folder / "checkpoints")
        if state is None:
            return [], {}
        if state.progress.get("backbone_sha256"):
            check_backbone(self.model, state.progress["backbone_sha256"], where=str(folder / "checkpoints"))
        load_saved_state(self.model, dict(state.weights))
        # Learning rates are computed in every epoch, so the groups of a new optimizer are right.
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": unpack_optimizer(state.optimizer), "param_groups": groups})
        if self.average:
            self.average.restore(state.average or {}, state.progress["num_updates"], self.accelerator.device)
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(state.progress["scaler"])
        history = list(state.progress["history"])
        write_metrics(folder / "metrics.jsonl", history)
        self.reporter.note(f"going on after epoch {len(history)} of {self.config.train.epochs}")
        candidates = candidate_epochs(history, self.config.train)
        return history, {epoch: load_scoring_weights(folder / "checkpoints", epoch) for epoch in candidates}
