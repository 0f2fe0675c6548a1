"""What options that change the computation cost in accuracy: paired differences over seeds, on validation and test.

    python tools/optins.py OUT --base runs/a-42 runs/a-43 --option one-layer runs/b-42 runs/b-43 --int8

Every run scores its store's validation and test split complete, under all subsets of the streams; runs are paired by
place (give the same seeds in the same order). `--int8` scores the base runs once more with int8 weights. The intervals
are those of `limssr compare`: the same draws for both, seeds averaged within each.
"""

import argparse
from pathlib import Path

from limssr.core.runtime import choose_device
from limssr.core.types import Split
from limssr.evaluation.evaluate import evaluate
from limssr.runs.data import load_split
from limssr.runs.evaluate import own_store
from limssr.runs.folder import SystemScores, read_run, write_config, write_run, write_scores
from limssr.runs.references import scorer_of
from limssr.studies.ablation.ablate import Difference, differences_of
from limssr.systems.saving import load_pretrained

SPLITS: tuple[Split, ...] = ("val", "test")


def scored(run: Path, split: Split, out: Path, *, weights: str) -> Path:
    """A folder with the predictions of a run for a complete split; kept where it is there already."""
    folder = out / f"{run.name}-{weights}-{split}"
    if (folder / "evaluation.json").exists():
        return folder
    record = read_run(run)
    device = choose_device("cpu").device
    model = load_pretrained(run / "model", weights="int8" if weights == "int8" else "trained")
    _, samples = load_split(model, record.config, split, store=own_store(run, record), incomplete=False)
    evaluation = evaluate(
        scorer_of(model, record.config, device),
        samples,
        tuple(modality.name for modality in model.modalities),  # type: ignore[union-attr]
        model.criteria,  # type: ignore[arg-type]
        config=record.config.evaluation.model_copy(update={"bootstrap": 0}),
        seed=0,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_scores(folder, [SystemScores.of("limssr", evaluation)])
    write_config(folder, record.config)
    write_run(folder, {key: value for key, value in record.document.items() if key != "format_version"})
    return folder


def cell(found: Difference | None) -> str:
    """A difference with its interval."""
    if found is None:
        return "-"
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def main() -> None:
    """Print a Markdown table: a row an option."""
    parser = argparse.ArgumentParser(description="Print a Markdown table: a row an option.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", nargs="+", type=Path, required=True)
    parser.add_argument("--option", nargs="+", action="append", default=[], metavar=("NAME", "RUN"))
    parser.add_argument("--int8", action="store_true")
    asked = parser.parse_args()
    options = {name: ([Path(run) for run in runs], "trained") for name, *runs in asked.option}
    if asked.int8:
        options["int8 weights"] = (asked.base, "int8")
    parts: list[tuple[Split, str]] = [(split, part) for split in SPLITS for part in ("average_incomplete", "full")]
    print("| option | " + " | ".join(f"{split}, {part}" for split, part in parts) + " |")
    print("|---" * (len(parts) + 1) + "|")
    for name, (runs, weights) in options.items():
        cells = []
        for split, part in parts:
            base = [scored(run, split, asked.out, weights="trained") for run in asked.base]
            other = [scored(run, split, asked.out, weights=weights) for run in runs]
            cells.append(cell(differences_of(dict(enumerate(other)), dict(enumerate(base)))[part]))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
