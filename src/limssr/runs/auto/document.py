"""What a search found, as plain JSON values: what `limssr auto --json` prints and run.json keeps under `auto`."""

from pathlib import Path
from typing import Any

import numpy as np

from limssr.runs.auto.candidates import candidate_of
from limssr.runs.auto.judge import Score, interval
from limssr.runs.auto.search import Found

NOT_JUDGED = {"spearman": None, "ci": None}


def document_of(out: Path, found: Found) -> dict[str, Any]:
    """The whole account of a search."""
    choice = found.choice
    rows = [_row(one.name, choice.scores[one.name], one.seconds) for one in found.judged]
    if choice.sum_score is not None:
        rows.append(_row("sum", choice.sum_score, sum(one.seconds for one in found.judged)))
    rows.sort(key=lambda row: -(row["value"] if row["value"] is not None else -1.0))
    for row in rows:
        other = choice.sum_score if row["member"] == "sum" else choice.scores[row["member"]]
        assert other is not None
        row["behind"] = choice.difference(other)
    return {
        "run": str(out),
        "leaderboard": [{key: value for key, value in row.items() if key != "value"} for row in rows],
        "weights": _weights(found),
        "chosen": "sum" if choice.is_sum else choice.members[0],
        "language_model_adds": choice.language_model_adds or NOT_JUDGED,
        "times_cheaper": _times_cheaper(found),
        "left_out": found.dropped,
        "members": list(found.model.members),
        "seeds": found.seeds,
        "coverage": found.coverage,
        "seconds": found.seconds,
        "warnings": found.warnings,
    }


def references_of(found: Found) -> list[dict[str, Any]]:
    """The members, as run.json lists what stands in a report beside the run itself."""
    seconds = {one.name: one.seconds for one in found.judged}
    return [
        {
            "name": name,
            "summary": candidate_of(name).summary,
            "trained_on": "available",
            "seconds": round(seconds[name], 3),
        }
        for name in found.model.members
    ]


def _times_cheaper(found: Found) -> float | None:
    """Scoring time of all members over that of those without a language model; None where none has one."""
    seconds = {one.name: one.sample_s for one in found.judged if one.name in found.choice.members}
    without = sum(one for name, one in seconds.items() if not candidate_of(name).has_language_model)
    total = sum(seconds.values())
    return round(total / without, 1) if 0.0 < without < total else None


def _weights(found: Found) -> dict[str, Any]:
    choice = found.choice
    common = dict(zip(choice.members, (round(float(w), 4) for w in choice.weights.common), strict=True))
    by_pattern = {
        "+".join(streams): dict(zip(choice.members, (round(float(w), 4) for w in weights), strict=True))
        for streams, weights in choice.weights.by_pattern.items()
    }
    return {"common": common, "by_streams": by_pattern}


def _row(name: str, score: Score, seconds: float) -> dict[str, Any]:
    parts = {"incomplete": (score.incomplete, score.draws_2D[0]), "full": (score.full, score.draws_2D[1])}
    row: dict[str, Any] = {"member": name, "seconds": round(seconds, 1)}
    for key, (value, draws_D) in parts.items():
        row[key] = {"spearman": None if np.isnan(value) else float(value), "ci": interval(draws_D)}
    row["error"] = None if np.isnan(score.error) else round(score.error, 4)
    row["value"] = None if np.isnan(score.value) else score.value
    return row
