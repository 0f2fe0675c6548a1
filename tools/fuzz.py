"""Mutated copies of every kind of file, given to every verb that reads it: `python tools/fuzz.py --num 3000 --seed 1`.

A case fails where the verb ends with another code than 0, 2 or 3, prints a traceback, computes for more than 20 s,
waits for more than two minutes, grows by more than 1 GB, or leaves something behind after a refusal. Case n of a seed
is always the same.
"""

import argparse
import contextlib
import faulthandler
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_world
import mutations

MAX_S, MAX_WAIT_S, MAX_GROWTH = 20, 120, 10**9
GOOD_CODES = (0, 2, 3)


@dataclass(frozen=True)
class Target:
    """Files of one kind, and the verbs that read them.

    Attributes:
        folder: Of the world; it is copied for a case.
        pattern: Of the files in it.
        verbs: Words; {case} is the copy, {world} everything else, {file} the damaged file.
    """

    folder: str
    pattern: str
    verbs: tuple[str, ...]


SCORING = ("predict {case} {world}/table/new.csv --out {out}.csv", "evaluate {case} --store {world}/store")
WITH_INTERVALS = "predict {case} {world}/table/new.csv --interval 0.9 --out {out}.csv"
SOUND = "--encoders sound --segments 1"
READING = ("report {case}", "compare {case} {world}/run --out {out}", "evaluate {case} --store {world}/store")
TARGETS = (
    Target("recipes", "recipe.yaml", ("describe {file}", "train {file} --store {world}/nowhere --out {out}")),
    Target("recipes", "based.yaml", ("describe {file}",)),
    Target("run", "config.yaml", (*SCORING, *READING)),
    Target("run", "run.json", (*SCORING, *READING)),
    Target("run", "evaluation.json", ("report {case}", "compare {case} {world}/run --out {out}")),
    Target("run", "metrics.jsonl", ("report {case}", "compare {case} {world}/run --out {out}")),
    Target("run", "*.parquet", ("report {case}", "compare {case} {world}/run --out {out}")),
    Target("run", "model/config.json", SCORING),
    Target("run", "model/model.safetensors", SCORING),
    Target("store", "store.json", ("data inspect {case}", "data verify {case}", "predict {world}/run {case}")),
    Target("store", "index.parquet", ("data inspect {case}", "evaluate {world}/run --store {case}")),
    Target("store", "shards/*", ("data verify {case}", "predict {world}/run {case}")),
    Target("table", "new.csv", ("data import table {file} {out}", "predict {world}/run {file}")),
    Target("table", "new.jsonl", ("data import table {file} {out}", "predict {world}/run {file}")),
    Target("table", "streams/*", ("data import table {case}/new.csv {out}", "predict {world}/run {case}/new.csv")),
    Target("words", "new.csv", ("data import table {file} {out} --words hashed",)),
    Target("words", "said/*", ("data import table {case}/new.csv {out} --words hashed",)),
    Target("sensors", "new.csv", (f"extract {{file}} {{out}} {SOUND}", "predict {world}/heard {file}")),
    Target("sensors", "files/*", (f"extract {{case}}/new.csv {{out}} {SOUND}", "predict {world}/heard {case}/new.csv")),
    Target("auto", "model/**/*", SCORING),
    Target("auto", "*.parquet", (WITH_INTERVALS, "report {case}")),
    Target("auto", "*.json", (WITH_INTERVALS, "report {case}", "card {case}")),
    Target("explained", "explain/explain.json", ("report {case}",)),
    Target("foreign", "told.csv", ("compare {world}/run --predictions {file} --out {out}",)),
    Target("foreign", "new.xlsx", ("data import table {file} {out}",)),
    Target("backbone", "*", ("train {world}/recipes/recipe.yaml --backbone {case} --store {world}/store --out {out}",)),
    Target("published", "*", ("import-checkpoint {file} {out} --backbone {world}/backbone --task fs1000/TES",)),
)  # fmt: skip


class TooLongError(BaseException):
    """A case took more than its time; no handler of the program may keep it."""


def call(words: list[str]) -> tuple[int, str]:
    """Run a verb in this process: its exit code, and all that it said."""
    from limssr.cli import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(words)
    return code, said.getvalue()


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `TooLongError` in the block when its time is over; end the process where even that does not help."""

    def stop(*_: Any) -> None:
        raise TooLongError

    # Of computing; waiting may take longer where other programs use the machine too.
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, MAX_S), (signal.SIGALRM, signal.ITIMER_REAL, MAX_WAIT_S))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    faulthandler.dump_traceback_later(3 * MAX_WAIT_S, exit=True, file=2)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
        faulthandler.cancel_dump_traceback_later()


def run_case(world: Path, seed: int, number: int) -> list[str]:
    """One case; what was wrong with it, in words, and nothing where all was well."""
    draw = random.Random(f"{seed}:{number}")
    target = TARGETS[number % len(TARGETS)]
    scratch = Path(tempfile.mkdtemp(prefix=f"case{number}-", dir=world))
    case, out = scratch / "case", scratch / "out"
    try:
        shutil.copytree(world / target.folder, case)
        files = sorted(path for path in case.glob(target.pattern) if path.is_file())
        file = draw.choice(files)
        told = [draw.choice(mutations.changes_for(file))(draw, file)]
        if target.folder == "store" and draw.random() < 0.7:
            mutations.sign(case)
        words = draw.choice(target.verbs).format(case=case, world=world, file=file, out=out).split()
        problems = _tried(words, scratch, case)
        where = f"case {number} of seed {seed}: {file.relative_to(case)} {'; '.join(told)}; limssr {' '.join(words)}"
        return [f"{problem}\n    {where}" for problem in problems]
    finally:
        mutations.remove(scratch)


def _tried(words: list[str], scratch: Path, case: Path) -> list[str]:
    before, entries = _memory("VmRSS", reset=True), _entries(case)
    begun = time.process_time()
    try:
        with limited():
            code, said = call(words)
    except TooLongError:
        return [f"took more than {MAX_S} s, or waited more than {MAX_WAIT_S} s"]
    except BaseException as error:
        return [f"{type(error).__name__} passed the command line: {error}"]
    problems = []
    if code not in GOOD_CODES or "Traceback" in said:
        problems.append(f"exit code {code}: {said[-1_500:]}")
    if time.process_time() - begun > MAX_S:
        problems.append(f"took {time.process_time() - begun:.0f} s")
    if _memory("VmHWM") - before > MAX_GROWTH:
        problems.append(f"grew by {_memory('VmHWM') - before:,} bytes")
    if len(said) > 100_000:
        problems.append(f"said {len(said):,} characters")
    whole = code in (0, 3)  # 3: some of many were refused, the others are there
    left = [] if whole else [path.name for path in scratch.iterdir() if path != case]
    new = sorted(_entries(case) - entries)
    left += new if not whole else [name for name in new if "partial" in name or "lock" in name]
    return [*problems, *([f"exit code {code}, and left {left}"] if left else [])]


def _entries(folder: Path) -> set[str]:
    return {str(Path(base, name).relative_to(folder)) for base, dirs, files in os.walk(folder) for name in dirs + files}


def _memory(field: str, *, reset: bool = False) -> int:
    """Bytes of memory in use, or the most since the last reset."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:")), 0)


def main() -> int:
    """Run cases from the command line; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=3_000, help="cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--share", default="1/1", help="K/N: every N-th case, from the K-th")
    options = parser.parse_args()
    share, shares = (int(part) for part in options.share.split("/"))
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    failed = 0
    with tempfile.TemporaryDirectory(prefix="limssr-fuzz-") as folder:
        world = Path(folder)
        os.environ["LIMSSR_CACHE"] = str(world / "cache")
        fuzz_world.build(world, call)
        numbers = range(options.first + share - 1, options.first + options.num, shares)
        for done, number in enumerate(numbers, start=1):
            problems = run_case(world, options.seed, number)
            failed += bool(problems)
            print(*problems, sep="\n", end="\n" if problems else "", flush=True)
            if done % 200 == 0:
                print(f"{done} of {len(numbers)} cases, {failed} failed", file=sys.stderr, flush=True)
    print(f"{len(numbers)} cases of seed {options.seed}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
