"""`limssr compare`: finished runs and their references in one table."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro import conf

from limssr.cli.options import Common, Device, Position
from limssr.cli.output import Answer

MetricName = Literal["spearman", "pearson", "mse", "mae", "relative_l2"]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare runs on the same test performances: scores, paired differences, ranks, costs."""

    runs: Annotated[Position[tuple[str, ...]], conf.arg(metavar="RUN [RUN ...]")]
    """Run folders, or LABEL=FOLDER. Seeds of one setting form one row; references inside a run are rows too."""
    predictions: Annotated[
        conf.UseAppendAction[tuple[str, ...]],
        conf.arg(metavar="FILE", help="Predictions of another framework (CSV), or LABEL=FILE; may be repeated."),
    ] = ()
    metrics: Annotated[tuple[MetricName, ...], conf.arg(metavar="NAME ...")] = ("spearman", "mse")
    """Metrics that are shown: spearman, pearson, mse, mae, relative_l2."""
    format: Literal["text", "markdown"] = "text"
    """Of what is printed: all tables as text, or the main one as Markdown for a README."""
    against: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Row that every other one is compared with; without it limssr, or the first."""
    no_references: bool = False
    """Leave out the references inside the runs."""
    order: Literal["given", "score"] = "given"
    """Order of the rows: as given, or the best Spearman over incomplete streams first."""
    timing: bool = False
    """Also measure how long each takes to score, all of them in turns."""
    rounds: Annotated[int, conf.arg(metavar="N")] = 5
    """With --timing: rounds that are measured."""
    resamples: Annotated[int, conf.arg(metavar="N")] = 2000
    """With percentile intervals: how often the test performances are drawn anew; no p value is below 2 / (N + 1)."""
    resample: Literal["auto", "samples", "groups"] | None = None
    """What is left out or drawn for intervals: performances one by one, whole groups (the store's passages, persons),
    or auto, groups where there are any. Without it what the recipe says (auto)."""
    interval: Literal["jackknife", "percentile"] | None = None
    """Intervals by leaving out each unit in turn, or percentiles of a bootstrap. Without it what the recipe says."""
    store: Annotated[Path | None, conf.arg(metavar="STORE")] = None
    """Where the runs' feature store is now, if not where they were trained on it."""
    out: Annotated[Path, conf.arg(metavar="PATH")] = Path("runs/compare")
    """Folder for text, CSV, LaTeX, JSON, figure and page, which are replaced if they are there."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Compare."""
        from limssr.core.errors import InputError
        from limssr.core.files import check_folder
        from limssr.core.progress import make_reporter
        from limssr.studies.compare.run import CompareOptions, compare_runs
        from limssr.studies.compare.write import to_document, to_markdown, to_text, write_comparison

        if self.rounds < 1:
            raise InputError(f"Expected at least one round, found {self.rounds}.")
        check_folder(self.out)
        options = CompareOptions(
            runs=self.runs,
            predictions=self.predictions,
            metrics=self.metrics,
            against=self.against,
            references="without" if self.no_references else "with",
            order=self.order,
            num_resamples=self.resamples,
            resample=self.resample,
            interval=self.interval,
            store=self.store,
        )
        found = compare_runs(
            options, rounds=self.rounds if self.timing else 0, device=self.device, reporter=make_reporter()
        )
        files = write_comparison(found, self.out, command=self._command())
        document = {**to_document(found), "files": [str(file) for file in files]}
        shown = to_markdown(found) if self.format == "markdown" else to_text(found)
        return Answer(document, (shown, *(f"Written: {file}" for file in files)))

    def _command(self) -> str:
        words = ["limssr", "compare", *self.runs]
        words += [word for name in self.predictions for word in ("--predictions", name)]
        words += ["--metrics", *self.metrics] if self.metrics != Compare.metrics else []
        words += ["--against", self.against] if self.against is not None else []
        words += ["--no-references"] if self.no_references else []
        words += ["--order", self.order] if self.order != Compare.order else []
        words += ["--timing", "--rounds", str(self.rounds)] if self.timing else []
        words += ["--resamples", str(self.resamples)] if self.resamples != Compare.resamples else []
        words += ["--resample", self.resample] if self.resample else []
        words += ["--interval", self.interval] if self.interval else []
        words += ["--store", str(self.store)] if self.store is not None else []
        words += ["--out", str(self.out)] if self.out != Compare.out else []
        return shlex.join(words)
