"""Extremely randomised trees on moments, as tensors: grown by scikit-learn, saved without a pickle, read by torch."""

from collections.abc import Sequence

import numpy as np
import sklearn
import torch
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.systems.solved.contract import SolvedNetwork
from limssr.systems.solved.evidence import rows_of, under_subsets

NUM_TREES = 150
MAX_FEATURES = 1 / 3
MIN_LEAF_WEIGHT = 2.0
MOST_ROWS = 6000


class Forest(SolvedNetwork):
    """Extra-trees on `Evidence` without convolutions, each sample repeated for the subsets of what it owns.

    A leaf holds the weight of two samples or more. Criteria that were not judged count as the mean.

    Args:
        config: Nothing of it is used.
        modalities: The M streams, in order.
        criteria: The C criteria.
    """

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__(config, modalities, criteria)
        for name in ("roots", "feature", "left", "right"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("value_NC", torch.zeros(1, len(self.criteria)))

    def learn(self, samples: Sequence[Sample], targets_NC: np.ndarray) -> None:
        """Grow the trees."""
        values_NF = self.evidence.fit(samples)
        rows = rows_of(samples, [one.name for one in self.modalities], seed=self.seed, most=MOST_ROWS)
        values_RF = under_subsets(values_NF, rows, self.evidence)
        share = min(0.25, MIN_LEAF_WEIGHT / rows.weight_R.sum())
        forest = ExtraTreesRegressor(
            NUM_TREES, max_features=MAX_FEATURES, min_weight_fraction_leaf=share, random_state=self.seed, n_jobs=1
        )
        targets_RC = np.nan_to_num(targets_NC[rows.sample_R])
        with sklearn.config_context(
            skip_parameter_validation=True
        ):  # of each tree anew, longer than growing a small one
            forest.fit(
                values_RF, targets_RC if targets_RC.shape[1] > 1 else targets_RC[:, 0], sample_weight=rows.weight_R
            )
        trees = [one.tree_ for one in forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        self.roots = torch.from_numpy(starts.astype(np.int64))
        self.feature = _joined([np.maximum(tree.feature, 0) for tree in trees])
        is_leaf = [tree.children_left < 0 for tree in trees]
        for name, field in (("left", "children_left"), ("right", "children_right")):
            to = [
                np.where(leaf, np.arange(tree.node_count), getattr(tree, field)) + start
                for tree, leaf, start in zip(trees, is_leaf, starts, strict=True)
            ]
            setattr(self, name, _joined(to))
        self.threshold = torch.from_numpy(np.concatenate([tree.threshold for tree in trees]))
        self.value_NC = torch.from_numpy(np.concatenate([tree.value[:, :, 0] for tree in trees]).astype(np.float32))

    def read(self, values_BF: Tensor) -> Tensor:
        """[B, F] -> [B, C]: every tree is walked from its root until nothing moves any more."""
        values_BF = values_BF.double()
        names = ("roots", "feature", "threshold", "left", "right")
        roots_E, feature_N, threshold_N, left_N, right_N = (self.get_buffer(name) for name in names)
        place_BE = roots_E.expand(len(values_BF), -1)
        while True:
            goes_left_BE = values_BF.gather(1, feature_N[place_BE]) <= threshold_N[place_BE]
            next_BE = torch.where(goes_left_BE, left_N[place_BE], right_N[place_BE])
            if torch.equal(next_BE, place_BE):
                return self.get_buffer("value_NC")[place_BE].mean(dim=1)
            place_BE = next_BE


def _joined(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
