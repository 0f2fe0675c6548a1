"""`limssr live | prefixes`."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro import conf

from limssr.cli.options import Common, Device, Position
from limssr.cli.output import Answer

if TYPE_CHECKING:
    from limssr.runs.live.scorer import LiveScore, LiveScorer
    from limssr.runs.live.sources import Played


@dataclass(frozen=True, kw_only=True)
class Live:
    """Score a performance while it goes on: a score after each segment, from what was seen so far."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder, a folder of a reference, or a folder with a saved model."""
    source: Annotated[Position[str], conf.arg(metavar="SOURCE")]
    """A store (one of its samples is played), a recording, or - for lines of JSON on standard input."""
    sample: Annotated[str | None, conf.arg(metavar="ID")] = None
    """The sample of a store to play; without it the first of the test split."""
    speed: Annotated[float, conf.arg(metavar="X")] = 1.0
    """How fast to play: 1 is real time, 10 ten times as fast, 0 as fast as it can be scored."""
    int8: bool = False
    """Round the language model's frozen weights to int8, for a CPU; `limssr evaluate RUN --int8` says what it costs."""
    lines: bool = False
    """Print one JSON object a line as scores come, for a program that reads them."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Score."""
        from limssr.core.errors import InputError
        from limssr.runs.live.scorer import LiveScorer
        from limssr.runs.live.sources import from_lines

        if not 0 <= self.speed <= 1_000:
            raise InputError(f"Expected --speed between 0 and 1,000, found {self.speed:g}: choose another number.")
        scorer = LiveScorer.open(self.run_folder, device=self.device, weights="int8" if self.int8 else "trained")
        notes: list[str] = []
        if scorer.reads_again is not None:
            notes.append(f"each score reads the whole performance so far: {scorer.reads_again}")
        if self.source == "-":
            segments = from_lines(sys.stdin)
        else:
            played = self._played(scorer)
            notes += [played.note] if played.note else []
            segments = played.segments(self.speed)
        for note in notes:
            self._tell(f"note: {note}")
        session, scores = scorer.session(), []
        for streams in segments:
            score = scorer.add(session, streams)
            document = _document(scorer, score)
            scores.append(document)
            self._show(document)
        if not scores:
            raise InputError("Expected at least one segment, found none: give lines of JSON, one a segment.")
        if (end := scorer.finish(session)) is not None:
            scores[-1] = _document(scorer, end)
        last = scores[-1]
        words = f"{last['segments']} segments of {', '.join(last['streams']) or 'no stream'}."
        return Answer({"final": last, "scores": scores, "notes": notes}, () if self.lines else (words,))

    def _played(self, scorer: "LiveScorer") -> "Played":
        from limssr.core.errors import InputError
        from limssr.runs.live.sources import from_recording, from_store

        path = Path(self.source).expanduser()
        if not path.exists():
            raise InputError(
                f"Expected a store, a recording or - at {path}, found nothing: give a path that exists, or - for "
                "standard input."
            )
        if path.is_dir():
            return from_store(path, self.sample, scorer.found)
        return from_recording(path, self.run_folder, scorer.found)

    def _show(self, document: dict[str, Any]) -> None:
        if self.lines:
            print(json.dumps(document), flush=True)  # noqa: T201
            return
        parts = [f"{document['segments']:>5}"]
        for name, one in document["scores"].items():
            value = "–" if one["score"] is None else f"{one['score']:.2f}"
            band = "" if one["low"] is None else f" [{one['low']:.2f}, {one['high']:.2f}]"
            parts.append(f"{name} {value}{band}")
        self._tell("  ".join([*parts, f"({document['ms']:.0f} ms, {'+'.join(document['streams']) or 'nothing yet'})"]))

    def _tell(self, sentence: str) -> None:
        is_quiet = self.common.json or self.lines
        print(sentence, file=sys.stderr if is_quiet else sys.stdout, flush=True)


@dataclass(frozen=True)
class Prefixes:
    """Score the beginnings of the test performances, and calibrate the run's live intervals on those of validation."""

    run_folder: Annotated[Position[Path], conf.arg(name="run", metavar="RUN")]
    """A run folder with calibration, whose store is on this machine; gets prefixes.parquet and prefixes.json."""
    device: Device = "auto"
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Measure."""
        from limssr.runs.live.prefixes import measure_prefixes, prefix_lines

        document = measure_prefixes(self.run_folder, device=self.device)
        return Answer(document, tuple(prefix_lines(document)))


def _document(scorer: "LiveScorer", score: "LiveScore") -> dict[str, Any]:
    """A score as one JSON object."""

    def number(value: float) -> float | None:
        return None if value != value else float(value)

    columns = zip(score.score_C, score.low_C, score.high_C, strict=True)
    return {
        "segments": score.segments,
        "streams": list(score.streams),
        "scores": {
            one.name: {"score": number(value), "low": number(low), "high": number(high)}
            for one, (value, low, high) in zip(scorer.found.criteria, columns, strict=True)
        },
        "interval_of": score.interval_of,
        "how": score.how,
        "ms": round(1000 * score.seconds, 2),
    }
