"""What the command line does, as one call each: `limssr.train(...)`, `limssr.auto(...)`, `limssr.compare(...)`.

Every function takes plain values, checks them as the verb of its name does, and returns something that shows itself in
a notebook. docs/python.md has all of them on one page.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from limssr.core.config import RunConfig
from limssr.core.errors import MissingExtraError
from limssr.core.progress import Reporter, SilentReporter, make_reporter
from limssr.core.reading.documents import read_json
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet
from limssr.core.types import Split
from limssr.runs.folder import read_run
from limssr.studies.recipes import Changes, default_folder, read_config

if TYPE_CHECKING:
    from limssr.evaluation.evaluate import Evaluation
    from limssr.runs.load import Loaded
    from limssr.studies.compare.run import Comparison

Show = Literal["progress", "nothing"]
PAGE_HEIGHT = 640
"""Pixels of a report inside a notebook."""


@dataclass(frozen=True)
class Page:
    """A page that a notebook shows where it is the last value of a cell.

    Attributes:
        path: Of the HTML file.
    """

    path: Path

    def _repr_html_(self) -> str:
        content = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{content}" style="width:100%;height:{PAGE_HEIGHT}px;border:0"></iframe>'


@dataclass(frozen=True)
class Run:
    """A finished run folder.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @property
    def config(self) -> RunConfig:
        """What was trained."""
        return read_run(self.folder).config

    @property
    def record(self) -> Mapping[str, Any]:
        """run.json: data, dates, versions."""
        return read_run(self.folder).document

    @property
    def results(self) -> Mapping[str, Any]:
        """evaluation.json: the numbers of the test split."""
        return read_json(own_file(self.folder / "evaluation.json"))

    def subsets(self) -> Any:
        """Test metrics under every subset of the streams, a row each, as a pandas DataFrame."""
        return as_frame(read_parquet(own_file(self.folder / "subsets.parquet")))

    def predictions(self) -> Any:
        """Every test prediction: system, id, criterion, streams, score, prediction; as a pandas DataFrame."""
        return as_frame(read_parquet(own_file(self.folder / "predictions.parquet")))

    def model(self, member: str | None = None, *, device: str = "auto") -> "Loaded":
        """What scores; `limssr.load` of this folder."""
        from limssr.runs.load import load

        return load(self.folder, member, device=device)

    def predict(self, samples: Any) -> Any:
        """Scores [N, C] of N mappings from a stream's name to an array [T, D]."""
        return self.model().predict(samples)

    def report(self) -> Page:
        """The report, written again."""
        from limssr.report import write_report

        return Page(write_report(self.folder))

    def _repr_html_(self) -> str:
        parts = {"all streams": "full", "streams missing": "average_incomplete"}
        found = {words: (self.results.get(key) or {}).get("spearman") for words, key in parts.items()}
        told = ", ".join(f"{words}: {value:.3f}" for words, value in found.items() if value is not None)
        return f"<b>{html.escape(str(self.folder))}</b><br>Spearman on the test split. {html.escape(told)}"


def as_frame(table: pa.Table) -> Any:
    """A table as a pandas DataFrame.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingExtraError("Expected pandas for a DataFrame, found none: pip install pandas.") from None
    return table.to_pandas()


def open_run(folder: str | Path) -> Run:
    """A run folder that is there.

    Raises:
        ArtifactError: It is none.
    """
    read_run(Path(folder))
    return Run(Path(folder))


def train(
    recipe: str = "own",
    *,
    store: str | Path | None = None,
    out: str | Path | None = None,
    system: str | None = None,
    backbone: str | None = None,
    settings: Mapping[str, Any] | None = None,
    variant: Sequence[str] | str = (),
    seed: int | None = None,
    folds: int | Literal["groups"] | None = None,
    device: str = "auto",
    resume: bool = False,
    show: Show = "progress",
) -> Run:
    """Train as a recipe says, evaluate on the test split, write the report: `limssr train`.

    Args:
        recipe: A YAML file, or the name of a recipe that comes with limssr.
        store: A feature store; None: the recipe's.
        out: Run folder to make; None: a folder below runs/ with the name of the recipe or the store.
        system: Another system than LIMSSR; `limssr systems` lists them.
        backbone: A language model, by name, hub id or folder.
        settings: Keys of the recipe -> values, such as {"train.epochs": 3}.
        variant: Variants of the recipe, such as "task=PCS".
        seed: Of everything random.
        folds: Cross-validate with so many folds of whole groups, or "groups": each by itself; goes on by itself.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        resume: Whether to go on with an interrupted run in `out`.
        show: "progress" reports on stderr.

    Raises:
        InputError: As for the verb; nothing has been written.
    """
    from limssr.runs.train import train_run

    changes = _changes(settings, store=store, backbone=backbone, seed=seed, variant=variant)
    config = read_config(recipe, changes, system=system)
    folder = Path(out) if out is not None else Path("runs") / default_folder(recipe, changes, config)
    if folds is not None:
        from limssr.studies.cross_validation import parse_folds, train_folds

        return Run(train_folds(config, folder, parse_folds(str(folds)), device=device, reporter=_reporter(show)))
    how: Literal["auto", "never"] = "auto" if resume else "never"
    return Run(train_run(config, folder, device=device, resume=how, reporter=_reporter(show)))


def auto(
    store: str | Path,
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    candidates: Sequence[str] | str = (),
    without: Sequence[str] | str = (),
    backbone: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "auto",
    show: Show = "progress",
) -> Run:
    """Find the best model for a store in the time there is: `limssr auto`.

    Args:
        store: A feature store.
        out: Run folder to make.
        minutes: That the whole search may take.
        candidates: Judge only these; a list, or one text with commas.
        without: Do not judge these; "language-model" stands for all that have one.
        backbone: As for `train`.
        settings: As for `train`.
        seed: Of folds, models and resamples.
        device: As for `train`.
        show: As for `train`.

    Raises:
        InputError: As for the verb.
    """
    from limssr.runs.auto.auto import train_auto

    named = {"candidates": _names(candidates), "without": _names(without)}
    options = {"minutes": minutes, **{key: ",".join(names) or None for key, names in named.items()}}
    given = {f"model.options.{key}": value for key, value in options.items() if value is not None}
    changes = _changes({**(settings or {}), **given}, store=store, backbone=backbone, seed=seed)
    config = read_config("auto", changes)
    folder = Path(out) if out is not None else Path("runs") / default_folder("auto", changes, config)
    return Run(train_auto(config, folder, device=device, reporter=_reporter(show)))


def evaluate(
    run: Run | str | Path,
    *,
    split: Split = "test",
    store: str | Path | None = None,
    device: str = "auto",
    show: Show = "progress",
) -> "Evaluation":
    """Score a split under every subset of the streams: `limssr evaluate`.

    Args:
        run: A finished run.
        split: "train", "val" or "test".
        store: Another store with the same streams and criteria; None: the run's own.
        device: As for `train`.
        show: As for `train`.

    Raises:
        InputError: As for the verb.
    """
    from limssr.runs.evaluate import evaluate_run

    at = None if store is None else Path(store)
    return evaluate_run(_folder(run), store=at, split=split, device=device, reporter=_reporter(show))


@dataclass(frozen=True, repr=False)
class Compared:
    """A comparison of runs.

    Attributes:
        found: All of it.
    """

    found: "Comparison"

    def __repr__(self) -> str:
        return self.text()

    def scores(self) -> Any:
        """A row each system and subset, as a pandas DataFrame: what `limssr compare` writes as scores.csv."""
        import io

        from pyarrow import csv

        from limssr.studies.compare.write import scores_csv

        lines = [line for line in scores_csv(self.found).splitlines() if not line.startswith("#")]
        return as_frame(csv.read_csv(io.BytesIO("\n".join(lines).encode())))

    def text(self) -> str:
        """All tables, for a terminal."""
        from limssr.studies.compare.write import to_text

        return to_text(self.found)

    def markdown(self) -> str:
        """The main table, for a README."""
        from limssr.studies.compare.write import to_markdown

        return to_markdown(self.found)

    def latex(self) -> str:
        """All tables, for a paper."""
        from limssr.studies.compare.write import to_latex

        return to_latex(self.found)

    def document(self) -> Mapping[str, Any]:
        """What `limssr compare --json` prints."""
        from limssr.studies.compare.write import to_document

        return to_document(self.found)

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Every form of it, with figure and page, into a folder."""
        from limssr.studies.compare.write import write_comparison

        return write_comparison(self.found, Path(folder), command="limssr.compare(...)")

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def compare(
    *runs: Run | str | Path,
    against: str | None = None,
    references: bool = True,
    store: str | Path | None = None,
    device: str = "auto",
    show: Show = "progress",
) -> Compared:
    """Finished runs on the same test performances, with paired differences: `limssr compare`.

    Args:
        runs: Run folders, or "LABEL=FOLDER".
        against: The row that all others are compared with.
        references: Whether the references inside the runs are rows, too.
        store: Where the runs' store is now.
        device: As for `train`.
        show: As for `train`.

    Raises:
        InputError: As for the verb.
    """
    from limssr.studies.compare.run import CompareOptions, compare_runs

    options = CompareOptions(
        runs=tuple(str(run.folder) if isinstance(run, Run) else str(run) for run in runs),
        against=against,
        references="with" if references else "without",
        store=None if store is None else Path(store),
    )
    return Compared(compare_runs(options, rounds=0, device=device, reporter=_reporter(show)))


def _changes(
    settings: Mapping[str, Any] | None,
    *,
    store: str | Path | None,
    backbone: str | None,
    seed: int | None,
    variant: Sequence[str] | str = (),
) -> Changes:
    import json

    given = tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items())
    at = None if store is None else Path(store).expanduser()
    return Changes(settings=given, variant=_names(variant), backbone=backbone, store=at, seed=seed)


def _names(given: Sequence[str] | str) -> tuple[str, ...]:
    """A list of names, which may also be one text with commas between them."""
    return tuple(part.strip() for part in given.split(",")) if isinstance(given, str) else tuple(given)


def _folder(run: Run | str | Path) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)


def _reporter(show: Show) -> Reporter:
    return make_reporter() if show == "progress" else SilentReporter()
