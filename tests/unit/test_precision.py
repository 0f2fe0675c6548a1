"""Reduced precision is taken as asked for; where a measurement says that it is slower, a warning has the number."""

import pytest
import torch

from limssr.core import runtime as precision
from limssr.core.errors import InputError
from limssr.core.runtime import check_precision, measured_gain, precision_words, tf32

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gain(monkeypatch):
    """What the measurement is to say."""
    return lambda value: monkeypatch.setattr(precision, "measured_gain", lambda *_: value)


@pytest.mark.parametrize("name", ["bf16", "bfloat16", "fp16", "float16"])
def test_what_is_slower_is_done_with_a_warning_that_says_how_much(name, gain, recwarn):
    gain(1.9)
    check_precision(name, CPU)
    assert not recwarn.list
    assert "1.9 times as fast" in precision_words(name, CPU)
    for factor, said in ((0.125, "8 times as long"), (1.0, "1 times as long")):
        gain(factor)
        with pytest.warns(UserWarning, match=said):
            check_precision(name, CPU)


def test_tf32_takes_an_nvidia_gpu(gain):
    gain(4.0)
    assert "4 times" in precision_words("tf32", CUDA)
    with pytest.raises(InputError, match="device cpu, which has no such thing"):
        check_precision("tf32", CPU)


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="float32, tf32, bf16 or fp16"):
        check_precision("int8", CPU)


def test_the_measurement_is_made_once_a_process(monkeypatch):
    measured_gain.cache_clear()
    taken = iter([9.0, 9.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0])  # the first of each is the warm-up
    monkeypatch.setattr(precision, "_seconds", lambda pair: next(taken))
    assert [measured_gain("bf16", CPU), measured_gain("bf16", CPU)] == [2.0, 2.0]
    measured_gain.cache_clear()


def test_a_real_measurement_is_a_ratio():
    measured_gain.cache_clear()
    assert 1e-4 < measured_gain("bf16", CPU) < 1e3


def test_tf32_is_switched_on_inside_and_off_again():
    before = torch.get_float32_matmul_precision()
    with tf32("tf32", CUDA):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    for name, device in (("tf32", CPU), ("bf16", CUDA)):
        with tf32(name, device):
            assert torch.get_float32_matmul_precision() == before
