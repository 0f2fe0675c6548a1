import dataclasses
import json

import pytest
import torch

from limssr.core.config import BackboneConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from limssr.core.config_data import AvailabilityConfig, DataConfig, MissingConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.runs import references
from limssr.runs.checks import check_references
from limssr.runs.data import load_run_data
from limssr.runs.references import reference_config, run_reference
from limssr.systems.references import REFERENCES
from limssr.systems.regressions import PooledRegressor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(store_path):
    return RunConfig(
        data=DataConfig(store=str(store_path)),
        missing=MissingConfig(availability=AvailabilityConfig()),
        model=ModelConfig(
            backbone=BackboneConfig(name="tiny", num_layers=1), input_scaling="standard", output="standardized"
        ),
        train=TrainConfig(epochs=2, warmup_epochs=1, learning_rate=1e-4, backbone_learning_rate=1e-5),
        evaluation=EvalConfig(bootstrap=0),
    )


@pytest.fixture(scope="module")
def data(config):
    return load_run_data(config)


def run(name, data, config, folder):
    return run_reference(name, data, config, folder, device=CPU, reporter=SilentReporter())


def with_references(config, *names):
    return config.model_copy(update={"evaluation": EvalConfig(references=names)})


@pytest.fixture
def seen(monkeypatch):
    """The samples that pooled references were fitted on."""
    fitted = {}
    original = PooledRegressor.fit

    def spy(self, samples, progress=None):
        fitted[self.kind, self.strategy] = samples
        return original(self, samples, progress)

    monkeypatch.setattr(PooledRegressor, "fit", spy)
    monkeypatch.setattr("limssr.systems.regressions.NUM_TREES", 5)
    monkeypatch.setattr("limssr.systems.regressions.NUM_ROUNDS", 3)
    return fitted


@pytest.mark.parametrize(
    "name", [name for name, one in REFERENCES.items() if one.pooled and one.trained_on != "complete"]
)
def test_pooled_references_see_what_the_model_sees(name, data, config, tmp_path, seen):
    scores, record = run(name, data, config, tmp_path / name)
    assert seen[REFERENCES[name].pooled] is data.splits["train"]
    assert record["trained_on"] == "available"
    assert scores.document["availability"]["rate"] == 0.5
    assert len(scores.document["subsets"]) == 7


@pytest.mark.parametrize("name", [name for name, one in REFERENCES.items() if one.trained_on == "complete"])
def test_a_complete_reference_sees_more_and_says_so(name, data, config, tmp_path, seen):
    scores, record = run(name, data, config, tmp_path)
    (samples,) = seen.values()
    assert all(len(sample.streams) == 3 for sample in samples)
    assert record["trained_on"] == "complete"
    assert scores.document["availability"] is None


def test_a_finished_reference_is_read_back(data, config, tmp_path, monkeypatch):
    first, record = run("ridge", data, config, tmp_path)
    monkeypatch.setattr(references, "_fit_pooled", lambda *_, **more: pytest.fail("trained again"))
    second, again = run("ridge", data, config, tmp_path)
    assert (first.document, record) == (second.document, again)
    assert str(first.predictions.to_pydict()) == str(second.predictions.to_pydict())  # NaN equals NaN


def test_networks_are_trained_by_the_same_loop_in_their_own_folder(data, config, tmp_path):
    scores, record = run("attention", data, config, tmp_path)
    assert scores.system == "attention"
    assert record["epochs_run"] == 2
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "model" / "config.json").read_text())["model"]["system"] == "attention"
    assert not (tmp_path / "checkpoints").exists()


def test_attention_has_its_own_width_and_rate_and_nothing_else_of_its_own(config):
    changed = reference_config("attention", config)
    assert (changed.model.system, changed.model.hidden) == ("attention", None)  # its own width
    assert (changed.train.learning_rate, changed.train.backbone_learning_rate) == (1e-3, None)
    assert changed.model.output == config.model.output
    assert changed.model.input_scaling == config.model.input_scaling
    assert (changed.data, changed.missing, changed.loss, changed.seed) == (
        config.data,
        config.missing,
        config.loss,
        config.seed,
    )


def test_random_backbone_differs_in_nothing_but_its_weights(config):
    changed = reference_config("random-backbone", config)
    assert changed.model.backbone.init == "random"
    backbone = changed.model.backbone.model_copy(update={"init": config.model.backbone.init})
    assert changed.model_copy(update={"model": changed.model.model_copy(update={"backbone": backbone})}) == config


def test_complete_references_need_the_hidden_streams(config, data):
    lost = dataclasses.replace(data, complete_train=None)
    with pytest.raises(InputError, match="before streams are hidden"):
        check_references(with_references(config, "extra-trees-complete"), lost)
    check_references(with_references(config, "extra-trees-complete"), data)


def test_random_backbone_beside_a_random_backbone_is_refused(config, data):
    with pytest.raises(InputError, match="init: random"):
        check_references(with_references(reference_config("random-backbone", config), "random-backbone"), data)


def test_all_names_are_accepted(config, data):
    check_references(with_references(config, *REFERENCES), data)
