"""What `limssr reproduce --dry-run` says: the runs, what is done, and what the rest will take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limssr.progress import Reporter
from limssr.studies.render import stamp_lines
from limssr.studies.reproduce import ReproductionPlan, estimate_reproduction, run_states
from limssr.studies.run import duration
from limssr.studies.timing import Estimate


@dataclass(frozen=True)
class Preview:
    """A plan with its price.

    Attributes:
        plan: The runs.
        out: Where they go.
        states: Key -> "done", "begun" or "not begun".
        estimates: Key of a run that is to be trained -> what it will take by itself.
        processes: Runs beside each other.
    """

    plan: ReproductionPlan
    out: Path
    states: Mapping[str, str]
    estimates: Mapping[str, Estimate]
    processes: int

    @property
    def seconds(self) -> float:
        """Of everything that is to be trained, with the runs beside each other."""
        return sum(one.seconds for one in self.estimates.values()) / max(1, min(self.processes, len(self.estimates)))

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        runs = []
        for piece in self.plan.pieces:
            key = piece.run.key
            price = self.estimates.get(key)
            runs.append(
                {
                    "key": key,
                    "system": piece.system,
                    "targets": list(piece.targets),
                    "seed": piece.run.config.seed,
                    "state": self.states[key],
                    "seconds": None if price is None else price.seconds,
                    "saved_bytes": None if price is None else price.saved_bytes,
                }
            )
        return {
            "out": str(self.out),
            "num_runs": len(runs),
            "num_done": sum(state == "done" for state in self.states.values()),
            "processes": self.processes,
            "seconds": self.seconds,
            "saved_bytes": sum(one.saved_bytes for one in self.estimates.values()),
            "deviations": [asdict(stamp) for stamp in self.plan.stamps],
            "runs": runs,
        }

    def lines(self) -> list[str]:
        """For people."""
        document = self.to_dict()
        width = max(len(run["key"]) for run in document["runs"])
        found = []
        for run in document["runs"]:
            price = "" if run["seconds"] is None else f"  about {duration(run['seconds'])}"
            found.append(f"{run['key']:<{width}}  {run['state']}{price}")
        found += ["", *(line for stamp in self.plan.stamps for line in stamp_lines(stamp)), ""]
        beside = f", {self.processes} beside each other" if self.processes > 1 else ""
        disk = document["saved_bytes"] / 2**20
        found.append(
            f"{document['num_runs']} runs, {document['num_done']} of them done; the rest takes about "
            f"{duration(self.seconds)}{beside} and {disk:,.0f} MiB on the disk of {self.out}."
        )
        found.append("From a few timed steps a shape of model and data. Regressions are quick and not counted.")
        return found


def preview(plan: ReproductionPlan, out: Path, *, device: str, processes: int, reporter: Reporter) -> Preview:
    """Check everything and time a few steps; nothing is written.

    Raises:
        InputError: What would stop a run.
    """
    estimates = estimate_reproduction(plan, out, device=device, processes=processes, reporter=reporter)
    return Preview(plan, out, run_states(plan, out), estimates, processes)
