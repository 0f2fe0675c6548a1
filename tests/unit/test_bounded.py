"""Settings whose product no machine holds are refused before memory is taken, whatever they are called."""

import resource
import time

import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality
from limssr.systems import bounded
from limssr.systems.build import build_model
from limssr.systems.table import SYSTEMS

CRITERIA = [Criterion("total", 0.0, 10.0)]
TINY = {"name": "tiny", "num_layers": 1}


def streams(width=4):
    return [Modality("video", width), Modality("audio", width)]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize(
    ("system", "settings", "width"),
    [
        ("bidirectional", {"hidden": 8_192, "options": {"num_layers": 1_000}}, 4),  # each of them is allowed
        ("momke", {"hidden": 8_192}, 1_000_000),
        ("statistics", {"statistics": {"members": 1_024, "hidden": 128, "widest": None}}, 1_000_000),
        ("limssr", {"head": "statistics", "statistics": {"members": 1_024, "hidden": 128, "widest": None}}, 100_000),
    ],
)
def test_products_of_settings_are_refused_before_they_take_memory(system, settings, width, monkeypatch):
    monkeypatch.setattr(bounded, "memory_bytes", lambda: 4 * 2**30)
    config = ModelConfig.model_validate({"system": system, "backbone": TINY, **settings})
    before, started = peak_mb(), time.monotonic()
    with pytest.raises(InputError, match=rf"settings of {system} that ask for more"):
        build_model(config, streams(width), CRITERIA, seed=0)
    assert peak_mb() - before < 1_000  # transformers, which one of them loads, is a third of it
    assert time.monotonic() - started < 60  # the first one also loads transformers


def test_what_fits_is_built_as_before(monkeypatch):
    config = ModelConfig(system="attention", hidden=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        plain = SYSTEMS["attention"].builder(config, tuple(streams()), tuple(CRITERIA), SYSTEMS["attention"].options())
    made = build_model(config, streams(), CRITERIA, seed=3)
    for one, other in zip(plain.parameters(), made.parameters(), strict=True):
        assert torch.equal(one, other)
    monkeypatch.setattr(bounded, "memory_bytes", lambda: 8_000)  # a machine of 8 kB
    with pytest.raises(InputError, match=r"half of this machine's memory \(0.0 GB\)"):
        build_model(config, streams(), CRITERIA, seed=3)


def test_the_memory_is_the_machines_or_less(monkeypatch):
    whole = bounded.memory_bytes()
    assert 10**8 < whole < 10**14
    monkeypatch.setattr(bounded.resource, "getrlimit", lambda _: (10**6, 10**6))
    assert bounded.memory_bytes() == 10**6
