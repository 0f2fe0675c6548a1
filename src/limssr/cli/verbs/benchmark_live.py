"""`limssr benchmark live | serve | extract`."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro import conf

from limssr.cli.options import Common, Device, Position
from limssr.cli.output import Answer
from limssr.cli.verbs.benchmark import MeasuredModel


@dataclass(frozen=True, kw_only=True)
class BenchmarkLive(MeasuredModel):
    """Measure a new segment of a live performance beside reading the whole of it again, in turns, on noise."""

    segments: Annotated[int, conf.arg(metavar="T")] = 170
    """Length of the performance."""
    sessions: Annotated[tuple[int, ...], conf.arg(metavar="N ...")] = (1, 4, 20)
    """Numbers of performances side by side."""
    repeats: Annotated[int, conf.arg(metavar="N")] = 3
    """Rounds, each a whole performance."""
    threads: Annotated[int | None, conf.arg(metavar="N")] = None
    """Threads of torch; without it as many as it takes by itself."""
    int8: bool = False
    """Round the language model's frozen weights to int8."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """A .json file to write the figures to."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Measure."""
        from limssr.studies.speed import BenchmarkOptions
        from limssr.studies.speed.live import measure_live

        options = BenchmarkOptions(
            backbone=self.backbone,
            weights=self.weights,
            num_layers=self.num_layers,
            modalities=self.modalities,
            segments=self.segments,
            repeats=self.repeats,
            threads=self.threads,
            device=self.device,
            our_weights="int8" if self.int8 else "trained",
        )
        report = measure_live(options, sessions=self.sessions, advance=_tell)
        _write(self.out, report.to_dict())
        return Answer(report.to_dict(), tuple(report.lines()))


@dataclass(frozen=True, kw_only=True)
class BenchmarkServe:
    """Measure a served run under load beside a loop of its own and a plain handler; loopback only, bounded."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder whose store is on this machine."""
    clients: Annotated[tuple[int, ...], conf.arg(metavar="N ...")] = (1, 8, 64)
    """Numbers of clients at the same time."""
    requests: Annotated[int, conf.arg(metavar="N")] = 200
    """Requests of each level."""
    wait_ms: Annotated[float, conf.arg(metavar="MS")] = 5.0
    """How long the server that batches waits for others."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """A .json file to write the figures to."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Measure."""
        from limssr.serve.extras import check_packages

        check_packages()
        from limssr.serve.load import measure_load

        report = measure_load(
            self.run_folder, clients=self.clients, requests=self.requests, wait_ms=self.wait_ms, say=_tell
        )
        _write(self.out, report.to_dict())
        return Answer(report.to_dict(), tuple(report.lines()))


@dataclass(frozen=True, kw_only=True)
class BenchmarkExtract:
    """Measure what reading a recording costs on one core: the decoder, each encoder, all in one pass, plain loops."""

    recording: Annotated[Position[Path], conf.arg(metavar="RECORDING")]
    """A video or sound file."""
    encoders: Annotated[
        tuple[str, ...], conf.arg(metavar="NAME ...", help="Which to measure; the default ones if not given.")
    ] = ()
    segments: Annotated[str, conf.arg(metavar="rg|fisv|fs1000|LENGTH[:STRIDE]")] = "rg"
    """How the recording is cut."""
    rates: Annotated[
        tuple[float, ...], conf.arg(metavar="HZ ...", help="Pictures a second whose features are compared, too.")
    ] = (5.0, 8.0, 12.0)
    repeats: Annotated[int, conf.arg(metavar="N")] = 3
    """Rounds; each does every work once."""
    out: Annotated[Path | None, conf.arg(metavar="PATH")] = None
    """A .json file to write the figures to."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Measure."""
        from limssr.core.errors import InputError
        from limssr.media.clock import parse_segments
        from limssr.studies.speed.extract import measure_extract

        if self.repeats < 1 or any(not 0.1 <= hz <= 1_000 for hz in self.rates):
            raise InputError(
                "Expected at least one round, and 0.1 to 1000 pictures a second, found others: correct it."
            )
        report = measure_extract(
            self.recording,
            encoders=self.encoders or None,
            segments=parse_segments(self.segments),
            rates_hz=self.rates,
            repeats=self.repeats,
            say=_tell,
        )
        _write(self.out, report.to_dict())
        return Answer(report.to_dict(), tuple(report.lines()))


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def _write(path: Path | None, document: object) -> None:
    from limssr.core.files import write_atomically

    if path is not None:
        write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
