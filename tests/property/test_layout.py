"""Whatever the patterns and lengths: every real segment stands in its sequence exactly once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limssr.model.layout import LearnedRows, plan_layout


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    num_modalities, num_samples = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 6), min_size=num_samples, max_size=num_samples))
    valid = torch.zeros(num_samples, num_modalities, max(lengths), dtype=torch.bool)
    for b, length in enumerate(lengths):
        cells = draw(st.lists(st.booleans(), min_size=num_modalities * length, max_size=num_modalities * length))
        valid[b, :, :length] = torch.tensor(cells).view(num_modalities, length)
        if not valid[b].any():
            valid[b, 0, 0] = True
    return valid.any(dim=2), valid, torch.tensor(lengths)


def learned_rows(num_modalities: int) -> LearnedRows:
    patterns = torch.cartesian_prod(*[torch.tensor([False, True])] * num_modalities).view(-1, num_modalities)
    first = 2
    return LearnedRows(
        prompts={tuple(pattern): [0, 1] for pattern in patterns.tolist()},
        starts=list(range(first, first + 2 * num_modalities, 2)),
        ends=list(range(first + 1, first + 2 * num_modalities, 2)),
        missing=list(range(first + 2 * num_modalities, first + 3 * num_modalities)),
        fusion=[first + 3 * num_modalities],
        count=first + 3 * num_modalities + 1,
    )


@settings(max_examples=60, deadline=None)
@given(batches(), st.sampled_from(["paper", "interleaved"]))
def test_each_valid_segment_stands_once_in_its_own_sequence(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], order: str
) -> None:
    present_BM, valid_BMT, lengths_B = batch
    rows = learned_rows(present_BM.shape[1])
    layout = plan_layout(present_BM, valid_BMT, lengths_B, rows, order=order)  # type: ignore[arg-type]
    owner = valid_BMT.transpose(0, 1).nonzero()[:, 1]  # sample of each bank row, in the bank's order
    seen = []
    for b, length in enumerate(layout.lengths_B.tolist()):
        features = [row - rows.count for row in layout.source_BL[b, :length].tolist() if row >= rows.count]
        assert all(owner[row] == b for row in features)
        assert features == sorted(features) or order == "interleaved"
        seen += features
        expected = 2 + 3 * present_BM.shape[1] - present_BM.shape[1] + 1 + int(lengths_B[b]) * present_BM.shape[1]
        assert length == expected
    assert sorted(seen) == list(range(int(valid_BMT.sum())))
    torch.testing.assert_close(layout.pool_BML.sum(dim=2), torch.ones(*present_BM.shape))
