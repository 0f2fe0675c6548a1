"""Scores while a performance goes on: after each new segment, what the whole would get if it ended here."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Modality, Sample
from limssr.data.columns import place
from limssr.data.validate import check_stream
from limssr.data.values import read_values
from limssr.evaluation.conformal import Errors
from limssr.evaluation.intervals import intervals
from limssr.evaluation.scorer import ModelScorer
from limssr.runs.live.prefixes import errors_for, read_prefixes
from limssr.runs.load import Loaded, load_scorer
from limssr.runs.reliability.calibration import CALIBRATION, read_calibration
from limssr.systems.saving import Weights

MAX_SEGMENTS = 20_000
LEVEL = 0.9
How = Literal["kept", "read again"]


@dataclass(frozen=True, kw_only=True)
class LiveScore:
    """The score of a performance so far.

    Attributes:
        segments: That were seen, up to the last valid one.
        streams: That had a valid segment.
        score_C: In the data set's unit; NaN where nothing can be said.
        low_C: Lower ends of intervals; NaN without calibration.
        high_C: Upper ends.
        interval_of: What the intervals were calibrated on: the first segments of performances, so many
            (`limssr prefixes`); None: whole ones, so that before the end they are too narrow.
        how: "kept": only new segments were read; "read again": all of it.
        seconds: What it took.
    """

    segments: int
    streams: tuple[str, ...]
    score_C: np.ndarray
    low_C: np.ndarray
    high_C: np.ndarray
    interval_of: int | None = None
    how: How
    seconds: float


@dataclass(eq=False)
class LiveSession:
    """One performance that goes on; made by `LiveScorer.session`.

    Attributes:
        arrays: Stream -> [T, D] so far, with NaN where nothing was recorded; room for more behind `length`.
        length: T.
        end: Segments up to the last that is valid in some stream; what follows counts when another valid one comes.
        growing: What the model has read, where it can go on from there.
        last: The last score.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    length: int = 0
    end: int = 0
    growing: Any = None
    last: LiveScore | None = None

    def sample(self) -> Sample | None:
        """The performance so far, as it would be scored; None before the first valid segment."""
        streams = {name: array[: self.end] for name, array in self.arrays.items()}
        streams = {name: array for name, array in streams.items() if not np.isnan(array[:, 0]).all()}
        return Sample("live", streams) if streams else None

    @property
    def num_bytes(self) -> int:
        """Of memory that the session takes: its features, and keys and values."""
        kept = 0 if self.growing is None else self.growing.kept.num_bytes
        return kept + sum(array.nbytes for array in self.arrays.values())


class LiveScorer:
    """Scores performances segment by segment.

    A LIMSSR run with `model.block_order: interleaved` reads only what is new; every other run reads the whole prefix
    again, which gives the same scores more slowly. After the last segment the score is that of the whole performance.

    Args:
        found: From `limssr.load`.
        max_segments: Of one performance.
        level: Share of new scores that intervals are to cover.
        order: Of the weights; see `limssr.model.growing.GrowingModel`.

    Attributes:
        reads_again: Why every score reads the whole prefix; None where only new segments are read.
    """

    def __init__(
        self,
        found: Loaded,
        *,
        max_segments: int = MAX_SEGMENTS,
        level: float = LEVEL,
        order: Literal["laid out", "as trained"] = "laid out",
    ) -> None:
        self.found, self.max_segments, self.level, self.order = found, max_segments, level, order
        words = [one.name for one in found.modalities if one.words]
        if words:
            raise InputError(
                f"Expected a run whose streams are all numbers, found one that reads the words of {', '.join(words)}: "
                "live scoring does not take words; score the performance when it has ended."
            )
        self._known = {one.name: one for one in found.modalities}
        self._errors = _errors_of(found)
        names = [[one.name for one in items] for items in (found.modalities, found.criteria)]
        self._prefixes = read_prefixes(found.folder, *names)
        self._growing: Any = None
        self.reads_again = self._prepare()

    @classmethod
    def open(
        cls, run: Path | str, *, device: str = "auto", weights: Weights = "trained", max_segments: int = MAX_SEGMENTS
    ) -> "LiveScorer":
        """A live scorer of a run folder.

        Raises:
            InputError: See `limssr.load`; or a run that reads words.
        """
        loaded = load_scorer(Path(run).expanduser(), device=device, weights=weights)
        return cls(loaded, max_segments=max_segments)

    def session(self) -> LiveSession:
        """A performance that begins."""
        return LiveSession()

    def add(self, session: LiveSession, streams: Mapping[str, Any]) -> LiveScore:
        """Add segments to a performance and score it.

        Args:
            session: From `session`.
            streams: Stream -> array [n, D] of the next n segments; the same n for all. A stream that is not a key, or
                None, has nothing in them; a row of NaN is a segment that is missing.

        Raises:
            InputError: An unknown stream, another width, different lengths, or more segments than are taken. The
                performance is as it was before.
        """
        return self.add_to([(session, streams)])[0]

    def add_to(self, together: Sequence[tuple[LiveSession, Mapping[str, Any]]]) -> list[LiveScore]:
        """The same for several performances side by side, read in one forward pass where the model can.

        Raises:
            InputError: As for `add`; then nothing was added to any of them.
        """
        begun = time.perf_counter()
        checked = [self._checked(session, streams) for session, streams in together]
        before = [session.end for session, _ in together]
        lengths = [session.length for session, _ in together]
        try:
            for (session, _), (arrays, number) in zip(together, checked, strict=True):
                _append(session, arrays, number, self._known)
            moved = [session for (session, _), end in zip(together, before, strict=True) if session.end > end]
            score_NC, how = self._score(moved)
        except BaseException:
            for (session, _), length, end in zip(together, lengths, before, strict=True):
                _take_back(session, length, end)
            raise
        seconds = time.perf_counter() - begun
        for session, score_C, way in zip(moved, score_NC, how, strict=True):
            session.last = self._told(session, score_C, way, seconds)
        return [session.last or self._nothing(session, seconds) for session, _ in together]

    def finish(self, session: LiveSession) -> LiveScore | None:
        """The last score, with the interval of a whole performance; None before the first valid segment."""
        last = session.last
        if last is None:
            return None
        session.last = self._told(session, last.score_C, last.how, last.seconds, is_whole=True)
        return session.last

    def _prepare(self) -> str | None:
        scorer = self.found.scorer
        if not isinstance(scorer, ModelScorer) or scorer.model.config.system != "limssr":
            return "it is no language model that reads token by token"
        if scorer.padding == "attended":
            return "it reads padding (data.padding: attended)"
        from limssr.model.growing import GrowingModel, why_not  # brings transformers along

        reason = why_not(scorer.model)  # type: ignore[arg-type]
        if reason is None:
            self._growing = GrowingModel(scorer.model.eval(), weights=self.order)  # type: ignore[arg-type]
        return reason

    def _checked(self, session: LiveSession, streams: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], int]:
        """New segments as float32 [n, D], and n."""
        arrays, lengths = {}, {}
        for name, given in streams.items():
            if name not in self._known:
                raise unknown_name("stream", str(name), list(self._known))
            if given is None:
                continue
            where = f"Segment {session.length + 1}, stream '{name}'"
            values = read_values(given, where=where)
            placed = place(values.array, values.columns, self._known[name], unnamed="by-place", where=where)
            arrays[name] = check_stream(placed.values, self._known[name], where=where)[0]
            lengths[name] = len(arrays[name])
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"Expected the same number of new segments in every stream, found {found}.")
        number = max(lengths.values(), default=1)
        if session.length + number > self.max_segments:
            raise InputError(
                f"Expected at most {self.max_segments:,} segments in a live performance, found "
                f"{session.length + number:,}: end it and begin another."
            )
        return arrays, number

    def _score(self, sessions: Sequence[LiveSession]) -> tuple[np.ndarray, list[How]]:
        """Scores [N, C] of performances of which something valid is new, and how each came about."""
        scorer = self.found.scorer
        whole = [self._sample(session) for session in sessions]
        score_NC = np.full((len(sessions), len(self.found.criteria)), np.nan)
        places = [n for n, sample in enumerate(whole) if sample is not None and sample.streams]
        cropped = getattr(scorer, "num_segments", None)
        kept = [n for n in places if self._growing and (cropped is None or sessions[n].end <= cropped)]
        if kept:
            assert isinstance(scorer, ModelScorer)
            score_NC[kept] = scorer.in_units(self._grown([sessions[n] for n in kept], [whole[n] for n in kept]))
        again = [n for n in places if n not in kept]
        if again:
            score_NC[again] = scorer.score([sample for n in again if (sample := whole[n]) is not None])
        return score_NC, ["kept" if n in kept else "read again" for n in range(len(sessions))]

    def _sample(self, session: LiveSession) -> Sample | None:
        sample, scorer = session.sample(), self.found.scorer
        if sample is None or not isinstance(scorer, ModelScorer):
            return sample
        return sample.restricted_to(scorer.model.seen)

    def _grown(self, sessions: Sequence[LiveSession], samples: Sequence[Sample | None]) -> np.ndarray:
        from limssr.model.growing import GrowingSample

        for session, sample in zip(sessions, samples, strict=True):
            session.growing = session.growing or GrowingSample()
            session.growing.sample = sample
        return self._growing.unit_scores([session.growing for session in sessions])

    def _told(
        self, session: LiveSession, score_C: np.ndarray, how: How, seconds: float, *, is_whole: bool = False
    ) -> LiveScore:
        sample = session.sample()
        streams = () if sample is None else tuple(name for name in self._known if name in sample.streams)
        low_C, high_C = np.full(len(score_C), np.nan), np.full(len(score_C), np.nan)
        interval_of, errors = None, self._errors
        if not is_whole and (early := errors_for(self._prefixes, session.end)) is not None:
            interval_of, errors = early
        if errors is not None and streams:
            made = intervals(errors, ["+".join(streams)], score_C[None], self.found.criteria, level=self.level)
            low_C, high_C = made.low_NC[0], made.high_NC[0]
        return LiveScore(
            segments=session.end,
            streams=streams,
            score_C=score_C,
            low_C=low_C,
            high_C=high_C,
            interval_of=interval_of,
            how=how,
            seconds=seconds,
        )

    def _nothing(self, session: LiveSession, seconds: float) -> LiveScore:
        nothing_C = np.full(len(self.found.criteria), np.nan)
        return LiveScore(segments=session.end, streams=(), score_C=nothing_C, low_C=nothing_C, high_C=nothing_C,
                         how="kept", seconds=seconds)  # fmt: skip


def _errors_of(found: Loaded) -> Errors | None:
    if not (found.folder / CALIBRATION).exists():
        return None
    names = [[one.name for one in items] for items in (found.modalities, found.criteria)]
    return read_calibration(found.folder, *names)


def _take_back(session: LiveSession, length: int, end: int) -> None:
    """A performance as it was before; what the model has read of it is read again the next time."""
    session.length, session.end, session.growing = length, end, None
    for name, array in list(session.arrays.items()):
        array[length:] = np.nan
        if np.isnan(array[:length, 0]).all():
            del session.arrays[name]


def _append(session: LiveSession, arrays: Mapping[str, np.ndarray], number: int, known: Mapping[str, Modality]) -> None:
    """Add checked segments; a stream takes room from its first segment on."""
    length = session.length + number
    for name in {**session.arrays, **arrays}:
        held = session.arrays.get(name)
        if held is None or len(held) < length:
            larger = np.full((max(64, 2 * length), known[name].dim), np.nan, dtype=np.float32)
            if held is not None:
                larger[: session.length] = held[: session.length]
            session.arrays[name] = held = larger
        if name in arrays:
            held[session.length : length] = arrays[name]
            valid = np.flatnonzero(~np.isnan(arrays[name][:, 0]))
            if valid.size:
                session.end = max(session.end, session.length + int(valid[-1]) + 1)
    session.length = length
