import json
import os

import pytest
import torch

from limssr.core import runtime
from limssr.core.config import BackboneConfig, ModelConfig
from limssr.core.errors import InputError
from limssr.core.team import Team

CPU = torch.device("cpu")


def test_auto_takes_the_cpu_where_there_is_no_cuda_device_and_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    choice = runtime.choose_device("auto")
    assert choice.device == CPU
    assert "no CUDA" in choice.reason


@pytest.mark.parametrize("requested", ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""])
def test_unknown_devices_are_refused(requested):
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        runtime.choose_device(requested)


@pytest.mark.parametrize("requested", ["cuda", "cuda:3"])
def test_a_cuda_device_that_is_not_there_is_never_replaced(requested, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="found 0 CUDA devices"):
        runtime.choose_device(requested)


def test_mps_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="MPS"):
        runtime.choose_device("mps")


def test_only_systems_with_a_backbone_need_its_dtype():
    config = ModelConfig(backbone=BackboneConfig(dtype="float16"))
    with pytest.warns(UserWarning, match="float16"):
        runtime.check_model_precision(config, CPU)
    runtime.check_model_precision(config.model_copy(update={"system": "attention"}), CPU)


def test_seeded_numbers_depend_on_seed_and_purpose_alone_and_leave_nothing_behind():
    torch.manual_seed(1)
    expected_after = torch.rand(3)
    torch.manual_seed(1)
    with runtime.seeded(5, "epoch", 2):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected_after)
    with runtime.seeded(5, "epoch", 2):
        assert torch.equal(torch.rand(3), inside)
    for other in [(6, "epoch", 2), (5, "epoch", 3), (5, "step", 2)]:
        with runtime.seeded(*other):
            assert not torch.equal(torch.rand(3), inside)


def test_one_process_can_change_its_accelerator(monkeypatch):
    before = dict(os.environ)
    assert runtime.make_accelerator(CPU, "float32").mixed_precision == "no"
    assert runtime.make_accelerator(CPU, "bf16").mixed_precision == "bf16"
    accelerator = runtime.make_accelerator(CPU, "float32")
    assert accelerator.mixed_precision == "no"
    assert accelerator.device == CPU
    assert {key for key in os.environ if key not in before} <= {"ACCELERATE_MIXED_PRECISION"}


def test_an_accelerator_is_told_nothing_of_a_launcher(monkeypatch):
    told = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    accelerator = runtime.make_accelerator(CPU)
    assert (accelerator.num_processes, accelerator.gradient_accumulation_steps) == (1, 1)
    assert {name: os.environ[name] for name in told} == told


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_several_processes_do_not_share_one_device(device):
    with pytest.raises(InputError, match="each of which takes its own GPU"):
        runtime.device_of(device, Team(1, 2, 1))
    assert runtime.device_of("cpu", Team(1, 2, 1)).device == CPU


def test_the_environment_record_is_plain_json_and_names_what_matters():
    record = json.loads(json.dumps(runtime.environment(CPU)))
    assert (
        record["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    )  # a build may name itself behind
    assert record["torch_threads"] == torch.get_num_threads()
    assert record["num_cores"] >= 1
    assert record["cpu"]
