"""A sweep on two Rays of this machine, one of which is killed half-way: `python benchmarks/lost_machine.py FOLDER`.

Prints how long it takes until the lost run goes on on the other machine, and whether weights and predictions are the
bits of a sweep without Ray.
"""

import filecmp
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": os.urandom(32).hex(),
    "OMP_NUM_THREADS": "1",
}

import psutil
from ray.cluster_utils import Cluster

from limssr.cli import main
from limssr.data.simulate import simulate_store

RECIPE = """
name: mine
data: {store: %s}
model: {backbone: {name: tiny, num_layers: 1}}
train: {epochs: 10, warmup_epochs: 0}
evaluation: {bootstrap: 0, references: []}
"""
MEMORY: dict[str, Any] = {"object_store_memory": 100_000_000}


def kill_one(machines: list[Any], out: Path, told: dict[str, Any]) -> None:
    """Kill the machine of the first run that has two epochs behind it, and see when that run goes on."""
    while not told:
        for metrics in out.glob("*/metrics.jsonl"):
            lock, epochs = metrics.with_name(".lock"), len(metrics.read_text().splitlines())
            if epochs >= 2 and lock.exists():
                process = psutil.Process(json.loads(lock.read_text())["process"])
                (machine,) = (
                    one
                    for one in machines
                    if one.all_processes["raylet"][0].process.pid == process.parent().pid  # pyright: ignore
                )
                told |= {"run": metrics.parent.name, "epochs": epochs}
                started = time.monotonic()
                machine.kill_raylet()
                while len(metrics.read_text().splitlines()) <= epochs + 1:
                    time.sleep(0.05)
                told["goes on after s"] = round(time.monotonic() - started, 1)
                return
        time.sleep(0.005)


def run(folder: Path) -> int:
    """Both sweeps; 1 where they differ."""
    simulate_store(folder / "store", 200, seed=7, num_segments=(3, 5))
    (folder / "recipe.yaml").write_text(RECIPE % (folder / "store"))
    words = ["sweep", "systems", str(folder / "recipe.yaml"), "--systems", "attention", "--sizes", "small", "--out"]
    main([*words, str(folder / "local")])
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **MEMORY})
    machines = [nodes.add_node(num_cpus=1, **MEMORY) for _ in range(2)]
    told: dict[str, Any] = {}
    killer = threading.Thread(target=kill_one, args=(machines, folder / "ray", told), daemon=True)
    killer.start()
    code = main([*words, str(folder / "ray"), "--engine", "ray", "--address", str(nodes.address)])
    killer.join(10)
    nodes.shutdown()
    kept = ("model/model.safetensors", "predictions.parquet")
    names = [f"attention-seed{seed}/{name}" for seed in (42, 43, 44) for name in kept]
    _, *other = filecmp.cmpfiles(folder / "local", folder / "ray", names, shallow=False)
    print(json.dumps({**told, "exit code": code, "files that differ": [name for names in other for name in names]}))
    return int(code != 0 or any(other) or "goes on after s" not in told)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=False)
    sys.exit(run(place))
