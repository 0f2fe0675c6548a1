"""What a store of many short samples costs: writing it, opening it, the first batch, `limssr data inspect`, scoring it.

python benchmarks/large_store.py 100000 FOLDER     makes FOLDER/store and FOLDER/model, and prints what each step takes

Seconds are of the processor, so that other work on the machine does not count. Memory is what the process has for
itself (Linux), without the files that it maps; `peak` also counts the libraries.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from limssr.core.config import ModelConfig, RunConfig
from limssr.core.config_data import DataConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.inspect import describe_store
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter
from limssr.runs.data import load_run_data
from limssr.runs.prediction.predict import predict
from limssr.systems.build import build_model
from limssr.systems.saving import save_pretrained
from limssr.training.batches import EpochBatches

STREAMS = tuple(Modality(name, 4) for name in ("video", "audio", "motion"))
T = TypeVar("T")


def make(path: Path, num_samples: int) -> None:
    """Five to fifteen segments of four features, each stream owned by four samples of five, ten samples a group."""
    rng = np.random.default_rng(0)
    score = (Criterion("score", 0.0, 100.0),)
    with StoreWriter(path, name="large", modalities=STREAMS, criteria=score, provenance={"importer": "made"}) as writer:
        for n in range(num_samples):
            length = int(rng.integers(5, 16))
            owned = [one for one in STREAMS if rng.random() < 0.8] or STREAMS[:1]
            streams = {one.name: rng.normal(size=(length, one.dim)).astype(np.float32) for one in owned}
            split = ("train", "val", "test")[max(0, n // 10 % 10 - 7)]
            writer.add(Sample(f"sample-{n:07d}", streams, np.array([rng.uniform(0, 100)]), f"group-{n // 10}", split))


def timed(what: str, work: Callable[[], T]) -> T:
    """Do something and print what it took."""
    started = time.process_time()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<24}{time.process_time() - started:8.2f} s{own_mb():8.0f} MB{peak:8.0f} MB peak", flush=True)
    return result


def own_mb() -> float:
    """Memory that no file stands behind, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) / 1e3


def main(num_samples: int, folder: Path) -> None:
    """Make what is not there, then every step."""
    path, model_path = folder / "store", folder / "model"
    print(f"{num_samples:,} samples; {own_mb():.0f} MB before")
    if not path.exists():
        timed("write", lambda: make(path, num_samples))
    store = timed("open", lambda: FeatureStore.open(path))
    timed("first sample", lambda: store.sample(store.ids("train")[0]))
    config = RunConfig(data=DataConfig(store=str(path)), model=ModelConfig(system="attention", hidden=16))
    data = timed("load for training", lambda: load_run_data(config))
    plan = EpochBatches(data.splits["train"], data.modalities, data.criteria, config=config, epoch=0)
    timed("first batch", lambda: next(iter(plan.loader())))
    timed("data inspect", lambda: describe_store(store))
    if not model_path.exists():
        model = build_model(config.model, data.modalities, data.criteria, seed=0)
        model.calibrate(data.splits["train"][:500])
        save_pretrained(model, model_path)
    timed("predict", lambda: predict(model_path, path, device="cpu"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
