"""`limssr card | export | push | pull`: hand a trained run to others, and take one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer

RunFolder = Annotated[Position[Path], conf.arg(name="run", metavar="RUN", help="A finished run folder.")]
Folder = Annotated[
    Position[Path],
    conf.arg(name="run", metavar="RUN", help="A finished run folder, or one that LimssrRegressor saved."),
]
Licence = Annotated[
    str | None, conf.arg(metavar="NAME", help="Licence of the weights, for the card: mit, cc-by-4.0, ...")
]
DataLicence = Annotated[str | None, conf.arg(metavar="TEXT", help="Licence of the data, for the card.")]


@dataclass(frozen=True, kw_only=True)
class Card:
    """Write the model card of a run: what it scores, how well, how sure, from which data, and its limits."""

    run_folder: RunFolder
    out: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """File to write; without it README.md in the run folder."""
    source: Annotated[str, conf.arg(metavar="OWNER/NAME")] = "OWNER/NAME"
    """Where others will find it, for the card."""
    license: Licence = None
    data_license: DataLicence = None
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Write it."""
        from limssr.core.files import check_output, write_atomically
        from limssr.report.card import model_card
        from limssr.report.runfolder import read_run_folder

        text = model_card(
            read_run_folder(self.run_folder),
            source=self.source,
            licence=self.license,
            data_licence=self.data_license,
        )
        path = self.out or self.run_folder / "README.md"
        check_output(path)
        write_atomically(path, text.encode())
        return Answer({"card": str(path), "text": text}, (f"Card: {path}",))


@dataclass(frozen=True, kw_only=True)
class Export:
    """Pack a run into one file for others: weights, settings, results and card; no data, no paths of this machine."""

    run_folder: Folder
    file: Annotated[Position[Path], conf.arg(metavar="FILE.zip")]
    """File to make."""
    references: bool = False
    """Also the simple models beside the run, for `limssr predict --member`."""
    license: Licence = None
    data_license: DataLicence = None
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Pack."""
        from limssr.core.errors import InputError
        from limssr.core.files import check_new
        from limssr.runs.sharing.bundle import write_zip

        if self.file.suffix != ".zip":
            raise InputError(f"Expected a file that ends in .zip, found {self.file}.")
        check_new(self.file, "export")
        with _bundled(self, self.file.name) as (bundle, names):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_zip(bundle, self.file)
        size = self.file.stat().st_size
        lines = (
            f"{self.file}: {len(names)} files, {size / 1e6:.1f} MB",
            f"Unpack it with: limssr pull {self.file} RUN",
        )
        return Answer({"file": str(self.file), "files": names, "bytes": size}, lines)


@dataclass(frozen=True, kw_only=True)
class Push:
    """Send a run to a repository of the Hugging Face Hub, with its card; a new repository is private."""

    run_folder: Folder
    repository: Annotated[Position[str], conf.arg(metavar="OWNER/NAME")]
    """Repository, made if it is not there."""
    public: bool = False
    """Whether everybody may see a new repository."""
    references: bool = False
    """Also the simple models beside the run."""
    license: Licence = None
    data_license: DataLicence = None
    dry_run: bool = False
    """Send nothing: list what would be sent."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Send."""
        from limssr.runs.sharing.hub import check_repository, push

        check_repository(self.repository)
        with _bundled(self, self.repository) as (bundle, names):
            size = sum((bundle / name).stat().st_size for name in names)
            if self.dry_run:
                lines = [f"{name} ({(bundle / name).stat().st_size:,} bytes)" for name in names]
                return Answer({"repository": self.repository, "files": names, "bytes": size}, tuple(lines))
            address = push(bundle, self.repository, private=not self.public)
        document = {"repository": self.repository, "files": names, "bytes": size, "commit": address}
        lines = (
            f"{self.repository}: {len(names)} files, {size / 1e6:.1f} MB, {address}",
            f"Others take it with: limssr pull {self.repository} RUN",
        )
        return Answer(document, lines)


@dataclass(frozen=True)
class Pull:
    """Take a run that others exported or pushed; every file is held against its hash, and none of them is code."""

    source: Annotated[Position[str], conf.arg(metavar="SOURCE")]
    """OWNER/NAME on the hub, or a file that `limssr export` wrote."""
    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """Run folder to make."""
    revision: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Commit, tag or branch of the repository; without it the newest."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Take it."""
        from limssr.runs.sharing.hub import pull

        found = pull(self.source, self.run_folder, revision=self.revision)
        document = {
            "run": str(found.folder),
            "source": found.source,
            "revision": found.revision,
            "files": found.files,
        }
        fixed = f" at {found.revision}" if found.revision else ""
        lines = (
            f"{found.folder}: {len(found.files)} files of {found.source}{fixed}, all as their hashes say",
            f"Score with: limssr predict {found.folder} SOURCE",
        )
        return Answer(document, lines)


@contextmanager
def _bundled(verb: Export | Push, source: str) -> Iterator[tuple[Path, list[str]]]:
    import tempfile

    from limssr.runs.sharing.bundle import write_bundle

    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / verb.run_folder.absolute().name
        names = write_bundle(
            verb.run_folder,
            bundle,
            source=source,
            references=verb.references,
            licence=verb.license,
            data_licence=verb.data_license,
        )
        yield bundle, names
