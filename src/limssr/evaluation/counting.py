"""Which criteria and subsets count in a mean: those that enough samples were judged on."""

import numpy as np


def count_judged(truth_NC: np.ndarray) -> np.ndarray:
    """[C] judged samples of each criterion."""
    return (~np.isnan(truth_NC)).sum(axis=0)


def minimum_of(num_SC: np.ndarray, wanted: int) -> int:
    """Judged samples that a criterion needs, in a subset, to count there.

    Args:
        num_SC: Judged samples by subset and criterion.
        wanted: As the recipe says (`evaluation.min_samples`). A split that has fewer for every criterion and subset is
            measured with as many as its largest has: a rough number is more use than none, and its n is shown with it.

    Example:
        >>> minimum_of(np.array([[40, 4], [7, 4]]), 10), minimum_of(np.array([[8, 8], [3, 8]]), 10)
        (10, 8)
    """
    return max(1, min(wanted, int(num_SC.max(initial=0))))


def too_few(num_samples: int, minimum: int) -> str:
    """Why a criterion does not count; "" where it does, and where nobody was judged on it."""
    if num_samples == 0 or num_samples >= minimum:
        return ""
    return f"{num_samples} judged sample{'s' * (num_samples != 1)}, fewer than the {minimum} that a mean asks for"
