"""Regressions on pooled statistics of the streams: ridge and trees, as references.

A stream becomes mean, standard deviation, minimum and maximum over its valid segments, dimension by dimension: 4 D
numbers that do not know about time. Ridge regression, extremely randomised trees or boosted trees read them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import SubsetRule, chosen_subsets
from limssr.systems.pooled import Forest, Linear, Part, PooledModel
from limssr.systems.references import Kind, Strategy

_Rows = list[tuple[int, tuple[str, ...]]]


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
            sample stands once for every non-empty subset of what it owns. Of many streams, subsets are those that
            `rule` chooses; patterns without a model of their own are read as `PooledModel.key` says.
        modalities: The M streams, in order.
        criteria: The C criteria.
        seed: Of the trees.
        num_jobs: Processes of extra-trees; -1: all cores. The result does not depend on it.
        rule: See `limssr.data.missing.chosen_subsets`.
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
        rule: SubsetRule = "auto",
    ) -> None:
        self.kind = kind
        self.strategy: Strategy = strategy
        self.modalities = tuple(modalities)
        self.criteria = tuple(criteria)
        self.seed = seed
        self.num_jobs = num_jobs
        self.rule: SubsetRule = rule
        self.model: PooledModel | None = None

    def fit(
        self, train_samples: Sequence[Sample], progress: Callable[[int, int], None] | None = None
    ) -> "PooledRegressor":
        """Train on what the samples own, and on nothing else.

        Args:
            train_samples: N judged samples, NaN where a criterion was not judged.
            progress: Called with (models fitted, models in all).

        Raises:
            InputError: No samples.
        """
        if not train_samples:
            raise InputError("Expected training samples, found none; choose a split that is not empty.")
        empty = PooledModel(strategy=self.strategy, modalities=self.modalities, criteria=self.criteria, means={})
        table = [empty.pooled(sample) for sample in train_samples]
        means = {}
        for modality in self.modalities:
            owned = [row[modality.name] for row in table if modality.name in row]
            means[modality.name] = np.mean(owned, axis=0) if owned else np.zeros(4 * modality.dim)
        unseen = frozenset(empty.names).difference(*table)
        model = replace(empty, means=means, unseen=tuple(name for name in empty.names if name in unseen))
        parts: dict[tuple[str, ...], tuple[Part, ...]] = {}
        gaps: dict[tuple[str, ...], str] = {}
        tasks = list(self._tasks(model, table))
        for done, (key, rows) in enumerate(tasks):
            num_samples = len({n for n, _ in rows})
            if num_samples >= MIN_TRAINING_SAMPLES:
                parts[key] = self._fit_one(model, table, train_samples, rows)
            else:
                gaps[key] = f"{num_samples} training samples own these streams, at least {MIN_TRAINING_SAMPLES} needed"
            if progress is not None:
                progress(done + 1, len(tasks))
        self.model = replace(model, parts=parts, gaps=gaps)
        return self

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] in the data set's unit; NaN where there is no model (see `why_no_prediction`).

        Streams that no training sample owned are left out: nothing was learned of them.
        """
        return self._fitted().score(samples)

    @property
    def unseen(self) -> tuple[str, ...]:
        """Streams that no training sample owned: `score` leaves them out."""
        return self._fitted().unseen

    @property
    def training_means(self) -> Mapping[str, np.ndarray]:
        """Stream -> mean of its statistics over the training samples that own it."""
        return self._fitted().means

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Why `score` returns NaN for samples that hold exactly `streams`; None where it does not."""
        return self._fitted().why_no_prediction(streams)

    def _fitted(self) -> PooledModel:
        if self.model is None:
            raise InputError("Expected a fitted model, found one without training; call fit first.")
        return self.model

    def _tasks(
        self, model: PooledModel, table: Sequence[Mapping[str, np.ndarray]]
    ) -> Iterator[tuple[tuple[str, ...], _Rows]]:
        """The regressions to fit: key, and for each row to learn from its sample and the streams that it shows."""
        if self.strategy == "per_subset":
            for streams in chosen_subsets(model.names, self.rule):
                yield streams, [(n, streams) for n, row in enumerate(table) if set(streams) <= set(row)]
            return
        rows = [(n, tuple(row)) for n, row in enumerate(table)]
        if self.strategy == "repeat":
            rows = [(n, streams) for n, owned in rows for streams in self._of(owned)]
        yield model.names, [(n, streams) for n, streams in rows if streams]

    def _of(self, owned: tuple[str, ...]) -> Sequence[tuple[str, ...]]:
        # A number is one of subsets of all M streams; what a sample owns of them may have room for fewer.
        return chosen_subsets(owned, self.rule if self.rule == "all" else "auto") if owned else ()

    def _fit_one(
        self,
        model: PooledModel,
        table: Sequence[Mapping[str, np.ndarray]],
        samples: Sequence[Sample],
        rows: _Rows,
    ) -> tuple[Part, ...]:
        features = np.stack(
            [model.features({name: table[n][name] for name in streams}, streams) for n, streams in rows]
        )
        scores_NC = np.stack([np.asarray(samples[n].scores, dtype=np.float64) for n, _ in rows])
        # Copies of a sample are a group of their own where the data set names none.
        has_groups = any(sample.group for sample in samples) or len(rows) > len({n for n, _ in rows})
        groups = np.array([samples[n].group or samples[n].id for n, _ in rows]) if has_groups else None
        return self._parts(features, scores_NC, groups)

    def _parts(self, features: np.ndarray, scores_NC: np.ndarray, groups: np.ndarray | None) -> tuple[Part, ...]:
        """One regression for each set of criteria that were judged on the same rows."""
        found: list[Part] = []
        patterns, part_of = np.unique(~np.isnan(scores_NC), axis=1, return_inverse=True)
        for part in range(patterns.shape[1]):
            rows_N = patterns[:, part]
            columns = np.flatnonzero(part_of.ravel() == part).tolist()
            if rows_N.sum() < MIN_TRAINING_SAMPLES:
                continue
            targets = scores_NC[rows_N][:, columns]
            mean_C, deviation_C = targets.mean(axis=0), targets.std(axis=0)
            deviation_C[deviation_C == 0] = 1.0
            scaled = (targets - mean_C) / deviation_C
            each = (
                [[at] for at in range(len(columns))]
                if self.kind == "gradient_boosting"
                else [list(range(len(columns)))]
            )
            for chosen in each:
                regression = self._new_regression(int(rows_N.sum()), None if groups is None else groups[rows_N])
                regression.fit(features[rows_N], scaled[:, chosen[0]] if len(chosen) == 1 else scaled)
                predictor = as_arrays(regression, len(chosen))
                at = tuple(columns[one] for one in chosen)
                found.append(
                    Part(columns=at, predictor=predictor, mean_C=mean_C[chosen], deviation_C=deviation_C[chosen])
                )
        return tuple(found)

    def _new_regression(self, num_rows: int, groups: np.ndarray | None) -> Any:
        if self.kind == "extra_trees":
            return ExtraTreesRegressor(
                n_estimators=NUM_TREES, max_features=MAX_FEATURES, random_state=self.seed, n_jobs=self.num_jobs
            )
        if self.kind == "gradient_boosting":
            return HistGradientBoostingRegressor(
                max_iter=NUM_ROUNDS,
                learning_rate=LEARNING_RATE,
                max_leaf_nodes=MAX_LEAVES,
                min_samples_leaf=MIN_SAMPLES_LEAF,
                l2_regularization=L2_REGULARIZATION,
                max_features=MAX_FEATURES,
                early_stopping=False,  # pyright: ignore[reportArgumentType] - its default is a word
                random_state=self.seed,
            )
        num_groups = 0 if groups is None else len(np.unique(groups))
        if groups is None or num_groups < 2:
            return make_pipeline(StandardScaler(), RidgeCV(RIDGE_ALPHAS))
        folds = GroupKFold(min(NUM_FOLDS, num_groups)).split(np.zeros(num_rows), groups=groups)
        return make_pipeline(StandardScaler(), RidgeCV(RIDGE_ALPHAS, cv=list(folds), scoring="neg_mean_squared_error"))


def as_arrays(regression: Any, num_criteria: int) -> Linear | Forest:
    """What scikit-learn has fitted, as the arrays that scoring needs."""
    if isinstance(regression, Pipeline):
        scaler, ridge = (step for _, step in regression.steps)
        return Linear(
            mean_F=np.asarray(scaler.mean_),
            scale_F=np.asarray(scaler.scale_),
            weights_CF=np.asarray(ridge.coef_).reshape(num_criteria, -1),
            offset_C=np.asarray(ridge.intercept_, dtype=float).reshape(num_criteria),
        )
    if isinstance(regression, HistGradientBoostingRegressor):
        trees = [_boosted_tree(one[0].nodes) for one in regression._predictors]
        return _forest(trees, share=1.0, offset_C=np.asarray(regression._baseline_prediction, dtype=float).reshape(1))
    trees = [_grown_tree(one.tree_, num_criteria) for one in regression.estimators_]
    return _forest(trees, share=1 / len(trees), offset_C=np.zeros(num_criteria))


_Tree = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Feature (-1: a leaf), threshold, left, right of each node, and what it says if it is a leaf [nodes, C]."""


def _boosted_tree(nodes: Any) -> _Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(is_leaf, -1, nodes["feature_idx"])
    return feature, nodes["num_threshold"], nodes["left"], nodes["right"], nodes["value"][:, None]


def _grown_tree(tree: Any, num_criteria: int) -> _Tree:
    is_leaf = tree.children_left < 0
    # Features are compared as float32: at most a threshold is then at most the next float32 below it.
    threshold = tree.threshold.astype(np.float32)
    threshold = np.where(threshold > tree.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    feature = np.where(is_leaf, -1, tree.feature)
    return feature, threshold, tree.children_left, tree.children_right, tree.value.reshape(-1, num_criteria)


def _forest(trees: Sequence[_Tree], *, share: float, offset_C: np.ndarray) -> Forest:
    first = np.cumsum([0, *(len(feature) for feature, *_ in trees)])[:-1]
    feature, threshold = (np.concatenate([tree[at] for tree in trees]) for at in (0, 1))
    left, right = (
        np.concatenate([tree[at].astype(np.int64) + start for tree, start in zip(trees, first, strict=True)])
        for at in (2, 3)
    )
    is_leaf = feature < 0
    # Most leaves of a fully grown tree are one training sample each: what they say is kept once.
    values_LC, row_of = np.unique(np.concatenate([tree[4] for tree in trees])[is_leaf], axis=0, return_inverse=True)
    left[is_leaf], right[is_leaf] = row_of.ravel(), 0
    return Forest(
        first_K=first.astype(np.int32),
        feature=feature.astype(np.int32),
        threshold=threshold,
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        values_LC=values_LC.astype(np.float64),
        offset_C=offset_C,
        share=np.array([share]),
    )
