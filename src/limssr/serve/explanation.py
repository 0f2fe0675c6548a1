"""The answer of `POST /v1/explain`: what streams and stretches of time add to the scores of one sample."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from limssr.core.types import Criterion, Sample
from limssr.explain.contributions import stream_contributions, stretches, time_contributions
from limssr.serve.served import Served


def explained(served: Served, sample: Sample, *, num_windows: int) -> dict[str, Any]:
    """Contributions of streams and of stretches of time; scores under every subset.

    Args:
        served: The run.
        sample: Checked.
        num_windows: Stretches to cut it into.

    Raises:
        InputError: More streams than can be shared out among.
    """
    scorer, criteria = served.found.scorer, served.found.criteria
    streams = stream_contributions(scorer, sample, served.baseline_C)
    times = time_contributions(scorer, sample, num_windows=num_windows)
    named = {
        one.name: {"helpful": [asdict(s) for s in found[0]], "harmful": [asdict(s) for s in found[1]]}
        for one, found in ((one, stretches(times, place)) for place, one in enumerate(criteria))
    }
    return {
        "baseline": _by_criterion(criteria, streams.baseline_C),
        "streams": {
            name: {
                "contribution": _by_criterion(criteria, streams.shapley_MC[m]),
                "alone": _by_criterion(criteria, streams.alone_MC[m]),
                "last": _by_criterion(criteria, streams.last_MC[m]),
            }
            for m, name in enumerate(streams.streams)
        },
        "subsets": [
            {"streams": list(part), "scores": _by_criterion(criteria, score_C)}
            for part, score_C in streams.subset_scores.items()
        ],
        "windows": [[int(b), int(e)] for b, e in zip(times.begin_W, times.end_W, strict=True)],
        "time": {
            name: {one.name: numbers(times.lost_MWC[m, :, place]) for place, one in enumerate(criteria)}
            for m, name in enumerate(times.streams)
        },
        "stretches": named,
    }


def numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """Plain numbers; null where there is none."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _by_criterion(criteria: Sequence[Criterion], values_C: np.ndarray) -> dict[str, float | None]:
    return dict(zip((one.name for one in criteria), numbers(values_C), strict=True))


def numbers_or_gaps(array_TD: np.ndarray) -> list[list[float] | None]:
    """Segments as JSON has them; null where one is not valid."""
    return [None if np.isnan(row).any() else row for row in array_TD.tolist()]
