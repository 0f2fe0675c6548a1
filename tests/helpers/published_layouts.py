"""Made-up data in the folder trees and file formats in which FS1000, Fis-V, RG and MFN features are published.

Tests get this module through the fixture `layouts`. Every writer of WRITERS makes a whole tree below `root` and
returns what it wrote; `mfn_files` returns arrays for `write_mfn`, so that a test can change them.
By hand: `python tests/helpers/published_layouts.py fs1000 ROOT`.
"""

import argparse
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STREAMS = ("video", "audio", "flow")
PUBLISHED_WIDTHS = {"fs1000": (768, 768, 1024), "fisv": (1024, 768, 1024), "rg": (1024, 768, 1024)}
FILE_ENDINGS = {"video": "rgb_VST", "audio": "audio_AST", "flow": "flow_I3D"}
FS1000_FOLDERS = {
    "video": "output_feature_fs1000_new",
    "audio": "ast_feature_fs1000_new",
    "flow": "i3d_avg_clip8_5s_fs1000",
}
FS1000_SCALES = {"TES": 130, "PCS": 60, "SS": 10, "TR": 10, "PE": 10, "CO": 10, "IN": 10}
FISV_SCALES = {"TES": 45, "PCS": 40}
APPARATUS = ("Ball", "Clubs", "Hoop", "Ribbon")
RG_HEADER = "Video_Name\tDifficulty_Score    Execution_Score Total_Score\tPenalty\tVideo_length"
FISV_HEADER = "Video TES PCS Deduction"


@dataclass(frozen=True, kw_only=True)
class Features:
    """How the feature arrays look.

    Attributes:
        widths: Of video, audio and flow; None: the published ones.
        num_segments: Fewest and most segments of a sample.
        num_parts: k of the FS1000 video features [T, k, D].
        dtype: Of the arrays on disk.
        uneven: So many samples, the first of the test file, have one segment more of audio and two more of flow.
        protocol: Of the pickles; 4 is what np.save writes. Below 4, `old_names` gives numpy 1's module names.
        strength: Of the trace that the scores leave in the features, against noise of 1.
    """

    widths: tuple[int, int, int] | None = None
    num_segments: tuple[int, int] = (5, 17)
    num_parts: int = 3
    dtype: str = "float32"
    uneven: int = 0
    protocol: int = 4
    old_names: bool = False
    strength: float = 1.0
    seed: int = 0


@dataclass
class Written:
    """What stands in a tree.

    Attributes:
        root: The tree.
        splits: Id -> "train" or "test", in the order of the label files.
        scores: Id -> criterion -> score as the store should hold it.
        streams: Id -> stream -> float32 array [T, D] as the store should hold it (FS1000 video averaged over parts).
    """

    root: Path
    splits: dict[str, str] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    streams: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


def write_fs1000(root: Path, *, num_train: int = 40, num_test: int = 12, features: Features | None = None) -> Written:
    """FS1000: a folder a stream with an .npy a clip, and two label files without a header."""
    features = features or Features()
    rng, written = np.random.default_rng(features.seed), Written(root)
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(num_train + num_test):
        split = "train" if number < num_train else "test"
        clip, quality = f"{2013 + number % 7}_clip_{number:04d}", rng.uniform(0.15, 0.9)
        components = np.clip(10 * quality + rng.normal(0, 0.3, 5), 0, 10).round(2)
        tes, pcs = round(90 * quality + 5, 2), round(float(components.sum()), 2)
        # The file holds PCS times a factor that differs from row to row.
        factor = (0.8, 1.0, 1.6, 2.0)[number % 4]
        given = [tes, round(pcs * factor, 2), *components, factor]
        rows[split].append(" ".join([clip, *(f"{value:g}" for value in given)]))
        pcs_back = float(f"{given[1]:g}") / factor
        written.splits[clip] = split
        written.scores[clip] = dict(zip(FS1000_SCALES, (tes, pcs_back, *map(float, components)), strict=True))
    for split, name in (("train", "train_fs1000_new.txt"), ("test", "val_fs1000_new.txt")):
        _write_rows(root / name, rows[split])
    raw = _streams(written, FS1000_SCALES, features, PUBLISHED_WIDTHS["fs1000"], parts=features.num_parts)
    for stream, folder in FS1000_FOLDERS.items():
        (root / folder).mkdir(parents=True)
        for clip in written.splits:
            np.save(root / folder / f"{clip}.npy", raw[clip][stream])
            kept = raw[clip][stream].astype(np.float32)
            written.streams.setdefault(clip, {})[stream] = kept.mean(axis=1) if stream == "video" else kept
    return written


def write_fisv(
    root: Path,
    *,
    num_train: int = 40,
    num_test: int = 12,
    header: bool = False,
    labels: tuple[Path, Path] | None = None,
    features: Features | None = None,
) -> Written:
    """Fis-V: a pickled dictionary a stream; `labels` are a real training and test file to build around."""
    rng, features = np.random.default_rng(1), features or Features()
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(1, num_train + num_test + 1):
        quality = rng.uniform(0.2, 0.9)
        row = f"{number} {42 * quality:.2f} {10 + 28 * quality + rng.normal(0, 0.3):.2f} {number % 3}"
        rows["train" if number <= num_train else "test"].append(row)
    _label_files(root, rows, FISV_HEADER if header else None, labels)
    written = Written(root)
    for split in ("train", "test"):
        for cells in _rows_of(root / f"{split}.txt"):
            written.splits[cells[0]] = split
            written.scores[cells[0]] = {"TES": float(cells[1]), "PCS": float(cells[2])}
    raw = _streams(written, FISV_SCALES, features, PUBLISHED_WIDTHS["fisv"])
    _write_dictionaries(root / "Fis-feature", "FISV", list(written.splits), raw, features)
    return written


def write_rg(
    root: Path,
    *,
    num_train: int = 16,
    num_test: int = 5,
    header: bool = True,
    labels: tuple[Path, Path] | None = None,
    features: Features | None = None,
) -> Written:
    """RG: a pickled dictionary an apparatus and stream; `num_train` and `num_test` count routines of one apparatus."""
    rng, features = np.random.default_rng(2), features or Features()
    rows: dict[str, list[str]] = {"train": [], "test": []}
    for apparatus in APPARATUS:
        for number in range(1, num_train + num_test + 1):
            difficulty, execution, penalty = 12 * rng.uniform(0.2, 0.9), 9 * rng.uniform(0.3, 0.9), 0.05 * (number % 4)
            cells = [f"{value:.2f}" for value in (difficulty, execution, difficulty + execution - penalty, penalty)]
            split = "train" if number <= num_train else "test"
            rows[split].append("\t".join([f"{apparatus}_{number:03d}", *cells, str(87 + number % 12)]))
    _label_files(root, rows, RG_HEADER if header else None, labels)
    written = Written(root)
    for split in ("train", "test"):
        for cells in _rows_of(root / f"{split}.txt"):
            apparatus = cells[0].partition("_")[0]
            written.splits[cells[0]] = split
            written.scores[cells[0]] = {name: float("nan") for name in APPARATUS} | {apparatus: float(cells[3])}
    raw = _streams(written, dict.fromkeys(APPARATUS, 25), features, PUBLISHED_WIDTHS["rg"])
    for apparatus in APPARATUS:
        ids = [clip for clip in written.splits if clip.startswith(apparatus)]
        _write_dictionaries(root / "RG-feature", apparatus, ids, raw, features)
    return written


def mfn_files(
    dataset: str = "mmmo",
    *,
    counts: tuple[int, int, int] = (6, 3, 4),
    num_steps: int = 5,
    widths: tuple[int, int, int] = (4, 3, 2),
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Audio, video, text and scores of every split as the MFN release names its files; no step is empty."""
    rng, files = np.random.default_rng(seed), {}
    for split, num_clips in zip(("train", "valid", "test"), counts, strict=True):
        for name, width in zip(("audio_{}", "video_{}", "text_{}_emb"), widths, strict=True):
            files[name.format(split)] = rng.normal(size=(num_clips, num_steps, width))
        shape = (num_clips,) if dataset == "mmmo" else (num_clips, 17)
        files[f"y_{split}"] = rng.uniform(1, 5, size=shape)
    return files


def write_mfn(root: Path, files: Mapping[str, np.ndarray], dataset: str = "mmmo") -> Path:
    """Write the files below `root`; what `mfn_files` returned may have been changed or lack some."""
    import h5py

    folder = root / "new_data" / dataset
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in files.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["d1"] = array
    return folder


def save_pickled(path: Path, content: object, *, protocol: int = 4, old_names: bool = False) -> None:
    """What np.save writes of a dictionary (or of a list of arrays of different lengths), by any protocol."""
    if isinstance(content, list):
        holder = np.empty(len(content), dtype=object)
        holder[:] = content
    else:
        holder = np.array(content, dtype=object)
    pickled = pickle.dumps(holder, protocol=protocol)
    if old_names:
        # Names of a fixed length before protocol 4 only: there a name ends with its line.
        assert protocol < 4, "old_names needs protocol 2 or 3"
        pickled = pickled.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": holder.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(pickled)


def _streams(
    written: Written,
    scales: Mapping[str, float],
    features: Features,
    published: tuple[int, int, int],
    *,
    parts: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Id -> stream -> array as it goes to disk; also fills in `written.streams`.

    Each stream sees the scores through noise of its own, so that more streams tell more.
    """
    rng = np.random.default_rng([features.seed, 17])
    widths = dict(zip(STREAMS, features.widths or published, strict=True))
    direction = {name: rng.normal(size=(len(scales), width)) for name, width in widths.items()}
    uneven = [clip for clip, split in written.splits.items() if split == "test"][: features.uneven]
    raw: dict[str, dict[str, np.ndarray]] = {}
    for clip in written.splits:
        unit = np.array([written.scores[clip][name] / scale for name, scale in scales.items()])
        centred = np.nan_to_num(unit - 0.5)
        length = int(rng.integers(features.num_segments[0], features.num_segments[1] + 1))
        raw[clip] = {}
        for extra, (name, width) in enumerate(widths.items()):
            segments = length + (extra if clip in uneven else 0)
            seen = centred + np.where(np.isnan(unit), 0, 0.1 * rng.normal(size=unit.shape))
            shape = (segments, parts, width) if parts and name == "video" else (segments, width)
            array = rng.normal(size=shape) + features.strength * (seen @ direction[name])
            raw[clip][name] = array.astype(features.dtype)
        written.streams[clip] = {name: array.astype(np.float32) for name, array in raw[clip].items()}
    return raw


def _write_dictionaries(
    folder: Path, stem: str, ids: Sequence[str], raw: Mapping[str, Mapping[str, np.ndarray]], features: Features
) -> None:
    for stream, ending in FILE_ENDINGS.items():
        content = {clip: raw[clip][stream] for clip in ids}
        path = folder / f"{stem}_{ending}.npy"
        save_pickled(path, content, protocol=features.protocol, old_names=features.old_names)


def _label_files(
    root: Path, rows: Mapping[str, list[str]], header: str | None, labels: tuple[Path, Path] | None
) -> None:
    for split, given in zip(("train", "test"), labels or (None, None), strict=True):
        if given is None:
            _write_rows(root / f"{split}.txt", [*([header] if header else []), *rows[split]])
        else:
            root.mkdir(parents=True, exist_ok=True)
            (root / f"{split}.txt").write_bytes(given.read_bytes())


def _write_rows(path: Path, rows: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _rows_of(path: Path) -> list[list[str]]:
    """The rows of a label file; a header is known by its first word, which is no id."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [cells for cells in rows if cells[0] not in ("Video_Name", "Video")]


WRITERS = {"fs1000": write_fs1000, "fisv": write_fisv, "rg": write_rg}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layout", choices=sorted(WRITERS))
    parser.add_argument("root", type=Path)
    parser.add_argument("--widths", type=int, nargs=3)
    given = parser.parse_args()
    WRITERS[given.layout](given.root, features=Features(widths=tuple(given.widths) if given.widths else None))
