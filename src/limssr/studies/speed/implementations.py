"""The two sides of the comparison, with the same verbs: a step, scores, an evaluation, an epoch, a checkpoint."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from limssr.core.config import RunConfig
from limssr.core.runtime import make_accelerator, tf32
from limssr.core.types import Batch, Sample
from limssr.data.batching import attend_padding, collate, crop
from limssr.data.missing import subsets
from limssr.evaluation.scorer import ModelScorer
from limssr.model.int8 import use_int8
from limssr.model.limssr import LimssrModel
from limssr.nn.losses import total_loss
from limssr.studies.speed.literal import LiteralModel
from limssr.studies.speed.setup import Setting, literal_config
from limssr.systems.saving import load_saved_weights, save_pretrained
from limssr.training.batches import EpochBatches
from limssr.training.loop import fit
from limssr.training.optimizer import make_optimizer, parameter_groups

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 2e-4, 1e-4, 1.0
"""The published ones (paper section 4.1)."""


class Implementation(Protocol):
    """One way to compute the model."""

    @property
    def model(self) -> nn.Module:
        """What computes."""
        ...

    def train_step(self, batch: Batch) -> None:
        """Forwards, backwards, clip, update."""
        ...

    def score(self, batch: Batch) -> Tensor:
        """Unit scores [B, C] of a batch whose samples own the same streams."""
        ...

    def evaluate(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Scores [N, C] under every subset of the streams."""
        ...

    def train_epoch(self, samples: Sequence[Sample]) -> None:
        """One epoch, optimizer included."""
        ...

    def save(self, folder: Path) -> int:
        """Write a checkpoint; its bytes."""
        ...

    def load(self, folder: Path) -> None:
        """Read it back into the model."""
        ...


class OurImplementation:
    """limssr as it trains and scores.

    Args:
        setting: What both sides share.
        model: Ours.
        config: The recipe, where it differs from the setting's (a saving switched off).

    Attributes:
        optimizer: "plain" updates tensor by tensor, where training would use one kernel for all.
    """

    def __init__(self, setting: Setting, model: LimssrModel, config: RunConfig | None = None) -> None:
        self.setting, self.config = setting, config or setting.config
        self.model = model.to(setting.device)
        if setting.options.our_weights == "int8":
            use_int8(self.model)
        self.optimizer: Literal["fused", "plain"] = "fused"
        self._trainer: tuple[Any, Any, Any] | None = None

    def train_step(self, batch: Batch) -> None:
        """The body of the loop in `limssr.training.loop`."""
        model, optimizer, accelerator = self._prepared()
        assert batch.unit_scores_BC is not None
        model.train()
        with tf32(self.config.train.precision, self.setting.device):
            terms = total_loss(model(batch), batch.unit_scores_BC, self.config.loss)
            accelerator.backward(terms.total)
        accelerator.clip_grad_norm_(model.parameters(), self.config.train.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    @torch.inference_mode()
    def score(self, batch: Batch) -> Tensor:
        """As `ModelScorer` calls the model."""
        self.model.eval()
        return self.model(batch).unit_scores_BC

    def evaluate(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """`ModelScorer` on every subset, as `limssr.evaluation.evaluate` does."""
        scorer = ModelScorer(
            self.model,
            batch_size=self.config.evaluation.batch_size,
            device=self.setting.device,
            num_segments=self.config.data.num_segments,
        )
        return [scorer.score([sample.restricted_to(names) for sample in samples]) for names in _subsets(self.setting)]

    def train_epoch(self, samples: Sequence[Sample]) -> None:
        """`limssr.training.loop.fit` for one epoch."""
        fit(self.model, samples, [], config=self.config, device=self.setting.device)

    def save(self, folder: Path) -> int:
        """`save_pretrained`: trained tensors and buffers."""
        save_pretrained(self.model, folder)
        return _bytes(folder)

    def load(self, folder: Path) -> None:
        """The saved tensors back into the model, checked."""
        load_saved_weights(self.model, folder)

    def _prepared(self) -> tuple[Any, Any, Any]:
        if self._trainer is None:
            train = self.config.train
            accelerator = make_accelerator(self.setting.device, train.precision)
            optimizer = make_optimizer(self.model, train)
            if self.optimizer == "plain":
                optimizer = torch.optim.AdamW(parameter_groups(self.model, train), lr=train.learning_rate)
            self._trainer = (*accelerator.prepare(self.model, optimizer), accelerator)
        return self._trainer


class LiteralImplementation:
    """The published computation.

    Args:
        setting: What both sides share.
        model: With our weights.
    """

    CHECKPOINT = "model.pt"

    def __init__(self, setting: Setting, model: LiteralModel) -> None:
        self.setting, self.config = setting, literal_config(setting.options)
        self.model = model.to(setting.device)
        self._optimizer: torch.optim.Optimizer | None = None

    def train_step(self, batch: Batch) -> None:
        """Forwards, backwards, clip and AdamW over everything that is trained, the whole table included."""
        if self._optimizer is None:
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            self._optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        assert batch.unit_scores_BC is not None
        self.model.train()
        with self._precision():
            output = self.model(batch)
        terms = total_loss(output, batch.unit_scores_BC, self.config.loss)
        self._optimizer.zero_grad()
        terms.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self._optimizer.step()

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """Scores, vocabulary logits on the way."""
        self.model.eval()
        with self._precision():
            return self.model(batch).unit_scores_BC

    def evaluate(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Every subset, batches in the data's order, each sample centre-cropped or padded to T."""
        return [
            np.concatenate([self.score(batch).cpu().numpy() for batch in self._fixed(samples, names)])
            for names in _subsets(self.setting)
        ]

    def train_epoch(self, samples: Sequence[Sample]) -> None:
        """An epoch of fixed T, one random pattern a batch, with a new optimizer (as `fit` makes one)."""
        self._optimizer = None
        batches = EpochBatches(samples, self.setting.modalities, self.setting.criteria, config=self.config, epoch=0)
        for batch in batches.loader():
            self.train_step(_one_pattern(batch).to(self.setting.device))

    def save(self, folder: Path) -> int:
        """The whole state, frozen weights included, through `torch.save`."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.model.state_dict(), folder / self.CHECKPOINT)
        return _bytes(folder)

    def load(self, folder: Path) -> None:
        """The whole state back."""
        state = torch.load(folder / self.CHECKPOINT, map_location=self.setting.device, weights_only=True)
        self.model.load_state_dict(state)

    def _fixed(self, samples: Sequence[Sample], names: tuple[str, ...]) -> Iterator[Batch]:
        segments, size = self.setting.options.segments, self.setting.options.batch_size
        for start in range(0, len(samples), size):
            chunk = [crop(sample.restricted_to(names), segments, place="center") for sample in samples[start:][:size]]
            batch = collate(chunk, self.setting.modalities, self.setting.criteria, pad_to=segments)
            yield _one_pattern(attend_padding(batch)).to(self.setting.device)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.setting.options.literal_precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.setting.device.type, dtype=torch.bfloat16)


def _one_pattern(batch: Batch) -> Batch:
    """A stream that only some of the samples own is read by all: the published code knows no other way."""
    return replace(batch, present_BM=batch.present_BM.any(dim=0).expand_as(batch.present_BM))


def _subsets(setting: Setting) -> tuple[tuple[str, ...], ...]:
    return subsets(tuple(modality.name for modality in setting.modalities))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
