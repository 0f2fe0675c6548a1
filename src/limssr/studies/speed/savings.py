"""What each saving is worth: ours against ours with that one saving switched off, in turns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn import functional

from limssr.core.types import Batch
from limssr.model.heads.paper import HeadInput
from limssr.studies.speed.implementations import OurImplementation
from limssr.studies.speed.setup import BenchmarkOptions, Setting, build_ours, prepare
from limssr.studies.speed.workloads import WorkloadName


@dataclass(frozen=True, kw_only=True)
class Saving:
    """One thing that ours does not do.

    Attributes:
        name: For scripts.
        title: For people.
        works: Where it matters.
        settings: Changes of the recipe that switch it off.
        spoil: What else to do to a side to switch it off.
        compared_with: Changes of the recipe on the side that has the saving.
    """

    name: str
    title: str
    works: tuple[WorkloadName, ...]
    settings: tuple[str, ...] = ()
    spoil: Callable[[OurImplementation], object] | None = None
    compared_with: tuple[str, ...] = ()


def compute_logits(side: OurImplementation) -> None:
    """Make a model compute the vocabulary logits of all its hidden states, as the published one does."""
    table_VH = side.setting.backbone.table_VH.to(side.setting.device)

    def throw_away(_: nn.Module, arguments: tuple[HeadInput, ...]) -> None:
        functional.linear(arguments[0].hidden_BLH.to(table_VH.dtype), table_VH)

    side.model.head.register_forward_pre_hook(throw_away)


def keep_states(side: OurImplementation) -> None:
    """Make a model ask for the hidden states of every layer, as the published one does."""

    def ask(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return arguments, named | {"output_hidden_states": True}

    side.model.backbone.register_forward_pre_hook(ask, with_kwargs=True)


def forget_prompts(side: OurImplementation) -> None:
    """Make a model read its prompts anew for every batch."""
    side.model.reader.keeps_prompts = False


def update_one_by_one(side: OurImplementation) -> None:
    """Make a side update tensor by tensor."""
    side.optimizer = "plain"


SAVINGS = (
    Saving(name="headless", title="headless backbone", works=("step", "score"), spoil=compute_logits),
    Saving(name="states", title="last hidden states alone", works=("step", "score"), spoil=keep_states),
    Saving(name="used-rows", title="used rows", works=("step",), settings=("model.train_embeddings=all",)),
    Saving(name="fused", title="fused optimizer", works=("step",), spoil=update_one_by_one),
    Saving(
        name="packed",
        title="packed reading",
        works=("step", "score", "epoch"),
        settings=("model.backbone.reading=padded",),
    ),
    Saving(name="kept-prompts", title="kept prompts", works=("score-one", "score"), spoil=forget_prompts),
    Saving(
        name="length",
        title="batches by length (padded)",
        works=("epoch",),
        settings=("model.backbone.reading=padded", "train.batches=random"),
        compared_with=("model.backbone.reading=padded", "train.batches=length"),
    ),
)


def side_with(setting: Setting, saving: Saving) -> OurImplementation:
    """Our side as `saving` is compared with it."""
    return _side(setting.options, saving.compared_with, None)


def side_without(setting: Setting, saving: Saving) -> OurImplementation:
    """Our side, the same weights, with one saving switched off."""
    return _side(setting.options, saving.settings, saving.spoil)


def _side(
    options: BenchmarkOptions, settings: tuple[str, ...], spoil: Callable[[OurImplementation], object] | None
) -> OurImplementation:
    setting = prepare(replace(options, settings=(*options.settings, *settings)))
    side = OurImplementation(setting, build_ours(setting))
    if spoil is not None:
        spoil(side)
    return side


def apart(first: OurImplementation, second: OurImplementation, batch: Batch) -> float:
    """Largest difference of the unit scores of both sides."""
    return float((first.score(batch) - second.score(batch)).abs().max())
