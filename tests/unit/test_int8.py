"""Int8 weights for scoring: near the float32 scores, the same for a sample in any company, and refused elsewhere."""

import numpy as np
import pytest
import torch
from torch import nn

from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.model import int8
from limssr.model.backbone.lora import Adapted
from limssr.model.int8 import Int8Linear, LastRounded, check_int8, is_int8, use_int8
from limssr.model.reading.laid_out import side_by_side
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained

MODALITIES = (Modality("video", 5), Modality("audio", 3))
CRITERIA = (Criterion("execution"),)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _needs_native_int8() -> None:
    try:
        check_int8(tiny_model(), CPU)
    except InputError as refusal:
        pytest.skip(str(refusal))


def tiny_model(**changes) -> nn.Module:
    model = build_model(ModelConfig(backbone=BackboneConfig(name="tiny"), **changes), MODALITIES, CRITERIA, seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # they start at zero, and would then be missed by nobody
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def samples(count: int = 6) -> list[Sample]:
    rng = np.random.default_rng(0)
    streams = [
        {m.name: rng.standard_normal((4 + n, m.dim), dtype=np.float32) for m in MODALITIES[: 1 + n % 2]}
        for n in range(count)
    ]
    return [Sample(f"s{n}", held) for n, held in enumerate(streams)]


def test_a_map_is_within_one_per_cent_of_its_float32_self() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40)
    x = torch.randn(2, 17, 96) * torch.logspace(-3, 3, 17)[:, None]  # tokens of very different size
    with torch.inference_mode():
        expected, found = linear(x), Int8Linear(linear, LastRounded())(x)
    apart = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert apart.max() < 0.02
    assert apart.mean() < 0.01


def test_rows_of_zeros_stay_finite() -> None:
    linear = nn.Linear(8, 4)
    linear.weight.data[1] = 0
    with torch.inference_mode():
        found = Int8Linear(linear, LastRounded())(torch.zeros(3, 8))
    assert torch.allclose(found, linear.bias.expand(3, 4))


def test_scores_are_near_those_of_float32_and_adapters_stay() -> None:
    model = tiny_model()
    trained = {name: parameter.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = ModelScorer(model).score(samples())
    assert use_int8(model) == 2 * 7
    after = ModelScorer(model).score(samples())
    assert 0 < np.abs(after - before).max() < 0.01
    left = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert left.keys() == trained.keys()
    assert all(torch.equal(parameter, trained[name]) for name, parameter in left.items())


def test_a_score_does_not_depend_on_the_company() -> None:
    model = tiny_model()
    use_int8(model)
    together = ModelScorer(model).score(samples())
    alone = np.concatenate([ModelScorer(model).score([sample]) for sample in samples()])
    assert np.abs(together - alone).max() < 1e-5


def test_training_and_saving_are_refused(tmp_path) -> None:
    model = tiny_model()
    save_pretrained(model, tmp_path / "model")
    loaded = load_pretrained(tmp_path / "model", weights="int8")
    assert is_int8(loaded)
    assert not is_int8(load_pretrained(tmp_path / "model"))
    with pytest.raises(InputError, match="not saved"):
        save_pretrained(loaded, tmp_path / "again")
    linear = next(module for module in loaded.modules() if isinstance(module, Int8Linear))
    with pytest.raises(InputError, match="only scores"):
        linear(torch.randn(2, linear.in_features, requires_grad=True))


def test_other_devices_systems_and_processors_are_refused(monkeypatch) -> None:
    model = tiny_model()
    with pytest.raises(InputError, match="on a CPU, found device cuda"):
        check_int8(model, torch.device("cuda"))
    with pytest.raises(InputError, match="this system has none"):
        use_int8(nn.Linear(2, 2))
    monkeypatch.setattr(int8, "cpu_flags", lambda: frozenset({"avx2"}))
    with pytest.raises(InputError, match="VNNI"):
        use_int8(model)
    assert not is_int8(model)


def test_maps_side_by_side_are_the_maps_by_themselves() -> None:
    torch.manual_seed(0)
    linears, config, inputs = [nn.Linear(48, 40), nn.Linear(48, 24)], LoraConfig(rank=4), LastRounded()
    maps = [Adapted(linears[0], config).eval(), nn.Linear(48, 8), linears[1]]
    nn.init.normal_(maps[0].lora_B["default"].weight)
    x = torch.randn(7, 48)
    with torch.inference_mode():
        whole = torch.cat([one(x) for one in maps], dim=1)
        assert (side_by_side(*maps)(x) - whole).abs().max() < 1e-5
        maps = [maps[0], *(Int8Linear(one, inputs) for one in maps[1:])]
        maps[0].base_layer = Int8Linear(linears[0], inputs)
        steps = (linears[1].weight / maps[2].scale_O[:, None]).round()
        assert torch.equal(maps[2].steps(), steps.to(torch.int8))
        assert (side_by_side(*maps)(x) - torch.cat([one(x) for one in maps], dim=1)).abs().max() < 1e-5
