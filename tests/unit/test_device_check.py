"""The comparison of a device with the CPU, on the CPU; and that it notices a device that computes something else."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.runs import device_check
from limssr.runs.device_check import check_device

pytestmark = pytest.mark.filterwarnings("ignore:bf16 on device")
"""Whether it is slow here depends on the machine and what else runs on it."""


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(device_check, "SAMPLES", 16)
    monkeypatch.setattr(device_check, "STEPS", 2)


def test_the_cpu_computes_what_the_cpu_does():
    found = check_device("cpu")
    assert found.passed
    exact = {check.what: check.difference for check in found.checks if check.precision == "float32"}
    assert set(exact.values()) == {0.0}
    assert len(exact) == 4
    assert 0.0 < found.checks[-1].difference < device_check.REDUCED, "bf16 is another number, and not far away"


def test_a_device_that_computes_something_else_or_nothing_is_noticed(monkeypatch):
    seen = []

    def off_by_a_little(self, model, criteria, samples):
        seen.append(model)
        return np.full((len(samples), len(criteria)), 0.5 + (0.001 if len(seen) > 2 else 0.0))

    monkeypatch.setattr(device_check._Side, "_scores", off_by_a_little)
    found = check_device("cpu")
    assert not found.passed
    assert [check.what for check in found.checks if not check.passed] == ["scores of the same weights"]

    def fails(*_, **__):
        if device.count:
            raise RuntimeError("no kernel image is available")
        device.count += 1
        return fit(*_, **__)

    class device:
        count = 0

    fit = device_check.fit
    monkeypatch.setattr(device_check, "fit", fails)
    broken = check_device("cpu")
    assert not broken.passed
    assert "no kernel image" in broken.checks[0].error


@pytest.mark.parametrize("device", ["xpu", "xpu:1", "gpu"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match="xpu"):
        check_device(device)
