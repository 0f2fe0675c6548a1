"""The contract of networks: what training, scoring, saving and evaluation may ask of any of them.

Every network of the table of systems is a `Network`, LIMSSR like the others. Whoever trains, scores or saves one asks
what stands here and nothing else: no attribute is set from outside and no name of a submodule is known outside its
model.

**A score depends on the recording alone.** In evaluation mode a network's scores for a sample are a function of its
weights, of the sample's valid feature values and of their places in time. They do not depend on:

* the sample's id, its place in a list, or the samples that are scored with it;
* the padding behind it, or what stands behind an absent stream;
* the order in which the streams of a sample or the named columns of a file are given;
* the number of threads, beyond the rounding of sums that are taken in another order;
* the unit of its features, where `input_scaling` is "standard" and the model was trained in that unit.

A network that needs random numbers when it scores takes the same ones for every sample
(`limssr.nn.layers.fixed_noise`): they belong to the model. A part that cannot honour this is refused with the reason
where it is loaded: a language model that is not causal sees the padding, and so the other samples of its batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.team import Team
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.data.missing import never_owned

ParameterGroup = Literal["around", "backbone", "statistics"]
"""Which learning rate and weight decay of `train` a parameter has: the general one, that of the language model's
adapters and learned rows, or that of an ensemble that reads moments."""


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        name: What the model is told when the stage begins.
        share: Of the epochs; only the proportions between stages matter.
        trains: Beginnings of the names of the parameters that are trained; the others rest. "" begins every name.
        keeps: Which of its epochs the next stage goes on with: the last, or the one with the lowest validation loss of
            what the model answers in this stage. Of the last stage `train.selection` decides.
    """

    name: str
    share: float = 1.0
    trains: tuple[str, ...] = ("",)
    keeps: Literal["last", "best"] = "last"

    def moves(self, parameter: str) -> bool:
        """Whether a parameter of this name is trained in the stage."""
        return parameter.startswith(self.trains)


@dataclass(frozen=True)
class Place:
    """Where an epoch stands.

    Attributes:
        stage: Which.
        epoch: Counted from 0 at the beginning of the stage.
        epochs: Of the stage.
        is_last: Whether it is the last stage: only its epochs can be chosen, as only then the whole is trained.
    """

    stage: Stage
    epoch: int
    epochs: int
    is_last: bool


WHOLE = Stage("training")
"""The only stage of a system that has no stages."""


@dataclass(frozen=True, kw_only=True)
class FrozenWeights:
    """Weights that are not trained and not saved, as they can be brought back.

    Attributes:
        sha256: Of them; "" where nothing can bring them back, so that a saved model has to carry them.
        origin: For people: where they came from.
    """

    sha256: str
    origin: str

    @property
    def are_saved(self) -> bool:
        """Whether a saved model carries them."""
        return not self.sha256


class Network(nn.Module, ABC):
    """What may be asked of any network.

    A subclass builds its layers after `super().__init__`, writes `forward`, and overrides what does not hold for it.

    Args:
        config: What was built.
        modalities: The M streams, in the order of the columns of `present_BM`.
        criteria: The C scores that are predicted at once.

    Attributes:
        stages: Of a training, in order.
        looks_at_hidden: Whether a loss reads streams that exist but are hidden in the step: training batches then bring
            `Batch.owned`.
        divides_reading: Whether several processes gain anything: each reads a part of a training batch. Other networks
            are computed by each process as a whole.
        frozen: Frozen weights that are named and hashed in place of being saved; None where it has none.
        stage: The stage that training is in; a model that is not being trained is in its last one.
        seed: Of the initial weights.
    """

    stages: tuple[Stage, ...] = (WHOLE,)
    looks_at_hidden: bool = False
    divides_reading: bool = False
    frozen: FrozenWeights | None = None

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__()
        self.config = config
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        self.stage = self.stages[-1]
        self.seed = 0
        self._unseen: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch."""

    @abstractmethod
    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure scales of inputs and outputs, and whatever else comes from the training samples without training."""

    def calibrate(self, samples: Sequence[Sample]) -> None:
        """Measure what comes from the training samples; once, before training.

        Streams that none of them owns are `unseen` from now on.

        Raises:
            InputError: The samples are not what the network needs.
        """
        self.leave_unseen(never_owned([modality.name for modality in self.modalities], samples))
        self.measure(samples)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Streams that no training sample owned: scoring leaves them out, as nothing was learned of them."""
        return self._unseen

    @property
    def seen(self) -> tuple[str, ...]:
        """The other streams, in the model's order."""
        return tuple(modality.name for modality in self.modalities if modality.name not in self._unseen)

    def leave_unseen(self, names: Sequence[str]) -> None:
        """Say which streams no training sample owned."""
        self._unseen = tuple(names)

    def remember_seed(self, seed: int) -> None:
        """Say which seed the initial weights were drawn from."""
        self.seed = seed

    def enter(self, stage: Stage) -> None:
        """A stage of the training begins."""
        self.stage = stage

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Why samples that hold exactly `streams` cannot be scored; None where they can."""
        del streams
        return None

    def group_of(self, parameter: str) -> ParameterGroup:
        """The group of the optimizer that a parameter belongs to."""
        del parameter
        return "around"

    def learned(self) -> dict[str, Any] | None:
        """What the network learned about its inputs, for the report; None where it has nothing to say."""
        return None

    def make_room(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Take the shapes of saved tensors where they depend on the training samples; most networks have none."""
        del shapes

    def read_in_pieces(self, pieces: int) -> None:
        """Read a training batch in so many pieces, where reading takes memory; its numbers stay those of the batch."""
        del pieces

    def join(self, team: Team) -> None:
        """Training batches are read by these processes together from now on; its numbers stay those of one process.

        Raises:
            InputError: The network cannot be trained by several processes.
        """
        del team

    def is_divided(self, parameter: str) -> bool:
        """Whether the gradient of a parameter is a sum over the processes; else each of them finds all of it."""
        del parameter
        return False

    def forget(self) -> None:
        """Forget what was kept from earlier batches to be faster; scores then have the bits of a model just loaded."""

    def save_frozen_weights(self) -> None:
        """From now on a saved model carries the frozen weights, as nothing else could bring them back."""
        if self.frozen is not None:
            self.frozen = FrozenWeights(sha256="", origin=self.frozen.origin)


def stage_epochs(stages: Sequence[Stage], epochs: int) -> tuple[int, ...]:
    """Epochs of each stage, in proportion to their shares, at least one each; together `epochs`.

    Raises:
        InputError: Fewer epochs than stages.
    """
    if epochs < len(stages):
        named = ", ".join(stage.name for stage in stages)
        raise InputError(
            f"Expected at least {len(stages)} epochs for the stages {named}, found {epochs}: raise train.epochs."
        )
    total, given, found = sum(stage.share for stage in stages), 0, []
    for index, stage in enumerate(stages[:-1]):
        still_needed = len(stages) - 1 - index
        wanted = max(1, round(epochs * stage.share / total))
        found.append(min(wanted, epochs - given - still_needed))
        given += found[-1]
    return (*found, epochs - given)


def place_of(stages: Sequence[Stage], epoch: int, epochs: int) -> Place:
    """The stage that an epoch (counted from 0) belongs to.

    Raises:
        InputError: Fewer epochs than stages.
    """
    first = 0
    for index, (stage, length) in enumerate(zip(stages, stage_epochs(stages, epochs), strict=True)):
        if epoch < first + length or index == len(stages) - 1:
            return Place(stage, epoch - first, length, index == len(stages) - 1)
        first += length
    raise InputError("Expected at least one stage, found none.")
