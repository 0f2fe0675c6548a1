import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.transformers import BidirectionalEncoder, sine_positions
from limssr.systems.build import build_model

MODALITIES = (Modality("a", 3), Modality("b", 2))
CRITERIA = (Criterion("x"), Criterion("y"))


def build(**more):
    settings = {"system": "bidirectional", "hidden": 16, **more}
    return build_model(ModelConfig.model_validate(settings), MODALITIES, CRITERIA, seed=0).eval()


def batch():
    rng = np.random.default_rng(0)
    whole = {m.name: rng.normal(size=(5, m.dim)).astype(np.float32) for m in MODALITIES}
    return collate([Sample("s", whole), Sample("t", whole).restricted_to(("b",))], MODALITIES, CRITERIA)


def test_it_answers_as_limssr_does():
    output = build()(batch())
    assert output.main_BC is not None
    assert output.aux_BC is not None
    assert output.slots_BKH.shape == (2, 4, 16)


def test_earlier_places_see_later_ones():
    encoder = BidirectionalEncoder(8, 1, 2, 0.0).eval()
    x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[0, 5, 0] += 3.0
    real = torch.ones(1, 6, dtype=torch.bool)
    assert (encoder(x, real)[0, 0] - encoder(changed, real)[0, 0]).abs().max() > 1e-4


def test_layout_keys_of_limssr_change_the_sequence():
    usual = build()(batch()).unit_scores_BC
    for change in ({"absent": "zeros"}, {"absent": "omitted"}, {"boundary_tokens": "none"}, {"num_missing_tokens": 1}):
        assert not torch.equal(build(**change)(batch()).unit_scores_BC[1], usual[1]), change


@pytest.mark.parametrize(
    ("change", "message"),
    [({"hidden": 18}, "divisible by 4"), ({"num_fusion_tokens": 0}, "fusion"), ({"options": {"num_heads": 3}}, "3")],
)
def test_what_does_not_fit_is_said(change, message):
    with pytest.raises(InputError, match=message):
        build(**change)


def test_places_have_positions_of_their_own_for_odd_widths_too():
    positions = sine_positions(50, 7, torch.zeros(1))
    assert positions.shape == (50, 7)
    assert torch.cdist(positions, positions)[~torch.eye(50, dtype=torch.bool)].min() > 1e-2
