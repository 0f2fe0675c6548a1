"""FS1000 (figure skating, 1247 clips, seven scores) as its features are published.

Expected below the root::

    output_feature_fs1000_new/ID.npy      video [T, k, 768]: k vectors a segment, of which the mean is taken
    ast_feature_fs1000_new/ID.npy         audio [T, 768]
    i3d_avg_clip8_5s_fs1000/ID.npy        flow [T, 1024]
    train_fs1000_new.txt                  ID TES PCS SS TR PE CO IN factor, never with a header
    val_fs1000_new.txt                    the same; it is what the published numbers are tested on
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError
from limssr.core.files import check_new
from limssr.core.types import Criterion
from limssr.data.importers.report import ImportReport
from limssr.data.importers.skating.common import Align, Missing, Published, check_tree, write_published
from limssr.data.importers.skating.features import ClipFolder
from limssr.data.importers.skating.labels import LabelFile, LabelRow, read_label_files

FOLDERS = {
    "video": "output_feature_fs1000_new",
    "audio": "ast_feature_fs1000_new",
    "flow": "i3d_avg_clip8_5s_fs1000",
}
TRAIN, TEST = "train_fs1000_new.txt", "val_fs1000_new.txt"
SCALES = {"TES": 130.0, "PCS": 60.0, "SS": 10.0, "TR": 10.0, "PE": 10.0, "CO": 10.0, "IN": 10.0}
COLUMNS = ("id", *SCALES, "factor")
FS1000 = Published(
    name="FS1000",
    importer="fs1000",
    criteria=tuple(Criterion(name, 0.0, high) for name, high in SCALES.items()),
    counts={"train": 1000, "test": 247},
    widths=(768, 768, 1024),
)


def import_fs1000(
    root: Path | str,
    store: Path | str,
    *,
    align: Align = "refuse",
    missing: Missing = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read the published features of FS1000 into a new store.

    PCS is divided by the factor of its row first, so that programmes of different kinds have one scale (0 to 60).

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
    check_tree(root, FS1000.name, files=(TRAIN, TEST), folders=tuple(FOLDERS.values()))
    labels = read_label_files({"train": root / TRAIN, "test": root / TEST}, COLUMNS, header="never")
    sources = {
        stream: ClipFolder(root / folder, parts="average" if stream == "video" else "none")
        for stream, folder in FOLDERS.items()
    }
    return write_published(
        FS1000,
        labels,
        sources,
        store,
        scores=_scores,
        align=align,
        missing=missing,
        notes=_notes(labels),
        progress=progress,
    )


def _scores(row: LabelRow) -> np.ndarray:
    factor = row.number("factor")
    if factor <= 0:
        raise InputError(
            f"{row.where}, sample '{row.id}': expected a factor above 0, found {factor:g}: PCS is divided by it; "
            "correct the file or fetch it again."
        )
    given = {name: row.number(name) for name in SCALES}
    return np.array([*({**given, "PCS": given["PCS"] / factor}).values()])


def _notes(labels: tuple[LabelFile, ...]) -> list[str]:
    factors = sorted({row.number("factor") for file in labels for row in file.rows})
    return [
        f"{TEST} is what the published numbers are tested on: it became split 'test'",
        f"PCS was divided by the factor of its row ({factors[0]:g} to {factors[-1]:g})",
        "video: the mean over the parts of each segment was taken",
    ]
