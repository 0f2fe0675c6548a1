"""The paper's three data sets: their names, targets, splits, and the tables that they stand in."""

from collections.abc import Mapping
from dataclasses import dataclass

from limssr.studies.paper.numbers import AVERAGE, published_scores


@dataclass(frozen=True)
class Benchmark:
    """A data set of the paper.

    Attributes:
        key: On the command line, and name of its recipe.
        name: In the paper.
        by_class: Number of the paper's table with one block a target.
        num_samples: "train" and "test" -> judged performances of each target (paper, section 4.1).
    """

    key: str
    name: str
    by_class: int
    num_samples: Mapping[str, int]

    @property
    def targets(self) -> tuple[str, ...]:
        """All targets, in the paper's order."""
        cells = published_scores(self.by_class, self.name)
        return tuple(dict.fromkeys(cell.target for cell in cells if cell.target != AVERAGE))


BENCHMARKS: dict[str, Benchmark] = {
    "fs1000": Benchmark("fs1000", "FS1000", 11, {"train": 1000, "test": 247}),
    "fisv": Benchmark("fisv", "Fis-V", 12, {"train": 400, "test": 100}),
    "rg": Benchmark("rg", "RG", 13, {"train": 200, "test": 50}),
}
"""Key -> data set."""
NUM_SEEDS = 6
"""Behind Table 9."""
