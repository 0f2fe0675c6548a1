"""Samples of a form: files of arrays or recordings, written into a folder of their own and read as the command reads.

The parts of a form: `STREAM` (a file; one sample) or `SAMPLE/STREAM` (many); `streams` (an .npz that holds an array for
each stream); `recording`, or `media:NAME` and `sensor:NAME`, for a run that was made from recordings, where NAME alone
will do for a film, a sound and a sensor's table. Fields of text:
`model`, `id`, `interval`, `only` (streams with commas between them), `columns`, `windows`.
"""

import contextlib
import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.datastructures import FormData, UploadFile

from limssr.core.errors import InputError, unknown_name
from limssr.core.reading.arrays import member_names, opened_archive
from limssr.core.reading.declared import declared_bytes
from limssr.core.reading.regular import Outside
from limssr.core.types import Sample
from limssr.data.importers.table.files import KEY_MARK, SUFFIXES
from limssr.data.importers.table.manifest import STREAM_PREFIX, TEXT_PREFIX
from limssr.data.importers.table.reading import Reading
from limssr.data.importers.table.table import read_manifest
from limssr.data.words.files import SUFFIXES as WORDS
from limssr.media.samples import PICTURE_SUFFIXES, SOUND_SUFFIXES, read_recordings
from limssr.media.sensors import num_readings
from limssr.serve.arrays import Bounds, restricted
from limssr.serve.problems import Problem
from limssr.serve.served import Served

FIELDS = ("model", "id", "interval", "only", "columns", "windows")
TOGETHER = "streams"
RECORDING = "recording"
MANIFEST = "request.csv"
MAX_TEXT = 10_000
MEDIA = (*PICTURE_SUFFIXES, *SOUND_SUFFIXES)
UNPACKED = 16
"""Times the largest body that its files may unpack to."""
REMEDY = "send it as a plain array of numbers"


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form that was received.

    Attributes:
        fields: Name -> text.
        files: Name of the part -> where it lies now.
        titles: Name of the part -> name of the file as the client has it.
        folder: Where the files are; it is removed when the request ends.
    """

    fields: Mapping[str, str]
    files: Mapping[str, Path]
    titles: Mapping[str, str]
    folder: Path

    def only(self) -> list[str] | None:
        """The streams to use; None: all."""
        text = self.fields.get("only")
        return None if text is None else [name.strip() for name in text.split(",") if name.strip()]

    def interval(self) -> tuple[float | None, bool]:
        """The level of intervals, and whether the form says one."""
        text = self.fields.get("interval", "").strip()
        if not text:
            return None, False
        if text == "none":
            return None, True
        try:
            return float(text), True
        except ValueError:
            raise InputError(f"Expected a share such as 0.9, or none, as interval, found {text[:40]!r}.") from None


@contextlib.contextmanager
def received(form: FormData) -> Iterator[Form]:
    """Put the files of a form into a folder that does not outlive the block.

    Raises:
        Problem: A part twice, or text that is too long.
    """
    folder = Path(tempfile.mkdtemp(prefix="limssr-serve-"))
    try:
        fields: dict[str, str] = {}
        files: dict[str, Path] = {}
        titles: dict[str, str] = {}
        for number, (name, value) in enumerate(form.multi_items()):
            if name in fields or name in files:
                raise Problem(422, f"Expected every part of the form once, found '{name[:80]}' twice: leave one out.")
            if isinstance(value, UploadFile):
                title = Path(value.filename or "").name[:200]
                # No part of a path is the client's: only an ending that is known to be harmless.
                suffix = Path(title).suffix.lower()
                path = folder / f"{number}{suffix if suffix.isascii() and suffix[1:].isalnum() else ''}"
                with path.open("wb") as out:
                    shutil.copyfileobj(value.file, out)
                files[name], titles[name] = path, title
            elif len(value) > MAX_TEXT:
                raise Problem(413, f"Expected at most {MAX_TEXT:,} characters in the field '{name[:80]}', found more.")
            else:
                fields[name] = value
        for name in fields:
            if name not in FIELDS:
                raise Problem(422, f"{unknown_name('field', name, FIELDS)} Arrays are sent as files.")
        yield Form(fields=fields, files=files, titles=titles, folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def samples_in(form: Form, served: Served, bounds: Bounds, *, max_body: int) -> tuple[list[Sample], list[str]]:
    """Checked samples of a form, and what was decided on the way.

    Args:
        form: Inside `received`.
        served: The run that is to score them.
        bounds: How much there may be.
        max_body: Of the server; files may unpack to `UNPACKED` times as much.

    Raises:
        InputError: Something in a file is not right, in the words of `limssr predict`.
        Problem: Too much of it.
    """
    if not form.files:
        raise InputError(
            f"Expected files in the form, found none: send one part a stream, named {', '.join(served.names)}."
        )
    form = _as_recordings(form, served)
    try:
        if any(name == RECORDING or name.partition(":")[0] in ("media", "sensor") for name in form.files):
            samples, notes = _recordings(form, served)
        else:
            samples, notes = _arrays(form, served, bounds, max_body=max_body)
    except InputError as error:
        raise type(error)(_as_sent(str(error), form)) from None
    bounds.check_samples(len(samples))
    for sample in samples:
        if sample.streams:
            bounds.check_segments(sample.num_segments, f"Sample '{sample.id}'")
    return restricted(samples, served, form.only()), [_as_sent(note, form) for note in notes]


def _as_recordings(form: Form, served: Served) -> Form:
    """The form with `media:NAME` and `sensor:NAME` where a part has NAME alone and its file is none of features."""
    if served.extraction is None:
        return form
    renamed: dict[str, str] = {}
    for stream in served.extraction.streams:
        path = form.files.get(stream.column)
        if path is None or stream.name not in served.names:
            continue
        if (stream.kind == "media" and path.suffix in MEDIA) or (
            stream.kind == "sensor" and num_readings(path) not in (None, len(stream.columns))
        ):
            renamed[stream.column] = stream.source
    files = {renamed.get(name, name): path for name, path in form.files.items()}
    return replace(form, files=files, titles={renamed.get(name, name): title for name, title in form.titles.items()})


def _arrays(form: Form, served: Served, bounds: Bounds, *, max_body: int) -> tuple[list[Sample], list[str]]:
    cells: dict[str, dict[str, str]] = {}
    of_words = {one.name for one in served.found.modalities if one.words}
    for part, path in form.files.items():
        sample, slash, name = part.rpartition("/")
        rows = cells.setdefault(sample if slash else form.fields.get("id", "sample"), {})
        suffixes = WORDS if name in of_words else SUFFIXES
        if path.suffix not in suffixes:
            raise InputError(
                f"Part '{part[:80]}': expected a file of kind {', '.join(suffixes)}, found '{form.titles[part]}': "
                "convert it to one of them."
            )
        _check_unpacked(path, part, max_body * UNPACKED)
        for stream, cell in _cells(path, part, name):
            if stream not in served.names:
                raise InputError(f"Part '{part[:80]}': {unknown_name('stream', stream, list(served.names))}")
            rows[stream] = cell
    bounds.check_samples(len(cells))
    manifest = form.folder / MANIFEST
    text = io.StringIO(newline="")
    streams = [name for name in served.names if any(name in rows for rows in cells.values())]
    writer = csv.writer(text)
    writer.writerow(["id", *(f"{TEXT_PREFIX if name in of_words else STREAM_PREFIX}{name}" for name in streams)])
    writer.writerows([sample, *(rows.get(name, "") for name in streams)] for sample, rows in cells.items())
    manifest.write_text(text.getvalue(), encoding="utf-8")
    said = form.fields.get("columns", "as-trained")
    how = served.found.reading if said == "as-trained" else {**served.found.reading, "columns": said}
    notes: list[str] = []
    samples = read_manifest(
        manifest,
        modalities=served.found.modalities,
        need_scores=False,
        reading=Reading.from_dict(how),
        say=notes.append,
    )
    return samples, notes


def _cells(path: Path, part: str, name: str) -> list[tuple[str, str]]:
    """Stream -> cell of the manifest, for each array of a file."""
    if name != TOGETHER or path.suffix != ".npz":
        return [(name, path.name)]
    with opened_archive(
        Outside(path=path, what="a readable .npz file", remedy=REMEDY, where=f"Part '{part}'")
    ) as archive:
        return [(key, f"{path.name}{KEY_MARK}{key}") for key in member_names(archive)]


def _check_unpacked(path: Path, part: str, limit: int) -> None:
    outside = Outside(path=path, what=f"a readable {path.suffix} file", remedy=REMEDY, where=f"Part '{part[:80]}'")
    if (size := declared_bytes(outside)) > limit:
        raise Problem(
            413,
            f"Part '{part[:80]}': expected at most {limit:,} bytes when it is unpacked, found {size:,}: send less, or "
            "ask whoever runs the server for a higher bound.",
        )


def _recordings(form: Form, served: Served) -> tuple[list[Sample], list[str]]:
    if served.extraction is None:
        raise InputError(
            f"Expected a run on a store that `limssr extract` made, found that '{served.id}' was trained on features "
            "that came from elsewhere: send arrays, one part a stream."
        )
    names = list(form.files)
    for part in names:
        if part != RECORDING and part.partition(":")[0] not in ("media", "sensor"):
            raise InputError(f"Part '{part[:80]}': expected recordings or arrays, found both: send one kind.")
        if not part.startswith("sensor:") and form.files[part].suffix not in MEDIA:
            raise InputError(
                f"Part '{part[:80]}': expected a video or sound file, found '{form.titles[part]}': send one of "
                f"{', '.join(MEDIA)}."
            )
    if names == [RECORDING]:
        source = form.files[RECORDING]
    else:
        source = form.folder / "request.jsonl"
        row = {"id": form.fields.get("id", "sample"), **{part: path.name for part, path in form.files.items()}}
        source.write_text(json.dumps(row) + "\n", encoding="utf-8")
    found = read_recordings(source, served.extraction, served.found.modalities)
    if found.failures:
        raise InputError(next(iter(found.failures.values())))
    sample = found.samples[0]
    title = form.fields.get("id") or form.titles.get(RECORDING) or sample.id
    return [replace(sample, id=title)], list(found.notes)


def _as_sent(message: str, form: Form) -> str:
    """A message with the names of the client's files in place of ours."""
    for part, path in sorted(form.files.items(), key=lambda item: -len(item[1].name)):
        title = form.titles[part] or part
        message = message.replace(str(path), title).replace(f"'{path.name}'", f"'{title}'")
    return message.replace(f"{form.folder}/{MANIFEST}", "the form").replace(f"{form.folder}/", "")
