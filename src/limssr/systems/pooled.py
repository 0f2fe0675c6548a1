"""Regressions on pooled statistics as plain arrays: how they score and are stored, without scikit-learn or pickle.

`limssr.systems.regressions` fits them. A stream becomes mean, standard deviation, minimum and maximum over its valid
segments, dimension by dimension: 4 D numbers that do not know about time.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from limssr.core.errors import ArtifactError, InputError
from limssr.core.files import write_atomically, write_json
from limssr.core.reading.records import PooledDocument, own_file, read_document
from limssr.core.reading.regular import read_bytes
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import MAX_ALL_STREAMS
from limssr.systems.references import Strategy

FORMAT_VERSION = 1
SETTINGS, ARRAYS = "pooled.json", "pooled.safetensors"
ROWS_AT_ONCE = 256
MAX_BYTES = 8 * 2**30


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear map of standardised features.

    Attributes:
        mean_F: Taken off the features.
        scale_F: What they are then divided by.
        weights_CF: Of the map.
        offset_C: Added to it.
    """

    mean_F: np.ndarray
    scale_F: np.ndarray
    weights_CF: np.ndarray
    offset_C: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]."""
        return ((features - self.mean_F) / self.scale_F) @ self.weights_CF.T + self.offset_C

    def check(self, num_features: int, num_criteria: int) -> None:
        """Raise `ValueError` unless the arrays fit each other and what they are asked for."""
        shapes = [array.shape for array in (self.mean_F, self.scale_F, self.weights_CF, self.offset_C)]
        if shapes != [(num_features,), (num_features,), (num_criteria, num_features), (num_criteria,)]:
            raise ValueError(f"shapes {shapes} for {num_features} features and {num_criteria} criteria")


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Trees whose leaves are added up, all their nodes in one row.

    A sample goes left where its feature is at most the threshold. Children stand behind their parent.

    Attributes:
        first_K: Where each tree begins.
        feature: Of each node; -1: a leaf.
        threshold: Of each node, in the precision in which features are compared.
        left: Node to go on with; of a leaf, its row of `values_LC`.
        right: Node to go on with; of a leaf, 0.
        values_LC: What leaves say.
        offset_C: Added to the sum over trees, which is first multiplied with `share`.
        share: [1], one over the number of trees where they are averaged, else 1.
    """

    first_K: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    values_LC: np.ndarray
    offset_C: np.ndarray
    share: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, C]."""
        pieces = [features[n : n + ROWS_AT_ONCE] for n in range(0, len(features), ROWS_AT_ONCE)]
        return np.concatenate([self._predict_piece(piece) for piece in pieces])

    def check(self, num_features: int, num_criteria: int) -> None:
        """Raise `ValueError` unless every path ends at a leaf and nothing outside the arrays is read."""
        nodes = np.arange(len(self.feature))
        leaf = self.feature < 0
        sizes = {len(self.threshold), len(self.left), len(self.right), len(nodes)}
        behind = (self.left > nodes) & (self.right > nodes) & (self.left < len(nodes)) & (self.right < len(nodes))
        known = (self.left >= 0) & (self.left < len(self.values_LC))
        first = self.first_K
        if not (
            len(sizes) == 1
            and len(first) > 0
            and bool(np.where(leaf, known, behind & (self.feature < num_features)).all())
            and bool(((first >= 0) & (first < len(nodes))).all())
            and self.values_LC.shape[1:] == self.offset_C.shape == (num_criteria,)
            and self.share.shape == (1,)
        ):
            raise ValueError("trees whose nodes do not fit each other")

    def _predict_piece(self, features: np.ndarray) -> np.ndarray:
        compared = features.astype(self.threshold.dtype)
        rows_N = np.arange(len(features))
        node_KN = np.repeat(self.first_K[:, None], len(features), axis=1)
        while (inner_KN := self.feature[node_KN] >= 0).any():
            goes_left_KN = compared[rows_N, self.feature[node_KN]] <= self.threshold[node_KN]
            next_KN = np.where(goes_left_KN, self.left[node_KN], self.right[node_KN])
            node_KN = np.where(inner_KN, next_KN, node_KN)
        return self.values_LC[self.left[node_KN]].sum(axis=0) * self.share + self.offset_C


KINDS: dict[str, type[Linear] | type[Forest]] = {"linear": Linear, "forest": Forest}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One regression, for criteria that were judged on the same samples.

    Attributes:
        columns: Of the criteria.
        predictor: What was fitted.
        mean_C: Of their training scores.
        deviation_C: The same.
    """

    columns: tuple[int, ...]
    predictor: Linear | Forest
    mean_C: np.ndarray
    deviation_C: np.ndarray


@dataclass(frozen=True, kw_only=True)
class PooledModel:
    """A fitted regression on pooled statistics, for incomplete samples; a `Scorer`.

    Attributes:
        strategy: See `limssr.systems.regressions.PooledRegressor`.
        modalities: The M streams, in order.
        criteria: The C criteria.
        means: Stream -> mean of its statistics over the training samples, which stands in for an absent one.
        parts: Streams -> regressions that read them; under "impute" and "repeat" one entry, for all streams.
        gaps: Streams -> why there is no regression for them.
        unseen: Streams that no training sample owned; they are left out.
    """

    strategy: Strategy
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    means: Mapping[str, np.ndarray]
    parts: Mapping[tuple[str, ...], tuple[Part, ...]] = field(default_factory=dict)
    gaps: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the M streams."""
        return tuple(modality.name for modality in self.modalities)

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C] in the data set's unit; NaN where there is no regression (see `why_no_prediction`).

        As with networks, no score lies outside its criterion's scale, whatever the regression says.
        """
        prediction_NC = np.full((len(samples), len(self.criteria)), np.nan)
        table = [self.pooled(sample) for sample in samples]
        rows_of: dict[tuple[str, ...], list[int]] = {}
        for n, row in enumerate(table):
            rows_of.setdefault(tuple(row), []).append(n)
        for streams, rows in rows_of.items():
            key = self.key(streams)
            parts = self.parts.get(key, ()) if streams else ()
            if parts:
                features = np.stack([self.features(table[n], key) for n in rows])
                for part in parts:
                    scaled = part.predictor.predict(features)
                    prediction_NC[np.ix_(rows, part.columns)] = scaled * part.deviation_C + part.mean_C
        lowest_C, highest_C = ([getattr(one, end) for one in self.criteria] for end in ("low", "high"))
        return prediction_NC.clip(lowest_C, highest_C)

    def why_no_prediction(self, streams: tuple[str, ...]) -> str | None:
        """Why `score` returns NaN for samples that hold exactly `streams`; None where it does not."""
        known = tuple(name for name in streams if name not in self.unseen)
        if not known:
            return f"no training sample owns {' or '.join(streams)}"
        key = self.key(known)
        return None if key in self.parts else self.gaps.get(key, "no regression reads these streams or some of them")

    def key(self, streams: Sequence[str]) -> tuple[str, ...]:
        """Under which `parts` and `gaps` have the regression that reads these streams.

        Of many streams only chosen subsets have a regression of their own (`PooledRegressor`). Any other pattern is
        read by the one of them that reads the most of its streams, and of several such by the first.
        """
        if self.strategy != "per_subset":
            return self.names
        exact = tuple(name for name in self.names if name in streams)
        if exact in self.parts or exact in self.gaps or len(self.names) <= MAX_ALL_STREAMS:
            return exact
        return max((key for key in self.parts if set(key) <= set(exact)), key=len, default=exact)

    def pooled(self, sample: Sample) -> dict[str, np.ndarray]:
        """The statistics of the streams that a sample owns, in the model's order."""
        found = {}
        for name in self.names:
            stream_TD = sample.streams.get(name)
            if name not in self.unseen and stream_TD is not None and not np.isnan(stream_TD).all():
                found[name] = pool_statistics(stream_TD)
        return found

    def features(self, row: Mapping[str, np.ndarray], key: Sequence[str]) -> np.ndarray:
        """What the regression under a key reads of a sample: [F]."""
        if self.strategy == "per_subset":
            return np.concatenate([row[name] for name in key])
        flags = np.array([float(name in row) for name in self.names])
        return np.concatenate([*(row.get(name, self.means[name]) for name in self.names), flags])

    def save(self, folder: Path) -> None:
        """Write `pooled.json` and `pooled.safetensors`, an existing model is replaced."""
        arrays: dict[str, np.ndarray] = {f"means.{name}": values for name, values in self.means.items()}
        listed = []
        for streams, parts in self.parts.items():
            for part in parts:
                number = len(listed)
                kind = next(kind for kind, form in KINDS.items() if isinstance(part.predictor, form))
                held = {one.name: getattr(part.predictor, one.name) for one in fields(part.predictor)}
                held |= {"mean_C": part.mean_C, "deviation_C": part.deviation_C}
                arrays |= {f"{number}.{name}": np.ascontiguousarray(array) for name, array in held.items()}
                listed.append({"streams": list(streams), "columns": list(part.columns), "kind": kind})
        content = safetensors.numpy.save(arrays)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ARRAYS, content)
        document = {
            "format_version": FORMAT_VERSION,
            "strategy": self.strategy,
            "modalities": [modality.to_dict() for modality in self.modalities],
            "criteria": [asdict(criterion) for criterion in self.criteria],
            "unseen": list(self.unseen),
            "gaps": [{"streams": list(streams), "reason": reason} for streams, reason in self.gaps.items()],
            "parts": listed,
            "arrays_sha256": hashlib.sha256(content).hexdigest(),
        }
        write_json(folder / SETTINGS, document)

    @classmethod
    def load(cls, folder: Path) -> "PooledModel":
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, altered, or of a newer format.
        """
        document = read_document(folder / SETTINGS, PooledDocument, newest_version=FORMAT_VERSION)
        path = folder / ARRAYS
        try:
            content = read_bytes(own_file(path), limit=MAX_BYTES)
            found = hashlib.sha256(content).hexdigest()
            if found != document["arrays_sha256"]:
                raise ArtifactError(
                    f"Expected in {path} the arrays that were saved, with SHA-256 {document['arrays_sha256'][:16]}…, "
                    f"found {found[:16]}…: the file was altered or damaged; copy it again, or train again."
                )
            return cls._of(document, safetensors.numpy.load(content))
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, InputError):
                raise
            raise ArtifactError(
                f"Expected a saved regression in {folder}, found one that cannot be read ({error})."
            ) from error

    @classmethod
    def _of(cls, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "PooledModel":
        modalities = tuple(Modality(**item) for item in document["modalities"])
        model = cls(
            strategy=document["strategy"],
            modalities=modalities,
            criteria=tuple(Criterion(**item) for item in document["criteria"]),
            means={modality.name: arrays[f"means.{modality.name}"] for modality in modalities},
            gaps={tuple(item["streams"]): item["reason"] for item in document["gaps"]},
            unseen=tuple(document["unseen"]),
        )
        parts: dict[tuple[str, ...], tuple[Part, ...]] = {}
        dims = {modality.name: 4 * modality.dim for modality in modalities}
        for number, item in enumerate(document["parts"]):
            form, streams, columns = KINDS[item["kind"]], tuple(item["streams"]), tuple(item["columns"])
            predictor = form(**{one.name: arrays[f"{number}.{one.name}"] for one in fields(form)})
            flags = 0 if model.strategy == "per_subset" else len(modalities)
            predictor.check(sum(dims[name] for name in streams) + flags, len(columns))
            if not all(0 <= column < len(model.criteria) for column in columns):
                raise ValueError(f"columns {columns} of {len(model.criteria)} criteria")
            mean_C, deviation_C = arrays[f"{number}.mean_C"], arrays[f"{number}.deviation_C"]
            part = Part(columns=columns, predictor=predictor, mean_C=mean_C, deviation_C=deviation_C)
            parts[streams] = (*parts.get(streams, ()), part)
        return replace(model, parts=parts)


def pool_statistics(stream_TD: np.ndarray) -> np.ndarray:
    """[T, D] -> [4 D] float64: mean, standard deviation, minimum, maximum over the valid segments."""
    valid_TD = stream_TD[~np.isnan(stream_TD).any(axis=1)].astype(np.float64)
    return np.concatenate([valid_TD.mean(axis=0), valid_TD.std(axis=0), valid_TD.min(axis=0), valid_TD.max(axis=0)])
