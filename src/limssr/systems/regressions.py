"""Regressions on pooled statistics of the streams: ridge and trees, as references.

A stream becomes mean, standard deviation, minimum and maximum over its valid segments, dimension by dimension: 4 D
numbers that do not know about time. Ridge regression, extremely randomised trees or boosted trees read them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import subsets
from limssr.systems.references import Kind, Strategy

MIN_TRAINING_SAMPLES = 10
"""Below this a model is not fitted and its predictions are NaN, with the reason."""


RIDGE_ALPHAS = np.logspace(-1, 5, 13)


NUM_TREES = 300


MAX_FEATURES = 1 / 3


NUM_FOLDS = 5


NUM_ROUNDS = 200


LEARNING_RATE = 0.03


MAX_LEAVES = 4


MIN_SAMPLES_LEAF = 5


L2_REGULARIZATION = 1.0


class PooledRegressor:
    """Ridge, extra-trees or gradient boosting on pooled statistics, for incomplete samples; a `Scorer`.

    Extra-trees: 300 trees, a third of the features tried at each split, otherwise scikit-learn's defaults. Gradient
    boosting: one model a criterion, 200 trees of at most 4 leaves with 5 samples or more, learning rate 0.03, L2
    regularisation 1, a third of the features tried at each split, chosen among eight settings on the validation samples
    of PercePiano; no early stopping, which would need samples. Ridge: standardised features, its strength chosen among
    13 from 0.1 to 100,000 by 5-fold cross-validation that keeps groups (and all copies of a sample) together, by
    leave-one-out where there are no groups and no copies. Criteria are standardised before the fit; those judged on the
    same samples share one model, others get their own.

    Args:
        kind: The regression.
        strategy: per_subset: one model a subset of streams, trained on the samples that own all of it. impute: one
            model; an absent stream is filled with the training mean and flagged. repeat: the same, and each training
            sample stands once for every non-empty subset of what it owns.
        modalities: The M streams, in order.
        criteria: The C criteria.
        seed: Of the trees.
        num_jobs: Processes of extra-trees; -1: all cores. The result does not depend on it.
    """

    def __init__(
        self,
        kind: Kind,
        strategy: Strategy,
        *,
        modalities: Sequence[Modality],
        criteria: Sequence[Criterion],
        seed: int = 0,
        num_jobs: int = -1,
    ) -> None:
        self.kind = kind
        self.strategy = strategy
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        self.seed = seed
        self.num_jobs = num_jobs
        self.training_means: dict[str, np.ndarray] = {}
        self._models: dict[tuple[str, ...], _Model] = {}
        self._gaps: dict[tuple[str, ...], str] = {}
        self._unseen: frozenset[str] = frozenset()

    def fit(self, train_samples: Sequence[Sample]) -> "PooledRegressor":
        """Train on what the samples own, and on nothing else.

        Args:
            train_samples: N judged samples, NaN where a criterion was not judged.

        Raises:
            InputError: No samples.
        """
        if not train_samples:
            raise InputError("Expected training samples, found none; choose a split that is not empty.")
        self._models, self._gaps, self._unseen = {}, {}, frozenset()
        table = [self._pool(sample) for sample in train_samples]
        self._unseen = frozenset(one.name for one in self.modalities).difference(*table)
        for modality in self.modalities:
            owned = [row[modality.name] for row in table if modality.name in row]
            empty = np.zeros(4 * modality.dim)
            self.training_means[modality.name] = np.mean(owned, axis=0) if owned else empty
        every = subsets([modality.name for modality in self.modalities])
        if self.strategy == "per_subset":
            for streams in every:
                rows = [(n, streams) for n, row in enumerate(table) if set(streams) <= set(row)]
                self._fit_one(streams, table, train_samples, rows)
            return self
        rows = [(n, self._owned(row)) for n, row in enumerate(table)]
        if self.strategy == "repeat":
            rows = [(n, streams) for n, owned in rows for streams in subsets(owned)]
        self._fit_one(every[-1], table, train_samples, [(n, streams) for n, streams in rows if streams])
        return self

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] in the data set's unit; NaN where there is no model (see `why_no_prediction`).

        Streams that no training sample owned are left out: nothing was learned of them.
        """
        if not self.training_means:
            raise InputError("Expected a fitted model, found one without training; call fit first.")
        prediction_NC = np.full((len(samples), len(self.criteria)), np.nan)
        table = [self._pool(sample) for sample in samples]
        rows_of: dict[tuple[str, ...], list[int]] = {}
        for n, row in enumerate(table):
            rows_of.setdefault(self._owned(row), []).append(n)
        for streams, rows in rows_of.items():
            model = self._models.get(self._key(streams)) if streams else None
            if model is not None:
                features = np.stack([self._features(table[n], streams) for n in rows])
                prediction_NC[rows] = model.predict(features)
        return prediction_NC

    @property
    def unseen(self) -> tuple[str, ...]:
        """Streams that no training sample owned: `score` leaves them out."""
        return tuple(modality.name for modality in self.modalities if modality.name in self._unseen)

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Why `score` returns NaN for samples that hold exactly `streams`; None where it does not."""
        known = tuple(name for name in streams if name not in self._unseen)
        return self._gaps.get(self._key(known)) if known else f"no training sample owns {' or '.join(streams)}"

    def _key(self, streams: tuple[str, ...]) -> tuple[str, ...]:
        every = tuple(modality.name for modality in self.modalities)
        return tuple(name for name in every if name in streams) if self.strategy == "per_subset" else every

    def _owned(self, row: dict[str, np.ndarray]) -> tuple[str, ...]:
        return tuple(modality.name for modality in self.modalities if modality.name in row)

    def _pool(self, sample: Sample) -> dict[str, np.ndarray]:
        pooled = {}
        for modality in self.modalities:
            if modality.name in self._unseen:
                continue
            stream_TD = sample.streams.get(modality.name)
            if stream_TD is not None and not np.isnan(stream_TD).all():
                pooled[modality.name] = pool_statistics(stream_TD)
        return pooled

    def _features(self, row: dict[str, np.ndarray], streams: tuple[str, ...]) -> np.ndarray:
        if self.strategy == "per_subset":
            return np.concatenate([row[name] for name in streams])
        names = [modality.name for modality in self.modalities]
        flags = np.array([float(name in streams) for name in names])
        return np.concatenate([*(row[name] if name in streams else self.training_means[name] for name in names), flags])

    def _fit_one(
        self,
        key: tuple[str, ...],
        table: Sequence[dict[str, np.ndarray]],
        samples: Sequence[Sample],
        rows: Sequence[tuple[int, tuple[str, ...]]],
    ) -> None:
        num_samples = len({n for n, _ in rows})
        if num_samples < MIN_TRAINING_SAMPLES:
            self._gaps[key] = (
                f"{num_samples} training samples own these streams, at least {MIN_TRAINING_SAMPLES} needed"
            )
            return
        features = np.stack([self._features(table[n], streams) for n, streams in rows])
        scores_NC = np.stack([np.asarray(samples[n].scores, dtype=np.float64) for n, _ in rows])
        # Copies of a sample are a group of their own where the data set names none.
        has_groups = any(sample.group for sample in samples) or len(rows) > num_samples
        groups = np.array([samples[n].group or samples[n].id for n, _ in rows]) if has_groups else None
        self._models[key] = _Model(self._new_regression, features, scores_NC, groups)

    def _new_regression(self, num_rows: int, groups: np.ndarray | None) -> Any:
        if self.kind == "extra_trees":
            return ExtraTreesRegressor(
                n_estimators=NUM_TREES, max_features=MAX_FEATURES, random_state=self.seed, n_jobs=self.num_jobs
            )
        if self.kind == "gradient_boosting":
            return _OneEach(self.seed)
        num_groups = 0 if groups is None else len(np.unique(groups))
        if groups is None or num_groups < 2:
            return make_pipeline(StandardScaler(), RidgeCV(RIDGE_ALPHAS))
        folds = GroupKFold(min(NUM_FOLDS, num_groups)).split(np.zeros(num_rows), groups=groups)
        return make_pipeline(StandardScaler(), RidgeCV(RIDGE_ALPHAS, cv=list(folds), scoring="neg_mean_squared_error"))


def pool_statistics(stream_TD: np.ndarray) -> np.ndarray:
    """[T, D] -> [4 D] float64: mean, standard deviation, minimum, maximum over the valid segments."""
    valid_TD = stream_TD[~np.isnan(stream_TD).any(axis=1)].astype(np.float64)
    return np.concatenate([valid_TD.mean(axis=0), valid_TD.std(axis=0), valid_TD.min(axis=0), valid_TD.max(axis=0)])


class _OneEach:
    """Gradient boosting with a model of its own for every target."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.models: list[HistGradientBoostingRegressor] = []

    def fit(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Features [N, F], targets [N] or [N, C]."""
        for target_N in targets.reshape(len(features), -1).T:
            model = HistGradientBoostingRegressor(
                max_iter=NUM_ROUNDS,
                learning_rate=LEARNING_RATE,
                max_leaf_nodes=MAX_LEAVES,
                min_samples_leaf=MIN_SAMPLES_LEAF,
                l2_regularization=L2_REGULARIZATION,
                max_features=MAX_FEATURES,
                early_stopping=False,  # pyright: ignore[reportArgumentType] - its default is a word
                random_state=self.seed,
            )
            self.models.append(model.fit(features, target_N))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]."""
        return np.stack([model.predict(features) for model in self.models], axis=1)


class _Model:
    """One regression for each set of criteria that were judged on the same rows."""

    def __init__(
        self, new_regression: Any, features: np.ndarray, scores_NC: np.ndarray, groups: np.ndarray | None
    ) -> None:
        judged_NC = ~np.isnan(scores_NC)
        self.num_criteria = scores_NC.shape[1]
        self.parts: list[tuple[list[int], Any, np.ndarray, np.ndarray]] = []
        patterns, part_of = np.unique(judged_NC, axis=1, return_inverse=True)
        for part in range(patterns.shape[1]):
            rows_N = patterns[:, part]
            columns = np.flatnonzero(part_of.ravel() == part).tolist()
            if rows_N.sum() < MIN_TRAINING_SAMPLES:
                continue
            targets = scores_NC[rows_N][:, columns]
            mean_C, deviation_C = targets.mean(axis=0), targets.std(axis=0)
            deviation_C[deviation_C == 0] = 1.0
            scaled = (targets - mean_C) / deviation_C
            regression = new_regression(int(rows_N.sum()), None if groups is None else groups[rows_N])
            regression.fit(features[rows_N], scaled[:, 0] if len(columns) == 1 else scaled)
            self.parts.append((columns, regression, mean_C, deviation_C))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]; NaN for criteria that too few samples were judged on."""
        prediction_NC = np.full((len(features), self.num_criteria), np.nan)
        for columns, regression, mean_C, deviation_C in self.parts:
            scaled = regression.predict(features).reshape(len(features), len(columns))
            prediction_NC[:, columns] = scaled * deviation_C + mean_C
        return prediction_NC
