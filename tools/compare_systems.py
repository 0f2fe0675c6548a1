"""How sure is it that a run's model beats the references beside it? Differences under resampling of the performances.

    python tools/compare_systems.py runs/percepiano

All systems are scored on the same resampled performances, so what is hard for all of them cancels out.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from limssr.metrics import Resamples, bootstrap_spearman

NUM_RESAMPLES = 1000


def read_predictions(run: Path) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Scores [N, C], and for every system its predictions [N, C] under each subset, all streams last."""
    rows = pq.read_table(run / "predictions.parquet").to_pylist()
    samples = {name: number for number, name in enumerate(dict.fromkeys(row["id"] for row in rows))}
    criteria = {name: number for number, name in enumerate(dict.fromkeys(row["criterion"] for row in rows))}
    subsets = list(dict.fromkeys(row["streams"] for row in rows))
    truth_NC = np.full((len(samples), len(criteria)), np.nan)
    systems = {row["system"]: [np.full_like(truth_NC, np.nan) for _ in subsets] for row in rows}
    for row in rows:
        place = samples[row["id"]], criteria[row["criterion"]]
        truth_NC[place] = row["score"]
        systems[row["system"]][subsets.index(row["streams"])][place] = row["prediction"]
    return truth_NC, systems


def main(run: Path) -> None:
    """Print the difference of the run's own model to every other system, with 95 % intervals."""
    truth_NC, systems = read_predictions(run)
    resamples = Resamples(len(truth_NC), NUM_RESAMPLES, seed=0)
    spearman = {
        name: np.stack([bootstrap_spearman(truth_NC, predicted_NC, resamples) for predicted_NC in found])
        for name, found in systems.items()
    }
    own, *others = systems
    for name in others:
        for label, part in (("incomplete", slice(0, -1)), ("all streams", slice(-1, None))):
            first, second = (np.tanh(np.arctanh(spearman[system][part]).mean(axis=0)) for system in (own, name))
            low, high = np.percentile(first - second, [2.5, 97.5])
            print(f"{own} - {name:24} {label:12} {np.mean(first - second):+.3f} [{low:+.3f}, {high:+.3f}]")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
