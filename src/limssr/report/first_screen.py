"""The first screen of a report, for readers who know nothing of correlations: what is scored, how well, how sure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from limssr.evaluation.metrics import MIN_SAMPLES
from limssr.report.run_tables import number
from limssr.report.runfolder import RunFolder

MAX_PAIRED = 1500
"""Performances of one criterion and subset whose pairs are counted; of more, so many at equal distances."""
MAX_NAMED = 4


def first_screen(folder: RunFolder) -> list[dict[str, str]]:
    """Questions and answers; only those that the run's files answer."""
    answers = (
        ("What can it score?", _what(folder)),
        ("How well?", _how_well(folder)),
        ("How sure is a score?", _how_sure(folder)),
        ("From which streams?", _from_which(folder)),
    )
    return [{"question": question, "answer": answer} for question, answer in answers if answer]


def _what(folder: RunFolder) -> str:
    criteria, streams = (
        list(folder.run.get("criteria") or ()),
        [str(name) for name in folder.run.get("modalities") or ()],
    )
    if not criteria or not streams:
        return ""
    names = [str(item["name"]) if isinstance(item, Mapping) else str(item) for item in criteria]
    told = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    scores = f"One score ({told})" if len(names) == 1 else f"{len(names)} scores ({told})"
    if len(streams) == 1:
        return f"{scores} of a performance, from {streams[0]}."
    return f"{scores} of a performance, from {_listed(streams)}. Any of them may be missing."


def _how_well(folder: RunFolder) -> str:
    """How often two performances are put in the right order, and how far off a score is."""
    if folder.predictions is None or folder.evaluation is None:
        return ""
    few = _with_few(folder)
    shares = {streams: share for streams, share in ordered_shares(folder).items() if streams not in few}
    left_out = _too_few(few)
    if few and folder.run.get("auto"):
        left_out += " What the search found on held-out groups is below."
    if not shares:
        return left_out
    full = max(shares, key=lambda streams: streams.count("+"))
    told = f"Of two performances it puts the better one first {_in_ten(shares[full])} with {full.replace('+', ' + ')}"
    fewer = [share for streams, share in shares.items() if streams != full]
    if fewer:
        told += f", and {_in_ten(float(np.mean(fewer)))} on average where streams are missing"
    mean_error = _mean_error(folder)
    off = f" A score is off by {mean_error:.0f} % of its scale on average." if mean_error is not None else ""
    return f"{told} (guessing: 5 in 10).{off} {left_out}".strip()


def _with_few(folder: RunFolder) -> dict[str, int]:
    """Subset ("video+audio") -> its judged performances, where they are too few for a claim without an interval."""
    subsets = (folder.evaluation or {}).get("subsets") or ()
    counts = {"+".join(one["streams"]): int(one["num_samples"]) for one in subsets}
    return {streams: number for streams, number in counts.items() if number < MIN_SAMPLES}


def _too_few(few: Mapping[str, int]) -> str:
    if not few:
        return ""
    told = _listed([f"{streams.replace('+', ' + ')} ({number})" for streams, number in list(few.items())[:MAX_NAMED]])
    more = f" and {len(few) - MAX_NAMED} more sets of streams" if len(few) > MAX_NAMED else ""
    return f"Too few performances were judged with {told}{more} to say how well it does there."


def ordered_shares(folder: RunFolder) -> dict[str, float]:
    """Subset ("video+audio") -> share of the pairs of performances in the right order, the mean over the criteria."""
    if folder.predictions is None:
        return {}
    table = folder.predictions
    streams, criteria = np.array(table["streams"].to_pylist()), np.array(table["criterion"].to_pylist())
    score, predicted = (np.array(table[name].to_pylist(), dtype=float) for name in ("score", "prediction"))
    known = np.isfinite(score) & np.isfinite(predicted)
    found: dict[str, float] = {}
    for subset in dict.fromkeys(streams.tolist()):
        rows = known & (streams == subset)
        each = [_ordered(score[rows & (criteria == one)], predicted[rows & (criteria == one)]) for one in set(criteria)]
        told = [share for share in each if share is not None]
        if told:
            found[subset] = float(np.mean(told))
    return found


def _ordered(score: np.ndarray, predicted: np.ndarray) -> float | None:
    num = len(score)
    kept = np.unique(np.arange(min(num, MAX_PAIRED)) * num // max(1, min(num, MAX_PAIRED)))
    score, predicted = score[kept], predicted[kept]
    first, second = np.triu_indices(len(score), 1)
    differs = score[first] != score[second]
    if not differs.any():
        return None
    same = np.sign(predicted[first] - predicted[second]) * np.sign(score[first] - score[second])
    return float((0.5 + 0.5 * same[differs]).mean())


def _mean_error(folder: RunFolder) -> float | None:
    """Of the scores from all streams, in percent of the criterion's scale; None where scales are not known."""
    spans = {
        str(item["name"]): float(item["high"]) - float(item["low"])
        for item in folder.run.get("criteria") or ()
        if isinstance(item, Mapping)
    }
    subsets: list[Mapping[str, Any]] = list((folder.evaluation or {}).get("subsets") or ())
    if not subsets or not spans or not all(spans.values()):
        return None
    full = max(subsets, key=lambda one: len(one["streams"]))
    if "+".join(full["streams"]) in _with_few(folder):
        return None
    parts = full.get("per_criterion") or (dict.fromkeys(spans, full) if len(spans) == 1 else {})
    errors = [
        100 * part["mae"] / spans[name] for name, part in parts.items() if name in spans and part.get("mae") is not None
    ]
    return float(np.mean(errors)) if errors else None


def _how_sure(folder: RunFolder) -> str:
    rows = sure_rows(folder)
    if not rows and folder.run.get("folds"):
        return "Here are predictions of held-out groups and no model: the run of each fold gives its own intervals."
    if not rows:
        return "This run gives no intervals: it had no validation split, or an older limssr trained it."
    level = 100 * float(((folder.evaluation or {}).get("coverage") or {}).get("level") or 0.0)
    if all(row["width"] >= 99.5 for row in rows):
        return "Too few validation performances: every interval is the whole scale."
    few = _with_few(folder)
    rows = [row for row in rows if row["label"].replace(" + ", "+") not in few]
    if not rows:
        return f"Too few performances were judged to count how often its {level:g} % intervals hold."
    full = max(rows, key=lambda row: row["label"].count("+"))
    told = f"Its {level:g} % intervals held {full['covered']:.0f} % of the test scores with {full['label']}"
    told += f" and are {full['width']:.0f} % of the scale wide on average"
    fewer = [row for row in rows if row is not full]
    if fewer:
        widest = max(row["width"] for row in fewer)
        low, high = min(row["covered"] for row in fewer), max(row["covered"] for row in fewer)
        ends = " to ".join(dict.fromkeys(f"{end:.0f}" for end in (low, high)))
        told += f"; with fewer streams they held {ends} % and are up to {widest:.0f} % wide"
    return f"{told}."


def sure_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """For each subset, over all criteria: share that is covered (with its range over criteria) and mean width, in %."""
    coverage = (folder.evaluation or {}).get("coverage")
    spans = {
        str(item["name"]): float(item["high"]) - float(item["low"])
        for item in folder.run.get("criteria") or ()
        if isinstance(item, Mapping)
    }
    if not coverage:
        return []
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in coverage["subsets"]:
        if row["num_samples"] and spans.get(row["criterion"]):
            found.setdefault(" + ".join(row["streams"]), []).append(row)
    rows = []
    for label, parts in found.items():
        weight = np.array([part["num_samples"] for part in parts], dtype=float)
        covered = np.array([100 * part["covered"] for part in parts])
        width = np.array([100 * part["width"] / spans[part["criterion"]] for part in parts])
        rows.append(
            {
                "label": label,
                "covered": float(np.average(covered, weights=weight)),
                "lowest": float(covered.min()),
                "highest": float(covered.max()),
                "width": float(np.average(width, weights=weight)),
                "num_samples": int(weight.max()),
                "borrowed": sum(part["source"] == "nested" for part in parts),
            }
        )
    return rows


def _from_which(folder: RunFolder) -> str:
    """The streams by what they add, where `limssr explain` has been asked; else by what each is worth alone."""
    shares = ((folder.explained or {}).get("contributions") or {}).get("streams") or {}
    told = {name: one["share"] for name, one in shares.items() if one.get("share") is not None}
    if len(told) > 1:
        order = sorted(told, key=lambda name: -told[name])
        parts = _listed([f"{name} ({100 * told[name]:.0f} %)" for name in order])
        return f"What moves its scores is {parts} of the sum of what streams add."
    own = folder.systems.get(folder.system)
    alone = {
        one["streams"][0]: one["spearman"]
        for one in (own or {}).get("subsets") or ()
        if len(one["streams"]) == 1 and one.get("spearman") is not None
    }
    if len(alone) < 2:
        return ""
    of_fold = " on the run of a fold" if folder.run.get("folds") else ""
    best, worst = max(alone, key=alone.__getitem__), min(alone, key=alone.__getitem__)
    return (
        f"Alone, {best} says most (rank correlation {number(alone[best], 2)}) and {worst} least "
        f"({number(alone[worst], 2)}); limssr explain{of_fold} says what each adds to the others."
    )


def _in_ten(share: float) -> str:
    return f"{10 * share:.1f} times in 10"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
