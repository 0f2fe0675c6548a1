"""Learned rows and projections."""

import torch

from limssr.model.tokens import TokenRows
from limssr.nn.layers import Projection, RowBatchNorm

PROMPTS = {(True, True): [5, 2, 5], (True, False): [2], (False, True): [9]}


def make(train: str) -> TokenRows:
    generator = torch.Generator().manual_seed(0)
    table, special = torch.randn(12, 4, generator=generator), torch.randn(8, 4, generator=generator)
    return TokenRows(PROMPTS, table, special, num_modalities=2, num_fusion=2, train=train)  # type: ignore[arg-type]


def test_used_rows_and_whole_table_give_the_same_vectors() -> None:
    used, whole = make("used"), make("all")
    for pattern in PROMPTS:
        ours, theirs = used()[list(used.rows.prompts[pattern])], whole()[list(whole.rows.prompts[pattern])]
        assert torch.equal(ours, theirs)
    for part in ("starts", "ends", "missing", "fusion"):
        assert torch.equal(used()[list(getattr(used.rows, part))], whole()[list(getattr(whole.rows, part))])


def test_used_rows_and_whole_table_get_the_same_gradients() -> None:
    used, whole = make("used"), make("all")
    for tokens in (used, whole):
        rows = [*tokens.rows.prompts[(True, True)], tokens.rows.fusion[0]]
        tokens()[rows].square().sum().backward()
    assert torch.equal(used.words.grad, whole.table.grad[[2, 5, 9]])
    assert torch.equal(used.special.grad, whole.table.grad[12:])
    assert whole.table.grad[[0, 1, 3, 4, 6, 7, 8, 10, 11]].abs().sum() == 0


def test_what_is_trained_follows_the_setting() -> None:
    trained = {mode: sorted(dict(make(mode).named_parameters())) for mode in ("used", "all", "new", "none")}
    assert trained == {"used": ["special", "words"], "all": ["table"], "new": ["special"], "none": []}


def test_boundaries_come_in_pairs_before_placeholders_and_fusion_tokens() -> None:
    rows = make("used").rows
    first = 3
    assert (rows.starts, rows.ends) == ([first, first + 2], [first + 1, first + 3])
    assert (rows.missing, rows.fusion) == ([first + 4, first + 5], [first + 6, first + 7])
    assert rows.count == 11


def test_one_row_alone_neither_fails_nor_moves_the_statistics() -> None:
    norm = RowBatchNorm(3).train()
    before = norm.running_mean.clone()
    assert norm(torch.ones(1, 3)).isfinite().all()
    assert torch.equal(norm.running_mean, before)
    norm(torch.ones(2, 3))
    assert not torch.equal(norm.running_mean, before)


def test_projection_in_evaluation_looks_at_one_segment_at_a_time() -> None:
    projection = Projection(5, 8, dropout=0.1).eval()
    segments = torch.randn(7, 5)
    torch.testing.assert_close(projection(segments)[3:4], projection(segments[3:4]))
