"""What int8 weights cost: a run's validation split scored with them and without, under every subset of streams."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.errors import ArtifactError
from limssr.evaluation import Evaluation, evaluate
from limssr.model import load_pretrained
from limssr.model.int8 import check_int8, use_int8
from limssr.references import scorer_of
from limssr.run import own_store
from limssr.rundata import load_split
from limssr.runfiles import read_run
from limssr.runtime import choose_device

CHANGED = ("spearman", "mse")


@dataclass(frozen=True)
class Int8Change:
    """Both evaluations of the validation split.

    Attributes:
        num_samples: Of the split.
        float32: With the weights as trained.
        int8: With int8 weights.
    """

    num_samples: int
    float32: Evaluation
    int8: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """Metric -> float32, int8 and their difference; null where one of them cannot be said."""
        return {
            "split": "val",
            "num_samples": self.num_samples,
            "average_incomplete": self._changes(lambda evaluation: evaluation.to_dict()["average_incomplete"]),
            "full": self._changes(lambda evaluation: evaluation.to_dict()["full"]),
        }

    def _changes(self, part: Callable[[Evaluation], dict[str, Any]]) -> dict[str, dict[str, float | None]]:
        before, after = part(self.float32), part(self.int8)
        return {name: _change(before[name], after[name]) for name in CHANGED}


def int8_change(run: Path, *, device: str = "auto", progress: Callable[[int, int], None] | None = None) -> Int8Change:
    """Measure on the run's own validation split, made incomplete as in the run, what int8 weights change.

    Args:
        run: A run folder whose training is done.
        device: See `limssr.runtime.choose_device`; int8 weights need a CPU.
        progress: Called with (subsets done, subsets in all), for each of the two.

    Raises:
        InputError: No int8 weights here (see `limssr.model.int8`), or no validation split.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
    """
    record, chosen = read_run(run), choose_device(device).device
    if not (run / "model").is_dir():
        raise ArtifactError(f"Expected a trained model in {run}, found none: go on with its training with --resume.")
    model, config = load_pretrained(run / "model"), record.config
    check_int8(model, chosen)
    _, samples = load_split(model, config, "val", store=own_store(run, record), incomplete=True)

    def measured() -> Evaluation:
        return evaluate(
            scorer_of(model, config, chosen),
            samples,
            tuple(modality.name for modality in model.modalities),  # type: ignore[union-attr]
            model.criteria,  # type: ignore[arg-type]
            config=config.evaluation.model_copy(update={"bootstrap": 0}),
            progress=progress,
            split="val",
        )

    before = measured()
    use_int8(model)
    return Int8Change(len(samples), before, measured())


def _change(before: float | None, after: float | None) -> dict[str, float | None]:
    difference = None if before is None or after is None else after - before
    return {"float32": before, "int8": after, "change": difference}
