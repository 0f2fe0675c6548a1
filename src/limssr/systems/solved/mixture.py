"""A weighted sum of networks, with weights of its own for every set of streams that was judged."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.contract import Network

MIXTURE = "mixture"
"""`model.system` in its config.json."""


class Mixture(Network):
    """mean + sum over members of weight x (member's score - mean); members are networks of any kind.

    Where a member cannot score a sample its weight goes to the others, in proportion.

    Args:
        config: Of the mixture.
        modalities: The M streams, in order.
        criteria: The C criteria.
        members: Name -> network with the same streams and criteria; they are saved in folders of their own.
    """

    def __init__(
        self,
        config: ModelConfig,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        members: Mapping[str, Network],
    ) -> None:
        super().__init__(config, modalities, criteria)
        self.members = dict(members)  # not a ModuleDict: their tensors are not the mixture's
        self.register_buffer("mean_C", torch.full((len(self.criteria),), 0.5))
        self.register_buffer("weights_E", torch.full((len(members),), 1.0 / max(1, len(members))))
        self.register_buffer("patterns_PM", torch.zeros(0, len(self.modalities), dtype=torch.bool))
        self.register_buffer("weights_PE", torch.zeros(0, len(members)))

    def forget(self) -> None:
        """So do the members."""
        for member in self.members.values():
            member.forget()

    def set_mean(self, mean_C: np.ndarray) -> None:
        """The unit scores that members are deviations from."""
        self.mean_C = torch.from_numpy(np.asarray(mean_C)).float()

    def set_weights(self, common: Sequence[float], patterns: Mapping[tuple[str, ...], Sequence[float]]) -> None:
        """Weights in the order of the members: for any sample, and for samples that hold exactly these streams."""
        names = [modality.name for modality in self.modalities]
        self.weights_E = torch.tensor(list(common), dtype=torch.float32)
        shape = (len(patterns), len(names))
        self.patterns_PM = torch.tensor([[n in one for n in names] for one in patterns], dtype=torch.bool).reshape(
            shape
        )
        own = torch.tensor([list(one) for one in patterns.values()], dtype=torch.float32)
        self.weights_PE = own.reshape(len(patterns), len(self.members))

    def weights_of(self, present_BM: Tensor) -> Tensor:
        """[B, M] -> [B, E]."""
        weights_BE = self.get_buffer("weights_E").expand(len(present_BM), -1)
        patterns_PM = self.get_buffer("patterns_PM")
        if not len(patterns_PM):
            return weights_BE
        same_BP = (present_BM[:, None] == patterns_PM).all(dim=2)
        own_BE = self.get_buffer("weights_PE")[same_BP.int().argmax(dim=1)]
        return torch.where(same_BP.any(dim=1, keepdim=True), own_BE, weights_BE)

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch: the members that have a weight, then their sum."""
        weights_BE = self.weights_of(batch.present_BM)
        mean_C = self.get_buffer("mean_C")
        total_BC = torch.zeros(len(batch), len(self.criteria), device=mean_C.device)
        used_B1 = torch.zeros(len(batch), 1, device=mean_C.device)
        for place, member in enumerate(self.members.values()):
            weight_B1 = weights_BE[:, place, None]
            if not weight_B1.any():
                continue
            output: ScoreOutput = member(batch)
            scored_B1 = torch.ones_like(weight_B1, dtype=torch.bool)
            if output.scored_B is not None:
                scored_B1 = output.scored_B[:, None]
            deviation_BC = (output.unit_scores_BC - mean_C).masked_fill(~scored_B1, 0.0)
            total_BC = total_BC + weight_B1 * deviation_BC
            used_B1 = used_B1 + weight_B1 * scored_B1
        wanted_B1 = weights_BE.sum(dim=1, keepdim=True)
        return ScoreOutput(unit_scores_BC=mean_C + total_BC * wanted_B1 / used_B1.clamp(min=1e-6))

    def without(self, names: Sequence[str]) -> "Mixture":
        """The same, less some members, whose weight goes to the others in proportion."""
        kept = [n for n, name in enumerate(self.members) if name not in names]
        members = {name: one for name, one in self.members.items() if name not in names}
        found = Mixture(self.config, self.modalities, self.criteria, members)
        found.leave_unseen(self.unseen)
        found.remember_seed(self.seed)
        found.mean_C = self.get_buffer("mean_C")
        found.patterns_PM = self.get_buffer("patterns_PM")
        for name in ("weights_E", "weights_PE"):
            before = self.get_buffer(name)
            after = before[..., kept]
            whole = before.sum(dim=-1, keepdim=True) / after.sum(dim=-1, keepdim=True).clamp(min=1e-6)
            setattr(found, name, after * whole)
        return found

    def measure(self, samples: Sequence[Sample]) -> None:
        """Nothing: its members were measured before they were put together."""

    def make_room(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Buffers of the saved shapes: there are as many patterns as were judged."""
        for name, buffer in list(self.named_buffers(recurse=False)):
            if name in shapes:
                self.register_buffer(name, buffer.new_zeros(tuple(shapes[name])))

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """The reason of a member, where none can score."""
        reasons = [member.why_no_prediction(streams) for member in self.members.values()]
        return reasons[0] if reasons and all(reasons) else None

    def train(self, mode: bool = True) -> Self:
        """As in torch, members included."""
        for member in self.members.values():
            member.train(mode)
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        for member in self.members.values():
            member._apply(fn)
        return super()._apply(fn, recurse)
