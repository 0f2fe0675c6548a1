"""A small world with a known answer: what any subset of the streams can tell about the scores is known exactly.

Every performance has three latent numbers, independent and standard normal over the population:

* its *level*: the mean of a quality curve q(t);
* its *liveliness*: log of the standard deviation of q(t) over time, which no average over time shows;
* its *difficulty*: readable from the last stream only.

Stream m sees its own disturbed copy of them: q_m(t) = level + noise + exp(SWING * (liveliness + noise)) * shape(t).
shape(t) is a smooth random curve with mean 0 and deviation 1 that all streams of a performance share; so the mean and
the log deviation of q_m over time are Gaussian observations of level and liveliness. The disturbance differs from
stream to stream: each alone tells a part, all together tell most. The features are an invertible non-linear mixture of
q_m(t), difficulty (last stream) and nuisance curves. A criterion is a weighted sum of the three latents and a judge's
noise, squashed into its scale by the normal distribution function; for a Gaussian argument its expectation is known in
closed form, so `oracle_scores` is what no method can beat on average.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from limssr.core.errors import InputError, unknown_name
from limssr.core.rng import integer
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.store.reader import FeatureStore, StoreWriter

DEFAULT_NAMES = ("video", "audio", "flow")
DIMS = (24, 16, 12)
CRITERIA = (
    Criterion("execution", 0.0, 10.0, "points"),
    Criterion("difficulty", 0.0, 60.0, "points"),
)
# What a criterion asks for: level, liveliness, difficulty. Rows have length 1, so that every criterion spreads alike.
WEIGHTS_CK = np.array([[0.72, 0.60, 0.35], [0.48, 0.36, 0.80]])
# How far the standard deviation of q(t) swings with liveliness, and how much of a scale the criteria use.
SWING = 0.4
SPREAD = 0.8
JUDGE_NOISE = 0.15
DIFFICULTY_NOISE = 0.3
SMOOTHNESS = 0.7
NUM_NUISANCES = 2
# Share of the level's variance that the performances of a group have in common.
GROUP_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Everything that decides a world; two equal ones are the same world.

    Attributes:
        num_samples: N.
        names: Streams, from the least to the most disturbed; only the last sees the difficulty.
        seed: Another seed, other performances and another mixture.
        min_segments: Smallest T (at least 2).
        max_segments: Largest T.
        samples_per_group: Performances of one person; they stand on one side of the split.
        invalid_rate: Share of the segments of a stream that are NaN. The oracle knows the streams without such gaps.
    """

    num_samples: int = 400
    names: tuple[str, ...] = DEFAULT_NAMES
    seed: int = 0
    min_segments: int = 12
    max_segments: int = 30
    samples_per_group: int = 4
    invalid_rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated data set and what lies behind it.

    Attributes:
        options: What it was made from.
        modalities: M streams.
        criteria: C scores.
        samples: N complete samples.
        latents_NK: Level, liveliness, difficulty of every sample.
        observed_NMK: What stream m shows of them; NaN where it shows nothing of a latent.
        noise_MK: Standard deviation of the disturbance; infinite where a stream shows nothing of a latent.
    """

    options: WorldOptions
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    samples: tuple[Sample, ...]
    latents_NK: np.ndarray
    observed_NMK: np.ndarray
    noise_MK: np.ndarray


def simulate_world(
    num_samples: int = 400,
    modalities: int | Sequence[str] = 3,
    seed: int = 0,
    *,
    num_segments: tuple[int, int] = (12, 30),
    samples_per_group: int = 4,
    invalid_rate: float = 0.0,
) -> World:
    """Make a world.

    Args:
        num_samples: N.
        modalities: Number of streams (named video, audio, flow, stream-4, …), or their names.
        seed: Decides everything.
        num_segments: Smallest and largest T.
        samples_per_group: Performances of one person.
        invalid_rate: Share of the segments of a stream that are not valid.

    Returns:
        Complete samples (no stream is absent; `limssr.data.mask` takes streams away), split by group.

    Raises:
        InputError: Numbers that make no world.
    """
    low, high = num_segments
    options = WorldOptions(
        num_samples=num_samples,
        names=_names(modalities),
        seed=seed,
        min_segments=low,
        max_segments=high,
        samples_per_group=samples_per_group,
        invalid_rate=float(invalid_rate),
    )
    _check(options)
    generator = np.random.default_rng(integer("simulate", seed))
    groups = _groups(options)
    latents_NK, observed_NMK, noise_MK = _latents(options, generator)
    streams = tuple(Modality(name, DIMS[index % len(DIMS)]) for index, name in enumerate(options.names))
    mixtures = [_Mixture(modality.dim, generator) for modality in streams]
    scores_NC = _scores(latents_NK, generator)
    samples = []
    for row in range(num_samples):
        features = _features(observed_NMK[row], streams, mixtures, options, generator)
        group = groups[row // samples_per_group]
        samples.append(Sample(f"performance-{row:05d}", features, scores_NC[row], group, split_of(group)))
    return World(
        options=options,
        modalities=streams,
        criteria=CRITERIA,
        samples=tuple(samples),
        latents_NK=latents_NK,
        observed_NMK=observed_NMK,
        noise_MK=noise_MK,
    )


def simulate(
    num_samples: int = 400, modalities: int | Sequence[str] = 3, seed: int = 0, **options: object
) -> tuple[tuple[Modality, ...], tuple[Criterion, ...], list[Sample]]:
    """The streams, the criteria and the samples of `simulate_world`, which describes the options."""
    world = simulate_world(num_samples, modalities, seed, **options)  # type: ignore[arg-type]
    return world.modalities, world.criteria, list(world.samples)


def simulate_store(
    path: Path | str, num_samples: int = 400, modalities: int | Sequence[str] = 3, seed: int = 0, **options: object
) -> FeatureStore:
    """Write a simulated world as a store; `simulate_world` describes the options.

    Raises:
        InputError: The path exists, or numbers that make no world.
        ResourceError: The disk is full.
    """
    world = simulate_world(num_samples, modalities, seed, **options)  # type: ignore[arg-type]
    provenance = {"importer": "simulate", "options": asdict(world.options)}
    with StoreWriter(
        path,
        name="simulated performances",
        modalities=world.modalities,
        criteria=world.criteria,
        segment_s=1.0,
        provenance=provenance,
    ) as writer:
        for sample in world.samples:
            writer.add(sample)
    return FeatureStore.open(path)


def oracle_scores(world: World, subset: Sequence[str]) -> np.ndarray:
    """The expected scores given the streams of a subset: the best prediction that exists for mean squared error.

    Level, liveliness and difficulty have Gaussian posteriors, and the expectation of Phi(a + b z) for a standard
    normal z is Phi(a / sqrt(1 + b^2)).

    Args:
        world: A simulated world.
        subset: Names of the streams that may be used; () gives the expectation that knows nothing.

    Returns:
        [N, C] scores in the criteria's units.

    Raises:
        InputError: An unknown stream.
    """
    for name in subset:
        if name not in world.options.names:
            raise unknown_name("stream", name, world.options.names)
    rows = [world.options.names.index(name) for name in subset]
    precision_MK = 1 / world.noise_MK[rows] ** 2
    seen_NMK = np.nan_to_num(world.observed_NMK[:, rows])
    # The prior is standard normal: precision 1, mean 0.
    variance_K = 1 / (1 + precision_MK.sum(axis=0))
    mean_NK = variance_K * (seen_NMK * precision_MK).sum(axis=1)
    mean_NC = mean_NK @ WEIGHTS_CK.T
    variance_C = (WEIGHTS_CK**2) @ variance_K + JUDGE_NOISE**2
    unit_NC = ndtr(SPREAD * mean_NC / np.sqrt(1 + SPREAD**2 * variance_C))
    return np.stack([criterion.to_score(unit_NC[:, c]) for c, criterion in enumerate(world.criteria)], axis=1)


def split_of(group: str) -> Split:
    """The split of a group: sha256("split:" + group) mod 100 below 20 is test, below 30 validation, else training."""
    bucket = int(hashlib.sha256(f"split:{group}".encode()).hexdigest(), 16) % 100
    return "test" if bucket < 20 else "val" if bucket < 30 else "train"


class _Mixture:
    """Segments [T, U] -> features [T, D]: spread out, bend, rotate. Invertible, so nothing is lost on the way."""

    def __init__(self, dim: int, generator: np.random.Generator) -> None:
        self.spread_UD = generator.normal(size=(2 + NUM_NUISANCES, dim)) / math.sqrt(2 + NUM_NUISANCES)
        self.shift_D = generator.normal(size=dim) * 0.5
        self.rotate_DD = np.linalg.qr(generator.normal(size=(dim, dim)))[0]

    def __call__(self, curves_TU: np.ndarray) -> np.ndarray:
        bent_TD = curves_TU @ self.spread_UD + self.shift_D
        return ((np.tanh(bent_TD) + 0.2 * bent_TD) @ self.rotate_DD).astype(np.float32)


def _names(modalities: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(modalities, int):
        return (*DEFAULT_NAMES, *(f"stream-{index}" for index in range(4, modalities + 1)))[:modalities]
    return tuple(modalities)


def _check(options: WorldOptions) -> None:
    rules = {
        "at least 1 stream": len(options.names) >= 1,
        "2 <= smallest <= largest number of segments": 2 <= options.min_segments <= options.max_segments,
        "at least 1 sample a group": options.samples_per_group >= 1,
        "an invalid rate from 0 to below 1": 0 <= options.invalid_rate < 1,
        # One group for each split, and two different scores to learn from.
        f"more than {3 * options.samples_per_group} samples (one group for each split, and one to spare)": (
            options.num_samples > len(SPLITS) * options.samples_per_group
        ),
    }
    for rule, holds in rules.items():
        if not holds:
            raise InputError(f"Expected {rule} for a simulated world, found {options}: change that number.")


def _groups(options: WorldOptions) -> list[str]:
    """Names of the groups; the last ones are named so that no split is empty, however few groups there are."""
    num_groups = -(-options.num_samples // options.samples_per_group)
    groups = [f"person-{options.seed}-{index:04d}" for index in range(num_groups)]
    for split in SPLITS:
        if split not in map(split_of, groups):
            spare = max(i for i, group in enumerate(groups) if [split_of(g) for g in groups].count(split_of(group)) > 1)
            letters = (f"{groups[spare]}-{number}" for number in range(10_000))
            groups[spare] = next(name for name in letters if split_of(name) == split)
    return groups


def _latents(options: WorldOptions, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    num_samples, num_streams = options.num_samples, len(options.names)
    latents_NK = generator.normal(size=(num_samples, 3))
    people = np.arange(num_samples) // options.samples_per_group
    shared_N = generator.normal(size=people.max() + 1)[people]
    latents_NK[:, 0] = math.sqrt(1 - GROUP_SHARE) * latents_NK[:, 0] + math.sqrt(GROUP_SHARE) * shared_N
    rank_M = np.arange(num_streams)
    noise_MK = np.full((num_streams, 3), np.inf)
    noise_MK[:, 0] = 0.6 + 0.3 * rank_M
    # The second stream hears liveliness best, so that no stream is best at everything.
    noise_MK[:, 1] = 0.6 + 0.3 * np.abs(rank_M - 1)
    noise_MK[-1, 2] = DIFFICULTY_NOISE
    finite_MK = np.where(np.isinf(noise_MK), 0.0, noise_MK)
    disturbed_NMK = latents_NK[:, None] + finite_MK * generator.normal(size=(num_samples, num_streams, 3))
    return latents_NK, np.where(np.isinf(noise_MK), np.nan, disturbed_NMK), noise_MK


def _scores(latents_NK: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    wish_NC = latents_NK @ WEIGHTS_CK.T
    wish_NC += JUDGE_NOISE * generator.normal(size=wish_NC.shape)
    unit_NC = ndtr(SPREAD * wish_NC)
    return np.stack([criterion.to_score(unit_NC[:, c]) for c, criterion in enumerate(CRITERIA)], axis=1)


def _features(
    observed_MK: np.ndarray,
    streams: Sequence[Modality],
    mixtures: Sequence[_Mixture],
    options: WorldOptions,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    num_segments = int(generator.integers(options.min_segments, options.max_segments + 1))
    shape_T = _curve(num_segments, generator)
    features = {}
    for modality, mixture, (level, liveliness, difficulty) in zip(streams, mixtures, observed_MK, strict=True):
        quality_T = level + math.exp(SWING * liveliness) * shape_T
        # A curve around the difficulty; streams that do not show it have a curve around nothing in its place.
        hard_T = np.nan_to_num(difficulty) + 0.5 * _curve(num_segments, generator)
        nuisances = [_curve(num_segments, generator) + generator.normal() for _ in range(NUM_NUISANCES)]
        stream_TD = mixture(np.stack([quality_T, hard_T, *nuisances], axis=1))
        invalid_T = generator.random(num_segments) < options.invalid_rate
        invalid_T[generator.integers(num_segments)] = False
        stream_TD[invalid_T] = np.nan
        features[modality.name] = stream_TD
    return features


def _curve(num_segments: int, generator: np.random.Generator) -> np.ndarray:
    """A smooth random curve [T] with mean exactly 0 and standard deviation exactly 1."""
    curve_T = generator.normal(size=num_segments)
    for t in range(1, num_segments):
        curve_T[t] = SMOOTHNESS * curve_T[t - 1] + math.sqrt(1 - SMOOTHNESS**2) * curve_T[t]
    curve_T -= curve_T.mean()
    return curve_T / curve_T.std()
