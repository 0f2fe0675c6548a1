"""How much does it flatter to choose the epoch on the test split? From runs trained with `train.selection: test`.

    python tools/flattery.py runs/flattery/*

Such a run writes, for every epoch, the validation loss and what the complete test samples gave, so one training answers
for both choices: the test Spearman of the epoch that the test split chose, less that of the epoch that validation would
have chosen, is what the number gained by looking.
"""

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from limssr.runs.folder import read_run
from limssr.training.selection import chosen_epoch


@dataclass(frozen=True)
class Choice:
    """Test Spearman and MSE of the epoch that each rule keeps; the epochs are counted from 1."""

    run: str
    epochs: dict[str, int]
    spearman: dict[str, float]
    mse: dict[str, float]


def read_choice(run: Path) -> Choice:
    """What validation, the last epoch and the test split would have reported.

    Raises:
        SystemExit: The run was not trained with `train.selection: test`, or without validation samples.
    """
    train = read_run(run).config.train
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    if train.selection != "test" or history[0]["val_loss"] is None:
        raise SystemExit(f"{run}: expected a run with train.selection: test and validation samples")
    rules = {name: train.model_copy(update={"selection": name}) for name in ("val", "last", "test")}
    epochs = {name: chosen_epoch(history, rule) for name, rule in rules.items()}
    return Choice(
        run.name,
        {name: epoch + 1 for name, epoch in epochs.items()},
        {name: history[epoch]["test_spearman"] for name, epoch in epochs.items()},
        {name: history[epoch]["test_mse"] for name, epoch in epochs.items()},
    )


def main(runs: list[Path]) -> None:
    """Print a Markdown table: one line a run, then mean and standard deviation."""
    choices = [read_choice(run) for run in runs]
    print("| run | epoch: val | last | test | Spearman: val | last | test | flattery | MSE: val | test |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for one in choices:
        epochs = " | ".join(str(one.epochs[name]) for name in ("val", "last", "test"))
        rho = " | ".join(f"{one.spearman[name]:.3f}" for name in ("val", "last", "test"))
        gain = one.spearman["test"] - one.spearman["val"]
        print(f"| {one.run} | {epochs} | {rho} | {gain:+.3f} | {one.mse['val']:.4f} | {one.mse['test']:.4f} |")
    for label, other in (("val", "val"), ("last", "last")):
        gains = [one.spearman["test"] - one.spearman[other] for one in choices]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        print(f"\ntest - {label}: {statistics.mean(gains):+.4f} ± {spread:.4f} over {len(gains)} runs")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
