"""Three hundred mutated files given to the verbs that read them; `make fuzz` tries three thousand of any seed."""

import mmap
import signal
from pathlib import Path

import pytest

import fuzz
import fuzz_world
import mutations

SEED, BLOCKS, CASES = 2026, 10, 30
SMALL_GROWTH = 2 * 10**7


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMSSR_CACHE", str(folder / "cache"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        fuzz_world.build(folder, fuzz.call)
        yield folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_damaged_files_are_refused_in_words(world, block):
    problems = [fuzz.run_case(world, SEED, number) for number in range(block * CASES, (block + 1) * CASES)]
    assert not [problem for found in problems for problem in found]


def grown(count):
    """Take memory that the process did not hold before, as what was freed may be used again; an exit code."""
    with mmap.mmap(-1, count) as fresh:
        fresh.write(b"a" * count)
    return 2


@pytest.mark.parametrize(
    ("misdeed", "found"),
    [
        (lambda out: 1 / 0, "ZeroDivisionError passed"),
        (lambda out: 1, "exit code 1"),
        (lambda out: out.mkdir() or 2, "left"),
        (lambda out: signal.raise_signal(signal.SIGALRM) or 0, "took more than"),
        (lambda out: grown(3 * SMALL_GROWTH), "grew by"),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux")
def test_every_kind_of_failure_is_seen(tmp_path, monkeypatch, misdeed, found):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.json").write_text("{}")
    monkeypatch.setattr(fuzz, "TARGETS", (fuzz.Target("run", "*", ("verb {file} {out}",)),))
    monkeypatch.setattr(fuzz, "MAX_GROWTH", SMALL_GROWTH)
    monkeypatch.setattr(fuzz, "call", lambda words: (misdeed(Path(words[-1])), ""))
    assert found in " ".join(fuzz.run_case(tmp_path, 1, 0))


def test_a_case_is_the_same_for_ever(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).write_text('{"a": [1, 2], "b": {"c": "d"}}')
    for change in mutations.BYTES[:-1]:
        draws = [change(fuzz.random.Random("1:7"), tmp_path / name) for name in ("first", "second")]
        assert draws[0] == draws[1]
        assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
