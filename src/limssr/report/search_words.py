"""What `limssr auto` found, for its report and for the terminal: leaderboard, choice, language model, coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

HEADS = ("model", "incomplete", "all streams", "chosen minus it", "seconds")
TOLD = "Spearman on held-out groups (out of fold), with 95 % intervals over groups"

Document = Mapping[str, Any]


def search_of(run: Document) -> dict[str, Any] | None:
    """The part of a report about the search; None for runs that were not searched for."""
    document = run.get("auto")
    if not isinstance(document, Mapping) or not document.get("leaderboard"):
        return None
    return {
        "heads": HEADS,
        "told": TOLD,
        "rows": leaderboard_rows(document),
        "sentences": sentences(document),
        "left_out": [f"{name}: {why}" for name, why in (document.get("left_out") or {}).items()],
        "warnings": [str(text) for text in document.get("warnings") or ()],
    }


def leaderboard_rows(document: Document) -> list[tuple[str, ...]]:
    """A row a candidate, best first."""
    return [
        (
            str(row["member"]),
            value_words(row["incomplete"]),
            value_words(row["full"]),
            difference_words(row["behind"]),
            str(row["seconds"]),
        )
        for row in document["leaderboard"]
    ]


def sentences(document: Document) -> list[str]:
    """What was chosen, what the language model adds, how often intervals hold."""
    return [chosen_words(document), language_model_words(document), *_coverage_words(document.get("coverage"))]


def chosen_words(document: Document) -> str:
    """Which members carry the score."""
    common = document["weights"]["common"]
    if document["chosen"] != "sum":
        drawn = " Its scores are drawn towards the mean." if any(weight < 0.995 for weight in common.values()) else ""
        return f"Chosen: {document['chosen']} alone; the sum of all is not better.{drawn}"
    weights = sorted(common.items(), key=lambda pair: -pair[1])
    total = sum(weight for _, weight in weights) or 1.0
    carried = ", ".join(f"{name} {weight / total:.0%}" for name, weight in weights)
    return f"Chosen: the sum, carried by {carried}; by itself: limssr predict RUN SOURCE --member {weights[0][0]}"


def language_model_words(document: Document) -> str:
    """What reading with a language model is worth here."""
    adds = document.get("language_model_adds")
    if not adds or adds["spearman"] is None:
        return "The language model was not judged."
    line = f"The language model adds {difference_words(adds)} here"
    if not any("limssr" in name for name in document["weights"]["common"]):
        return f"{line}, and is not part of what was chosen."
    times = document.get("times_cheaper")
    cheaper = f"{times:.0f} times cheaper" if times else "much cheaper"
    return f"{line}; without it scoring is {cheaper}: --without language-model"


def _coverage_words(coverage: Document | None) -> list[str]:
    if not coverage or coverage.get("covered") is None:
        return []
    level = coverage["level"]
    covered, width = (100 * coverage[name] for name in ("covered", "width"))
    return [
        f"Intervals of {100 * level:g} % (limssr predict --interval {level:g}) hold {covered:.0f} % of the scores of "
        f"held-out groups; they are {width:.0f} % of the scale wide."
    ]


def value_words(part: Document) -> str:
    """A number with its interval."""
    if part["spearman"] is None:
        return "n/a"
    return f"{part['spearman']:.3f}{_interval(part['ci'])}"


def difference_words(part: Document) -> str:
    """The same with a sign."""
    return "n/a" if part["spearman"] is None else f"{part['spearman']:+.3f}{_interval(part['ci'])}"


def _interval(ci: Sequence[float] | None) -> str:
    return "" if ci is None else f" [{ci[0]:.3f}, {ci[1]:.3f}]"
