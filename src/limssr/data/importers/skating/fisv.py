"""Fis-V (figure skating, 500 videos, TES and PCS) as its features are published.

Expected below the root::

    Fis-feature/FISV_rgb_VST.npy      video, a dictionary ID -> [T, 1024]
    Fis-feature/FISV_audio_AST.npy    audio, [T, 768]
    Fis-feature/FISV_flow_I3D.npy     flow, [T, 1024]
    train.txt, test.txt               ID TES PCS deduction

The official label files have no header, though some code skips their first line and so loses a sample.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from limssr.core.files import check_new
from limssr.core.types import Criterion
from limssr.data.importers.report import ImportReport
from limssr.data.importers.skating.common import Align, Missing, Published, check_tree, write_published
from limssr.data.importers.skating.features import Dictionaries
from limssr.data.importers.skating.labels import LabelRow, read_label_files

FOLDER = "Fis-feature"
FILES = {"video": "FISV_rgb_VST.npy", "audio": "FISV_audio_AST.npy", "flow": "FISV_flow_I3D.npy"}
TRAIN, TEST = "train.txt", "test.txt"
SCALES = {"TES": 45.0, "PCS": 40.0}
COLUMNS = ("id", *SCALES, "deduction")
FISV = Published(
    name="Fis-V",
    importer="fisv",
    criteria=tuple(Criterion(name, 0.0, high) for name, high in SCALES.items()),
    counts={"train": 400, "test": 100},
    widths=(1024, 768, 1024),
)


def import_fisv(
    root: Path | str,
    store: Path | str,
    *,
    align: Align = "refuse",
    missing: Missing = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read the published features of Fis-V into a new store.

    Args:
        root: Folder with the published tree.
        store: Folder to make.
        align: "shortest" cuts samples whose streams differ in length; "refuse" makes that an error.
        missing: "allow" imports labelled samples that lack streams; "refuse" makes that an error.
        progress: Called as (done, total) after every sample.

    Raises:
        InputError: Anything is not as published; no store is left behind.
    """
    root, store = Path(root), Path(store)
    check_new(store, "store")
    files = (TRAIN, TEST, *(f"{FOLDER}/{name}" for name in FILES.values()))
    check_tree(root, FISV.name, files=files, folders=(FOLDER,))
    labels = read_label_files({"train": root / TRAIN, "test": root / TEST}, COLUMNS, header="detect")
    sources = {stream: Dictionaries(root / FOLDER, {name: ""}) for stream, name in FILES.items()}
    return write_published(
        FISV, labels, sources, store, scores=_scores, align=align, missing=missing, progress=progress
    )


def _scores(row: LabelRow) -> np.ndarray:
    return np.array([row.number(name) for name in SCALES])
