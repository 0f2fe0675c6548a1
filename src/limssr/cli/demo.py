"""`limssr demo`: a complete example on simulated data whose best possible scores are known.

simulate -> take streams away from the training part, on disk -> fine-tune a language model -> score every subset of the
streams of the test split -> two simple references and the known answer beside it -> report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limssr.cli.doctor import known_backbones
from limssr.core.errors import InputError
from limssr.core.files import check_folder
from limssr.core.progress import Reporter, SilentReporter
from limssr.core.recipes import recipe_path
from limssr.studies.recipes import limited_layers

if TYPE_CHECKING:
    from limssr.core.types import Sample
    from limssr.data.simulate import World
    from limssr.evaluation.evaluate import Evaluation

NUM_SAMPLES = 400
NUM_SEGMENTS = (8, 16)
MISSING_RATE = 0.5
RUNS = Path("runs")


@dataclass(frozen=True)
class DemoResult:
    """What a demo leaves behind.

    Attributes:
        run: The run folder, with report.html in it.
        known_answer: How well the test scores can be predicted at best, for every subset: no method can do better
            except by luck.
    """

    run: Path
    known_answer: "Evaluation"


def run_demo(
    out: Path | None = None,
    *,
    backbone: str = "smollm2-135m",
    epochs: int | None = None,
    seed: int = 42,
    device: str = "auto",
    num_samples: int | None = None,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> DemoResult:
    """Run the demo.

    Args:
        out: Folder to make; None takes the first free one of runs/demo, runs/demo-2, ...
        backbone: "smollm2-135m", or "tiny", which needs no download.
        epochs: Epochs to train; None takes the recipe's.
        seed: Of the simulated data and of training.
        device: As in `limssr.core.runtime.choose_device`.
        num_samples: Size of the simulated data set; None takes `NUM_SAMPLES`.
        overrides: "key=value" changes of the recipe.
        reporter: Is told of the progress.

    Raises:
        InputError: The backbone is not on this machine or the folder exists; nothing has been written.
    """
    from limssr.core.recipes import load_recipe
    from limssr.data.mask import mask_store
    from limssr.data.simulate import simulate_store, simulate_world
    from limssr.runs.train import train_run

    reporter = reporter or SilentReporter()
    num_samples = num_samples or NUM_SAMPLES
    check_backbone(backbone)
    out = new_demo_folder(out)
    store = out / "store"
    changes = [f"data.store={store}", f"model.backbone.name={backbone}", f"seed={seed}"]
    layers = limited_layers(backbone, load_recipe(recipe_path("demo")).model.backbone.num_layers)
    changes.append(f"model.backbone.num_layers={layers}")
    if epochs is not None:
        changes.append(f"train.epochs={epochs}")
    config = load_recipe(recipe_path("demo"), [*changes, *overrides])
    check_folder(out)
    out.mkdir(parents=True)
    reporter.note(f"1/4 simulating {num_samples} performances with three streams: {out / 'store-complete'}")
    simulate_store(out / "store-complete", num_samples, seed=seed, num_segments=NUM_SEGMENTS)
    reporter.note(f"2/4 taking each training and validation stream away with probability {MISSING_RATE}: {store}")
    mask_store(out / "store-complete", store, rate=MISSING_RATE, seed=seed, splits=("train", "val"))
    reporter.note(f"3/4 training and evaluating: {out / 'run'}")
    run = train_run(config, out / "run", device=device, reporter=reporter)
    reporter.note("4/4 computing what the best possible scores would reach")
    world = simulate_world(num_samples, seed=seed, num_segments=NUM_SEGMENTS)
    return DemoResult(run, evaluate_oracle(world, seed=seed, bootstrap=config.evaluation.bootstrap))


def evaluate_oracle(world: "World", *, seed: int, bootstrap: int) -> "Evaluation":
    """The table of subsets on the test split for the best predictions that exist."""
    from limssr.core.config import EvalConfig
    from limssr.evaluation.evaluate import evaluate

    names = tuple(modality.name for modality in world.modalities)
    test = [sample for sample in world.samples if sample.split == "test"]
    return evaluate(_Oracle(world), test, names, world.criteria, config=EvalConfig(bootstrap=bootstrap), seed=seed)


def check_backbone(name: str) -> None:
    """Refuse before anything is written.

    Raises:
        InputError: The language model cannot be loaded here; the message says how to get it.
    """
    state = next((state for state in known_backbones() if state.name == name), None)
    if state is None:
        raise InputError(f"Expected a backbone that limssr doctor lists, found {name!r}.")
    if not state.available:
        raise InputError(
            f"The language model {name} is not on this machine. Get it with\n    {state.how}\n"
            "or run limssr demo --backbone tiny, which has random weights, knows no language and needs no download."
        )


class _Oracle:
    """A Scorer that knows the world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rows: Mapping[str, int] = {sample.id: row for row, sample in enumerate(world.samples)}

    def score(self, samples: "Sequence[Sample]") -> np.ndarray:
        """Expected scores [N, C], in the criteria's units, given the streams that each sample holds."""
        from limssr.data.simulate import oracle_scores

        by_streams = {streams: oracle_scores(self._world, streams) for streams in {tuple(s.streams) for s in samples}}
        return np.stack([by_streams[tuple(sample.streams)][self._rows[sample.id]] for sample in samples])


def new_demo_folder(out: Path | None, *, name: str = "demo") -> Path:
    """The folder that was asked for, or the first free one of runs/NAME, runs/NAME-2, ...

    Raises:
        InputError: It exists.
    """
    if out is None:
        candidates = (RUNS / f"{name}{'' if number == 1 else f'-{number}'}" for number in range(1, 10_000))
        return next(path for path in candidates if not path.exists())
    if out.exists():
        raise InputError(f"Expected a new folder for the demo, found {out}. Give another --out or remove it.")
    return out
