"""`limssr data ...`: make a feature store, look at it, check it, make it incomplete, divide it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro import conf

from limssr.cli.options import ColumnsName, Common, HeaderName, Position, SplitName
from limssr.cli.output import Answer
from limssr.core.counting import counting

if TYPE_CHECKING:
    from collections.abc import Callable

    from limssr.data.importers import ImportReport
    from limssr.data.inspect import StoreSummary


@dataclass(frozen=True)
class ImportPercepiano:
    """Read a checkout of the PercePiano repository: five streams at 0.5 s, 19 criteria, split by passage."""

    root: Annotated[Position[Path], conf.arg(metavar="ROOT")]
    """Folder of the checkout (it holds virtuoso/ and labels/)."""
    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder to make."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Import."""
        return _import("percepiano", self.root, self.store, {})


@dataclass(frozen=True, kw_only=True)
class ImportTable:
    """Read own data: a table that names one file of features a stream and sample."""

    manifest: Annotated[Position[Path], conf.arg(metavar="MANIFEST")]
    """CSV, XLSX or JSONL: columns id, split, group, score:NAME, stream:NAME and text:NAME (docs/data-format.md)."""
    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder to make."""
    scale: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="NAME=LOW:HIGH", help="Scale that a criterion is judged on; repeat it for each criterion."),
    ] = ()
    name: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """What the data set is called in tables and reports; without it the manifest's name."""
    segment_s: Annotated[float | None, conf.arg(metavar="SECONDS")] = None
    """Time that one segment stands for. Streams with a time column or a rate are averaged over it."""
    rate: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="NAME=HZ", help="Rows a second of a stream without a time column; repeat it for each stream."),
    ] = ()
    time: Annotated[str | None, conf.arg(metavar="COLUMN")] = None
    """Column that holds the time of each row; none: no column does. Without it, it is found by its name."""
    align: Literal["refuse", "shortest", "resample"] = "refuse"
    """Streams of one sample that differ in length: an error, cut at their ends, or averaged to the shortest."""
    split: Annotated[str | None, conf.arg(metavar="SHARES")] = None
    """Divide the samples by whole groups where the manifest has no column split, such as 70/15/15 or 80/20."""
    seed: Annotated[int, conf.arg(metavar="N")] = 0
    """Seed of the division into splits."""
    header: HeaderName = "detect"
    columns: ColumnsName = "by-name"
    zeros: Literal["keep", "absent"] = "keep"
    """What a stream is that holds nothing but zeros in a sample."""
    words: Annotated[str, conf.arg(metavar="states|states:LAYERS|hashed")] = "states"
    """How systems of numbers see words: states of a frozen SmolLM2-135M (after 6 layers), or hashed counts of words."""
    markup: Literal["remove", "keep"] = "remove"
    """Whether markup, entities and invisible signs are removed from words."""
    copies: Literal["refuse", "keep"] = "refuse"
    """What is done with the same features under several ids in several splits."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Import."""
        from limssr.data.importers.table.reading import Reading

        reading = Reading(
            header=self.header,
            columns=self.columns,
            time=self.time,
            rates=rates(self.rate),
            segment_s=self.segment_s,
            align=self.align,
            zeros=self.zeros,
            words=self.words,
            markup=self.markup,
        )
        options = {"scales": scales(self.scale), "name": self.name, "reading": reading}
        options |= {"split": self.split, "seed": self.seed, "copies": self.copies}
        return _import("table", self.manifest, self.store, options)


@dataclass(frozen=True)
class ImportPublished:
    """What the importers of published features share."""

    root: Annotated[Position[Path], conf.arg(metavar="ROOT")]
    """Folder with the files and folders under their published names (docs/data-format.md)."""
    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder to make."""
    align: Literal["refuse", "shortest"] = "refuse"
    """Streams of one sample that differ in length: an error, or cut to the shortest and reported."""
    allow_missing: bool = False
    """Import labelled samples that lack some streams; without this they are an error."""
    common: Common = field(default_factory=Common)

    def read(self, source: str) -> Answer:
        """Import from a source."""
        missing = "allow" if self.allow_missing else "refuse"
        return _import(source, self.root, self.store, {"align": self.align, "missing": missing})


class ImportFs1000(ImportPublished):
    """Read the published FS1000 features: video, audio, flow; TES, PCS and five components; 1000/247 clips."""

    def run(self) -> Answer:
        """Import."""
        return self.read("fs1000")


class ImportFisv(ImportPublished):
    """Read the published Fis-V features: video, audio, flow; TES and PCS; 400/100 videos."""

    def run(self) -> Answer:
        """Import."""
        return self.read("fisv")


class ImportRg(ImportPublished):
    """Read the published Rhythmic Gymnastics features: video, audio, flow; a score an apparatus; 800/200 routines."""

    def run(self) -> Answer:
        """Import."""
        return self.read("rg")


@dataclass(frozen=True)
class ImportMfn:
    """Read ICT-MMMO or POM as released with the Memory Fusion Network: audio, video, text; needs limssr[hdf5]."""

    root: Annotated[Position[Path], conf.arg(metavar="ROOT")]
    """Folder of the checkout (it holds new_data/mmmo/ or new_data/pom/)."""
    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder to make."""
    dataset: Literal["mmmo", "pom"] = "mmmo"
    """mmmo (sentiment; 220/40/80 clips) or pom (17 ratings; 600/100/203)."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Import."""
        return _import("mfn", self.root, self.store, {"dataset": self.dataset})


@dataclass(frozen=True)
class Inspect:
    """Show what a store holds: samples by owned streams, lengths, scores, where it came from."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder of the store."""
    figure: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """Also draw it into this file (.png, .svg or .pdf)."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Inspect."""
        from limssr.core.files import check_output
        from limssr.data.inspect import describe_store, figure
        from limssr.data.store.reader import FeatureStore

        if self.figure is not None:
            check_output(self.figure, "--figure")
        summary = describe_store(FeatureStore.open(self.store))
        if self.figure is not None:
            figure(summary, self.figure)
        return _summary_answer(summary)


@dataclass(frozen=True)
class Verify:
    """Recompute the hash of every file of a store and check every sample again."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder of the store."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Verify."""
        from limssr.data.store.reader import FeatureStore

        store = FeatureStore.open(self.store)
        with counting("verifying") as progress:
            copies = [sentence.removesuffix(": kept") for sentence in store.verify(progress)]
        document = {
            "store": str(self.store),
            "num_samples": len(store),
            "fingerprint": store.fingerprint,
            "intact": True,
            "copies": copies,
        }
        notes = [f"warning: {sentence}" for sentence in copies]
        return Answer(
            document, (f"{self.store}: {len(store)} samples, every file and every sample as written.", *notes)
        )


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Write a copy of a store with streams removed, each with the same probability."""

    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder of the complete store."""
    out: Annotated[Position[Path], conf.arg(metavar="OUT")]
    """Folder to make."""
    rate: Annotated[float, conf.arg(metavar="P")] = 0.5
    """Probability that a stream of a sample is removed; every sample keeps at least one."""
    seed: Annotated[int, conf.arg(metavar="N")] = 0
    """Seed of the pattern."""
    pattern: Annotated[str, conf.arg(metavar="PATTERN")] = "independent"
    """independent, one-stream, or the name of the only stream that may be absent."""
    splits: Annotated[tuple[SplitName, ...], conf.arg(metavar="train|val|test ...")] = ("train", "val")
    """Splits that become incomplete."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Mask."""
        from limssr.data.inspect import describe_store
        from limssr.data.mask import mask_store

        with counting("masking") as progress:
            store = mask_store(
                self.store,
                self.out,
                rate=self.rate,
                seed=self.seed,
                pattern=self.pattern,
                splits=self.splits,
                progress=progress,
            )
        return _summary_answer(describe_store(store))


@dataclass(frozen=True)
class SplitData:
    """Divide the samples of a store or a manifest into training, validation and test, by whole groups, into a copy."""

    source: Annotated[Position[Path], conf.arg(metavar="SOURCE")]
    """Folder of a store, or a manifest."""
    shares: Annotated[Position[str], conf.arg(metavar="SHARES")]
    """Percent of the samples: 70/15/15 (train, val, test) or 80/20 (train, test)."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """What to write; without it the name of the source with -split added, beside it."""
    seed: Annotated[int, conf.arg(metavar="N")] = 0
    """Seed of the division."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Divide."""
        from limssr.data.resplit import split_data

        with counting("dividing") as progress:
            divided = split_data(self.source, self.shares, out=self.out, seed=self.seed, progress=progress)
        return Answer(divided.to_dict(), (f"{divided.out}", *(f"note: {one}" for one in divided.decisions)))


@dataclass(frozen=True)
class ImportOther:
    """Read data with an importer that an installed package brings (entry point limssr.importers)."""

    importer: Annotated[Position[str], conf.arg(metavar="NAME")]
    """Name of the importer."""
    root: Annotated[Position[Path], conf.arg(metavar="SOURCE")]
    """Folder or file to read."""
    store: Annotated[Position[Path], conf.arg(metavar="STORE")]
    """Folder to make."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Import."""
        from limssr.core.errors import InputError, unknown_name
        from limssr.data.importers import IMPORTERS, OTHERS

        if self.importer not in OTHERS:
            if self.importer in IMPORTERS:
                raise InputError(f"{self.importer} comes with limssr: limssr data import {self.importer}.")
            if not len(OTHERS):
                raise InputError(
                    f"Expected an installed package with the importer {self.importer!r}, found no package with any: "
                    "docs/own-system.md says how to write one."
                )
            raise unknown_name("importer", self.importer, list(OTHERS))
        return _answer_of(OTHERS[self.importer], self.root, self.store, {})


def scales(texts: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Texts of the form NAME=low:high -> name to (low, high).

    Raises:
        InputError: A text of another form.
    """
    from limssr.core.errors import InputError

    found: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, equals, span = text.rpartition("=")
        low, colon, high = span.partition(":")
        try:
            if not (name and equals and colon):
                raise ValueError
            found[name] = (float(low), float(high))
        except ValueError:
            raise InputError(f"Expected a scale such as --scale total=0:40, found {text!r}.") from None
    return found


def rates(texts: tuple[str, ...]) -> dict[str, float]:
    """Texts of the form NAME=HZ -> name to rate.

    Raises:
        InputError: A text of another form.
    """
    from limssr.core.errors import InputError

    found: dict[str, float] = {}
    for text in texts:
        name, equals, rate = text.rpartition("=")
        try:
            if not (name and equals):
                raise ValueError
            found[name] = float(rate)
        except ValueError:
            raise InputError(f"Expected a rate such as --rate sensor=50, found {text!r}.") from None
    return found


def _import(source: str, root: Path, store: Path, options: dict[str, object]) -> Answer:
    from limssr.data.importers import IMPORTERS

    return _answer_of(IMPORTERS[source], root, store, options)


def _answer_of(importer: "Callable[..., ImportReport]", root: Path, store: Path, options: dict[str, object]) -> Answer:
    from limssr.cli.text import outline

    with counting("reading") as progress:
        report = importer(root, store, progress=progress, **options)
    document = report.to_dict()
    # People read the decisions, which say in sentences what the details count; without them they read the details.
    hidden = ("notes", "decisions", *(("details",) if report.decisions or not report.details else ()))
    shown = {key: value for key, value in document.items() if key not in hidden}
    return Answer(document, (*outline(shown), *(f"note: {decision}" for decision in report.decisions)))


def _summary_answer(summary: "StoreSummary") -> Answer:
    from limssr.data.inspect import render

    return Answer(summary.to_dict(), (render(summary),))
