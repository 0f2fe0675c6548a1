"""`limssr sweep systems`: from a recipe to a comparison in one command."""

import json
import shlex

import pytest


@pytest.fixture
def words(tmp_path, store_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: mine\ndata: {{store: {store_path}}}\nmissing: {{availability: {{rate: 0.5}}}}\n"
        "model: {backbone: {name: tiny, num_layers: 1}, output: standardized}\n"
        "train: {epochs: 1, warmup_epochs: 0}\nevaluation: {bootstrap: 0, references: [ridge]}\n"
    )
    out = tmp_path / "sweep"
    return out, ("sweep", "systems", recipe, "--systems", "limssr", "attention", "--seeds", "2", "--out", out)


def test_one_command_trains_all_and_compares_them(limssr, words):
    out, command = words
    document = limssr(*command, "--json").document
    assert [one["label"] for one in document["systems"]] == ["limssr", "attention"]
    assert {row["label"] for row in document["comparison"]["rows"]} == {"limssr", "attention", "ridge"}
    assert all(json.loads((out / "sweep.json").read_text())[key] == document[key] for key in ("systems", "tries"))
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert f"limssr sweep systems {command[2]} --systems limssr attention --seeds 2 --out {out}" in page
    assert f"limssr compare limssr={out / 'limssr-seed42'}" in page
    assert "trains only what is not done" in page
    (budget,) = (note["text"] for note in document["comparison"]["notes"] if note["title"] == "Budget")
    assert budget.startswith("One setting for each system")
    assert budget in page
    assert budget in " ".join((out / "compare.txt").read_text(encoding="utf-8").split())


def test_one_system_alone_ends_well_and_is_compared_with_the_regressions_in_its_runs(limssr, words):
    out, (verb, what, recipe, *_) = words
    command = (verb, what, recipe, "--systems", "attention", "--seeds", "2", "--out")
    done = limssr(*command, out, "--set", "evaluation.references=[]", "--json")
    assert done.code == 0, done.err
    assert done.document["comparison"] is None
    assert done.document["files"] == [str(out / "sweep.json")]
    assert json.loads((out / "sweep.json").read_text())["systems"] == done.document["systems"]
    told = limssr(*command, out, "--set", "evaluation.references=[]")
    assert told.code == 0
    assert "Nothing to compare with: attention is the only system." in told.out
    beside = limssr(*command, out.with_name("beside"), "--json").document
    assert [row["label"] for row in beside["comparison"]["rows"]] != ["attention"]
    assert {row["label"] for row in beside["comparison"]["rows"]} == {"attention", "ridge"}


def test_a_scheduler_can_do_the_runs_and_the_study_takes_them_up(limssr, words):
    out, (verb, what, recipe, *_) = words
    command = (verb, what, recipe, "--systems", "attention", "--seeds", "2", "--tries", "2", "--out", out)
    more = ("--set", "evaluation.references=[]")
    lists = []
    while printed := limssr(*command, *more, "--print-commands").out.splitlines():
        lists.append(printed)
        for line in printed:
            first, *train = shlex.split(line)
            assert (first, "--resume" in train) == ("limssr", True)
            assert limssr(*train, "--json").code == 0
    assert [len(one) for one in lists] == [2, 1], "the tries, then the second seed of the one that won"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/run.json")}
    done = limssr(*command, *more, "--json")
    assert done.code == 0, done.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(before) == 3
    assert len(done.document["systems"][0]["runs"]) == 2


def test_a_scheduler_can_halve_the_tries(limssr, words):
    out, (verb, what, recipe, *_) = words
    command = (
        verb,
        what,
        recipe,
        "--systems",
        "attention",
        "--seeds",
        "1",
        "--tries",
        "2",
        "--epochs",
        "4",
        "--out",
        out,
    )
    more = ("--set", "evaluation.references=[]", "--halving", "--sizes", "small")
    lists = []
    while printed := limssr(*command, *more, "--print-commands").out.splitlines():
        lists.append([shlex.split(line) for line in printed])
        for _, *train in lists[-1]:
            paused = limssr(*train, "--json")
            assert paused.code == 0, paused.err
            assert ("--until" in train) == (paused.document.get("status") == "paused")
    untils = [[int(one[one.index("--until") + 1]) if "--until" in one else 4 for one in many] for many in lists]
    assert untils == [[1, 1], [2], [4]]
    done = limssr(*command, *more, "--json")
    assert done.code == 0, done.err
    assert done.document["halving"] is True
    lengths = [len((out / f"attention-try{n}" / "metrics.jsonl").read_text().splitlines()) for n in range(2)]
    assert sorted(lengths) == [1, 4]
    refused = limssr("train", recipe, "--until", "0", "--json")
    assert "--until 1 or more" in refused.document["error"]["message"]


def test_epochs_and_kinds_of_training_are_refused_by_the_names_of_their_flags(limssr, words):
    _, command = words
    for more, said in (
        (("--epochs", "0"), "--epochs 1 or more"),
        (("--epochs", "1", "--systems", "momke"), "raise --epochs"),
        (("--training", "complete", "complete"), "found complete complete"),
        (("--systems", "ridge"), "evaluation.references"),
    ):
        refused = limssr(*command, *more, "--dry-run", "--json")
        assert refused.code == 2
        assert said in refused.document["error"]["message"]


def test_a_dry_run_prices_the_runs_and_writes_nothing(limssr, words):
    out, command = words
    outcome = limssr(*command, "--dry-run")
    assert outcome.code == 0
    assert "4 runs, 4 not done" in outcome.out
    assert not out.exists()


def test_intervals_over_groups_go_into_the_comparison(limssr, words):
    out, command = words
    document = limssr(*command, "--resample", "groups", "--json").document
    assert "Whole groups are drawn" in {note["title"] for note in document["comparison"]["notes"]}
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert f"--seeds 2 --resample groups --out {out}" in page
    assert f"--order score --resample groups --out {out}" in page


def test_groups_that_are_not_there_are_refused_before_training(limssr, words, tmp_path):
    from limssr.data.simulate import simulate_store

    out, command = words
    alone = tmp_path / "alone"
    simulate_store(alone, 60, seed=7, num_segments=(4, 9), samples_per_group=1)
    refused = limssr(*command, "--store", alone, "--resample", "groups", "--json")
    assert refused.code == 2
    assert "leave out --resample groups" in refused.document["error"]["message"]
    assert not out.exists()
