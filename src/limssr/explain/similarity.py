"""How much of one representation stands in another: similarity of inferred to true streams, and what can be read back.

Each number comes with a floor to compare it with: the same number where the pairs of samples are shuffled, and for
recovery also the same reading from what the model was shown. Above these floors something was inferred that was neither
chance nor a copy.
"""

from dataclasses import dataclass

import numpy as np

from limssr.core.errors import InputError

PENALTIES = tuple(10.0**power for power in range(-3, 6))


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How well targets are read from states by ridge regression, on groups that were left out of the fit.

    Attributes:
        r2: Share of the targets' variance that is explained, averaged over the D targets; at or below 0: nothing.
        r2_F: The same for each of the F folds.
        num_samples: N.
        missed_ND: Squared error of each sample and target, when its group was left out.
        spread_ND: What the error would be of the mean of the samples of the fit.
    """

    r2: float
    r2_F: np.ndarray
    num_samples: int
    missed_ND: np.ndarray
    spread_ND: np.ndarray

    def of(self, rows: np.ndarray) -> float:
        """The share that is explained among some of the samples."""
        return _explained(self.missed_ND[rows], self.spread_ND[rows])


def linear_cka(first_ND: np.ndarray, second_NE: np.ndarray) -> float:
    """Linear centred kernel alignment of two representations of the same N samples (Kornblith et al. 2019, eq. 3.3).

    Args:
        first_ND: One representation.
        second_NE: The other; its width may differ.

    Returns:
        0 (nothing in common) to 1 (the same up to rotation and scale); NaN where one of them is constant.

    Raises:
        InputError: Different numbers of samples.
    """
    _check_pairs(first_ND, second_NE)
    x, y = first_ND - first_ND.mean(axis=0), second_NE - second_NE.mean(axis=0)
    shared = np.linalg.norm(x.T @ y) ** 2
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(shared / scale) if scale > 0 else float("nan")


def mean_cosine(first_ND: np.ndarray, second_ND: np.ndarray) -> float:
    """The mean cosine of the angles between paired rows; rows without length are left out.

    Raises:
        InputError: Different shapes.
    """
    if first_ND.shape != second_ND.shape:
        raise InputError(f"Expected two arrays of one shape, found {first_ND.shape} and {second_ND.shape}.")
    lengths_N = np.linalg.norm(first_ND, axis=1) * np.linalg.norm(second_ND, axis=1)
    there_N = lengths_N > 0
    if not there_N.any():
        return float("nan")
    return float(((first_ND * second_ND).sum(axis=1)[there_N] / lengths_N[there_N]).mean())


def shuffled(values_ND: np.ndarray, seed: int) -> np.ndarray:
    """The rows in an order in which none stays in its place, for the floor of pairs that do not belong together.

    Raises:
        InputError: Fewer than 2 rows.
    """
    num = len(values_ND)
    if num < 2:
        raise InputError(f"Expected at least 2 samples to shuffle, found {num}.")
    order_N = np.random.default_rng(seed).permutation(num)
    moved_ND = np.empty_like(values_ND)
    moved_ND[order_N] = values_ND[np.roll(order_N, 1)]  # each takes the place of the next one in a random ring
    return moved_ND


def recovery(states_NH: np.ndarray, targets_ND: np.ndarray, group_N: np.ndarray, *, num_folds: int = 5) -> Recovery:
    """Read targets from states by ridge regression, whole groups left out in turn.

    States are standardised on the samples of the fit; the penalty is chosen there too, by leaving one sample out.

    Args:
        states_NH: What is read from.
        targets_ND: What is to be read, as the moments of a stream that was withheld. Constant columns are left out.
        group_N: Group of each sample; groups are never split.
        num_folds: Folds, at most one a group.

    Raises:
        InputError: Fewer than two groups, different numbers of samples, or no target that varies.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    _check_pairs(states_NH, targets_ND)
    num_groups = len(np.unique(group_N))
    if num_groups < 2:
        raise InputError(f"Expected at least 2 groups to leave one out, found {num_groups}: use more samples.")
    targets_ND = targets_ND[:, targets_ND.std(axis=0) > 0]
    if not targets_ND.shape[1]:
        raise InputError("Expected a target that varies, found only constants: there is nothing to read.")
    folds = GroupKFold(min(num_folds, num_groups)).split(states_NH, groups=group_N)
    missed_ND, spread_ND, per_fold = np.empty_like(targets_ND), np.empty_like(targets_ND), []
    for fit, held in folds:
        scale, centre_D = StandardScaler().fit(states_NH[fit]), targets_ND[fit].mean(axis=0)
        model = RidgeCV(PENALTIES).fit(scale.transform(states_NH[fit]), targets_ND[fit])
        read_ND = model.predict(scale.transform(states_NH[held])).reshape(len(held), -1)
        missed_ND[held], spread_ND[held] = (targets_ND[held] - read_ND) ** 2, (targets_ND[held] - centre_D) ** 2
        per_fold.append(_explained(missed_ND[held], spread_ND[held]))
    return Recovery(
        r2=_explained(missed_ND, spread_ND),
        r2_F=np.array(per_fold),
        num_samples=len(states_NH),
        missed_ND=missed_ND,
        spread_ND=spread_ND,
    )


def _explained(missed_ND: np.ndarray, spread_ND: np.ndarray) -> float:
    total_D = spread_ND.sum(axis=0)
    there_D = total_D > 0
    return float((1.0 - missed_ND.sum(axis=0)[there_D] / total_D[there_D]).mean()) if there_D.any() else float("nan")


def _check_pairs(first: np.ndarray, second: np.ndarray) -> None:
    if len(first) != len(second):
        raise InputError(f"Expected two representations of the same samples, found {len(first)} and {len(second)}.")
