"""`limssr benchmark live`: a new segment read by itself, beside reading the whole performance again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.runtime import limited_threads
from limssr.core.types import Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.model.int8 import check_int8, use_int8
from limssr.runs.live.scorer import LiveScorer, LiveSession
from limssr.runs.load import Loaded
from limssr.studies.speed.setup import BenchmarkOptions, build_ours, prepare

INTERLEAVED = "model.block_order=interleaved"
POINTS = 8
"""Lengths at which the whole prefix is read again, too."""


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """What was measured; times in milliseconds.

    Attributes:
        options: As given.
        tokens: Read for a new segment: those that stay, and those that are read again each time.
        segment: Quantiles 50 %, 95 % and 99 % of a new segment, over all segments of all rounds.
        segment_cpu: The same of the processor's time, which other work on the machine does not lengthen.
        as_trained: Median of how many times as long the processor takes where weights are not laid out for few tokens.
        segment_first, segment_last: Medians over the first and the last tenth of the performance.
        again: Length -> (median with new segments alone, median with the prefix read again, median ratio in a round).
        together: Sessions side by side -> (median a segment of all of them, median of one alone times their number).
        session_mib: Memory of a session at its end.
        difference: Largest difference of unit scores between both.
    """

    options: dict[str, Any]
    tokens: dict[str, int]
    segment: dict[str, float]
    segment_cpu: dict[str, float]
    as_trained: float
    segment_first: float
    segment_last: float
    again: dict[int, tuple[float, float, float]]
    together: dict[int, tuple[float, float]]
    session_mib: float
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        found = [
            f"a new segment: {self.tokens['kept']} tokens stay, {self.tokens['again']} are read again",
            f"a segment: {_named(self.segment)}; first tenth {self.segment_first:.1f}, last {self.segment_last:.1f} ms",
            f"of the processor's time, all threads together: {_named(self.segment_cpu)}",
            f"with weights that are not laid out for few tokens {self.as_trained:.2f} times as much of it",
        ]
        for length, (kept, again, ratio) in self.again.items():
            found.append(f"at {length} segments: {kept:.1f} ms, all of it again {again:.1f} ms: {ratio:.1f} times")
        for number, (both, alone) in self.together.items():
            found.append(f"{number} sessions side by side: {both:.1f} ms a segment of each, one by one {alone:.1f} ms")
        found.append(f"a session takes {self.session_mib:.1f} MiB; scores differ by at most {self.difference:.1g}")
        return found


def measure_live(
    options: BenchmarkOptions, *, sessions: Sequence[int] = (1, 4, 20), advance: Callable[[str], None] | None = None
) -> LiveReport:
    """Measure it, on noise: a performance of `options.segments` segments, from its first to its last.

    Args:
        options: The language model, streams, segments, rounds, threads.
        sessions: How many performances side by side.
        advance: Told what was done.

    Raises:
        InputError: A language model that is not here, or int8 on another device than a CPU.
    """
    setting = prepare(replace(options, settings=(*options.settings, INTERLEAVED)))
    model = build_ours(setting).eval().to(setting.device)
    if options.our_weights == "int8":
        check_int8(model, setting.device)
        use_int8(model)
    scorer = ModelScorer(model, device=setting.device)
    loaded = Loaded(
        name="benchmark", modalities=setting.modalities, criteria=setting.criteria, scorer=scorer, folder=Path()
    )
    live, plain, rng = LiveScorer(loaded), LiveScorer(loaded, order="as trained"), np.random.default_rng(options.seed)
    streams = {
        one.name: rng.standard_normal((options.segments, one.dim)).astype(np.float32) for one in setting.modalities
    }
    with limited_threads(options.threads):
        rounds = options.repeats or 3
        times_RT, cpu_RT, again, difference, session = _rounds(live, streams, rounds, advance)
        as_trained = _as_trained(live, plain, streams)
        together = {number: _together(live, streams, number, rounds) for number in sessions}
    rows = model.tokens.rows
    tenth = max(1, options.segments // 10)
    return LiveReport(
        options=asdict(options),
        tokens={"kept": len(setting.modalities), "again": len(rows.ends) + len(rows.fusion)},
        segment=_quantiles(times_RT),
        segment_cpu=_quantiles(cpu_RT),
        as_trained=as_trained,
        segment_first=float(1000 * np.median(times_RT[:, 1 : tenth + 1])),
        segment_last=float(1000 * np.median(times_RT[:, -tenth:])),
        again=again,
        together=together,
        session_mib=session.num_bytes / 2**20,
        difference=difference,
    )


def _named(quantiles: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f} ms" for name, value in quantiles.items())


def _quantiles(times_RT: np.ndarray) -> dict[str, float]:
    return {f"p{q}": float(1000 * np.percentile(times_RT, q)) for q in (50, 95, 99)}


def _rounds(
    live: LiveScorer, streams: dict[str, np.ndarray], rounds: int, advance: Callable[[str], None] | None
) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[float, float, float]], float, LiveSession]:
    """Whole performances; at some lengths, in the same round, the prefix is read again."""
    number = len(next(iter(streams.values())))
    points = sorted({int(length) for length in np.linspace(1, number, POINTS).round()})
    times_RT, cpu_RT = np.zeros((2, rounds, number))
    whole: dict[int, list[float]] = {length: [] for length in points}
    difference, session = 0.0, live.session()
    live.found.scorer.score([Sample("x", {name: array[:2] for name, array in streams.items()})])  # the prompt is kept
    for turn in range(rounds):
        session = live.session()
        for t in range(number):
            begun, cpu = time.perf_counter(), time.process_time()
            score = live.add(session, {name: array[t : t + 1] for name, array in streams.items()})
            times_RT[turn, t], cpu_RT[turn, t] = time.perf_counter() - begun, time.process_time() - cpu
            if t + 1 in whole:
                begun = time.perf_counter()
                again_C = live.found.scorer.score([Sample("x", {n: array[: t + 1] for n, array in streams.items()})])[0]
                whole[t + 1].append(time.perf_counter() - begun)
                scale_C = np.array([one.high - one.low for one in live.found.criteria])
                difference = max(difference, float(np.abs((again_C - score.score_C) / scale_C).max()))
        if advance is not None:
            advance(f"round {turn + 1} of {rounds}")
    again = {
        length: (
            float(1000 * np.median(times_RT[:, length - 1])),
            float(1000 * np.median(found)),
            float(np.median(np.array(found) / times_RT[:, length - 1])),
        )
        for length, found in whole.items()
    }
    return times_RT, cpu_RT, again, difference, session


def _as_trained(live: LiveScorer, plain: LiveScorer, streams: dict[str, np.ndarray]) -> float:
    """A performance read with both orders of weights, segment by segment in turns."""
    times: dict[LiveScorer, list[float]] = {live: [], plain: []}
    sessions = {one: one.session() for one in times}
    for t in range(len(next(iter(streams.values())))):
        for one, session in sessions.items():
            cpu = time.process_time()
            one.add(session, {name: array[t : t + 1] for name, array in streams.items()})
            times[one].append(time.process_time() - cpu)
    return float(np.median(np.array(times[plain]) / np.array(times[live])))


def _together(live: LiveScorer, streams: dict[str, np.ndarray], number: int, rounds: int) -> tuple[float, float]:
    """A segment of each of several performances in the middle, in one pass and one by one, in turns; milliseconds."""
    middle = len(next(iter(streams.values()))) // 2
    sessions = [live.session() for _ in range(number)]
    first = {name: array[:middle] for name, array in streams.items()}
    for session in sessions:
        live.add(session, first)
    both, alone = [], []
    for t in range(middle, middle + min(rounds, len(next(iter(streams.values()))) - middle - 1)):
        new = {name: array[t : t + 1] for name, array in streams.items()}
        begun = time.perf_counter()
        live.add_to([(session, new) for session in sessions])
        both.append(time.perf_counter() - begun)
        other = live.session()
        live.add(other, {name: array[:t] for name, array in streams.items()})
        begun = time.perf_counter()
        live.add(other, new)
        alone.append(number * (time.perf_counter() - begun))
    return float(1000 * np.median(both)), float(1000 * np.median(alone))
