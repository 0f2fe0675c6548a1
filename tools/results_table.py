"""Print the main table of a comparison as Markdown, for docs/results.

python tools/results_table.py runs/sweep/percepiano/compare.json
python tools/results_table.py runs/compare/tuned/compare.json --sweep runs/sweep/tuned/sweep.json    # and which try won
"""

import argparse
import json
from pathlib import Path
from typing import Any

INCOMPLETE = "average of incomplete"
HEAD = (
    "system",
    "ρ incomplete",
    "ρ all streams",
    "minus {against}, incomplete",
    "all streams",
    "rank",
    "trained",
    "training",
)


def table(document: dict[str, Any], sweep: dict[str, Any] | None = None) -> str:
    """A row a system, the best on incomplete streams first; n/a last.

    Args:
        document: compare.json.
        sweep: sweep.json of the tuned systems; their row then ends with the number of the try that won, from 1.
    """
    tries = {one["label"]: str(one["chosen_try"] + 1) for one in (sweep or {"systems": []})["systems"]}
    heads = (*HEAD, "try") if tries else HEAD
    full, against = document["subsets"][-1], document["against"]
    rows = sorted(document["rows"], key=lambda row: -(_value(row, INCOMPLETE) or -1.0))
    chosen = next(row for row in rows if row["label"] == against)
    most = max(len(row["seeds"]) for row in rows)
    lines = [f"| {' | '.join(heads).format(against=against)} |", "|---" * len(heads) + "|"]
    for row in rows:
        marks = " †" if row["trained_on"] != chosen["trained_on"] else ""
        number = len(row["seeds"])
        seeds = "" if number == most else f" ({number} seed{'s' if number > 1 else ''})"
        cells = (
            f"{row['label']}{marks}{seeds}",
            _number(row, INCOMPLETE),
            _number(row, full),
            _difference(row, INCOMPLETE),
            _difference(row, full),
            _or_dash(row["average_rank"], "{:.1f}"),
            _or_dash(row["cost"]["trained"], "{:,}"),
            _or_dash(row["cost"]["training_s"], "{:.0f} s"),
            *([tries.get(row["label"], "-")] if tries else []),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _value(row: dict[str, Any], part: str) -> float | None:
    return row["numbers"][part]["spearman"]["value"]


def _number(row: dict[str, Any], part: str) -> str:
    number = row["numbers"][part]["spearman"]
    if number["value"] is None:
        if number["partial"] is None:
            return "n/a"
        return f"n/a ({number['partial']:.3f} over {number['num_partial']} of {number['num_subsets']})"
    return f"{number['value']:.3f}" + ("" if number["sd"] is None else f" ± {number['sd']:.3f}")


def _difference(row: dict[str, Any], part: str) -> str:
    one = row["numbers"][part]["spearman"]["difference"]
    if one is None or one["value"] is None:
        return "-"
    star = "\\*" if one["adjusted_p"] is not None and one["adjusted_p"] < 0.05 else ""
    return f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]{star}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--sweep", type=Path)
    words = parser.parse_args()
    swept = json.loads(words.sweep.read_text(encoding="utf-8")) if words.sweep else None
    print(table(json.loads(words.comparison.read_text(encoding="utf-8")), swept))
