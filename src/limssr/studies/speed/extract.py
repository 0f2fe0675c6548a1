"""`limssr benchmark extract`: what reading a recording costs, beside the decoder alone and beside a plain loop."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limssr.core.timing import Spread
from limssr.media.clock import NS, Segments
from limssr.media.decode import Picture, Reader
from limssr.media.encoders.contract import Thinner
from limssr.media.encoders.table import card_of, check_needs, chosen, load_encoder
from limssr.media.work import Job, encode_file, one_thread

EVERY_HZ = 1e6
"""So many pictures a second are all that there are."""
FULL_PX = 100_000


@dataclass(frozen=True, kw_only=True)
class RateReport:
    """What one encoder gives where it looks at fewer pictures.

    Attributes:
        cpu_s: Processor time a second of recording, the decoder included.
        correlation: Median over its columns, of the values over segments, with those from every picture.
        lowest: The tenth part of the columns lies below this correlation.
    """

    cpu_s: float
    correlation: float
    lowest: float


@dataclass(frozen=True, kw_only=True)
class ExtractBenchmark:
    """What was measured on one thread; seconds of the processor for a second of recording.

    Attributes:
        recording: Its name.
        length_s: Of it.
        decoder: Decoding alone.
        encoders: Encoder -> with the decoder.
        together: All encoders in one pass.
        plain: Each encoder by itself in a loop over every picture in full size; the sum.
        share: The decoder and what each encoder adds to it by itself, over all of them together.
        saving: How many times as long the plain loops take as all together, in the same round.
        rates: Encoder -> pictures a second -> what changes.
    """

    recording: str
    length_s: float
    decoder: Spread
    encoders: Mapping[str, Spread]
    together: Spread
    plain: Spread
    share: Spread
    saving: Spread
    rates: Mapping[str, Mapping[str, RateReport]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        rows = {"decoder alone": self.decoder, **self.encoders, f"all {len(self.encoders)} together": self.together}
        rows["each by itself, every picture in full size"] = self.plain
        found = [
            f"{self.recording}, {self.length_s:.1f} s: seconds of one core a second of recording (and its inverse)"
        ]
        found += [
            f"  {name:44s} {one.median:6.3f} ({1 / max(one.median, 1e-9):6.1f}x)  {one.lower:.3f} to {one.upper:.3f}"
            for name, one in rows.items()
        ]
        found.append(f"the plain loops take {_words(self.saving)} as long as one pass")
        found.append(
            f"the decoder and what each encoder adds to it by itself take {_words(self.share)} as long as all together"
        )
        for name, rates in self.rates.items():
            told = [
                f"{hz} a second: {one.correlation:.3f} (tenth part below {one.lowest:.3f}), {one.cpu_s:.3f} s"
                for hz, one in rates.items()
            ]
            found.append(f"{name}, correlation with every picture: {'; '.join(told)}")
        return found


def measure_extract(
    recording: Path,
    *,
    encoders: Sequence[str] | None,
    segments: Segments,
    rates_hz: Sequence[float],
    repeats: int,
    say: Callable[[str], None],
) -> ExtractBenchmark:
    """Measure in rounds, each of which does every work once.

    Args:
        recording: A video or sound file.
        encoders: Names; None: the default ones.
        segments: The clock.
        rates_hz: Pictures a second at which encoders of pictures are also looked at.
        repeats: Rounds, at least 1.
        say: Is told of the progress.

    Raises:
        InputError: The recording cannot be read, an encoder is unknown.
        MissingExtraError: A package is missing.
    """
    names = chosen(encoders)
    check_needs(names)
    with one_thread():
        say("loading")
        works = _works(recording, names, segments)
        times: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(repeats):
            for name, work in works.items():
                say(f"round {turn + 1} of {repeats}: {name}")
                begun = time.process_time()
                work()
                times[name].append(time.process_time() - begun)
        length_s = works["decoder"]()
        rates = {}
        for name in names:
            if rates_hz and card_of(name).reads == "picture":
                say(f"{name}: {', '.join(f'{hz:g}' for hz in rates_hz)} pictures a second")
                rates[name] = _rates(recording, name, segments, rates_hz, length_s)
    per_s = {name: np.array(taken) / length_s for name, taken in times.items()}
    own = {name: per_s[f"encoder {name}"] for name in names}
    added = sum((taken - per_s["decoder"] for taken in own.values()), start=per_s["decoder"])
    return ExtractBenchmark(
        recording=recording.name,
        length_s=length_s,
        decoder=_spread(per_s["decoder"]),
        encoders={name: _spread(taken) for name, taken in own.items()},
        together=_spread(per_s["together"]),
        plain=_spread(per_s["plain"]),
        share=_spread(added / per_s["together"]),
        saving=_spread(per_s["plain"] / per_s["together"]),
        rates=rates,
    )


def _works(recording: Path, names: Sequence[str], segments: Segments) -> dict[str, Callable[[], float]]:
    for name in names:
        load_encoder(name)

    def decode() -> float:
        reader = Reader(recording, pictures_hz=1e-6)
        for _ in reader:
            pass
        return reader.end_ns / NS

    def encode(some: Sequence[str]) -> Callable[[], float]:
        return lambda: encode_file(Job(path=recording, encoders=tuple(some), segments=segments)).end_ns / NS

    def plain() -> float:
        for name in names:
            _looked_at(recording, name, segments, hz=EVERY_HZ, longest_px=FULL_PX)
        return 0.0

    own = {f"encoder {name}": encode([name]) for name in names}
    return {"decoder": decode, **own, "together": encode(names), "plain": plain}


def _looked_at(
    recording: Path, name: str, segments: Segments, *, hz: float, longest_px: int | None = None
) -> np.ndarray:
    """The features of one encoder, from so many pictures a second, [T, D]."""
    session, reads = load_encoder(name).session(segments), card_of(name).reads
    size: dict[str, Any] = {} if longest_px is None else {"longest_px": longest_px}
    what = {"sound": reads == "sound", "vectors": reads == "vectors"}
    reader = Reader(recording, pictures_hz=hz if reads == "picture" else 0.0, **what, **size)
    thinner = Thinner(hz)
    for piece in reader:
        if not isinstance(piece, Picture) or thinner.lets(piece.time_ns):
            session.add(piece)
    return session.segments(segments, segments.number(reader.end_ns))


def _rates(
    recording: Path, name: str, segments: Segments, rates_hz: Sequence[float], length_s: float
) -> dict[str, RateReport]:
    found = {}
    every_TD = _looked_at(recording, name, segments, hz=EVERY_HZ)
    for hz in rates_hz:
        begun = time.process_time()
        values_TD = _looked_at(recording, name, segments, hz=hz)
        cpu_s = (time.process_time() - begun) / length_s
        alike_D = _correlations(values_TD, every_TD)
        lowest = float(np.quantile(alike_D, 0.1)) if len(alike_D) else float("nan")
        middle = float(np.median(alike_D)) if len(alike_D) else float("nan")
        found[f"{hz:g}"] = RateReport(cpu_s=cpu_s, correlation=middle, lowest=lowest)
    return found


def _correlations(values_TD: np.ndarray, every_TD: np.ndarray) -> np.ndarray:
    """Of each column that varies, over the segments that are valid in both; none with fewer than three of these."""
    both_T = ~np.isnan(values_TD).any(axis=1) & ~np.isnan(every_TD).any(axis=1)
    if both_T.sum() < 3:
        return np.empty(0)
    pair = [(one[both_T] - one[both_T].mean(axis=0)).astype(np.float64) for one in (values_TD, every_TD)]
    scale_D = np.sqrt((pair[0] ** 2).sum(axis=0) * (pair[1] ** 2).sum(axis=0))
    varies_D = np.sqrt((pair[1] ** 2).mean(axis=0)) > 1e-6
    return (pair[0] * pair[1]).sum(axis=0)[varies_D] / np.maximum(scale_D[varies_D], 1e-12)


def _spread(values: np.ndarray) -> Spread:
    return Spread.of([float(value) for value in values])


def _words(ratio: Spread) -> str:
    return f"{ratio.median:.2f} times [{ratio.lower:.2f}, {ratio.upper:.2f}]"
