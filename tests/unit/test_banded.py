"""Graphs over time: their edges and layers by hand."""

import torch

from limssr.nn.graphs import HighFrequencyConv, HypergraphConv, RelationalConv, SumConv, by_order, joined_BTT

REAL = torch.tensor([[True, True, True, True, False]])


def test_a_window_is_a_band_and_padding_is_in_no_edge() -> None:
    expected = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert joined_BTT(REAL, past=1, future=2)[0].int().tolist() == expected
    everything = joined_BTT(REAL, past=-1, future=-1)[0]
    assert everything.sum() == 16
    assert everything[:4, :4].all()


def test_relations_part_the_edges_by_order_in_time() -> None:
    joined = joined_BTT(REAL, past=2, future=1)
    past, now, future = by_order(joined)[0]
    assert torch.equal(past | now | future, joined[0])
    assert now.nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert past.nonzero().tolist() == [[1, 0], [2, 0], [2, 1], [3, 1], [3, 2]]
    assert future.nonzero().tolist() == [[0, 1], [1, 2], [2, 3]]


def test_relational_convolution_adds_the_mean_of_each_relation() -> None:
    layer, x = RelationalConv(1, 1, 3), torch.tensor([[[1.0], [2.0], [4.0], [8.0], [99.0]]])
    with torch.no_grad():
        layer.itself.weight.fill_(100.0), layer.itself.bias.fill_(0.5)
        layer.relations_RIO.copy_(torch.tensor([1.0, 10.0, 1000.0]).view(3, 1, 1))
        found = layer(x, by_order(joined_BTT(REAL, past=2, future=1)))
    # segment 2: itself 400.5, mean of the past (1 + 2) / 2, now 10 * 4, future 1000 * 8
    assert found[0, 2].item() == 400.5 + 1.5 + 40.0 + 8000.0


def test_sum_convolution_adds_the_sum_of_the_neighbours() -> None:
    layer, x = SumConv(1, 1), torch.tensor([[[1.0], [2.0], [4.0], [8.0], [99.0]]])
    with torch.no_grad():
        layer.itself.weight.fill_(100.0), layer.neighbours.weight.fill_(1.0), layer.neighbours.bias.fill_(0.5)
        found = layer(x, joined_BTT(REAL, past=1, future=1))
    assert found[0, :4, 0].tolist() == [103.5, 207.5, 414.5, 812.5]


def test_hypergraph_convolution_means_twice_and_keeps_a_constant() -> None:
    layer = HypergraphConv(1)
    with torch.no_grad():
        joined = joined_BTT(REAL, past=1, future=1)
        constant = layer(torch.full((1, 5, 1), 3.0), joined)
        found = layer(torch.tensor([[[0.0], [0.0], [0.0], [12.0], [99.0]]]), joined)
    torch.testing.assert_close(constant[0, :4, 0], torch.full((4,), 3.0))
    # hyperedges of segments 0..3 hold the means 0, 0, 4, 6
    torch.testing.assert_close(found[0, :4, 0], torch.tensor([0.0, 4 / 3, 10 / 3, 5.0]))


def test_hypergraph_convolution_leaks_below_zero() -> None:
    layer = HypergraphConv(1)
    with torch.no_grad():
        layer.bias.fill_(-1.0)
        found = layer(torch.full((1, 5, 1), -3.0), joined_BTT(REAL, past=1, future=1))
    torch.testing.assert_close(found[0, :4, 0], torch.full((4,), -0.04))


def test_high_frequency_convolution_can_subtract_neighbours() -> None:
    layer = HighFrequencyConv(1)
    with torch.no_grad():
        layer.hearer.weight.zero_(), layer.heard.weight.zero_(), layer.hearer.bias.fill_(-20.0)
        found = layer(torch.tensor([[[6.0], [6.0], [6.0], [6.0], [99.0]]]), joined_BTT(REAL, past=1, future=1))
    # degrees 2, 3, 3, 2; every gate is -1
    expected = -6.0 * torch.tensor([1 / 2 + 6**-0.5, 2 / 3 + 6**-0.5, 2 / 3 + 6**-0.5, 1 / 2 + 6**-0.5])
    torch.testing.assert_close(found[0, :4, 0], expected)
