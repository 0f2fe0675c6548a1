"""A system: what it declares, and what the networks that are built of the parts in this room have in common.

The same Batch in, the same ScoreOutput out, the same loop (`limssr.nn.contract`). A system adds losses of its own
through `ScoreOutput.auxiliary`, trains in stages through `stages`, and learns from streams that exist but are hidden in
this step through `Batch.owned`.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.model.backbone.load import load_backbone
from limssr.nn.contract import WHOLE, Network, Stage
from limssr.nn.losses import task_loss
from limssr.nn.scaling import InputScaler, OutputScale
from limssr.systems.bounded import build_bounded

Family = Literal["limssr", "incomplete", "complete", "related", "reference", "own"]


class SystemOptions(BaseModel):
    """Settings of one system, `model.options` of a recipe; the defaults are its paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ComparisonSystem(Network):
    """A network built of the parts in this room: scaling of inputs and output, parts that rest, its options.

    Args:
        config: `hidden`, `dropout`, `input_scaling`, `output` and `options` are used, the rest is of LIMSSR.
        modalities: The M streams, in order.
        criteria: The C criteria.
        options: Of this system.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        options: SystemOptions | None = None,
    ) -> None:
        super().__init__(config, modalities, criteria)
        self.options: Any = options
        self.input_scaler = InputScaler(self.modalities, config.input_scaling)
        self.output_scale = OutputScale(len(self.criteria), config.output)

    def measure(self, samples: Sequence[Sample]) -> None:
        """Measure the scales of inputs and outputs on the training samples."""
        self.input_scaler.fit(samples)
        self.output_scale.fit(samples, self.criteria)

    def train(self, mode: bool = True) -> "ComparisonSystem":
        """As in torch, but parts that rest in this stage stay in evaluation mode: no dropout, no running statistics."""
        super().train(mode)
        if mode:
            for name, module in self.named_modules():
                names = [f"{name}.{own}" if name else own for own, _ in module.named_parameters()]
                if names and not any(self.stage.moves(one) for one in names):
                    module.eval()
        return self

    def scored(self, logits_BC: Tensor, **more: Any) -> ScoreOutput:
        """A head's output as a ScoreOutput with the scale that errors are divided by."""
        return ScoreOutput(
            unit_scores_BC=self.output_scale(logits_BC), loss_scale_C=self.output_scale.loss_scale_C, **more
        )

    def score_loss(self, unit_scores_BC: Tensor, batch: Batch, rows_B: Tensor | None = None) -> Tensor:
        """The task loss of one part's own scores, for an auxiliary term; zero when there are no targets.

        Args:
            unit_scores_BC: On the unit scale.
            batch: Brings the targets.
            rows_B: The rows that count; None: all.
        """
        if batch.unit_scores_BC is None:
            return unit_scores_BC.sum() * 0.0
        targets_BC = batch.unit_scores_BC
        if rows_B is not None:
            targets_BC = targets_BC.masked_fill(~rows_B[:, None], torch.nan)
        return task_loss(unit_scores_BC, targets_BC, self.output_scale.loss_scale_C)


Builder = Callable[[ModelConfig, tuple[Modality, ...], tuple[Criterion, ...], Any], Network]


@dataclass(frozen=True, kw_only=True)
class System:
    """What a system declares. `limssr systems` prints it and reports repeat it.

    Attributes:
        title: As tables name it.
        source: Authors' name for it, venue and year.
        summary: One line.
        family: "limssr" (the model itself), "incomplete" (the paper's Table 1), "complete" (Table 2), "related",
            "reference" or "own" (brought by the user).
        builder: (config, modalities, criteria, options) -> network.
        options: Its settings.
        reads_backbone: Whether it is built around a language model; its builder is then given that in place of options.
        needs_complete_training: "yes": its paper trains on complete samples, here it is re-masked; "pairs": it needs
            some samples with two streams or more; "no".
        stages: In order, at the default settings.
        stochastic: Whether scoring takes random numbers; they are the same for every sample.
        hidden_values: The losses that look at values of a stream that the step hides; () for none. That of the score
            is one of them where a stage teaches a network on all that a sample owns.
        absent: What stands where a stream is absent, in a few words.
        checked: What our numbers were checked against.
        changed: What was adapted, in a few words; "" where nothing was.
        learning_rate: That it is trained with in a sweep unless tuned.
        small: `model` settings that make it fit two cores; what was reduced is read off them.
    """

    title: str
    source: str
    summary: str
    family: Family
    builder: Builder
    options: type[SystemOptions] = SystemOptions
    reads_backbone: bool = False
    needs_complete_training: Literal["yes", "pairs", "no"] = "no"
    stages: tuple[Stage, ...] = (WHOLE,)
    stochastic: bool = False
    hidden_values: tuple[str, ...] = ()
    absent: str = "not read"
    checked: str = "from the paper alone"
    changed: str = ""
    learning_rate: float = 1e-3
    small: Mapping[str, Any] = field(default_factory=dict)

    def build(
        self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion], *, seed: int
    ) -> Network:
        """Build the network that `config` describes.

        Args:
            config: Its `system` names this one.
            modalities: The M streams, in order.
            criteria: The C criteria.
            seed: Of every initial weight; the caller's random state is left as it was.

        Raises:
            InputError: `config.options` holds something that the system does not have, its language model is not
                there, or its weights would not fit into memory.
        """
        options = self.read_options(config)
        plain = not self.reads_backbone and self.family != "own"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            given = load_backbone(config.backbone, seed=seed) if self.reads_backbone else options

            def built() -> Network:
                if plain:  # the second time as the first
                    torch.manual_seed(seed)
                return self.builder(config, tuple(modalities), tuple(criteria), given)

            network = build_bounded(config.system, built, first_without_memory=plain)
        network.remember_seed(seed)
        return network

    def read_options(self, config: ModelConfig) -> SystemOptions:
        """`config.options` as the system's settings.

        Raises:
            InputError: An unknown key, with the nearest valid one, or a value that it cannot have.
        """
        for key in config.options:
            if key not in self.options.model_fields:
                known = list(self.options.model_fields)
                if not known:
                    raise InputError(f"model.options: {config.system} has none, found {key!r}; leave it out.")
                raise unknown_name(f"option of {config.system} (model.options)", key, known)
        try:
            return self.options.model_validate(dict(config.options))
        except ValidationError as error:
            lines = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise InputError(f"model.options of {config.system}: {lines}") from None


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def declared(name: str, found: Any, **facts: Any) -> System:
    """A user's class or declaration as a row of the table.

    Args:
        name: That recipes know it by.
        found: A `System`, or a class derived from `Network`.
        facts: Further fields of `System`, where a class is given.

    Raises:
        InputError: Neither of them, a field that `System` does not have, or a name that cannot stand in a recipe.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"Expected a name of letters, digits, - and _ for a system, found {name!r}.")
    if isinstance(found, System):
        return replace(found, **facts) if facts else found
    if not (isinstance(found, type) and issubclass(found, Network)):
        what = found.__name__ if isinstance(found, type) else type(found).__name__
        raise InputError(
            f"Expected a class derived from limssr's Network or ComparisonSystem, or a System, for {name!r}, found "
            f"{what}: docs/own-system.md shows one."
        )
    takes_options = len(inspect.signature(found.__init__).parameters) > 4  # self, config, modalities, criteria

    def build(
        config: ModelConfig, modalities: tuple[Modality, ...], criteria: tuple[Criterion, ...], options: Any
    ) -> Network:
        return found(config, modalities, criteria, *((options,) if takes_options else ()))

    known = {item.name for item in fields(System)}
    for key in facts:
        if key not in known:
            raise unknown_name("field of System", key, sorted(known))
    first_line = (inspect.getdoc(found) or name).splitlines()[0].rstrip(".")
    given: dict[str, Any] = {
        "title": name,
        "source": f"brought by the user ({found.__module__})",
        "summary": first_line,
        "family": "own",
        "builder": build,
        "stages": found.stages,
        "checked": "by its owner",
    }
    return System(**{**given, **facts})
