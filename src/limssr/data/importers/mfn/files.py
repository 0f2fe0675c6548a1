"""The files of the Memory Fusion Network release: which data sets it has, and one split of one of them in memory."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.errors import InputError
from limssr.core.files import sha256_of
from limssr.core.types import Criterion, Modality, Split
from limssr.data.importers.mfn.hdf5 import read_hdf5

SOURCE = "github.com/pliang279/MFN"
COMMIT = "b0453fb6e21b581c796246a0c32a6551f2028c1b"
FOLDER = "new_data"
ARRAY = "d1"
# Audio comes first: it tells how long a clip is, so a split cannot be without it.
STREAM_FILES = {"audio": "audio_{}.h5", "video": "video_{}.h5", "text": "text_{}_emb.h5"}
SCORE_FILE = "y_{}.h5"
RELEASE_SPLITS: Mapping[Split, str] = {"train": "train", "val": "valid", "test": "test"}
POM_NAMES = (
    *("confidence", "passionate", "pleasant", "dominant", "credible", "vivid", "expertise", "entertaining"),
    *("reserved", "trusting", "relaxed", "outgoing", "thorough", "nervous", "sentiment", "persuasive", "humorous"),
)
# The release says nothing about scales: columns 8 to 13 go up to 5 and the others up to 7. Ratings begin at 1, but one
# mean of `reserved` is 0.667, and a scale must hold all of its scores.
POM_UP_TO_5 = ("reserved", "trusting", "relaxed", "outgoing", "thorough", "nervous")
POM_FROM_0 = ("reserved",)


@dataclass(frozen=True)
class Release:
    """What is fixed about one of the data sets.

    Attributes:
        name: Of the data set.
        criteria: The columns of its label files.
        counts: Split -> clips as released.
        criteria_from: Where names and scales of the criteria come from.
    """

    name: str
    criteria: tuple[Criterion, ...]
    counts: Mapping[Split, int]
    criteria_from: str


def _pom_criterion(name: str) -> Criterion:
    return Criterion(name, 0.0 if name in POM_FROM_0 else 1.0, 5.0 if name in POM_UP_TO_5 else 7.0, "mean rating")


RELEASES: Mapping[str, Release] = {
    "mmmo": Release(
        "ICT-MMMO",
        (Criterion("sentiment", 1.0, 5.0, "rating"),),
        {"train": 220, "val": 40, "test": 80},
        "sentiment from 1 to 5, the only column",
    ),
    "pom": Release(
        "POM",
        tuple(_pom_criterion(name) for name in POM_NAMES),
        {"train": 600, "val": 100, "test": 203},
        "names and their order are those of the literature, scales were read off the values (one mean of 'reserved' "
        "lies below 1, so its scale begins at 0): the release states neither, so both are unverified",
    ),
}


@dataclass(frozen=True)
class Part:
    """One split as released.

    Attributes:
        streams: Stream -> [N, T, D], only streams that have a file.
        scores_NC: Of the N clips.
        files: File name -> its SHA-256 and shape.
    """

    streams: Mapping[str, np.ndarray]
    scores_NC: np.ndarray
    files: Mapping[str, Mapping[str, Any]]


def find_folder(root: Path, dataset: str) -> Path:
    """The folder of a data set below a checkout.

    Raises:
        InputError: It lacks audio or labels of a split.
    """
    folder = root / FOLDER / dataset
    needed = [name.format(split) for split in RELEASE_SPLITS.values() for name in (STREAM_FILES["audio"], SCORE_FILE)]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        hint = (
            f"did you mean {root.parent}?" if root.name == FOLDER else "fetch what is missing; large files come apart."
        )
        raise InputError(
            f"{root}: expected audio and labels of every split in {FOLDER}/{dataset} (audio tells how long a clip is), "
            f"not there: {', '.join(missing)}. Give the folder of a checkout of {SOURCE}: {hint}"
        )
    return folder


def read_part(folder: Path, split: str, release: Release) -> Part:
    """Read one split, named as in the release.

    Raises:
        InputError: A file is damaged, or the files do not fit together.
    """
    paths = {stream: folder / name.format(split) for stream, name in STREAM_FILES.items()}
    streams = {stream: _finite(path, 3) for stream, path in paths.items() if path.is_file()}
    label_path = folder / SCORE_FILE.format(split)
    scores = _finite(label_path, None)
    num_clips, num_steps = streams["audio"].shape[:2]
    for stream, array_NTD in streams.items():
        if array_NTD.shape[:2] != (num_clips, num_steps):
            raise InputError(
                f"{paths[stream]}: expected {num_clips} clips of {num_steps} steps, as in {paths['audio'].name}, found "
                f"{array_NTD.shape[0]} of {array_NTD.shape[1]}: rows of the files of one split belong together; fetch "
                "both again."
            )
    num_criteria = len(release.criteria)
    if scores.shape != (num_clips, num_criteria) and (scores.shape != (num_clips,) or num_criteria != 1):
        raise InputError(
            f"{label_path}: expected scores of {num_clips} clips, {num_criteria} each, found shape {scores.shape}: is "
            "it the label file of another data set?"
        )
    files = {
        path.name: {"sha256": sha256_of(path), "shape": list(array.shape)}
        for path, array in [*((paths[stream], array) for stream, array in streams.items()), (label_path, scores)]
    }
    return Part(streams, scores.astype(np.float64).reshape(num_clips, num_criteria), files)


def _finite(path: Path, rank: int | None) -> np.ndarray:
    """The array of a file, without NaN and Inf: here what is missing is zeros, so either is damage."""
    array = read_hdf5(path, ARRAY)
    if rank is not None and (array.ndim != rank or 0 in array.shape):
        raise InputError(
            f"{path}: expected [clips, steps, features], found shape {array.shape}: is it a file of the release?"
        )
    damaged = np.argwhere(~np.isfinite(array))
    if len(damaged):
        place = ", ".join(str(index) for index in damaged[0])
        raise InputError(
            f"{path}: expected finite numbers, found {len(damaged)} that are NaN or infinite, the first at [{place}]: "
            "the release has none; correct it, or make a whole step zero where it is missing."
        )
    return array


def check_apart(parts: Mapping[Split, Part], folder: Path) -> None:
    """No clip stands in two splits: clips have no names, but the same audio is the same clip.

    Raises:
        InputError: One does.
    """
    seen: dict[bytes, tuple[Split, int]] = {}
    for split, part in parts.items():
        for row, audio_TD in enumerate(part.streams["audio"]):
            first = seen.setdefault(hashlib.sha256(audio_TD.tobytes()).digest(), (split, row))
            if first[0] != split:
                raise InputError(
                    f"{folder}: expected every clip in one split, found the same audio in {clip_id(*first)} and "
                    f"{clip_id(split, row)}: fetch the files again, or the test result would be flattered."
                )


def modalities_of(parts: Mapping[Split, Part], folder: Path) -> tuple[Modality, ...]:
    """The streams that at least one split has.

    Raises:
        InputError: Their widths differ between splits.
    """
    found = []
    for stream in STREAM_FILES:
        widths = {split: part.streams[stream].shape[2] for split, part in parts.items() if stream in part.streams}
        if len(set(widths.values())) > 1:
            raise InputError(
                f"{folder}, stream '{stream}': expected one width in all splits, found "
                f"{', '.join(f'{split} {width}' for split, width in widths.items())}: fetch the files again."
            )
        if widths:
            found.append(Modality(stream, next(iter(widths.values()))))
    return tuple(found)


def clip_id(split: Split, row: int) -> str:
    """The release's word for the split and the row, from 0: it leads back to the files."""
    return f"{RELEASE_SPLITS[split]}-{row:04d}"
