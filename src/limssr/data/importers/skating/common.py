"""What the importers of FS1000, Fis-V and RG share."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Criterion, Modality, Sample, Split
from limssr.data.importers.report import ImportReport
from limssr.data.importers.skating.features import StreamSource
from limssr.data.importers.skating.labels import LabelFile, LabelRow
from limssr.data.store.reader import StoreWriter
from limssr.data.validate import check_collection

STREAMS = ("video", "audio", "flow")
Align = Literal["refuse", "shortest"]
Missing = Literal["refuse", "allow"]
# So many ids stand in a message; their number is always said.
LISTED = 10


@dataclass(frozen=True)
class Published:
    """What is fixed about a published data set.

    Attributes:
        name: Of the data set, and of the folder in which it is usually kept.
        importer: Its name on the command line.
        criteria: Scores with the published divisors as the upper end of the scale.
        counts: Split -> samples as published.
        widths: Of video, audio and flow as published.
    """

    name: str
    importer: str
    criteria: tuple[Criterion, ...]
    counts: Mapping[Split, int]
    widths: tuple[int, int, int]


@dataclass(frozen=True)
class Survey:
    """What the labelled samples own, known before a value is read.

    Attributes:
        modalities: Streams with their widths.
        shapes: Sample -> stream -> (T, D), only streams that are there; samples without any are not in it.
        without: Stream -> labelled samples that lack it.
        unlabelled: Stream -> clips with features and no label.
        left_out: Labelled samples without any stream.
    """

    modalities: tuple[Modality, ...]
    shapes: Mapping[str, Mapping[str, tuple[int, int]]]
    without: Mapping[str, Sequence[str]]
    unlabelled: Mapping[str, Sequence[str]]
    left_out: Sequence[str]

    @property
    def uneven(self) -> dict[str, dict[str, int]]:
        """Sample -> stream -> T, where they differ."""
        lengths = {clip: {name: num for name, (num, _) in shapes.items()} for clip, shapes in self.shapes.items()}
        return {clip: of for clip, of in lengths.items() if len(set(of.values())) > 1}


def check_tree(root: Path, name: str, *, files: Sequence[str], folders: Sequence[str]) -> None:
    """Everything that a published tree consists of is there.

    Raises:
        InputError: Something is not; the message names all of it.
    """
    if not root.is_dir():
        found = "a file" if root.is_file() else "nothing"
        raise InputError(
            f"Expected the folder of {name} at {root}, found {found}: give the folder that holds {files[0]}."
        )
    missing = [entry for entry in folders if not (root / entry).is_dir()]
    missing = [f"{entry}/" for entry in missing] + [
        entry for entry in files if not (root / entry).is_file() and entry.split("/")[0] not in missing
    ]
    if not missing:
        return
    inner = root / name
    hint = f"did you mean {inner}?" if inner.is_dir() else "fetch what is missing, under the published names."
    raise InputError(
        f"{root}: expected {len(files) + len(folders)} files and folders of {name}, found none at "
        f"{', '.join(missing)} ({len(missing)} missing): {hint}"
    )


def write_published(
    data_set: Published,
    labels: Sequence[LabelFile],
    sources: Mapping[str, StreamSource],
    store: Path,
    *,
    scores: Callable[[LabelRow], np.ndarray],
    align: Align = "refuse",
    missing: Missing = "refuse",
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Check labels and features against each other, then write the store.

    Args:
        data_set: What is fixed.
        labels: Both label files.
        sources: Stream -> its features, in the order of the streams.
        store: Folder to make.
        scores: Scores [C] of a row.
        align: What happens to samples whose streams differ in length.
        missing: What happens to labelled samples that lack streams.
        notes: What the reader of this data set decided.
        progress: Called as (done, total) after every sample.

    Raises:
        InputError: Labels and features do not fit together; nothing has been written.
    """
    _check_option("align", align, ("refuse", "shortest"))
    _check_option("missing", missing, ("refuse", "allow"))
    light = [Sample(row.id, {}, scores(row), split=file.split) for file in labels for row in file.rows]
    check_collection(light, data_set.criteria, splits_required=("train", "test"))
    survey = _survey(data_set.name, [sample.id for sample in light], sources, missing)
    alignment = _alignment(data_set.name, survey, align)
    kept = [sample for sample in light if sample.id in survey.shapes]
    with StoreWriter(
        store,
        name=data_set.name,
        modalities=survey.modalities,
        criteria=data_set.criteria,
        splits_required=("train", "test"),
        provenance=_provenance(data_set, labels, sources, survey, alignment),
    ) as writer:
        for done, sample in enumerate(kept, start=1):
            shapes = survey.shapes[sample.id]
            shortest = min(num for num, _ in shapes.values())
            streams = {name: sources[name].read(sample.id)[:shortest] for name in shapes}
            writer.add(Sample(sample.id, streams, sample.scores, split=sample.split))
            if progress:
                progress(done, len(kept))
    decided = [*_label_notes(data_set, labels), *notes, *_feature_notes(data_set, survey, alignment)]
    decided += writer.observed.sentences()
    return ImportReport.of(store, decisions=decided, details=_details(labels, survey, alignment))


def _survey(name: str, clips: Sequence[str], sources: Mapping[str, StreamSource], missing: Missing) -> Survey:
    without = {stream: [clip for clip in clips if clip not in source.ids] for stream, source in sources.items()}
    known = set(clips)
    unlabelled = {stream: sorted(set(source.ids) - known) for stream, source in sources.items()}
    if missing == "refuse" and any(without.values()):
        reverse = f" Features without a label: {_listing(unlabelled)}." if any(unlabelled.values()) else ""
        raise InputError(
            f"{name}: expected features of every sample that has a label, found labels without features: "
            f"{_listing(without)}.{reverse} Fetch the missing files; or import what is there with --allow-missing: "
            "those streams are then absent, and samples without any stream are left out."
        )
    shapes: dict[str, dict[str, tuple[int, int]]] = {}
    for clip in clips:
        owned = {stream: source.shape(clip) for stream, source in sources.items() if clip in source.ids}
        if owned:
            shapes[clip] = owned
    modalities = tuple(Modality(stream, _width(name, stream, shapes)) for stream in sources)
    return Survey(modalities, shapes, without, unlabelled, [clip for clip in clips if clip not in shapes])


def _width(name: str, stream: str, shapes: Mapping[str, Mapping[str, tuple[int, int]]]) -> int:
    """The one width of a stream.

    Raises:
        InputError: No sample has the stream, or widths differ, or a sample has no segment.
    """
    of = {clip: owned[stream] for clip, owned in shapes.items() if stream in owned}
    if not of:
        raise InputError(
            f"{name}, stream '{stream}': expected features of at least one labelled sample, found none: are these the "
            "features of another data set, or under other names?"
        )
    empty = [clip for clip, shape in of.items() if 0 in shape]
    if empty:
        raise InputError(
            f"{name}, stream '{stream}': expected at least one segment and one feature in every sample, found an empty "
            f"array for {_some(empty)}: fetch the features again."
        )
    width = Counter(shape[1] for shape in of.values()).most_common(1)[0][0]
    other = [f"{clip} ({shape[1]})" for clip, shape in of.items() if shape[1] != width]
    if other:
        raise InputError(
            f"{name}, stream '{stream}': expected one width for all samples, found {width} in most and another in "
            f"{_some(other)}: all samples must come from the same extractor (is an array transposed?)."
        )
    return width


def _alignment(name: str, survey: Survey, align: Align) -> dict[str, Any]:
    uneven = survey.uneven
    if uneven and align == "refuse":
        shown = [
            f"{clip} ({', '.join(f'{of} {num}' for of, num in lengths.items())})" for clip, lengths in uneven.items()
        ]
        raise InputError(
            f"{name}: expected streams of the same number of segments, found samples where they differ: "
            f"{_some(shown)}. If it is only a few segments at the end, --align shortest cuts every sample to its "
            "shortest stream."
        )
    cuts = {clip: {of: num - min(lengths.values()) for of, num in lengths.items()} for clip, lengths in uneven.items()}
    return {
        "mode": align,
        "samples": len(cuts),
        "segments_cut": {
            stream.name: sum(cut.get(stream.name, 0) for cut in cuts.values()) for stream in survey.modalities
        },
        "longest_cut": max((max(cut.values()) for cut in cuts.values()), default=0),
    }


def _provenance(
    data_set: Published,
    labels: Sequence[LabelFile],
    sources: Mapping[str, StreamSource],
    survey: Survey,
    alignment: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "importer": data_set.importer,
        "labels": {
            file.split: {"file": file.path.name, "sha256": file.sha256, "header": file.header, "rows": len(file.rows)}
            for file in labels
        },
        "features": {stream: list(source.names) for stream, source in sources.items()},
        "alignment": dict(alignment),
        "without_features": {stream: len(clips) for stream, clips in survey.without.items()},
        "left_out": list(survey.left_out),
    }


def _label_notes(data_set: Published, labels: Sequence[LabelFile]) -> list[str]:
    notes = []
    for file in labels:
        begins = "its first line names the columns" if file.header == "header" else "its first line is a sample"
        notes.append(f"{file.path.name}: {file.header}, {begins}; {len(file.rows)} samples for split '{file.split}'")
        published = data_set.counts[file.split]
        if len(file.rows) != published:
            notes.append(f"{file.path.name}: {data_set.name} was published with {published} samples in this split")
        if file.num_longer:
            notes.append(f"{file.path.name}: {file.num_longer} rows have further columns, which were not read")
    notes.append(
        "no validation split: the published data has none, and nothing is known that samples share (no groups)"
    )
    return notes


def _feature_notes(data_set: Published, survey: Survey, alignment: Mapping[str, Any]) -> list[str]:
    notes = []
    for modality, published in zip(survey.modalities, data_set.widths, strict=True):
        if modality.dim != published:
            notes.append(f"stream '{modality.name}': {modality.dim} features a segment, published were {published}")
    if alignment["samples"]:
        cut = ", ".join(f"{stream} {num}" for stream, num in alignment["segments_cut"].items())
        notes.append(
            f"streams of different lengths: {alignment['samples']} samples were cut to their shortest stream, by at "
            f"most {alignment['longest_cut']} segments (in all: {cut})"
        )
    if any(survey.without.values()):
        notes.append(f"labels without features, imported as absent streams: {_listing(survey.without)}")
    if survey.left_out:
        notes.append(f"left out, no features at all: {_some(survey.left_out)}")
    if any(survey.unlabelled.values()):
        notes.append(f"features without a label, not imported: {_listing(survey.unlabelled)}")
    return notes


def _details(labels: Sequence[LabelFile], survey: Survey, alignment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "headers": {file.path.name: file.header for file in labels},
        "alignment": dict(alignment),
        "labels_without_features": {stream: list(clips) for stream, clips in survey.without.items() if clips},
        "features_without_label": {stream: list(clips) for stream, clips in survey.unlabelled.items() if clips},
        "left_out": list(survey.left_out),
    }


def _listing(clips: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{stream}: {_some(names)}" for stream, names in clips.items() if names)


def _some(names: Sequence[str]) -> str:
    """The number of names and the first of them."""
    more = ", …" if len(names) > LISTED else ""
    return f"{len(names)} ({', '.join(names[:LISTED])}{more})"


def _check_option(option: str, found: str, valid: Sequence[str]) -> None:
    if found not in valid:
        raise unknown_name(f"value of '{option}'", found, valid)
