"""Which samples are unlike everything that a run was trained on, and what is kept of that to know it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from limssr.core.errors import ArtifactError
from limssr.core.files import write_table
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Modality, Sample
from limssr.runs.load import Loaded

FAMILIAR = "familiar.parquet"
UNLIKE = "unlike:training"
"""The column of `limssr predict` with the reason."""
SHARE = 0.99
"""Of the training samples that are nearer than the distance beyond which a sample is unlike them."""
MARGIN = 0.5
"""A feature may leave its training range by this share of the range's length."""
MIN_SAMPLES = 20
"""Below, training samples do not say what is usual."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What the training samples that own a stream are like.

    Attributes:
        low_D: Lowest value of each feature.
        high_D: Highest value.
        centre_S: Mean over samples of their moments: mean and deviation of each feature over valid segments, S = 2 D.
        scale_S: Deviation over samples of the moments; where it is zero, 1.
        distance: Of `SHARE` of the training samples from the centre, at most.
        longest: Segments of the longest.
        num_samples: How many there are.
    """

    low_D: np.ndarray
    high_D: np.ndarray
    centre_S: np.ndarray
    scale_S: np.ndarray
    distance: float
    longest: int
    num_samples: int

    @classmethod
    def of(cls, features: Sequence[np.ndarray]) -> "Usual":
        """Measure streams [T, D] of training samples."""
        lows, highs, moments = [], [], []
        for x_TD in features:
            valid_TD = _valid(x_TD)
            lows.append(valid_TD.min(axis=0))
            highs.append(valid_TD.max(axis=0))
            moments.append(_moments(valid_TD))
        moments_NS = np.stack(moments)
        centre_S, scale_S = moments_NS.mean(axis=0), moments_NS.std(axis=0)
        scale_S = np.where(scale_S > 0, scale_S, 1.0)
        distance_N = np.sqrt((((moments_NS - centre_S) / scale_S) ** 2).mean(axis=1))
        return cls(
            low_D=np.min(lows, axis=0),
            high_D=np.max(highs, axis=0),
            centre_S=centre_S,
            scale_S=scale_S,
            distance=float(np.quantile(distance_N, SHARE)),
            longest=max(map(len, features)),
            num_samples=len(features),
        )

    def why_unlike(self, features_TD: np.ndarray, columns: Sequence[str] | None) -> list[str]:
        """What is unusual about a stream; nothing where few training samples own it."""
        if self.num_samples < MIN_SAMPLES:
            return []
        found, x_TD = [], _valid(features_TD)
        room_D = MARGIN * (self.high_D - self.low_D)
        beyond_D = np.maximum(x_TD.max(axis=0) - self.high_D, self.low_D - x_TD.min(axis=0))
        outside = np.flatnonzero((beyond_D > room_D) & (self.high_D > self.low_D))
        if len(outside):
            first = int(outside[np.argmax(beyond_D[outside] / room_D[outside])])
            named = columns[first] if columns else f"feature {first + 1}"
            worst = x_TD[:, first].max() if x_TD[:, first].max() > self.high_D[first] else x_TD[:, first].min()
            found.append(
                f"{named} reaches {worst:.3g}, in training {self.low_D[first]:.3g} to {self.high_D[first]:.3g}"
            )
        distance = float(np.sqrt((((_moments(x_TD) - self.centre_S) / self.scale_S) ** 2).mean()))
        if distance > self.distance:
            limit = f"{distance:.3g}, {SHARE:.0%} are within {self.distance:.3g}"
            found.append(f"further from the mean of training than is usual ({limit})")
        if len(features_TD) > self.longest:
            found.append(f"{len(features_TD)} segments, in training at most {self.longest}")
        return found


def _valid(features_TD: np.ndarray) -> np.ndarray:
    valid_T = ~np.isnan(features_TD).all(axis=1)
    return features_TD[valid_T].astype(np.float64)


def _moments(valid_TD: np.ndarray) -> np.ndarray:
    return np.concatenate([valid_TD.mean(axis=0), valid_TD.std(axis=0)])


def measure(samples: Sequence[Sample], modalities: Sequence[Modality]) -> dict[str, Usual]:
    """Stream -> what is usual, for streams that some training sample owns."""
    found = {}
    for modality in modalities:
        owned = [one.streams[modality.name] for one in samples if modality.name in one.streams]
        if owned:
            found[modality.name] = Usual.of(owned)
    return found


def write_familiar(folder: Path, samples: Sequence[Sample], modalities: Sequence[Modality]) -> None:
    """Write what is usual of training samples into a run folder: one row a feature."""
    tables = [_to_table(name, one) for name, one in measure(samples, modalities).items()]
    write_table(folder / FAMILIAR, pa.concat_tables(tables))


def _to_table(name: str, one: Usual) -> pa.Table:
    num = len(one.low_D)
    columns: dict[str, np.ndarray] = {
        "low": one.low_D,
        "high": one.high_D,
        "mean": one.centre_S[:num],
        "mean_scale": one.scale_S[:num],
        "deviation": one.centre_S[num:],
        "deviation_scale": one.scale_S[num:],
        "distance": np.full(num, one.distance),
    }
    counts = {"longest": np.full(num, one.longest), "num_samples": np.full(num, one.num_samples)}
    return pa.table(
        {
            "stream": pa.array([name] * num, pa.string()),
            "feature": pa.array(range(num), pa.int32()),
            **{key: pa.array(values, pa.float64()) for key, values in columns.items()},
            **{key: pa.array(values, pa.int64()) for key, values in counts.items()},
        }
    )


def read_familiar(folder: Path, modalities: Sequence[Modality]) -> dict[str, Usual] | None:
    """What was written; None where a run has none, as those of an older limssr.

    Raises:
        ArtifactError: It was altered, or belongs to another model.
    """
    path = next((one / FAMILIAR for one in _places(folder) if (one / FAMILIAR).exists()), None)
    if path is None:
        return None
    table = read_parquet(own_file(path))
    try:
        streams = np.array(table["stream"].to_pylist())
        values = {name: table[name].to_numpy() for name in table.column_names if name != "stream"}
        found = {}
        for modality in modalities:
            rows = streams == modality.name
            if not rows.any():
                continue
            if rows.sum() != modality.dim:
                raise ValueError(f"{rows.sum()} features of {modality.name}")
            own = {name: column[rows] for name, column in values.items()}
            found[modality.name] = Usual(
                low_D=own["low"],
                high_D=own["high"],
                centre_S=np.concatenate([own["mean"], own["deviation"]]),
                scale_S=np.concatenate([own["mean_scale"], own["deviation_scale"]]),
                distance=float(own["distance"][0]),
                longest=int(own["longest"][0]),
                num_samples=int(own["num_samples"][0]),
            )
        return found
    except (KeyError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"Expected in {path} what is usual of the training data as limssr wrote it, found {error}: train again."
        ) from error


def _places(folder: Path) -> list[Path]:
    """A run folder, or that of one of its references or members."""
    above = [one for one in (folder.parent.parent, folder.parent.parent.parent) if (one / "run.json").exists()]
    return [folder, *above[:1]]


def why_unlike(usual: Mapping[str, Usual], sample: Sample, modalities: Sequence[Modality]) -> str:
    """What is unusual about a sample; "" where nothing is, or where nothing is known."""
    told = []
    for modality in modalities:
        features_TD = sample.streams.get(modality.name)
        if features_TD is not None and modality.name in usual and not np.isnan(features_TD).all():
            reasons = usual[modality.name].why_unlike(features_TD, modality.columns)
            told += [f"{modality.name}: {reason}" for reason in reasons]
    return "; ".join(told)


def with_unlike(
    scores: pa.Table,
    found: Loaded,
    samples: Sequence[Sample],
    *,
    column: bool,
    say: Callable[[str], None] | None = None,
) -> pa.Table:
    """Say which samples are unlike the training data.

    Args:
        scores: From `limssr.runs.prediction.predict.predict`, a row a sample.
        found: What scored them.
        samples: In the order of `scores`.
        column: Whether to add the column `UNLIKE` with the reasons, empty where there are none.
        say: Told how many there are.
    """
    usual = read_familiar(found.folder, found.modalities)
    reasons = None if usual is None else [why_unlike(usual, sample, found.modalities) for sample in samples]
    return with_reasons(scores, reasons, column=column, say=say)


def with_reasons(
    scores: pa.Table, reasons: Sequence[str] | None, *, column: bool, say: Callable[[str], None] | None = None
) -> pa.Table:
    """The same, of what `why_unlike` has found for each row; None: it is not known what is usual."""
    if reasons is None:
        return scores
    flagged = [place for place, reason in enumerate(reasons) if reason]
    if flagged and say is not None:
        first = flagged[0]
        say(
            f"{len(flagged)} of {len(reasons)} samples are unlike the training data, so trust their scores less; "
            f"'{scores['id'][first].as_py()}': {reasons[first]}"
        )
    if not column:
        return scores
    return scores.append_column(UNLIKE, pa.array([reason or None for reason in reasons], pa.string()))
