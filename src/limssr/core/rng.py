"""Random draws that depend only on their purpose and a seed.

A draw is the SHA-256 of its purpose and its parts, so it is the same for any order of samples, any number of workers
and any platform, and draws for different purposes are independent of each other.
"""

import hashlib


def integer(purpose: str, *parts: str | int) -> int:
    """An integer of 256 bits.

    Args:
        purpose: What is drawn ("crop", "dropout"), so that two uses of one seed do not share their randomness.
        *parts: What the draw depends on (seed, epoch, sample id).
    """
    # The length before each part keeps ("a", "bc") and ("ab", "c") apart.
    text = "".join(f"{len(str(part))}:{part}" for part in (purpose, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def uniform(purpose: str, *parts: str | int) -> float:
    """A number in [0, 1), from the first 53 bits, which a float holds exactly."""
    return (integer(purpose, *parts) >> (256 - 53)) / 2**53
