"""Where each vector stands in the sequence."""

import numpy as np
import torch

from limssr.model.layout import LearnedRows, plan_layout

# two modalities: prompts are rows 0..2, starts 3 and 5, ends 4 and 6, placeholders 7 and 8, fusion 9 and 10
ROWS = LearnedRows(
    prompts={(True, True): [0, 1, 2], (True, False): [0, 1], (False, True): [2]},
    starts=[3, 5],
    ends=[4, 6],
    missing=[7, 8],
    fusion=[9, 10],
    count=11,
)


def plan(present: list[list[int]], lengths: list[int], holes: list[tuple[int, int, int]] = [], **options):  # noqa: B006
    present_BM = torch.tensor(present, dtype=torch.bool)
    num_segments = max(lengths)
    valid_BMT = (torch.arange(num_segments) < torch.tensor(lengths)[:, None])[:, None] & present_BM[:, :, None]
    for hole in holes:
        valid_BMT[hole] = False
    return plan_layout(present_BM, valid_BMT, torch.tensor(lengths), ROWS, **options)


def test_complete_sample_follows_the_modality_order() -> None:
    layout = plan([[1, 1]], [2])
    assert layout.source_BL.tolist() == [[0, 1, 2, 3, 11, 12, 4, 5, 13, 14, 6, 9, 10]]
    assert layout.fusion_BK.tolist() == [[11, 12]]
    assert layout.lengths_B.tolist() == [13]
    assert np.flatnonzero(layout.pool_BML[0, 0]).tolist() == [4, 5]
    assert np.flatnonzero(layout.pool_BML[0, 1]).tolist() == [8, 9]


def test_absent_blocks_come_last_and_hold_placeholders() -> None:
    layout = plan([[0, 1]], [2])
    assert layout.source_BL.tolist() == [[2, 5, 11, 12, 6, 3, 7, 7, 4, 9, 10]]
    assert np.flatnonzero(layout.pool_BML[0, 0]).tolist() == [6, 7]


def test_fewer_placeholders() -> None:
    layout = plan([[1, 0]], [3], num_missing_tokens=1)
    assert layout.source_BL.tolist() == [[0, 1, 3, 11, 12, 13, 4, 5, 8, 6, 9, 10]]


def test_a_hole_gets_a_placeholder_and_is_not_pooled() -> None:
    layout = plan([[1, 1]], [3], holes=[(0, 0, 1)])
    assert layout.source_BL[0, 3:8].tolist() == [3, 11, 7, 12, 4]
    assert layout.pool_BML[0, 0].nonzero().flatten().tolist() == [4, 6]
    assert layout.pool_BML[0, 0].sum() == 1


def test_mixed_lengths_are_padded_at_the_end() -> None:
    layout = plan([[1, 1], [1, 0]], [2, 1])
    assert layout.lengths_B.tolist() == [13, 10]
    assert layout.source_BL[1].tolist() == [0, 1, 3, 13, 4, 5, 8, 6, 9, 10, 0, 0, 0]
    assert layout.fusion_BK.tolist() == [[11, 12], [8, 9]]
    assert layout.pool_BML[1, :, 10:].sum() == 0


def test_interleaved_goes_segment_by_segment() -> None:
    layout = plan([[1, 0]], [2], order="interleaved")
    assert layout.source_BL.tolist() == [[0, 1, 3, 5, 11, 8, 12, 8, 4, 6, 9, 10]]
    assert layout.pool_BML[0, 0].nonzero().flatten().tolist() == [4, 6]
    assert layout.pool_BML[0, 1].nonzero().flatten().tolist() == [5, 7]
