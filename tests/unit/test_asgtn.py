"""What is particular to ASGTN: resampling, graphs by hand, and the stream that both change."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.sequences import resampled
from limssr.systems.build import build_model
from limssr.systems.complete.asgtn import GraphLayer, chain_of, picture_of, picture_width


def test_resampling_reads_between_neighbours() -> None:
    x_NTD = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])
    real_NT = torch.ones(1, 4, dtype=torch.bool)
    assert resampled(x_NTD, real_NT, 4).flatten().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert resampled(x_NTD, real_NT, 2).flatten().tolist() == [0.5, 2.5]
    assert resampled(x_NTD, real_NT, 8).flatten().tolist() == [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]


@given(st.lists(st.booleans(), min_size=1, max_size=9).filter(any), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_resampling_closes_gaps_and_reads_nothing_else(real: list[bool], length: int) -> None:
    x_NTD = torch.arange(len(real), dtype=torch.float32)[None, :, None] + 1.0
    real_NT = torch.tensor([real])
    alone = resampled(x_NTD[:, real_NT[0]], torch.ones(1, sum(real), dtype=torch.bool), length)
    with_gaps = resampled(x_NTD.masked_fill(~real_NT[..., None], float("nan")), real_NT, length)
    torch.testing.assert_close(with_gaps, alone)


def test_a_chain_and_a_picture_of_three_by_four() -> None:
    assert chain_of(4).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    picture = picture_of(12)
    assert picture[5].nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert picture[0].nonzero().flatten().tolist() == [0, 1, 4, 5]
    assert picture[7].nonzero().flatten().tolist() == [2, 3, 6, 7, 10, 11]


def test_pictures_are_near_to_square() -> None:
    assert [picture_width(number) for number in (1024, 768, 12, 7, 5, 1)] == [32, 32, 4, 3, 3, 1]


def test_a_graph_layer_by_hand() -> None:
    layer = GraphLayer(chain_of(3), dim=2, out=1, dropout=0.0)
    x_NVF = torch.tensor([[[1.0, 3.0], [0.0, 0.0], [0.0, 0.0]]])
    # both features weigh one half; node 0 hears itself among two neighbours and one other, node 2 as an other
    e = float(np.e)
    expected = [2 * e / (2 * e + 1), 2 * e / (3 * e), 2 * 1 / (2 * e + 1)]
    np.testing.assert_allclose(layer(x_NVF).flatten().tolist(), expected, rtol=1e-5)


def test_a_new_model_sees_most_of_the_stream_itself() -> None:
    modalities = (Modality("video", 6),)
    config = ModelConfig(system="asgtn", hidden=8, options={"num_segments": 5})
    model = build_model(config, modalities, (Criterion("score"),), seed=0).eval()
    video_TD = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    rows = model.rows(collate([Sample("s", {"video": video_TD})], modalities, (Criterion("score"),)))
    added = rows.x_NTD[0].detach().numpy() - 0.8 * video_TD
    assert 0 < np.abs(added).max() < 0.2
