"""Who is better and who is worse than the chosen row, in sentences: by every metric that is shown."""

from limssr.studies.compare.notes import SURE, listed
from limssr.studies.compare.numbers import CORRELATIONS, INCOMPLETE, MetricName
from limssr.studies.compare.run import Comparison

WORDS: dict[MetricName, str] = {
    "spearman": "Spearman",
    "pearson": "Pearson",
    "mse": "MSE",
    "mae": "MAE",
    "relative_l2": "relative L2",
}


def verdict_of(found: Comparison) -> list[str]:
    """A paragraph for incomplete streams and one for all: what is settled by each metric, and where they disagree."""
    texts = []
    for part in found.scores.main_parts:
        where = "On incomplete streams" if part == INCOMPLETE else "With all streams"
        sentences = [text for metric in found.options.metrics if (text := _by_metric(found, part, metric, where))]
        if sentences:
            texts.append(" ".join([*sentences, *_disagreements(found, part)]))
    return texts


def _standings(found: Comparison, part: str, metric: MetricName) -> dict[str, str]:
    """Label, with its marks -> "better", "worse" or "open", for every row with a difference."""
    standings = {}
    for row in found.rows:
        one = found.differences.get((row.label, part, metric))
        if one is None or one.reason:
            continue
        is_better = (one.value > 0) == (metric in CORRELATIONS)
        settled = one.adjusted_p < SURE
        standings[found.signed(row.label)] = "open" if not settled else "better" if is_better else "worse"
    return standings


def _by_metric(found: Comparison, part: str, metric: MetricName, where: str) -> str:
    name, standings = found.against.label, _standings(found, part, metric)
    words = (
        ("better", f"better than {name}"),
        ("worse", f"worse than {name}"),
        ("open", f"not told apart from {name}"),
    )
    said = []
    for standing, how in words:
        labels = [label for label, found_standing in standings.items() if found_standing == standing]
        if labels:
            said.append(f"{how}: {listed(labels)}")
    return f"{where}, by {WORDS[metric]}, {'; '.join(said)}." if said else ""


def _disagreements(found: Comparison, part: str) -> list[str]:
    """Rows on which correlations and errors do not say the same."""
    by_metric = {metric: _standings(found, part, metric) for metric in found.options.metrics}
    differing = [
        label
        for label in next(iter(by_metric.values()), {})
        if len({standings.get(label) for standings in by_metric.values()}) > 1
    ]
    if not differing:
        return []
    return [
        f"The metrics disagree about {listed(differing)}: correlations judge the order of the performances, errors how "
        "far the scores are off."
    ]
