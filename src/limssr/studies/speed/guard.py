"""A guard against slowdowns: the speed-up on a small shape, compared with a recorded one."""

from dataclasses import dataclass

from limssr.core.runtime import limited_threads
from limssr.core.timing import ratios, take_turns
from limssr.studies.speed.agreement import check_agreement
from limssr.studies.speed.implementations import LiteralImplementation, OurImplementation
from limssr.studies.speed.setup import SMALL, BenchmarkOptions, build_literal, build_ours, prepare, sizes_of
from limssr.studies.speed.workloads import Workloads

OPTIONS = BenchmarkOptions(backbone=SMALL, segments=48, batch_size=8, threads=1, device="cpu")
"""One thread: the ratio then hardly depends on how many cores there are and who else uses them."""
FRACTION = 0.8
"""Of the recorded ratio that has to be left."""


@dataclass(frozen=True)
class GuardRatios:
    """Literal over ours, medians over rounds."""

    step: float
    score: float

    def below(self, recorded: "GuardRatios", fraction: float) -> list[str]:
        """What has fallen below its share of the recorded ratio, in words; empty where all is well."""
        pairs = {"training step": (self.step, recorded.step), "scoring": (self.score, recorded.score)}
        return [
            f"{name}: {now:.2f} times as fast as the literal computation, recorded {before:.2f}, allowed "
            f"{fraction * before:.2f}"
            for name, (now, before) in pairs.items()
            if not now >= fraction * before
        ]

    def better(self, other: "GuardRatios") -> "GuardRatios":
        """The larger of each."""
        return GuardRatios(max(self.step, other.step), max(self.score, other.score))


def measure_guard(repeats: int = 7, options: BenchmarkOptions = OPTIONS) -> GuardRatios:
    """Both sides on the small shape, in turns.

    Raises:
        LimssrError: They do not compute the same.
    """
    with limited_threads(options.threads):
        setting = prepare(options)
        ours = build_ours(setting)
        literal = build_literal(setting, ours)
        check_agreement(setting, ours, literal)
        found = {}
        with Workloads(setting, sizes_of(setting, ours)) as workloads:
            for name in ("step", "score"):
                work = workloads.work(name, LiteralImplementation(setting, literal), OurImplementation(setting, ours))
                contestants = {"literal": work.literal, "ours": work.ours}
                seconds = take_turns(contestants, repeats=repeats, device=setting.device)
                found[name] = ratios(seconds["literal"], seconds["ours"]).median
    return GuardRatios(**found)
