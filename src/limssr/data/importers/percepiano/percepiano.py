"""PercePiano (github.com/JonghoKimSNU/PercePiano): piano performances judged by experts, as a feature store.

Expected below the root, as in the public repository or any part of it::

    virtuoso/data/all_2rounds/*.mid     performances, <piece>_<bars>bars_<player>_<segment>.mid
    virtuoso/data/score_midi/*.mid      renderings of the printed score, with `Score` or `Score2` as the player
    labels/label_2round_mean_reg_19_with0_rm_highstd0.json    id -> 19 mean ratings / 7 and a code of the player

The streams are described in `percepiano_streams`. Performances are grouped by passage (`percepiano_passages`), and
the group decides the split, so that no playing stands on two sides of it.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.core.quoting import quoted, shortened
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside
from limssr.core.types import SPLITS, Criterion, Modality, Sample, Split
from limssr.data.importers.percepiano.passages import Clip, passages
from limssr.data.importers.percepiano.streams import MODALITIES, Performance, read_midi, streams_of

PERFORMANCES = Path("virtuoso/data/all_2rounds")
SCORES = Path("virtuoso/data/score_midi")
LABELS = Path("labels/label_2round_mean_reg_19_with0_rm_highstd0.json")
WINDOW_S = 0.5
CRITERION_NAMES = (
    "Timing_Stable_Unstable",
    "Articulation_Short_Long",
    "Articulation_Soft_cushioned_Hard_solid",
    "Pedal_Sparse/dry_Saturated/wet",
    "Pedal_Clean_Blurred",
    "Timbre_Even_Colorful",
    "Timbre_Shallow_Rich",
    "Timbre_Bright_Dark",
    "Timbre_Soft_Loud",
    "Dynamic_Sophisticated/mellow_Raw/crude",
    "Dynamic_Little_dynamic_range_Large_dynamic_range",
    "Music_Making_Fast_paced_Slow_paced",
    "Music_Making_Flat_Spacious",
    "Music_Making_Disproportioned_Balanced",
    "Music_Making_Pure_Dramatic/expressive",
    "Emotion_&_Mood_Optimistic/pleasant_Dark",
    "Emotion_&_Mood_Low_Energy_High_Energy",
    "Emotion_&_Mood_Honest_Imaginative",
    "Interpretation_Unsatisfactory/doubtful_Convincing",
)
# A rating is 1 to 7 and the labels are mean ratings / 7.
CRITERIA = tuple(Criterion(name, low=1 / 7, high=1.0, unit="rating / 7") for name in CRITERION_NAMES)
TEST_BELOW, VAL_BELOW = 20, 30


@dataclass(frozen=True)
class PercePiano:
    """Everything read from a checkout.

    Attributes:
        modalities: timing, dynamics, pedal, keys, score.
        criteria: The 19 targets.
        samples: In the order of their ids.
        report: Counts for people: see `_report`.
    """

    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    samples: list[Sample]
    report: dict[str, object]


def read_percepiano(root: Path, progress: Callable[[int, int], None] | None = None) -> PercePiano:
    """Reads a checkout of the public repository, or a part of it with the same folders.

    Args:
        root: The checkout.
        progress: Called with (files read, files in all) after every MIDI file of a performance.

    Raises:
        InputError: `root` is not laid out as expected, a file is damaged, a label has no performance, or two files
            have the same id.
    """
    root = Path(root)
    performance_paths, score_paths, labels = _find(root)
    unmatched = sorted(set(labels) - set(performance_paths))
    if unmatched:
        raise InputError(
            f"{root / LABELS} has {len(unmatched)} labels without a performance in {PERFORMANCES}: "
            f"{', '.join(unmatched[:5])}{' …' if len(unmatched) > 5 else ''}. Fetch the checkout again."
        )
    # Unlabelled renderings are read too: they tell which passages return.
    performances: dict[str, Performance] = {}
    for count, (clip_id, path) in enumerate(sorted(performance_paths.items()), start=1):
        performances[clip_id] = read_midi(path)
        if progress is not None:
            progress(count, len(performance_paths))
    clips = {clip_id: Clip.parse(clip_id) for clip_id in performances}
    segments = {clip.segment for clip in clips.values()}
    printed = {}
    for clip_id, path in sorted(score_paths.items()):
        clip = Clip.parse(clip_id)
        # Either rendering of a passage holds the right notes: the first by name is taken.
        if clip.segment in segments and clip.segment not in printed:
            printed[clip.segment] = read_midi(path)
    groups = passages(performances, printed)
    samples = []
    for clip_id in sorted(labels):
        segment = clips[clip_id].segment
        streams = streams_of(performances[clip_id], printed.get(segment), WINDOW_S)
        group = groups[segment]
        samples.append(Sample(clip_id, streams, labels[clip_id], group, split_of(group)))
    return PercePiano(MODALITIES, CRITERIA, samples, _report(samples, sorted(set(performances) - set(labels))))


def import_percepiano(
    root: Path, store: Path, *, name: str = "percepiano", progress: Callable[[int, int], None] | None = None
) -> dict[str, object]:
    """Writes a checkout of PercePiano as a feature store and returns the counts of what was read.

    Raises:
        InputError: As `read_percepiano`; or `store` exists already.
    """
    # Reading a checkout must work where only the reader is wanted (tests, notebooks).
    from limssr.data.store.reader import StoreWriter

    data = read_percepiano(root, progress)
    provenance = {
        "importer": "percepiano",
        "source": "github.com/JonghoKimSNU/PercePiano",
        "licence": "MIT, copyright 2024 Jongho Kim SNU",
        "labels_sha256": sha256_of(Path(root) / LABELS),
        "report": data.report,
    }
    writer = StoreWriter(
        Path(store),
        name=name,
        modalities=data.modalities,
        criteria=data.criteria,
        segment_s=WINDOW_S,
        provenance=provenance,
    )
    with writer:
        for sample in data.samples:
            writer.add(sample)
    return data.report


def split_of(group: str) -> Split:
    """The side of the split on which a passage stands: about 20 % test, 10 % validation."""
    bucket = int(hashlib.sha256(f"split:{group}".encode()).hexdigest(), 16) % 100
    if bucket < TEST_BELOW:
        return "test"
    return "val" if bucket < VAL_BELOW else "train"


def _find(root: Path) -> tuple[dict[str, Path], dict[str, Path], dict[str, np.ndarray]]:
    """Performances by id, printed scores by id, labels by id."""
    missing = [str(part) for part in (PERFORMANCES, SCORES, LABELS) if not (root / part).exists()]
    if missing:
        raise InputError(
            f"{root} is not a checkout of PercePiano: expected {PERFORMANCES}/*.mid, {SCORES}/*.mid and {LABELS} "
            f"below it; not there: {', '.join(missing)}. Give the folder into which the repository was cloned."
        )
    performances = _midi_by_id(root / PERFORMANCES)
    if not performances:
        raise InputError(
            f"{root / PERFORMANCES}: expected files <piece>_<bars>bars_<player>_<segment>.mid, found none. "
            "Large files may not have been fetched yet."
        )
    return performances, _midi_by_id(root / SCORES), _labels(root / LABELS)


def _midi_by_id(folder: Path) -> dict[str, Path]:
    """Files whose name is an id; others (a whole work, say) are no clips."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".mid", ".midi"):
            continue
        # Stems hold dots and, once, a leading blank.
        clip_id = path.name[: -len(path.suffix)].strip()
        if Clip.matches(clip_id):
            if clip_id in found:
                raise InputError(f"Two files have the id {clip_id!r}: {found[clip_id]} and {path}. Remove one.")
            found[clip_id] = path
    return found


def _labels(path: Path) -> dict[str, np.ndarray]:
    """Id -> [19] float64. The 20th number is a code of the player and is left behind here."""
    table = read_json(Outside(path=path, what="labels (JSON)", remedy="fetch the file again"))
    if not isinstance(table, Mapping) or not table:
        raise InputError(f"{path}: expected an object of id -> 20 numbers, found {type(table).__name__}.")
    width = len(CRITERIA) + 1
    labels = {}
    for clip_id, numbers in table.items():
        if not isinstance(numbers, list) or len(numbers) != width:
            found = len(numbers) if isinstance(numbers, list) else type(numbers).__name__
            raise InputError(
                f"{path}: expected {width} numbers for {quoted(clip_id)} (19 ratings, player code), found {found}."
            )
        if not all(isinstance(number, int | float) for number in numbers):
            found = shortened(str(numbers))
            raise InputError(f"{path}: expected {width} numbers for {quoted(clip_id)}, found {found}.")
        labels[clip_id.strip()] = np.array(numbers[: len(CRITERIA)], dtype=np.float64)
    return labels


def _report(samples: list[Sample], without_label: list[str]) -> dict[str, object]:
    """Counts: samples and passages in all and per split, lengths, clips without a label or without a score."""
    lengths = [sample.num_segments for sample in samples]
    return {
        "samples": len(samples),
        "passages": len({sample.group for sample in samples}),
        "samples_per_split": {split: Counter(s.split for s in samples)[split] for split in SPLITS},
        "passages_per_split": {split: len({s.group for s in samples if s.split == split}) for split in SPLITS},
        "segments": {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)},
        "performances_without_label": without_label,
        "samples_without_score": [sample.id for sample in samples if "score" not in sample.streams],
    }
