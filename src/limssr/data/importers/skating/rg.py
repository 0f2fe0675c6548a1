"""Rhythmic Gymnastics (1000 routines with four apparatus) as its features are published.

Expected below the root, with APPARATUS one of Ball, Clubs, Hoop, Ribbon::

    RG-feature/APPARATUS_rgb_VST.npy      video, a dictionary ID -> [T, 1024]
    RG-feature/APPARATUS_audio_AST.npy    audio, [T, 768]
    RG-feature/APPARATUS_flow_I3D.npy     flow, [T, 1024]
    train.txt, test.txt                   ID difficulty execution total penalty length, usually with a header

One store holds all routines. Its four criteria are the total scores of the four apparatus: a routine has the one of its
own apparatus and was not judged on the others, so that a run on the criterion Ball uses the Ball routines.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from limssr.core.errors import InputError
from limssr.core.files import check_new
from limssr.core.types import Criterion
from limssr.data.importers.report import ImportReport
from limssr.data.importers.skating.common import Align, Missing, Published, check_tree, write_published
from limssr.data.importers.skating.features import Dictionaries
from limssr.data.importers.skating.labels import LabelRow, read_label_files

APPARATUS = ("Ball", "Clubs", "Hoop", "Ribbon")
FOLDER = "RG-feature"
ENDINGS = {"video": "rgb_VST.npy", "audio": "audio_AST.npy", "flow": "flow_I3D.npy"}
TRAIN, TEST = "train.txt", "test.txt"
COLUMNS = ("Video_Name", "Difficulty_Score", "Execution_Score", "Total_Score", "Penalty", "Video_length")
HIGHEST = 25.0
RG = Published(
    name="RG",
    importer="rg",
    criteria=tuple(Criterion(name, 0.0, HIGHEST) for name in APPARATUS),
    counts={"train": 800, "test": 200},
    widths=(1024, 768, 1024),
)


def import_rg(
    root: Path | str,
    store: Path | str,
    *,
    align: Align = "refuse",
    missing: Missing = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read the published features of Rhythmic Gymnastics into one new store.

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
    files = {stream: {f"{name}_{ending}": f"{name}_" for name in APPARATUS} for stream, ending in ENDINGS.items()}
    names = [f"{FOLDER}/{name}" for of in files.values() for name in of]
    check_tree(root, RG.name, files=(TRAIN, TEST, *names), folders=(FOLDER,))
    labels = read_label_files({"train": root / TRAIN, "test": root / TEST}, COLUMNS, header="detect")
    sources = {stream: Dictionaries(root / FOLDER, of) for stream, of in files.items()}
    return write_published(
        RG,
        labels,
        sources,
        store,
        scores=_scores,
        align=align,
        missing=missing,
        notes=["four criteria, the total score of each apparatus: a routine has only that of its own"],
        progress=progress,
    )


def _scores(row: LabelRow) -> np.ndarray:
    apparatus, mark, _ = row.id.partition("_")
    if apparatus not in APPARATUS or not mark:
        raise InputError(
            f"{row.where}: expected a name that begins with its apparatus ({', '.join(APPARATUS)}), such as Ball_001, "
            f"found '{row.id}': correct the file or fetch it again."
        )
    scores_C = np.full(len(APPARATUS), np.nan)
    scores_C[APPARATUS.index(apparatus)] = row.number("Total_Score")
    return scores_C
