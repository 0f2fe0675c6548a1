"""Sentences of the command line, as clients of a server get them."""

import pytest

pytest.importorskip("fastapi")

from limssr.serve.wording import for_clients


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("say which with --time NAME; remove the other, or rename it.", "remove one, or rename it."),
        ("the same with --columns by-place (in Python columns='by-place').", "the same with by-place as 'columns'."),
        ("found lengths (3, 4): --align shortest cuts the ends, --align resample averages. Pool with --segment-s S.",
         "found lengths (3, 4): send streams of one length."),
        ("Expected x, found none: give one with --store STORE, or y.", "Expected x, found none, or y."),
        ("Expected x, found y: leave --int8 out.", "Expected x, found y."),
        ("'my--file.csv': expected width 3, found 2.", "'my--file.csv': expected width 3, found 2."),
    ],
)  # fmt: skip
def test_no_option_is_left(said, told):
    assert for_clients(said) == told
