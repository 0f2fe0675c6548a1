import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Batch, Criterion, Modality
from limssr.systems.simple.attention import AttentionBaseline
from limssr.systems.table import SYSTEMS

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("TES", 0.0, 130.0), Criterion("PCS", 0.0, 60.0))


def make_batch(valid_BMT):
    valid_BMT = torch.tensor(valid_BMT)
    generator = torch.Generator().manual_seed(0)
    size, _, length = valid_BMT.shape
    features = {m.name: torch.randn(size, length, m.dim, generator=generator) for m in MODALITIES}
    ids = tuple(str(n) for n in range(size))
    return Batch(
        ids=ids,
        features=features,
        present_BM=valid_BMT.any(dim=2),
        valid_BMT=valid_BMT,
        lengths_B=torch.full((size,), length),
    )


def test_it_is_in_the_table():
    model = SYSTEMS["attention"].build(ModelConfig(system="attention"), MODALITIES, CRITERIA, seed=0)
    assert isinstance(model, AttentionBaseline)


@pytest.mark.parametrize("hidden", [4, 6, 7, 64])
def test_any_width(hidden):
    model = AttentionBaseline(ModelConfig(hidden=hidden), MODALITIES, CRITERIA)
    assert model(make_batch([[[True], [True]]])).unit_scores_BC.shape == (1, 2)


def test_output_and_input_scales_are_honoured():
    batch = make_batch([[[True, True], [True, False]]])
    sigmoid = AttentionBaseline(ModelConfig(output="sigmoid"), MODALITIES, CRITERIA).eval()
    linear = AttentionBaseline(ModelConfig(output="linear"), MODALITIES, CRITERIA).eval()
    linear.load_state_dict(sigmoid.state_dict())
    torch.testing.assert_close(torch.sigmoid(linear(batch).unit_scores_BC), sigmoid(batch).unit_scores_BC)
    scaled = AttentionBaseline(ModelConfig(input_scaling="standard", output="linear"), MODALITIES, CRITERIA).eval()
    scaled.load_state_dict(linear.state_dict(), strict=False)
    scaled.input_scaler.get_buffer("mean_0").fill_(1.0)
    assert not torch.allclose(scaled(batch).unit_scores_BC, linear(batch).unit_scores_BC)


def test_an_absent_stream_has_no_token():
    """The score of a lone stream does not depend on parameters of the other one."""
    model = AttentionBaseline(ModelConfig(), MODALITIES, CRITERIA).eval()
    batch = make_batch([[[True, True], [False, False]]])
    before = model(batch).unit_scores_BC
    with torch.no_grad():
        model.projections[1][0].weight.fill_(1e6)
        model.modality_embedding_MH[1].fill_(1e6)
    torch.testing.assert_close(model(batch).unit_scores_BC, before, rtol=0, atol=0)


def test_a_row_without_any_stream_stays_finite():
    model = AttentionBaseline(ModelConfig(), MODALITIES, CRITERIA)
    batch = make_batch([[[False, False], [False, False]], [[True, True], [True, True]]])
    scores = model(batch).unit_scores_BC
    assert scores.isfinite().all()
    scores.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
