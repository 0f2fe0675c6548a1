"""Ridge regression on numbers of the streams: linear, or with a Gaussian kernel; one model for every subset.

Each training sample stands once for each subset of what it owns, with the weight of one sample together. On
PercePiano's training samples one model for all subsets is far ahead of one model a subset where all streams are there
(docs/labbook.md).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from limssr.core.config import ModelConfig
from limssr.core.rng import uniform
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.splits import folds_of
from limssr.systems.solved.contract import SolvedNetwork
from limssr.systems.solved.evidence import rows_of, under_subsets

STRENGTHS = np.logspace(-2.5, 2.5, 11)
SHARPNESS = 0.1
MOST_ROWS = 2500
CHOICE_ROWS = 1200
"""Rows that the strength is chosen on, at most: its best value hardly depends on their number, the time on its cube."""
NUM_FOLDS = 4
FOLDS_USED = 3
NEAR_BEST = 1.005
"""The weakest strength whose error is at most so many times the smallest: folds learn from fewer samples than all."""


class KernelRidge(SolvedNetwork):
    """Kernel ridge regression on `Evidence`.

    Options: kernel ("linear" or "gaussian"), dilations ("1,2" for convolutions too, "" for moments alone).

    The strength is chosen among eleven by folds of whole groups; the Gaussian falls to exp(-0.1) at the median size of
    a sample's numbers. Beyond 2,500 rows a draw of them is used.

    Args:
        config: `options` are used.
        modalities: The M streams, in order.
        criteria: The C criteria.
    """

    def __init__(self, config: ModelConfig, modalities: Sequence[Modality], criteria: Sequence[Criterion]) -> None:
        super().__init__(config, modalities, criteria)
        self.kernel = str(config.options.get("kernel", "gaussian"))
        num_rows = self.evidence.num_outputs if self.kernel == "linear" else 0
        self.register_buffer("size", torch.ones(()))
        self.register_buffer("support_RF", torch.zeros(0, self.evidence.num_outputs))
        self.register_buffer("coefficients_RC", torch.zeros(num_rows, len(self.criteria)))

    def learn(self, samples: Sequence[Sample], targets_NC: np.ndarray) -> None:
        """Choose the strength, then solve on all rows."""
        values_NF = self.evidence.fit(samples)
        names = [modality.name for modality in self.modalities]
        rows = rows_of(samples, names, seed=self.seed, most=MOST_ROWS)
        values_RF = under_subsets(values_NF, rows, self.evidence)
        size = float(np.median(np.square(values_RF).sum(axis=1))) or 1.0
        kernel_RR = self._kernel(torch.from_numpy(values_RF), torch.from_numpy(values_RF), size).double().numpy()
        groups = [samples[n].group or samples[n].id for n in rows.sample_R]
        coefficients_RC = solve_rows(kernel_RR, targets_NC[rows.sample_R], rows.weight_R, groups)
        self.get_buffer("size").fill_(size)
        found = torch.from_numpy(coefficients_RC)
        if self.kernel == "linear":
            self.coefficients_RC = (torch.from_numpy(values_RF).double().T @ found / size).float()
        else:
            self.support_RF, self.coefficients_RC = torch.from_numpy(values_RF), found.float()

    def read(self, values_BF: Tensor) -> Tensor:
        """[B, F] -> [B, C]."""
        if self.kernel == "linear":
            return values_BF @ self.get_buffer("coefficients_RC")
        size = float(self.get_buffer("size"))
        return self._kernel(values_BF, self.get_buffer("support_RF"), size) @ self.get_buffer("coefficients_RC")

    def _kernel(self, left_AF: Tensor, right_BF: Tensor, size: float) -> Tensor:
        products_AB = left_AF @ right_BF.T
        if self.kernel == "linear":
            return products_AB / size
        squares_AB = left_AF.square().sum(dim=1)[:, None] + right_BF.square().sum(dim=1) - 2.0 * products_AB
        return torch.exp(-SHARPNESS * squares_AB.clamp(min=0.0) / size)


def solve_rows(
    kernel_RR: np.ndarray, targets_RC: np.ndarray, weight_R: np.ndarray, groups: Sequence[str]
) -> np.ndarray:
    """Dual coefficients [R, C] of weighted kernel ridge regression; criteria judged on the same rows go together.

    Args:
        kernel_RR: Of the rows.
        targets_RC: NaN where not judged.
        weight_R: Of each row.
        groups: Of each row; rows of a group stay together where the strength is chosen.
    """
    coefficients_RC = np.zeros(targets_RC.shape)
    judged_RC = ~np.isnan(targets_RC)
    patterns, of_C = np.unique(judged_RC, axis=1, return_inverse=True)
    for pattern in range(patterns.shape[1]):
        rows = np.flatnonzero(patterns[:, pattern])
        columns = np.flatnonzero(of_C.ravel() == pattern)
        if len(rows) < 3:
            continue
        root_R = np.sqrt(weight_R[rows])
        scaled_RR = kernel_RR[np.ix_(rows, rows)] * root_R[:, None] * root_R
        scaled_RC = targets_RC[np.ix_(rows, columns)] * root_R[:, None]
        own = [groups[row] for row in rows.tolist()]
        some = _some_groups(own)
        strength = _choose_strength(scaled_RR[np.ix_(some, some)], scaled_RC[some], [own[row] for row in some.tolist()])
        scaled_RR[np.diag_indices_from(scaled_RR)] += strength
        coefficients_RC[np.ix_(rows, columns)] = root_R[:, None] * linalg.solve(scaled_RR, scaled_RC, assume_a="pos")
    return coefficients_RC


def _some_groups(groups: Sequence[str]) -> np.ndarray:
    """Rows of whole groups, about so many as the strength is chosen on; all where there are few."""
    sizes = Counter(groups)
    kept, count = set(), 0
    for name in sorted(sizes, key=lambda name: uniform("strength", name)):
        if count and count + sizes[name] > CHOICE_ROWS:
            continue
        kept.add(name)
        count += sizes[name]
    return (
        np.array([row for row, name in enumerate(groups) if name in kept]) if len(kept) > 3 else np.arange(len(groups))
    )


def _choose_strength(scaled_RR: np.ndarray, scaled_RC: np.ndarray, groups: Sequence[str]) -> float:
    num_folds = min(NUM_FOLDS, len(set(groups)))
    if num_folds < 2:
        return 1.0
    fold_of = folds_of(groups, num_folds, seed=0)
    fold_R = np.array([fold_of[group] for group in groups])
    errors: Any = np.zeros(len(STRENGTHS))
    for fold in range(min(FOLDS_USED, num_folds)):
        seen, held = fold_R != fold, fold_R == fold
        values_S, vectors_SS = np.linalg.eigh(scaled_RR[np.ix_(seen, seen)])
        turned_SC = vectors_SS.T @ scaled_RC[seen]
        read_HS = scaled_RR[np.ix_(held, seen)] @ vectors_SS
        for place, strength in enumerate(STRENGTHS):
            predicted_HC = read_HS @ (turned_SC / (values_S + strength)[:, None])
            errors[place] += np.square(scaled_RC[held] - predicted_HC).sum()
    return float(STRENGTHS[int(np.argmax(np.asarray(errors) <= NEAR_BEST * np.min(errors)))])
