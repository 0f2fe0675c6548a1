"""A sweep: every system on one store with the same budget of tuning, chosen on validation alone, resumable."""

import json
from dataclasses import replace

import pytest

from limssr.core.errors import InputError
from limssr.core.recipes import parse_config
from limssr.runs.folder import read_run
from limssr.studies.sweep.plan import SweepRequest, plan_sweep
from limssr.studies.sweep.sweep import budget_of, preview, run_sweep, to_document
from limssr.studies.sweep.tuning import NUM_SETTINGS, Setting, best_of, settings, validation_loss
from limssr.systems.table import SYSTEMS


@pytest.fixture(scope="module")
def config(store_path):
    return parse_config(
        {
            "name": "swept",
            "data": {"store": str(store_path)},
            "missing": {"availability": {"rate": 0.5}},
            "model": {"backbone": {"name": "tiny", "num_layers": 1}, "output": "standardized"},
            "train": {"epochs": 1, "warmup_epochs": 0, "batch_size": 16},
            "evaluation": {"bootstrap": 0, "references": ["ridge", "attention"]},
        },
        where="test",
    )


def test_every_system_gets_the_same_tries_and_the_first_changes_nothing(config):
    assert settings(5) == settings(5)
    assert len(set(settings(NUM_SETTINGS + 1))) == NUM_SETTINGS + 1
    assert settings(5)[0].applied(config) == config
    changed = Setting(3.0, 0.3, 0.01).applied(config)
    assert changed.train.learning_rate == pytest.approx(3 * config.train.learning_rate)
    assert changed.train.backbone_learning_rate is None
    assert (changed.model.dropout, changed.train.weight_decay) == (0.3, 0.01)
    with pytest.raises(InputError, match="tries"):
        settings(0)


def test_the_lowest_validation_loss_wins_and_the_first_of_equals(tmp_path):
    assert best_of([0.3, 0.2, 0.2]) == 1
    lines = [{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate((None, 0.5, 0.25, 0.75))]
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert validation_loss(tmp_path) == 0.25


def test_all_systems_are_planned_or_left_out_with_a_reason(config):
    plan = plan_sweep(config, SweepRequest(num_seeds=1, sizes="small"))
    named = {one.system for one in plan.contestants} | set(plan.left_out)
    assert named == {"limssr", *SYSTEMS}
    assert all(plan.left_out.values())
    first, *others = plan.contestants
    assert first.references == ("ridge",)  # attention is a system of its own here
    assert all(one.references == () for one in others)


def test_systems_that_cannot_learn_from_the_samples_are_left_out_or_refused(config):
    changes = ["data.modalities=[flow,video,audio]", "missing.availability={rate: 1.0, pattern: flow}"]
    changed = parse_config(config.model_dump(mode="json"), where="test", overrides=changes)
    plan = plan_sweep(changed, SweepRequest(num_seeds=1, sizes="small"))
    assert {"gdlt", "cofinal", "asgtn", "t2cr"} <= set(plan.left_out)  # they read flow, which no training sample owns
    assert "attention" not in plan.left_out
    with pytest.raises(InputError, match="flow"):
        plan_sweep(changed, SweepRequest(systems=("limssr", "gdlt"), num_seeds=1, sizes="small"))


def test_the_budget_is_said_in_words(config):
    epochs = config.train.epochs
    longer = SweepRequest(
        systems=("limssr", "attention", "gcnet"), num_seeds=2, tries=3, folds=5, sizes="small", epochs=99
    )
    assert budget_of(plan_sweep(config, longer)) == (
        "3 settings tried for each system, judged by validation loss, each by 5-fold cross-validation. Sizes of the "
        f"comparison systems: small. Epochs: 99 (limssr {epochs}). Seeds: 2."
    )
    plain = budget_of(plan_sweep(config, SweepRequest(systems=("limssr", "attention"), num_seeds=1)))
    assert plain.startswith("One setting for each system, not tuned here. Sizes of the comparison systems: paper.")
    assert f"Epochs: {epochs}. " in plain
    patient = config.model_copy(update={"train": config.train.model_copy(update={"patience": 2})})
    assert f"Epochs: at most {epochs}." in budget_of(plan_sweep(patient, SweepRequest(systems=("limssr", "attention"))))
    left = replace(plan_sweep(config, SweepRequest(systems=("limssr", "attention"))), left_out={"sgn": "no video."})
    assert budget_of(left).endswith("Left out: sgn (no video).")


def test_what_cannot_be_swept_is_refused(config):
    with pytest.raises(InputError, match="attention"):
        plan_sweep(config, SweepRequest(systems=("attentoin",)))
    with pytest.raises(InputError, match="twice"):
        plan_sweep(config, SweepRequest(systems=("attention", "attention")))
    with pytest.raises(InputError, match="seed"):
        plan_sweep(config, SweepRequest(systems=("attention",), num_seeds=0))
    for request in (
        SweepRequest(systems=("attention",), folds=5),
        SweepRequest(systems=("attention",), folds=1, tries=2),
    ):
        with pytest.raises(InputError, match="at least 2 of them and at least 2 tries"):
            plan_sweep(config, request)
    beside = config.model_copy(update={"model": config.model.model_copy(update={"system": "attention"})})
    with pytest.raises(InputError, match="recipe of limssr"):
        plan_sweep(beside, SweepRequest(systems=("attention",)))


@pytest.fixture(scope="module")
def study(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    request = SweepRequest(
        systems=("limssr", "attention"), num_seeds=2, tries=2, epochs=2, training=("available", "complete")
    )
    plan = plan_sweep(config, request)
    return plan, out, run_sweep(plan, out, device="cpu")


def test_tuned_on_validation_then_run_with_every_seed(study, config):
    plan, out, result = study
    assert set(result.runs) == {"limssr", "limssr-complete", "attention", "attention-complete"}
    for label, folders in result.runs.items():
        assert len(folders) == 2
        assert result.chosen[label] == best_of(result.losses[label])
        records = [read_run(folder) for folder in folders]
        assert [record.config.seed for record in records] == [config.seed, config.seed + 1]
        assert all(
            record.document["trained_on"] == ("complete" if "complete" in label else "available") for record in records
        )
        tuned = plan.tries[result.chosen[label]]
        own = next(one.config for one in plan.contestants if one.label == label)
        assert records[0].config.train == tuned.applied(own).train
        assert records[0].config.train.epochs == (1 if label.startswith("limssr") else 2)
        won = out / f"{label}-try{result.chosen[label]}"
        assert (folders[0] == won) == (label != "limssr")  # it has regressions beside it, which the tries lack
    assert json.loads((out / "sweep.json").read_text())["systems"] == to_document(plan, result)["systems"]


def test_tries_are_judged_by_the_mean_over_folds(config, tmp_path):
    plan = plan_sweep(config, SweepRequest(systems=("attention",), num_seeds=1, tries=2, folds=3, epochs=1))
    result = run_sweep(plan, tmp_path, device="cpu")
    assert read_run(result.runs["attention"][0]).config.data.validation is None
    for n, loss in enumerate(result.losses["attention"]):
        runs = [tmp_path / f"attention-try{n}-fold{fold}" for fold in range(3)]
        assert loss == pytest.approx(sum(validation_loss(run) for run in runs) / 3)
        assert {read_run(run).config.data.validation.fold for run in runs} == {0, 1, 2}
    assert json.loads((tmp_path / "sweep.json").read_text())["folds"] == 3


def test_a_second_call_runs_nothing(study):
    plan, out, result = study
    before = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert run_sweep(plan, out, device="cpu") == result
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}


def test_the_preview_prices_what_is_left_and_writes_nothing(study, tmp_path):
    plan, _, _ = study
    document = preview(plan, tmp_path / "new", device="cpu")
    assert document["num_runs"] == 4 * 2 + 4 * 2 - 3  # a try with the recipe's seed is also the first run
    assert len(document["to_run"]) == document["num_runs"]
    assert document["total_s"] > 0
    assert not (tmp_path / "new").exists()
