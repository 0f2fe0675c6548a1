"""`LimssrRegressor`: the model with scikit-learn's manners (docs/estimator.md says which hold and which cannot)."""

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.files import write_json
from limssr.core.progress import SilentReporter, make_reporter
from limssr.core.reading.fields import made
from limssr.core.reading.records import EstimatorDocument, own_file, read_document
from limssr.core.recipes import parse_config
from limssr.core.runtime import check_model_precision, choose_device
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.arrays import (
    Range,
    Streams,
    as_names,
    as_streams,
    check_num_criteria,
    either,
    find_criteria,
    find_modalities,
    make_samples,
    score_matrix,
    score_names,
)
from limssr.data.columns import Unnamed, offset_words
from limssr.data.mask import make_incomplete
from limssr.data.splits import held_out_groups, label_of
from limssr.data.validate import check_collection
from limssr.evaluation.evaluate import Evaluation, evaluate
from limssr.evaluation.metrics import mean_r2
from limssr.evaluation.scorer import ModelScorer
from limssr.media.given import as_given, plan_given, read_given, remembered, sentences, used
from limssr.runs.arguments import config_of_arguments
from limssr.runs.auto.arrays import search_samples
from limssr.runs.folder import ESTIMATOR_FORMAT
from limssr.runs.reliability.calibration import Interval, calibrate, errors_in, interval_of, write_calibration
from limssr.runs.sharing.hub import found_or_fetched
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained
from limssr.training.loop import fit


class LimssrRegressor(RegressorMixin, BaseEstimator):
    """Scores of long performances from several aligned streams, some of which may be missing.

    A sample is a mapping from a stream's name to an array [T, D], or to words: a text, or a list of (start, end, word).
    A `Path` in it, or in its place, is a recording, of which `encoders` make streams. A stream that is None, all NaN,
    or not a key does not exist. All arrays of a sample have the same T; an all-NaN row is a segment that is not valid.

    Args:
        backbone: "tiny" (random weights, no download), "smollm2-135m", "qwen3-0.6b", a hub id or a local folder.
        num_layers: Keep only the first n layers of the backbone; None keeps all.
        epochs: Passes over the training samples.
        batch_size: Samples a step.
        learning_rate: Highest learning rate of AdamW.
        head: "paper", or "statistics" (docs/heads.md).
        dropout: Of the layers around the backbone.
        modality_dropout: Hide streams in training: "per_sample", "per_batch" or "none".
        modalities: Names of the streams, in order; None: as they first occur.
        criteria: Names of the C scores; None: "score", or "score-1" and so on.
        score_range: (lowest, highest) possible score, or one such pair a criterion; None: the range of the training
            scores.
        validation_fraction: Share of the groups that is held out to choose the epoch by; 0 keeps the last epoch.
        random_state: An integer; None takes a new one at each fit.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        config: A whole `RunConfig`. It replaces `system` and every argument from `backbone` to `modality_dropout`, and
            its seed replaces `random_state`; its `data.store` and `data.validation` are not read.
        verbose: 0 is silent; 1 reports every epoch on stderr.
        columns: Where samples name their features (tables), others are read by these names. "by-place" also takes
            arrays without names, in the same order.
        words: How systems of numbers see words: "states", "states:LAYERS" or "hashed".
        encoders: What reads recordings, as in `limssr extract`; None: the default ones.
        segments: How recordings are cut: "rg", "fisv", "fs1000" or "LENGTH[:STRIDE]" in seconds.
        preset: "auto" judges several models by folds of whole groups and mixes the best, in this many `minutes`.

    Attributes:
        modalities_: The M streams (name and width).
        criteria_: The C criteria (name and scale).
        model_: The trained network.
        history_: One record an epoch.
        best_epoch_: The epoch whose weights were kept, counted from 0.
        n_iter_: Number of epochs run.
        config_: The complete configuration.
        decisions_: What was decided about the data in `fit`, a sentence each; each is also a warning.
        extraction_: How recordings are read; None without any.
        errors_: Errors on the held-out samples, which intervals are made of; None where none were held out.
    """

    def __init__(
        self,
        *,
        backbone: str = "tiny",
        num_layers: int | None = None,
        epochs: int = 30,
        batch_size: int = 8,
        learning_rate: float = 1e-3,
        head: Literal["paper", "statistics"] = "paper",
        dropout: float = 0.15,
        modality_dropout: Literal["none", "per_sample", "per_batch"] = "per_sample",
        modalities: Sequence[str] | None = None,
        criteria: Sequence[str] | None = None,
        score_range: Range | Sequence[Range] | None = None,
        validation_fraction: float = 0.15,
        random_state: int | None = 0,
        device: str = "auto",
        config: RunConfig | None = None,
        verbose: int = 0,
        columns: Literal["by-name", "by-place"] = "by-name",
        words: str = "states",
        preset: Literal["auto"] | None = None,
        minutes: float = 30.0,
        system: str = "limssr",
        encoders: Sequence[str] | None = None,
        segments: str = "rg",
    ) -> None:
        self.backbone = backbone
        self.num_layers = num_layers
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head, self.dropout = head, dropout
        self.modality_dropout = modality_dropout
        self.modalities = modalities
        self.criteria = criteria
        self.score_range = score_range
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device, self.config = device, config
        self.verbose = verbose
        self.columns, self.words = columns, words
        self.preset, self.minutes = preset, minutes
        self.system = system
        self.encoders, self.segments = encoders, segments

    def fit(
        self,
        samples: Iterable[Streams] | None = None,
        scores: Any = None,
        groups: Sequence[Any] | None = None,
        validation: tuple[Iterable[Streams], Any] | None = None,
        *,
        X: Iterable[Streams] | None = None,
        y: Any = None,
    ) -> Self:
        """Train from the beginning.

        Args:
            samples: N mappings, or a pandas table with a row a sample and a column a stream.
            scores: [N] or [N, C], NaN (or masked) where a criterion was not judged. The columns of a table of scores
                name the criteria, where `criteria` does not.
            groups: N labels; samples of one group are held out together. None: every sample is its own group, and so is
                a sample whose label is None, NaN or empty.
            validation: Samples and scores to choose the epoch by, instead of a held-out part.
            X: Another word for `samples`.
            y: Another word for `scores`.

        Raises:
            InputError: Samples, scores or arguments are not right; the message says which.
        """
        given = as_given(either("samples", samples, "X", X))
        record = plan_given(given, self.encoders, self.segments)
        every_stream = as_streams(read_given(given, record))
        config, scores = self._run_config(), either("scores", scores, "y", y)
        judged = as_names(self.criteria, "criteria") or config.data.criteria or score_names(scores)
        scores_NC, single = score_matrix(scores, len(every_stream), judged)
        names = as_names(self.modalities, "modalities") or config.data.modalities
        modalities = find_modalities(every_stream, names, words=self.words)
        criteria = find_criteria(scores_NC, judged, self.score_range)
        decisions = [offset_words(one.name, one) for one in modalities if one.offsets is not None]
        self.extraction_ = used(record, [one.name for one in modalities])
        decisions += sentences(self.extraction_)
        every = make_samples(
            every_stream, scores_NC, modalities, criteria, unnamed=self._unnamed(), say=decisions.append
        )
        for decision in decisions:
            warnings.warn(decision, stacklevel=2)
        train, val = self._divide(every, groups, validation, config, modalities=modalities, criteria=criteria)
        if not val and config.train.selection == "val":
            train_config = config.train.model_copy(update={"selection": "last", "patience": None})
            config = config.model_copy(update={"train": train_config})
        check_collection([*train, *val], criteria, splits_required=["train"])
        choice = choose_device(self.device)
        check_model_precision(config.model, choice.device)
        reporter = make_reporter() if self.verbose else SilentReporter()
        self.modalities_, self.criteria_ = modalities, criteria
        self._single, self.decisions_ = single, tuple(decisions)
        if self.preset == "auto":
            labels = [label_of(g, s.id) for s, g in zip(every, groups or [None] * len(every), strict=True)]
            more: Any = {"groups": labels, "config": config, "minutes": self.minutes, "device": choice.device}
            self.model_ = search_samples(every, modalities, criteria, **more, reporter=reporter).model
            self.config_, self.history_, self.best_epoch_, self.n_iter_, self.errors_ = config, [], 0, 0, None
            return self
        model = build_model(config.model, modalities, criteria, seed=config.seed)
        result = fit(
            model,
            make_incomplete(train, config),
            make_incomplete(val, config),
            config=config,
            device=choice.device,
            reporter=reporter,
        )
        self.model_, self.config_ = model, config
        self.history_, self.best_epoch_, self.n_iter_ = list(result.history), result.best_epoch, result.epochs_run
        names = tuple(modality.name for modality in modalities)
        self.errors_ = calibrate(self._scorer(), make_incomplete(val, config), names, criteria, config.evaluation)
        return self

    def predict(
        self,
        samples: Iterable[Streams] | None = None,
        *,
        X: Iterable[Streams] | None = None,
        interval: float | None = None,
    ) -> Any:
        """Scores [N] (if `fit` got [N]) or [N, C], from whichever streams each sample has.

        Args:
            samples: N mappings. Named columns are put into the order of `fit`.
            X: Another word for `samples`.
            interval: Share of new scores to cover, as 0.9: `Interval(score, low, high)` is returned, three such arrays.

        Raises:
            NotFittedError: Before `fit`.
            InputError: An unknown stream or column, another width, no stream at all; intervals, and none were held out.
        """
        self._check_fitted()
        streams = as_streams(read_given(either("samples", samples, "X", X), self.extraction_))
        found = make_samples(streams, None, self.modalities_, self.criteria_, unnamed=self._unnamed())
        scores_NC = self._scorer().score(found) if found else np.empty((0, len(self.criteria_)))
        if interval is None:
            return scores_NC[:, 0] if self._single else scores_NC
        made = interval_of(self.errors_, found, scores_NC, self.criteria_, level=interval, scale=self._scorer().scale)
        return Interval(*(values_NC[:, 0] for values_NC in made)) if self._single else made

    def score(
        self,
        samples: Iterable[Streams] | None = None,
        scores: Any = None,
        sample_weight: Any = None,
        *,
        X: Iterable[Streams] | None = None,
        y: Any = None,
    ) -> float:
        """Coefficient of determination R², as scikit-learn's regressors have it; unjudged scores are left out.

        Args:
            samples: N mappings.
            scores: [N] or [N, C]; the mean over the criteria that were judged at least twice is returned.
            sample_weight: [N].
            X: Another word for `samples`.
            y: Another word for `scores`.

        Raises:
            InputError: No criterion was judged on two samples.
        """
        self._check_fitted()
        streams = as_streams(read_given(either("samples", samples, "X", X), self.extraction_))
        names = [one.name for one in self.criteria_]
        truth_NC, _ = score_matrix(either("scores", scores, "y", y), len(streams), names)
        check_num_criteria(truth_NC, len(self.criteria_))
        predicted_NC = self.predict(streams).reshape(len(streams), -1)
        weight_N = np.ones(len(streams)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        return mean_r2(truth_NC, predicted_NC, weight_N)

    def evaluate_subsets(self, samples: Iterable[Streams], scores: Any, *, bootstrap: int = 1000) -> Evaluation:
        """Score the samples under every non-empty subset of the streams.

        Args:
            samples: N mappings; each counts for the subsets of what it owns.
            scores: [N] or [N, C], in the data set's unit.
            bootstrap: Resamples of the intervals; 0: none.
        """
        self._check_fitted()
        streams = as_streams(read_given(samples, self.extraction_))
        scores_NC, _ = score_matrix(scores, len(streams), [one.name for one in self.criteria_])
        check_num_criteria(scores_NC, len(self.criteria_))
        found = make_samples(
            streams, scores_NC, self.modalities_, self.criteria_, scale="open", unnamed=self._unnamed()
        )
        evaluation = self.config_.evaluation.model_copy(update={"bootstrap": bootstrap})
        return evaluate(
            self._scorer(),
            found,
            tuple(modality.name for modality in self.modalities_),
            self.criteria_,
            config=evaluation,
            seed=self.config_.seed,
            selection=self.config_.train.selection,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model and arguments; `from_pretrained` and `limssr predict` read them. Nothing is pickled."""
        self._check_fitted()
        folder = Path(folder)
        save_pretrained(self.model_, folder)
        arguments = {name: value for name, value in self.get_params(deep=False).items() if name != "config"}
        document = {
            "format_version": ESTIMATOR_FORMAT,
            "arguments": json.loads(json.dumps(arguments, default=lambda one: np.asarray(one).tolist())),
            "has_config": self.config is not None,
            "config": self.config_.model_dump(mode="json"),
            "history": self.history_,
            "best_epoch": self.best_epoch_,
            "single": self._single,
            "extraction": None if self.extraction_ is None else self.extraction_.to_dict(),
        }
        write_json(folder / "estimator.json", document)
        write_calibration(folder, self.errors_)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "auto", revision: str | None = None) -> Self:
        """Read what `save_pretrained` wrote, or take it from a hub ("owner/name"); it predicts the same bits.

        Raises:
            ArtifactError: Missing, altered or of a newer format.
        """
        folder = found_or_fetched(folder, revision=revision)
        path = folder / "estimator.json"
        if (folder / "run.json").exists():
            raise InputError(f"Expected what an estimator saved, found the run folder {folder}: limssr.load opens it.")
        document = read_document(path, EstimatorDocument, newest_version=ESTIMATOR_FORMAT)
        config = parse_config(document["config"], where=str(path))
        given = config if document["has_config"] else None
        estimator = made(own_file(path), "arguments", lambda: cls(**document["arguments"], config=given))
        model = load_pretrained(folder)
        estimator.model_ = model.to(choose_device(device).device)
        estimator.modalities_, estimator.criteria_, estimator.config_ = model.modalities, model.criteria, config
        estimator.history_, estimator.best_epoch_ = document["history"], document["best_epoch"]
        estimator.n_iter_ = len(estimator.history_)
        estimator._single, estimator.decisions_ = document["single"], ()
        estimator.extraction_ = remembered(document.get("extraction"))
        estimator.errors_ = errors_in(folder, model.modalities, model.criteria)
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        """For scikit-learn's `check_is_fitted`."""
        return hasattr(self, "model_")

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise NotFittedError("This LimssrRegressor is not fitted yet: call fit first.")

    def _scorer(self) -> ModelScorer:
        data, size = self.config_.data, self.config_.evaluation.batch_size
        scale = "open" if self.score_range is None else "declared"
        own: Any = {"num_segments": data.num_segments, "padding": data.padding, "scale": scale}
        return ModelScorer(self.model_, batch_size=size, **own)

    def _unnamed(self) -> Unnamed:
        if self.columns not in ("by-name", "by-place"):
            raise InputError(f"Expected columns to be 'by-name' or 'by-place', found {self.columns!r}.")
        return "by-place" if self.columns == "by-place" else "refuse"

    def _run_config(self) -> RunConfig:
        if self.config is not None:
            if not isinstance(self.config, RunConfig):
                raise InputError(f"Expected config to be a RunConfig, found {type(self.config).__name__}.")
            return self.config
        return config_of_arguments(self)

    def _divide(
        self,
        samples: list[Sample],
        groups: Sequence[Any] | None,
        validation: tuple[Iterable[Streams], Any] | None,
        config: RunConfig,
        *,
        modalities: tuple[Modality, ...],
        criteria: tuple[Criterion, ...],
    ) -> tuple[list[Sample], list[Sample]]:
        given = [None] * len(samples) if groups is None else list(groups)
        if len(given) != len(samples):
            raise InputError(f"Expected {len(samples)} groups, one a sample, found {len(given)}.")
        labels = [label_of(group, sample.id) for sample, group in zip(samples, given, strict=True)]
        if validation is not None:
            streams = as_streams(read_given(validation[0], self.extraction_))
            val_scores_NC, _ = score_matrix(validation[1], len(streams), [one.name for one in criteria])
            check_num_criteria(val_scores_NC, len(criteria))
            more: Any = {"prefix": "val-", "scale": "open", "unnamed": self._unnamed()}
            held = make_samples(streams, val_scores_NC, modalities, criteria, **more)
            return [replace(s, split="train") for s in samples], [replace(s, split="val") for s in held]
        if not 0 <= self.validation_fraction < 1:
            raise InputError(f"Expected validation_fraction in [0, 1), found {self.validation_fraction}.")
        held_groups = held_out_groups(labels, self.validation_fraction, seed=config.seed)
        train = [replace(s, split="train") for s, name in zip(samples, labels, strict=True) if name not in held_groups]
        val = [replace(s, split="val") for s, name in zip(samples, labels, strict=True) if name in held_groups]
        return train, val
