"""Scoring on a cluster: the parts of a source as tasks, and the one table that they make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from limssr.core.cluster import Cluster, LostTask
from limssr.core.errors import InputError, LimssrError
from limssr.runs.prediction.predict import predict_part
from limssr.runs.prediction.shards import Shard, joined

Task = tuple[Path, Path, Path, Shard, dict[str, Any]]


def predict_on(
    cluster: Cluster,
    run_or_model: Path,
    source: Path,
    out: Path,
    *,
    shards: int,
    say: Callable[[str], None] | None = None,
    **settings: Any,
) -> pa.Table:
    """The table of `predict`, made of parts that tasks of a cluster have written beside `out`.

    Parts that are there are not made again; whoever has written the table removes them with `remove_parts`.

    Args:
        cluster: Sees the same folders.
        run_or_model: As for `predict`.
        source: The same.
        out: The file that the parts belong to.
        shards: How many parts.
        say: Told what was decided; by each part once.
        settings: Further arguments of `predict`.

    Raises:
        InputError: As for `predict`, or no such number of parts.
        LimssrError: The process of a part died again and again.
    """
    parts = [Shard(number, shards) for number in range(1, Shard.read(f"1/{shards}").of + 1)]
    tasks: list[Task] = [(run_or_model, source, out, part, settings) for part in parts]
    told: dict[str, None] = {}
    for place, found in cluster.run(part_task, tasks):
        if isinstance(found, LostTask):
            raise LimssrError(
                f"Part {place + 1} of {shards} was lost: {found.reason}. The others are kept; the same command goes on."
            )
        told |= dict.fromkeys(found)
    table = joined(out, shards)
    if not any(table["streams"].to_pylist()):
        remove_parts(out, shards)
        raise InputError(f"Expected samples with a stream that the model knows in {source}, found none.")
    for sentence in told:
        if say is not None:
            say(sentence)
    return table


def part_task(task: Task) -> list[str]:
    """Score one part, unless it is there; what was decided."""
    run_or_model, source, out, part, settings = task
    told: list[str] = []
    predict_part(run_or_model, source, out, part, say=told.append, **settings)
    return told


def remove_parts(out: Path, shards: int) -> None:
    """Remove the parts of a file that is written."""
    for number in range(1, shards + 1):
        Shard(number, shards).path(out).unlink(missing_ok=True)
