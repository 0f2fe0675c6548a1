"""The search of a sweep: TPE and halving, with one budget for every system, replayed from what is done."""

import json

import pytest

from limssr.core.errors import InputError, MissingExtraError
from limssr.core.recipes import parse_config
from limssr.runs.folder import read_run
from limssr.runs.train import train_run
from limssr.studies.plan import PlannedRun
from limssr.studies.sweep import samplers
from limssr.studies.sweep.plan import SweepRequest, plan_sweep
from limssr.studies.sweep.samplers import Drawn, Tpe
from limssr.studies.sweep.search import Search, epochs_share, num_kept, searched
from limssr.studies.sweep.sweep import budget_of, next_runs, run_sweep, to_document
from limssr.studies.sweep.tuning import DROPOUTS, RATE_FACTORS, WEIGHT_DECAYS, Setting, settings


@pytest.fixture(scope="module")
def config(store_path):
    return parse_config(
        {
            "name": "searched",
            "data": {"store": str(store_path)},
            "model": {"backbone": {"name": "tiny", "num_layers": 1}},
            "train": {"epochs": 4, "warmup_epochs": 0, "batch_size": 32},
            "evaluation": {"bootstrap": 0, "references": []},
        },
        where="test",
    )


class World:
    """A made-up training: the loss of a run after some epochs is a function of its setting."""

    def __init__(self, out, loss):
        self.out, self.loss, self.epochs = out, loss, {}

    def made(self, label, number, setting):
        key = f"{label}-try{number}"
        self.settings = {**getattr(self, "settings", {}), key: (label, setting)}
        data = {"name": key, "seed": number, "data": {"store": label}, "train": {"epochs": 8}}
        return (PlannedRun(key, parse_config(data, where="test")),)

    def do(self, one):
        for run in one.runs:
            self.epochs[run.key] = one.until.get(run.key, 8)
            losses = [{"epoch": n, "val_loss": self.loss(*self.settings[run.key], n)} for n in range(8)]
            folder = self.out / run.key
            folder.mkdir(parents=True, exist_ok=True)
            kept = losses[: self.epochs[run.key]]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, kept)))

    def found(self, *, sampler="tpe", tries=8, is_halved=False):
        rounds = Search(
            {"one": 8, "two": 8}, self.made, self.out, sampler=sampler, tries=tries, is_halved=is_halved
        ).rounds()
        return searched(rounds, self.do)


def bowl(label, setting, epoch):
    """The best of system one lies at a high dropout, of two at a low one; it falls with the epochs."""
    best = 0.45 if label == "one" else 0.15
    return (setting.dropout - best) ** 2 + 1 / (epoch + 1)


def test_the_drawn_list_is_what_it_was():
    sampler = Drawn(5)
    assert tuple(sampler.ask() for _ in range(5)) == settings(5)


def test_tpe_begins_with_the_recipe_stays_within_the_list_and_is_replayed():
    pytest.importorskip("optuna")

    def tries(goal):
        sampler, found = Tpe(), []
        for _ in range(14):
            found.append(sampler.ask())
            sampler.tell((found[-1].dropout - goal) ** 2)
        return found

    first, other = tries(0.45), tries(0.15)
    assert first[0] == Setting()
    assert tries(0.45) == first
    assert first[:6] == other[:6], "no system is luckier than another before anything is learned"
    assert first[6:] != other[6:]
    for one in first[1:]:
        assert RATE_FACTORS[0] <= one.rate_factor <= RATE_FACTORS[-1]
        assert DROPOUTS[0] <= one.dropout <= DROPOUTS[-1]
        assert WEIGHT_DECAYS[0] <= one.weight_decay <= WEIGHT_DECAYS[-1]
    late = [sum(one.dropout for one in found[-5:]) / 5 for found in (first, other)]
    assert late[0] > late[1], "it goes where losses are low"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_halving_gives_every_system_the_same_epochs_whatever_it_finds(tmp_path, sampler):
    pytest.importorskip("optuna")
    world = World(tmp_path, bowl)
    found = world.found(sampler=sampler, is_halved=True)
    spent = {label: sorted(n for key, n in world.epochs.items() if key.startswith(label)) for label in ("one", "two")}
    assert spent["one"] == spent["two"] == [2, 2, 2, 2, 4, 4, 8, 8]
    assert sum(spent["one"]) / (8 * 8) == epochs_share(8) == 0.5
    assert [num_kept(5, rung) for rung in range(3)] == [5, 3, 2]
    for label, losses in found.losses.items():
        assert found.chosen[label] == min(range(8), key=lambda n: losses[n])
        assert world.epochs[f"{label}-try{found.chosen[label]}"] == 8


def test_a_search_that_was_ended_goes_on_as_if_it_had_not(tmp_path):
    pytest.importorskip("optuna")
    whole = World(tmp_path / "whole", bowl)
    expected = whole.found(is_halved=True)
    broken, done = World(tmp_path / "broken", bowl), []

    def ending(one):
        if len(done) == 6:
            raise KeyboardInterrupt
        done.append(one)
        World.do(broken, one)

    broken.do = ending
    with pytest.raises(KeyboardInterrupt):
        broken.found(is_halved=True)
    del broken.do
    again = broken.found(is_halved=True)
    assert (again.losses, again.chosen) == (expected.losses, expected.chosen)
    assert [one.setting for one in again.tries["two"]] == [one.setting for one in expected.tries["two"]]


def test_a_sweep_pauses_tries_and_finishes_the_better_ones(config, tmp_path):
    pytest.importorskip("optuna")
    request = SweepRequest(systems=("attention",), num_seeds=1, tries=3, sizes="small", sampler="tpe", halving=True)
    plan = plan_sweep(config, request)
    first = next_runs(plan, tmp_path)
    assert {run.key for run in first.runs} == {"attention-try0"}
    assert first.until == {"attention-try0": 1}
    result = run_sweep(plan, tmp_path, device="cpu")
    epochs = [len((tmp_path / f"attention-try{n}" / "metrics.jsonl").read_text().splitlines()) for n in range(3)]
    assert sorted(epochs) == [1, 2, 4]
    winner = result.chosen["attention"]
    assert epochs[winner] == 4
    assert result.runs["attention"] == (tmp_path / f"attention-try{winner}",), "a try that won is the run of its seed"
    straight = train_run(read_run(result.runs["attention"][0]).config, tmp_path / "straight", device="cpu")
    weights = [
        (folder / "model" / "model.safetensors").read_bytes() for folder in (*result.runs["attention"], straight)
    ]
    assert weights[0] == weights[1], "pauses leave no trace"
    document = to_document(plan, result)
    assert (document["sampler"], document["halving"]) == ("tpe", True)
    assert document["systems"][0]["tries"][0] is None
    assert len({json.dumps(one) for one in document["systems"][0]["tries"]}) == 3
    assert "Parzen" in budget_of(plan)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("attention-*/metrics.jsonl")}
    assert run_sweep(plan, tmp_path, device="cpu").chosen == result.chosen
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_cannot_be_searched_is_refused(config, monkeypatch):
    for change in ({"halving": True}, {"sampler": "tpe"}):
        with pytest.raises(InputError, match="--tries 2 or more"):
            plan_sweep(config, SweepRequest(systems=("attention",), **change))
    with pytest.raises(InputError, match="one stage for --halving, found momke"):
        plan_sweep(config, SweepRequest(systems=("momke",), tries=2, halving=True, sizes="small"))
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="limssr\\[optuna\\]"):
        plan_sweep(config, SweepRequest(systems=("attention",), tries=2, sampler="tpe"))
