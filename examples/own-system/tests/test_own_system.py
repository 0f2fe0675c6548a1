"""The contract of limssr, asked of this system."""

from own_system import GATED_MEAN

from limssr.testing import check_system


def test_it_keeps_what_limssr_promises() -> None:
    check_system(GATED_MEAN)
