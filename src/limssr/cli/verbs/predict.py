"""`limssr predict`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro import conf

from limssr.cli.options import Address, Common, Device, EngineName, NeedsText, Position, chosen_cluster
from limssr.cli.output import PARTIAL, Answer


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Score new samples, each with whatever streams it has."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder, or a folder with a saved model."""
    source: Annotated[Position[Path], conf.arg(metavar="SOURCE")]
    """A video or sound file, a folder of them, a manifest (no scores needed), or a feature store."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """File to write: .csv, .json or .parquet. Without it the scores are printed."""
    member: Annotated[str | None, conf.arg(metavar="NAME")] = None
    """Score with a reference of the run or a member of a mixture, such as ridge, instead of the run itself."""
    interval: Annotated[float | None, conf.arg(metavar="SHARE")] = None
    """Add low:NAME and high:NAME: intervals that hold this share of new scores, as 0.9."""
    int8: bool = False
    """Round the language model's frozen weights to int8, for a CPU; `limssr evaluate RUN --int8` says what it costs."""
    header: Annotated[Literal["as-trained", "detect", "first-line", "none"], conf.arg(metavar="WORD")] = "as-trained"
    """Whether the first line of text tables names their columns (detect, first-line, none); else as the run's data."""
    columns: Annotated[Literal["as-trained", "by-name", "by-place"], conf.arg(metavar="WORD")] = "as-trained"
    """Whether columns are found by their names (by-name) or by their place (by-place); else as the run's data."""
    encoders: Annotated[
        tuple[str, ...],
        conf.arg(metavar="NAME=SOURCE ...", help="Where weights of encoders are, if not where they were in training."),
    ] = ()
    shard: Annotated[str | None, conf.arg(metavar="I/N")] = None
    """Score part I of N of the source, for N tasks of a scheduler; the part is kept next to --out until --join."""
    join: Annotated[int | None, conf.arg(metavar="N")] = None
    """Make --out of the N parts that --shard 1/N to N/N have written: the same bytes as without parts."""
    engine: EngineName = "local"
    address: Address = None
    needs: NeedsText = None
    shards: Annotated[int | None, conf.arg(metavar="N")] = None
    """With --engine ray: into how many parts the source is divided; one a core of this machine if not given."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Predict."""
        from limssr.cli.text import rows_table, seconds_lines
        from limssr.core.started import running_s
        from limssr.media.recognise import is_recordings
        from limssr.runs.prediction.predict import check_output_file, predict, write_predictions

        if self.out is not None:
            check_output_file(self.out)
        if self.shard is not None or self.join is not None:
            return self._in_parts()
        if self.engine == "ray" or self.shards is not None or self.address is not None or self.needs is not None:
            return self._on_cluster()
        more: dict[str, Any] = {}
        lines: list[str] = []
        if self.source.exists() and is_recordings(self.source):
            from limssr.runs.prediction.recordings import predict_recordings

            starting_s = running_s()
            scores = predict_recordings(
                self.run_folder,
                self.source,
                **{name: value for name, value in self._settings().items() if name != "reading"},
                encoders=self.encoders,
            )
            table = scores.table
            seconds = {"starting": round(starting_s, 2), **scores.seconds}
            seconds["whole"] = round(starting_s + scores.seconds["whole"], 2)
            more = {"failures": dict(scores.failures), "notes": list(scores.notes), "seconds": seconds}
            lines = [*seconds_lines(seconds), *(f"note: {note}" for note in scores.notes)]
            lines += [f"not scored: {name}: {reason}" for name, reason in scores.failures.items()]
        else:
            notes: list[str] = []
            table = predict(self.run_folder, self.source, say=notes.append, **self._settings())
            more = {"notes": notes} if notes else {}
            lines = [f"note: {note}" for note in notes]
        rows = table.to_pylist()
        code = PARTIAL if more.get("failures") else 0
        if self.out is None:
            return Answer({"num_samples": len(rows), "predictions": rows, **more}, (rows_table(rows), *lines), code)
        write_predictions(table, self.out)
        document = {"num_samples": len(rows), "out": str(self.out), **more}
        return Answer(
            document, (f"{sum(bool(row['streams']) for row in rows)} samples scored: {self.out}", *lines), code
        )

    def _in_parts(self) -> Answer:
        """One part, or the file of all."""
        from limssr.core.errors import InputError
        from limssr.media.recognise import is_recordings
        from limssr.runs.prediction.predict import predict_part, write_predictions
        from limssr.runs.prediction.shards import Shard, joined

        if self.out is None or (self.shard is not None and self.join is not None):
            raise InputError("Expected --out with either --shard I/N or --join N, found another choice of them.")
        if self.join is not None:
            table = joined(self.out, self.join)
            write_predictions(table, self.out)
            document = {"num_samples": table.num_rows, "out": str(self.out), "parts": self.join}
            return Answer(document, (f"{table.num_rows} samples of {self.join} parts: {self.out}",))
        if self.source.exists() and is_recordings(self.source):
            raise InputError(
                "Expected a store or a manifest for --shard, found recordings: `limssr extract` makes a store of them."
            )
        assert self.shard is not None
        shard, notes = Shard.read(self.shard), list[str]()
        is_new = predict_part(self.run_folder, self.source, self.out, shard, say=notes.append, **self._settings())
        part = shard.path(self.out)
        missing = sum(not Shard(n, shard.of).path(self.out).exists() for n in range(1, shard.of + 1))
        document = {"out": str(part), "new": is_new, "parts_missing": missing, "notes": notes}
        ends = f"{missing} parts are missing" if missing else f"all parts are there: join them with --join {shard.of}"
        lines = (f"{'Written' if is_new else 'There already'}: {part}; {ends}", *(f"note: {note}" for note in notes))
        return Answer(document, lines)

    def _on_cluster(self) -> Answer:
        """The file of all parts, which tasks of a cluster have scored."""
        from limssr.core.cores import num_cores
        from limssr.core.errors import InputError
        from limssr.media.recognise import is_recordings
        from limssr.runs.prediction.on_cluster import predict_on, remove_parts
        from limssr.runs.prediction.predict import write_predictions

        shards = num_cores() if self.shards is None else self.shards
        cluster = chosen_cluster(self.engine, self.address, self.needs, 1 if self.address else min(shards, num_cores()))
        if cluster is None or self.out is None:
            raise InputError("Expected --engine ray and --out with --shards, found another choice of them.")
        if self.source.exists() and is_recordings(self.source):
            raise InputError(
                "Expected a store or a manifest for --engine ray, found recordings: `limssr extract --engine ray` "
                "makes a store of them."
            )
        notes: list[str] = []
        where = (self.run_folder, self.source, self.out)
        with cluster:
            table = predict_on(cluster, *where, shards=shards, say=notes.append, **self._settings())
        write_predictions(table, self.out)
        remove_parts(self.out, shards)
        document = {"num_samples": table.num_rows, "out": str(self.out), "parts": shards, "notes": notes}
        scored = sum(bool(streams) for streams in table["streams"].to_pylist())
        return Answer(document, (f"{scored} samples scored: {self.out}", *(f"note: {note}" for note in notes)))

    def _settings(self) -> dict[str, Any]:
        said = {"header": self.header, "columns": self.columns}
        return {
            "device": self.device,
            "weights": "int8" if self.int8 else "trained",
            "member": self.member,
            "reading": {name: word for name, word in said.items() if word != "as-trained"},
            "interval": self.interval,
        }
