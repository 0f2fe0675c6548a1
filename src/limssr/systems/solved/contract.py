"""What solved networks have in common: measuring solves them, forward scores, buffers hold everything."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality, Sample, ScoreOutput
from limssr.nn.contract import Network
from limssr.nn.relations import pairs_from_text
from limssr.systems.solved.evidence import Evidence, Rows, under_subsets


class SolvedNetwork(Network):
    """A network without trained parameters: `calibrate` learns all there is to learn.

    Args:
        config: `options` are used: dilations ("1,2" for random convolutions, "" for moments alone), seed of theirs,
            pairs of streams ("0-1" sets the first against the second).
        modalities: The M streams, in order.
        criteria: The C criteria.
    """

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__(config, modalities, criteria)
        dilations = [int(one) for one in str(config.options.get("dilations") or "").split(",") if one]
        pairs = pairs_from_text(str(config.options.get("pairs") or ""), self.modalities)
        seed = int(config.options.get("seed") or 0)
        self.evidence = Evidence(self.modalities, dilations=dilations, seed=seed, pairs=pairs)
        self.register_buffer("mean_C", torch.full((len(self.criteria),), 0.5))
        self.register_buffer("deviation_C", torch.ones(len(self.criteria)))

    def measure(self, samples: Sequence[Sample]) -> None:
        """Learn from judged samples, and from nothing but what they own; NaN where a criterion was not judged."""
        scores_NC = np.stack([np.asarray(sample.scores, dtype=np.float64) for sample in samples])
        unit_NC = np.stack([one.to_unit(scores_NC[:, c]) for c, one in enumerate(self.criteria)], axis=1)
        judged_NC = ~np.isnan(unit_NC)
        count_C = np.maximum(judged_NC.sum(axis=0), 1)
        mean_C = np.where(judged_NC.any(axis=0), np.nansum(unit_NC, axis=0) / count_C, 0.5)
        centred_NC = unit_NC - mean_C
        deviation_C = np.sqrt(np.nansum(np.square(centred_NC), axis=0) / count_C)
        deviation_C[deviation_C < 1e-9] = 1.0
        self.get_buffer("mean_C").copy_(torch.from_numpy(mean_C))
        self.get_buffer("deviation_C").copy_(torch.from_numpy(deviation_C))
        self.learn(samples, centred_NC / deviation_C)

    @abstractmethod
    def learn(self, samples: Sequence[Sample], targets_NC: np.ndarray) -> None:
        """Solve for targets in training deviations, NaN where a criterion was not judged."""

    @abstractmethod
    def read(self, values_BF: Tensor) -> Tensor:
        """Evidence [B, F] -> [B, C] in training deviations from the training mean."""

    def forward(self, batch: Batch) -> ScoreOutput:
        """Score a batch."""
        return ScoreOutput(unit_scores_BC=self._unit_scores(self.evidence(batch)))

    @torch.no_grad()
    def score_subsets(self, samples: Sequence[Sample], subsets: Sequence[tuple[int, tuple[str, ...]]]) -> np.ndarray:
        """Scores [R, C] of (place of a sample, its streams), as a scorer gives them; every sample is read once.

        Args:
            samples: N.
            subsets: R pairs; the streams are owned by the sample.
        """
        names = [modality.name for modality in self.modalities]
        rows = Rows(
            sample_R=np.array([n for n, _ in subsets], dtype=int),
            owned_RM=np.array([[name in streams for name in names] for _, streams in subsets]).reshape(-1, len(names)),
            weight_R=np.ones(len(subsets)),
        )
        values_RF = under_subsets(self.evidence.read(samples), rows, self.evidence)
        unit_RC = self._unit_scores(torch.from_numpy(values_RF)).double().numpy().clip(0.0, 1.0)
        return np.stack([one.to_score(unit_RC[:, column]) for column, one in enumerate(self.criteria)], axis=1)

    def _unit_scores(self, values_BF: Tensor) -> Tensor:
        return self.get_buffer("mean_C") + self.get_buffer("deviation_C") * self.read(values_BF)

    def make_room(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Buffers of the saved shapes: how many numbers there are depends on what was learned."""
        for name, buffer in list(self.named_buffers(recurse=False)):
            if name in shapes:
                self.register_buffer(name, buffer.new_zeros(tuple(shapes[name])))


class Constant(SolvedNetwork):
    """The mean of the training scores, whatever a sample shows: what every other model has to beat."""

    def learn(self, samples: Sequence[Sample], targets_NC: np.ndarray) -> None:
        """Nothing beyond the mean."""

    def read(self, values_BF: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros(len(values_BF), len(self.criteria), device=values_BF.device)
