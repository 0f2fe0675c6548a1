"""ICT-MMMO and POM (movie reviews on video) as released with the Memory Fusion Network, github.com/pliang279/MFN.

Expected below the root, with SET one of mmmo and pom and SPLIT one of train, valid and test::

    new_data/SET/audio_SPLIT.h5       [N, T, D], one data set `d1` a file
    new_data/SET/video_SPLIT.h5       [N, T, D]
    new_data/SET/text_SPLIT_emb.h5    [N, T, D]
    new_data/SET/y_SPLIT.h5           [N] or [N, C]

Row n of the files of one split is one clip; there are no names. Splits are the release's own. A file of video or text
that is not there means that no clip of that split has the stream. What an all-zero step means is in `mfn_steps`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from limssr.core.errors import unknown_name
from limssr.core.files import check_new
from limssr.core.types import SPLITS, Modality, Sample, Split
from limssr.data.importers.mfn.files import (
    COMMIT,
    RELEASE_SPLITS,
    RELEASES,
    SOURCE,
    STREAM_FILES,
    Part,
    Release,
    check_apart,
    clip_id,
    find_folder,
    modalities_of,
    read_part,
)
from limssr.data.importers.mfn.hdf5 import require_hdf5
from limssr.data.importers.mfn.steps import Clip, cut_clip
from limssr.data.importers.report import ImportReport
from limssr.data.store.reader import StoreWriter


def import_mfn(
    root: Path | str,
    store: Path | str,
    *,
    dataset: str = "mmmo",
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Read one data set of the release into a new store.

    Args:
        root: A checkout of the repository, or a folder with the same `new_data`.
        store: Folder to make.
        dataset: "mmmo" or "pom".
        progress: Called as (done, total) after every clip.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: Anything is not as released; no store is left behind.
    """
    root, store = Path(root), Path(store)
    if dataset not in RELEASES:
        raise unknown_name("data set", dataset, list(RELEASES))
    check_new(store, "store")
    require_hdf5()
    release = RELEASES[dataset]
    folder = find_folder(root, dataset)
    parts: Mapping[Split, Part] = {split: read_part(folder, RELEASE_SPLITS[split], release) for split in SPLITS}
    modalities = modalities_of(parts, folder)
    clips: Mapping[Split, list[Clip]] = {
        split: _cut(part, RELEASE_SPLITS[split], folder) for split, part in parts.items()
    }
    check_apart(parts, folder)
    details = {"splits": {split: _counts(parts[split], of_split) for split, of_split in clips.items()}}
    done, total = 0, sum(map(len, clips.values()))
    with StoreWriter(
        store,
        name=release.name,
        modalities=modalities,
        criteria=release.criteria,
        provenance=_provenance(dataset, release, parts, details),
    ) as writer:
        for split, of_split in clips.items():
            for row, clip in enumerate(of_split):
                scores_C = parts[split].scores_NC[row]
                writer.add(Sample(clip_id(split, row), clip.streams, scores_C, split=split))
                done += 1
                if progress:
                    progress(done, total)
    return ImportReport.of(
        store, decisions=[*_notes(release, modalities, parts, details), *writer.observed.sentences()], details=details
    )


def _cut(part: Part, split: str, folder: Path) -> list[Clip]:
    num_clips = len(part.scores_NC)
    return [
        cut_clip(
            {stream: array_NTD[row] for stream, array_NTD in part.streams.items()},
            where=f"{folder}, clip {row} of {split}",
        )
        for row in range(num_clips)
    ]


def _provenance(
    dataset: str, release: Release, parts: Mapping[Split, Part], details: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "importer": "mfn",
        "source": SOURCE,
        "licence": "MIT, copyright 2019 Paul Liang",
        # The commit whose layout is read; the hashes say which files were.
        "layout_of_commit": COMMIT,
        "dataset": dataset,
        "files": {name: dict(entry) for part in parts.values() for name, entry in part.files.items()},
        "criteria": release.criteria_from,
        "report": dict(details),
    }


def _counts(part: Part, clips: list[Clip]) -> dict[str, Any]:
    steps = [clip.num_steps for clip in clips]
    streams = {}
    for name in STREAM_FILES:
        owners = [clip for clip in clips if name in clip.streams]
        streams[name] = {
            "file": "there" if name in part.streams else "not there",
            "absent_clips": len(clips) - len(owners),
            "clips_with_missing_segments": sum(clip.missing[name] > 0 for clip in owners),
            "missing_segments": sum(clip.missing[name] for clip in owners),
        }
    return {
        "clips": len(clips),
        "steps_in_use": {"min": min(steps), "median": float(median(steps)), "max": max(steps)},
        "clips_padded": {
            "in_front": sum(clip.front > 0 for clip in clips),
            "behind": sum(clip.behind > 0 for clip in clips),
            "both": sum(clip.front > 0 and clip.behind > 0 for clip in clips),
        },
        "streams": streams,
    }


def _notes(
    release: Release, modalities: tuple[Modality, ...], parts: Mapping[Split, Part], details: Mapping[str, Any]
) -> list[str]:
    notes = [f"splits as released (valid became val): {_numbers({s: len(p.scores_NC) for s, p in parts.items()})}"]
    for split in SPLITS:
        if len(parts[split].scores_NC) != release.counts[split]:
            notes.append(f"split '{split}': {release.name} was released with {release.counts[split]} clips")
    known = [modality.name for modality in modalities]
    for stream in STREAM_FILES:
        notes += (
            _stream_notes(stream, parts, details["splits"])
            if stream in known
            else [f"no file of {stream} in any split: the store has no such stream"]
        )
    used = {split: details["splits"][split]["steps_in_use"]["median"] for split in SPLITS}
    notes.append(f"steps that are empty in front and behind were cut; median steps in use: {_numbers(used)}")
    notes.append("values are as released, not scaled: train with model.input_scaling=standard, which also clips")
    notes.append("no clip's audio stands in two splits; clips have no names, so nothing is known about who speaks")
    notes.append(f"criteria: {release.criteria_from}")
    return notes


def _stream_notes(stream: str, parts: Mapping[Split, Part], counts: Mapping[str, Any]) -> list[str]:
    without = [split for split in SPLITS if stream not in parts[split].streams]
    told = {split: counts[split]["streams"][stream] for split in SPLITS if split not in without}
    absent, missing = ({split: of[key] for split, of in told.items()} for key in ("absent_clips", "missing_segments"))
    notes = []
    if without:
        notes.append(f"no file of {stream} for {', '.join(without)}: the stream is absent from these clips")
    if any(absent.values()):
        notes.append(f"{stream} is zero throughout, so absent, in clips: {_numbers(absent)}")
    if any(missing.values()):
        notes.append(f"{stream} is missing in segments of clips that have it: {_numbers(missing)}")
    return notes


def _numbers(counts: Mapping[Any, float]) -> str:
    return ", ".join(f"{split} {count:g}" for split, count in counts.items())
