"""`limssr extract`: a table of recordings -> a store that is ready to train on."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from limssr.core.cluster import Cluster
from limssr.core.errors import InputError, MissingExtraError
from limssr.core.files import check_new, sha256_of, write_atomically
from limssr.core.types import Sample
from limssr.data.importers.report import ImportReport
from limssr.data.importers.table.scales import find_criteria, scale_notes
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter
from limssr.data.validate import check_collection
from limssr.data.words.names import DEFAULT
from limssr.media.assemble import assemble, word_streams
from limssr.media.clock import Segments
from limssr.media.encoders.table import check_needs, chosen, stream_names
from limssr.media.executors import Outcome, run_jobs
from limssr.media.jobs import Jobs
from limssr.media.manifest import Recordings, load_recordings, with_splits
from limssr.media.plan import plan_streams
from limssr.media.record import ExtractionRecord, package_versions

CACHE_NAME = ".extracted"


@dataclass(frozen=True, kw_only=True)
class ExtractOptions:
    """How recordings become a store.

    Attributes:
        segments: The clock.
        encoders: Names; None: the default ones.
        name: Of the data set; None: that of the manifest.
        scales: Criterion -> (lowest, highest possible score).
        processes: Files that are read at once.
        cluster: Reads them in place of this machine.
        paths: "contained" refuses files outside the manifest's folder.
        resume: "auto" accepts a store that was already extracted in exactly this way.
        words: The view of streams of words (`limssr.data.words.views`).
        split: Shares such as "70/15/15" by which whole groups are divided, for a manifest without splits.
        seed: Of that division.
    """

    segments: Segments
    encoders: Sequence[str] | None = None
    words: str = DEFAULT
    name: str | None = None
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    processes: int = 1
    cluster: Cluster | None = None
    paths: Literal["any", "contained"] = "any"
    resume: Literal["never", "auto"] = "never"
    split: str | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """The outcome for the recordings.

    Attributes:
        imported: What is in the store.
        failures: Performance -> why it is not in the store.
        failure_list: Where the failures are written down; None without any.
        damaged: Performance -> (second, what was wrong there), where a file was decoded in part.
    """

    imported: ImportReport
    failures: Mapping[str, str]
    failure_list: Path | None
    damaged: Mapping[str, Sequence[tuple[float, str]]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **self.imported.to_dict(),
            "failures": [{"id": name, "reason": reason} for name, reason in self.failures.items()],
            "failure_list": None if self.failure_list is None else str(self.failure_list),
            "damaged": {name: [list(place) for place in places] for name, places in self.damaged.items()},
        }


def extract(
    manifest: Path,
    store: Path,
    options: ExtractOptions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractReport:
    """Read a table of recordings and write a store.

    What a file gave is kept beside the store, in the folder `.extracted`, under a hash of the file and of everything
    that the features depend on: an extraction that was stopped, or that is repeated with one encoder more, does only
    what is still to be done. The store holds the same bytes whatever was kept and however many processes there are.

    Args:
        manifest: See `limssr.media.manifest`.
        store: Folder to make.
        options: How.
        progress: Called as (done, total) after every file and every sample.

    Returns:
        What was read, and what could not be.

    Raises:
        InputError: The manifest is not right, or not one performance can be read; no store is left behind.
        MissingExtraError: A package is missing.
        ResourceError: The disk is full.
    """
    manifest, store = Path(manifest), Path(store)
    if options.resume == "never":
        check_new(store, "store")
    encoders = chosen(options.encoders)
    recordings, split_notes = with_splits(
        load_recordings(manifest, use="extract", paths=options.paths), options.split, options.seed
    )
    if any(kind == "media" for kind, _ in recordings.columns):
        check_needs(encoders)
    light = [Sample(row.id, {}, row.scores_C, row.group, row.split) for row in recordings.rows]
    criteria, derived = find_criteria(recordings.criteria, light, options.scales, {})
    # What the manifest alone shows is said before anything is decoded.
    check_collection(light, criteria)
    failures: dict[str, str] = {}
    streams = plan_streams(recordings, encoders, failures, words=options.words, called=stream_names(options.encoders))
    record = ExtractionRecord(segments=options.segments, streams=streams, packages=package_versions())
    provenance = {
        "importer": "extract",
        "manifest": manifest.name,
        "manifest_sha256": sha256_of(manifest),
        "extraction": record.to_dict(),
        **({"division": split_notes} if split_notes else {}),
    }
    if store.exists():
        return _already_made(store, provenance)
    work = _Work(recordings, record, options, failures, progress)
    record = work.encode(store.parent / CACHE_NAME)
    provenance["extraction"] = record.to_dict()
    with StoreWriter(
        store,
        name=options.name or manifest.stem,
        modalities=[stream.modality for stream in record.streams],
        criteria=criteria,
        segment_s=options.segments.length_s,
        provenance=provenance,
        derived_scales=derived,
    ) as writer:
        work.assemble(writer)
    damaged = work.damage()
    return ExtractReport(
        imported=ImportReport.of(
            store, decisions=[*split_notes, *work.notes(), *scale_notes(criteria, derived, light)]
        ),
        failures=failures,
        failure_list=_write_failures(store, failures),
        damaged=damaged,
    )


class _Work:
    """The two steps of an extraction, and what is to be said about them."""

    def __init__(
        self,
        recordings: Recordings,
        record: ExtractionRecord,
        options: ExtractOptions,
        failures: dict[str, str],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._recordings, self._record, self._options = recordings, record, options
        self._failures = failures
        self._progress = progress
        self._jobs = Jobs(jobs=(), of_row={})
        self._outcomes: dict[int, Outcome] = {}
        self._from_first: list[tuple[str, str]] = []
        self._read_as: Counter[tuple[str, str]] = Counter()
        self._words = word_streams(record.streams, record.segments, recordings.criteria)

    def encode(self, cache: Path) -> ExtractionRecord:
        """Read every file into the cache; what is returned has only streams that some recording has."""
        self._jobs = Jobs.of(
            self._recordings.rows,
            self._record.streams,
            self._record.segments,
            cache=cache,
            failures=self._failures,
        )
        jobs = self._jobs.jobs
        for outcome in run_jobs(jobs, processes=self._options.processes, cluster=self._options.cluster):
            self._outcomes[outcome.index] = outcome
            if self._progress:
                self._progress(len(self._outcomes), len(jobs))
        self._failures |= dict(self._jobs.failed(self._outcomes))
        there = self._jobs.encoders_with_values(self._failures)
        kept = [
            stream
            for stream in self._record.streams
            if stream.encoder is None or (stream.column, stream.encoder) in there
        ]
        names = {stream.name for stream in kept}
        left_out = tuple(stream.name for stream in self._record.streams if stream.name not in names)
        if kept:
            self._record = replace(self._record, streams=tuple(kept), left_out=left_out)
        return self._record

    def assemble(self, writer: StoreWriter) -> None:
        """Write every performance that has not failed, in the order of the manifest."""
        for row in self._recordings.rows:
            if row.id in self._failures:
                continue
            try:
                streams, segments = self._record.streams, self._record.segments
                made = assemble(
                    row, self._jobs.results(row), streams, segments, self._words, stamps=self._record.stamps
                )
                writer.add(made.sample)
            except MissingExtraError:
                raise
            except InputError as error:
                self._failures[row.id] = str(error)
                continue
            self._from_first += [(row.id, sensor) for sensor in made.from_first]
            self._read_as.update(made.remarks)
        if len(self._failures) == len(self._recordings.rows):
            name, reason = next(iter(self._failures.items()))
            raise InputError(
                f"Expected at least one performance that can be read, found none of {len(self._failures)}. The first, "
                f"'{name}': {reason}"
            )

    def damage(self) -> dict[str, list[tuple[float, str]]]:
        """Performance -> what was wrong with its files."""
        found = {row.id: self._jobs.damage(row, self._outcomes) for row in self._recordings.rows}
        return {name: places for name, places in found.items() if places and name not in self._failures}

    def notes(self) -> list[str]:
        """What a person should know."""
        notes = [
            f"stream '{name}': not one recording has a valid segment of it; it is left out"
            for name in self._record.left_out
        ]
        notes += [
            f"'{name}' is damaged from {places[0][0]:.1f} s on: {places[0][1]}"
            for name, places in self.damage().items()
        ]
        notes += [f"sensor '{sensor}': {remark}: {number}" for (sensor, remark), number in self._read_as.items()]
        several = len({sensor for _, sensor in self._from_first}) > 1
        begin = "the earliest first row of all sensors" if several else "their first row"
        for sensor in dict.fromkeys(sensor for _, sensor in self._from_first):
            number = sum(sensor == other for _, other in self._from_first)
            notes.append(
                f"sensor '{sensor}': the time stamps of {number} tables were counted from {begin}; a column "
                f"offset:{sensor} with the time stamp of the recording's start says it exactly"
            )
        return [*notes, *self._words.sentences()]


def _already_made(store: Path, provenance: Mapping[str, Any]) -> ExtractReport:
    made = FeatureStore.open(store).info.provenance
    different = [key for key in provenance if key != "extraction" and made.get(key) != provenance[key]]
    if not _same_extraction(made.get("extraction", {}), provenance["extraction"]):
        different.append("extraction")
    if different:
        raise InputError(
            f"Expected at {store} a store that was extracted in the same way, found another {' and '.join(different)}: "
            "choose another path, or remove the store (what was decoded is kept)."
        )
    report = ImportReport.of(store, decisions=["the store was there already; nothing was done"])
    return ExtractReport(imported=report, failures={}, failure_list=None, damaged={})


def _same_extraction(made: Mapping[str, Any], planned: Mapping[str, Any]) -> bool:
    """Whether a store was made as planned; streams that no recording has are not in it."""
    left_out = made.get("left_out", ())
    streams = {name: how for name, how in planned["streams"].items() if name not in left_out}
    several = sum(str(how["source"]).startswith("sensor:") for how in streams.values()) > 1
    aside = ("streams", "left_out") if several else ("streams", "left_out", "stamps")
    rest = [{key: value for key, value in one.items() if key not in aside} for one in (made, planned)]
    return made.get("streams") == streams and rest[0] == rest[1]


def _write_failures(store: Path, failures: Mapping[str, str]) -> Path | None:
    if not failures:
        return None
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "reason"])
    writer.writerows(failures.items())
    path = store.with_name(f"{store.name}.failures.csv")
    write_atomically(path, text.getvalue().encode())
    return path
