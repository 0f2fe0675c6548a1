"""The runs of a study: planning, running one after the other or beside each other, going on, reading back."""

import os
import signal
import subprocess
import sys
import time

import pytest

from limssr.core.config import RunConfig
from limssr.core.cores import threads_each
from limssr.core.errors import ArtifactError, InputError, LimssrError
from limssr.core.progress import SilentReporter
from limssr.core.recipes import parse_config
from limssr.report.text import duration
from limssr.runs.folder import write_config
from limssr.studies import PlannedRun, RunsFailed, check_runs, estimate, read_results, run_all
from limssr.studies.plan import distinct_runs, unfinished_runs
from limssr.studies.processes import shared_devices


def make_config(store, *, seed=1, name="run", **changes) -> RunConfig:
    return parse_config(
        {
            "name": name,
            "seed": seed,
            "data": {"store": str(store), **changes.get("data", {})},
            "model": {"system": "attention", "hidden": 8, **changes.get("model", {})},
            "train": {"epochs": 1, "warmup_epochs": 0, "batch_size": 16, **changes.get("train", {})},
            "evaluation": {"bootstrap": 0},
        },
        where="test",
    )


class Listener(SilentReporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    warn = note


@pytest.fixture(scope="module")
def finished(store_path, tmp_path_factory):
    """A study of two distinct runs under three keys, finished."""
    out = tmp_path_factory.mktemp("study")
    runs = [
        PlannedRun("one", make_config(store_path)),
        PlannedRun("two", make_config(store_path, seed=2)),
        PlannedRun("one-again", make_config(store_path, name="another label")),
    ]
    run_all(runs, out, device="cpu")
    return runs, out


def test_keys_are_plain_folder_names(store_path):
    for key in ("", "..", ".hidden", "a/b", "-rf", "a b", "ä"):
        with pytest.raises(InputError, match="key of a run"):
            PlannedRun(key, make_config(store_path))
    assert PlannedRun("TES-limssr-seed=42_a+b.c", make_config(store_path)).key


def test_equal_configurations_are_one_run_whatever_they_are_called(store_path):
    runs = [PlannedRun("a", make_config(store_path)), PlannedRun("b", make_config(store_path, name="other"))]
    assert {key: run.key for key, run in distinct_runs(runs).items()} == {"a": "a", "b": "a"}


def test_one_key_with_two_configurations_is_refused(store_path, tmp_path):
    runs = [PlannedRun("a", make_config(store_path)), PlannedRun("a", make_config(store_path, seed=2))]
    with pytest.raises(InputError, match="'a'"):
        run_all(runs, tmp_path)
    runs[1] = PlannedRun("A", runs[1].config)
    with pytest.raises(InputError, match="case alone"):
        run_all(runs, tmp_path)


def test_finished_runs_are_read_back_under_every_key(finished):
    runs, out = finished
    assert sorted(path.name for path in out.iterdir()) == ["one", "two"]
    results = read_results(runs, out)
    assert set(results) == {"one", "two", "one-again"}
    assert results["one-again"].document == results["one"].document
    assert results["one"].run["seed"] == 1
    assert results["two"].document["full"]["spearman"] != results["one"].document["full"]["spearman"]


def test_what_is_done_is_left_alone(finished):
    runs, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    listener = Listener()
    run_all(runs, out, device="cpu", reporter=listener)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    assert listener.notes == ["2 of 2 runs are done already"]
    assert unfinished_runs(runs, out) == []


def test_a_folder_with_another_configuration_is_refused(finished, store_path):
    _, out = finished
    others = [PlannedRun("one", make_config(store_path, seed=3))]
    with pytest.raises(InputError, match="seed"):
        run_all(others, out)
    with pytest.raises(ArtifactError, match="another configuration"):
        read_results(others, out)


def test_errors_are_found_before_the_first_run(store_path, tmp_path):
    good = PlannedRun("good", make_config(store_path))
    bad = {
        "store": make_config(tmp_path / "nowhere"),
        "criteria": make_config(store_path, data={"criteria": ["hoop"]}),
        "system": make_config(store_path, model={"system": "attentive"}),
        "backbone": make_config(store_path, model={"system": "limssr", "backbone": {"name": "gpt-9"}}),
        "selection": make_config(store_path, train={"selection": "test"}, data={"criteria": ["nothing"]}),
    }
    for key, config in bad.items():
        out = tmp_path / key
        with pytest.raises(InputError, match=f"^{key}: "):
            run_all([good, PlannedRun(key, config)], out, device="cpu")
        assert not out.exists()


def test_a_failing_run_does_not_stop_the_others(store_path, tmp_path):
    # The rate makes the loss overflow, which only training finds out.
    broken = PlannedRun("broken", make_config(store_path, train={"learning_rate": 1e30, "epochs": 3}))
    good = PlannedRun("good", make_config(store_path))
    listener = Listener()
    with pytest.raises(RunsFailed, match="1 of 2 runs failed") as caught:
        run_all([broken, good], tmp_path, device="cpu", reporter=listener)
    assert list(caught.value.failures) == ["broken"]
    assert "diverged" in str(caught.value.failures["broken"])
    assert caught.value.exit_code == 2  # whoever reads it can put it right
    assert set(read_results([broken, good], tmp_path)) == {"good"}
    assert "good is done; 1 finished, 1 failed, 0 to go" in listener.notes


def test_failures_that_the_user_can_put_right_have_exit_code_2():
    assert RunsFailed({"a": InputError("x")}, 1).exit_code == 2
    assert RunsFailed({"a": InputError("x"), "b": LimssrError("y")}, 2).exit_code == 1


def test_runs_beside_each_other_equal_runs_one_after_the_other(finished, tmp_path):
    runs, alone = finished
    broken = PlannedRun("broken", make_config(runs[0].config.data.store, train={"learning_rate": 1e30, "epochs": 3}))
    # What is left of a plan that never started is no run, and not what is run.
    (tmp_path / "one").mkdir()
    write_config(tmp_path / "one", make_config("elsewhere", seed=99))
    listener = Listener()
    with pytest.raises(RunsFailed, match=r"broken: .*diverged.*broken\.log"):
        run_all([*runs, broken], tmp_path, processes=2, device="cpu", reporter=listener)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "broken.log", "one", "two"]
    together = read_results(runs, tmp_path)
    for key, result in read_results(runs, alone).items():
        assert together[key].config == result.config
        assert together[key].document["full"]["spearman"] == pytest.approx(
            result.document["full"]["spearman"], abs=0.02
        )
    assert sum("is done" in note for note in listener.notes) == 2


CHILD = """
import sys
from pathlib import Path
from limssr.core.recipes import load_recipe
from limssr.runs.folder import write_config
from limssr.studies import PlannedRun, run_all
if __name__ == "__main__":
    runs = [PlannedRun(f"run{seed}", load_recipe(sys.argv[1], [f"seed={seed}"])) for seed in (1, 2)]
    run_all(runs, Path(sys.argv[2]), processes=2, device="cpu")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as on a terminal of a Unix system")
def test_an_interruption_ends_every_process_and_the_study_goes_on(store_path, tmp_path):
    from limssr.core.recipes import dump_config, load_recipe

    recipe, out = tmp_path / "long.yaml", tmp_path / "study"
    recipe.write_text(dump_config(make_config(store_path, train={"epochs": 100_000})))
    words = [sys.executable, "-c", CHILD, str(recipe), str(out)]
    # Where the tests run in the background of a script, interrupts are ignored, and a child would inherit that.
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    child = subprocess.Popen(words, stderr=subprocess.DEVNULL, preexec_fn=heeds)
    histories = [out / f"run{seed}" / "metrics.jsonl" for seed in (1, 2)]
    deadline = time.monotonic() + 300
    while not all(path.exists() for path in histories) and time.monotonic() < deadline:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) != 0
    lengths = [len(path.read_text().splitlines()) for path in histories]
    assert min(lengths) >= 1
    time.sleep(1.0)
    assert [len(path.read_text().splitlines()) for path in histories] == lengths  # nobody goes on by himself
    runs = [PlannedRun(f"run{seed}", load_recipe(recipe, [f"seed={seed}"])) for seed in (1, 2)]
    assert read_results(runs, out) == {}
    assert [run.key for run in check_runs(runs, out, device="cpu")] == ["run1", "run2"]
    assert sorted(path.name for path in out.iterdir()) == ["run1", "run2"]


def test_the_estimate_grows_with_the_epochs(store_path):
    runs = [
        PlannedRun(f"epochs{epochs}", make_config(store_path, seed=epochs, train={"epochs": epochs}))
        for epochs in (10, 20)
    ]
    listener = Listener()
    found = estimate(runs, device="cpu", reporter=listener)
    assert len(listener.notes) == 1  # one shape, timed once
    assert 1.5 < found["epochs20"].seconds / found["epochs10"].seconds < 2.0
    assert found["epochs10"].saved_bytes > 1000


def test_threads_are_divided_among_processes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [threads_each(processes) for processes in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_each(1) == len(os.sched_getaffinity(0))


def test_several_cuda_devices_are_taken_in_turn(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert shared_devices("auto") == ["cuda:0", "cuda:1"]
    assert shared_devices("cuda:1") == ["cuda:1"]


def test_durations_are_told_as_people_tell_them():
    assert [duration(seconds) for seconds in (12, 600, 9000, 259200)] == ["12 s", "10 min", "2.5 h", "3.0 days"]
