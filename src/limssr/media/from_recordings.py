"""`limssr.extract`: what the verb of that name does, as one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from limssr.core.counting import counting
from limssr.data.words.names import DEFAULT
from limssr.media.clock import parse_segments
from limssr.media.encoders.sets import set_of
from limssr.media.extract import ExtractOptions, ExtractReport
from limssr.media.extract import extract as extract_files


def extract(
    manifest: str | Path,
    store: str | Path,
    *,
    encoders: Sequence[str] | str = (),
    segments: str | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    split: str | None = None,
    seed: int = 0,
    words: str = DEFAULT,
    name: str | None = None,
    processes: int = 1,
    resume: bool = False,
    show: Literal["progress", "nothing"] = "progress",
) -> ExtractReport:
    """Turn recordings (video, sound, sensor tables) into a store that is ready to train on: `limssr extract`.

    Args:
        manifest: A table with a row a performance (docs/recordings.md).
        store: Folder to make.
        encoders: Names, "NAME=SOURCE", or "fs1000", "fisv", "rg"; empty: the default ones.
        segments: "rg", "fisv", "fs1000", or a length in seconds with or without a stride, such as "5:2".
        scales: Criterion -> (lowest, highest possible score).
        split: Shares such as "70/15/15" for a table without splits.
        seed: Of that division.
        words: The view of streams of words: "states", "states:LAYERS" or "hashed".
        name: Of the data set; None: that of the table.
        processes: Files that are read at a time.
        resume: Whether to go on with an extraction that was stopped.
        show: "progress" reports on stderr.

    Returns:
        What was read (`imported`), and `failures`: performance -> why it is not in the store.

    Raises:
        InputError: As for the verb; no store is left behind.
    """
    named = (encoders,) if isinstance(encoders, str) else tuple(encoders)
    options = ExtractOptions(
        segments=parse_segments(segments or set_of(named) or "rg"),
        encoders=named or None,
        words=words,
        name=name,
        scales=dict(scales or {}),
        processes=processes,
        resume="auto" if resume else "never",
        split=split,
        seed=seed,
    )
    with counting("decoding", show=show == "progress") as progress:
        return extract_files(Path(manifest), Path(store), options, progress=progress)
