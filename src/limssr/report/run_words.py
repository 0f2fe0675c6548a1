"""The sentences of the report, and the banners at its top."""

from collections.abc import Mapping
from typing import Any

from limssr.report.banners import Banner
from limssr.report.run_tables import number, number_or_partial
from limssr.report.runfolder import RunFolder
from limssr.report.text import cut_words, few_words, num_averaged, same_words, scales_words, subsets_words


def summary_of(folder: RunFolder) -> list[str]:
    """Two paragraphs in plain words: what was trained and how incomplete it was; how good it is, compared with what."""
    paragraphs = (
        (_training(folder.run, folder.system), _missing(folder.run)),
        (_result(folder), _same(folder), _compared(folder)),
    )
    joined = [" ".join(sentence for sentence in paragraph if sentence) for paragraph in paragraphs]
    return [paragraph for paragraph in joined if paragraph]


def banners_of(folder: RunFolder) -> list[Banner]:
    """What must be known before a number of this report is quoted."""
    run, found = folder.run, []
    if run.get("selection") == "test" or (folder.evaluation or {}).get("selection") == "test":
        found.append(
            Banner(
                "warning",
                "The epoch was chosen on the test split",
                "These numbers repeat the protocol of published tables. They are flattered by that choice and say "
                "nothing about new performances.",
            )
        )
    if run.get("status") not in (None, "done"):
        text = "Training or evaluation has not ended; what stands here is what was there so far."
        found.append(Banner("warning", f"This run is not finished (status: {run['status']})", text))
    found += _search_banners(run)
    availability = run.get("availability")
    if availability is None and _is_complete(run, "train"):
        text = (
            "Every training performance owns every stream, so this run does not show what training on incomplete data "
            "costs."
        )
        if run.get("dropout") in ("per_batch", "per_sample"):
            text += (
                " Streams were only hidden from step to step, and over the epochs each was seen for each performance."
            )
        found.append(Banner("note", "Trained on complete data", text))
    found += [*_few_groups(folder), *_training_banners(run)]
    validation = run.get("validation")
    if validation:
        held = f"{validation['num_samples']} performances ({validation['num_groups']} groups)"
        if "folds" in validation:
            title = f"Fold {validation['fold'] + 1} of {validation['folds']} of a cross-validation"
            text = (
                f"Training and validation split were divided anew. This run chose its epoch on {held} and trained on "
                "the other folds."
            )
        else:
            title = "Validation was held out of the training split"
            text = (
                f"The store has no validation split. This run took {held} of the training split for one and did not "
                "train on them."
            )
        found.append(Banner("note", title, text))
    left_out = {split: count for split, count in (run.get("left_out") or {}).items() if count}
    if left_out:
        counts = ", ".join(f"{count} in {_SPLIT_WORDS.get(split, split)}" for split, count in left_out.items())
        found.append(Banner("note", "Performances without any of these scores were left out", f"{counts}."))
    found += _about_scales(folder)
    if not _is_complete(run, "test"):
        text = (
            "A performance counts for a subset when it owns all its streams, so the rows of the table are measured on "
            "different performances."
        )
        found.append(Banner("note", "The test split is incomplete, too", text))
    marks = [str(record["name"]) for record in run.get("references") or () if record.get("trained_on") == "complete"]
    if marks:
        text = f"{', '.join(marks)}: shown as an upper mark, and left out when the best is marked."
        found.append(Banner("note", "A reference saw more than this run: the streams that were taken away", text))
    return found


def _about_scales(folder: RunFolder) -> list[Banner]:
    """What the scales of the criteria do to the numbers."""
    document = folder.evaluation or {}
    cut, mixed = cut_words(document.get("subsets") or ()), scales_words(document)
    found = [Banner("note", "Mean errors mix scales", mixed)] if mixed else []
    return [*found, Banner("note", "Some scores were cut off at the ends of their scale", cut)] if cut else found


def _search_banners(run: Mapping[str, Any]) -> list[Banner]:
    """What a search warns of."""
    beware = [str(text) for text in (run.get("auto") or {}).get("warnings") or ()]
    return [Banner("warning", "What the search warns of", " · ".join(beware))] if beware else []


def _few_groups(folder: RunFolder) -> list[Banner]:
    few = few_words(folder.evaluation or {})
    return [Banner("note", "Few groups to judge by", few)] if few else []


def _training_banners(run: Mapping[str, Any]) -> list[Banner]:
    """What a system was trained with that others are not."""
    losses = " and ".join(run.get("hidden_values") or ())
    if run.get("trained_on") == "complete":
        text = (
            "Training performances got back the streams that were taken away from validation and from other runs. "
            "Numbers of runs on the incomplete data are not beaten by this one."
        )
        return [Banner("warning", "Trained on complete data", text)]
    if losses and not _is_complete(run, "train"):
        text = (
            f"Its paper trains {losses} on complete data. Here a target is one more stream that a performance owns and "
            "the step hides; performances with one stream only learn their score."
        )
        return [Banner("note", "Re-masked targets", text)]
    return []


def availability_words(availability: Mapping[str, Any] | None) -> str:
    """How the data was made incomplete, as a clause."""
    if not availability:
        return ""
    rate, pattern = float(availability.get("rate", 0.0)), str(availability.get("pattern", "independent"))
    if pattern == "independent":
        how = f"each stream of a performance was taken away with probability {rate:g} (at least one always stays)"
    elif pattern == "one-stream":
        how = f"one stream of a performance was taken away with probability {rate:g}"
    else:
        how = f"{pattern} was taken away from a performance with probability {rate:g}"
    where = " and ".join(_SPLIT_WORDS.get(str(name), str(name)) for name in availability.get("splits") or ())
    return f"{how}, once for all epochs" + (f", in {where}" if where else "")


_SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}


def _training(run: Mapping[str, Any], system: str) -> str:
    names, criteria = list(run.get("modalities") or ()), list(run.get("criteria") or ())
    counts = run.get("num_samples") or {}
    # A search learns from validation, too: it holds out folds of its own.
    count = (counts.get("train") or 0) + ((counts.get("val") or 0) if run.get("auto") else 0)
    store = (run.get("store") or {}).get("name")
    if not names or not criteria:
        return ""
    scores = "one score" if len(criteria) == 1 else f"{len(criteria)} scores"
    streams = f"the stream {names[0]}" if len(names) == 1 else f"{len(names)} streams ({', '.join(names)})"
    if (folds := run.get("folds")) and (held := counts.get("test")):
        of = f" of the data set “{store}”" if store else ""
        return (
            f"{system} was trained {folds['num_folds']} times on the {held} performances{of}, each time without one "
            f"fold of whole groups, to predict {scores} from {streams}."
        )
    performances = f"on {count} performances" if count else ""
    source = f" of the data set “{store}”" if store else ""
    return f"{system} was trained {performances}{source} to predict {scores} from {streams}.".replace("  ", " ")


def unseen_in(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Streams of a run that none of its training performances owned; none where that is not known."""
    counts = (run.get("owned_streams") or {}).get("train") or {}
    seen = {name for streams in counts for name in streams.split("+")}
    return tuple(name for name in run.get("modalities") or () if seen and name not in seen)


def _missing(run: Mapping[str, Any]) -> str:
    clause = availability_words(run.get("availability"))
    counts = (run.get("owned_streams") or {}).get("train") or {}
    total, full = sum(counts.values()), counts.get("+".join(run.get("modalities") or ()), 0)
    if not total or full == total:
        return f"{clause[0].upper()}{clause[1:]}." if clause else ""
    left = f"{full} of {total} training performances own all streams"
    if unseen := unseen_in(run):
        left += f", and none owns {' or '.join(unseen)}, so that scoring leaves it out"
    return f"Before training, {clause}: {left}." if clause else f"The data is incomplete as it is: {left}."


def _result(folder: RunFolder) -> str:
    own = folder.systems.get(folder.system)
    if not own:
        return ""
    average, full, num = own["average_incomplete"], own["full"], num_averaged(own)
    where = f"the {own.get('split') or 'scored'} split" if own.get("split") != "out of fold" else "held-out groups"
    among = f"On {where}, the rank correlation (Spearman) of predicted and given scores is"
    parts = []
    shown = number_or_partial(average, "spearman", 3) if average.get("spearman") is None else _with_interval(average)
    if num and shown != "n/a":
        parts.append(f"{shown} on average over the {subsets_words(num)} of streams")
    if full.get("spearman") is not None:
        parts.append(f"{_with_interval(full)} with all streams")
    return f"{among} {' and '.join(parts)}." if parts else ""


def _same(folder: RunFolder) -> str:
    words = same_words(folder.systems.get(folder.system, {}).get("average_incomplete") or {})
    return f"That average leaves out subsets that read no other streams than another one: {words}." if words else ""


def _compared(folder: RunFolder) -> str:
    """The best reference by the average, or with all streams where the system has no average."""
    marks = {str(r["name"]) for r in folder.run.get("references") or () if r.get("trained_on") == "complete"}
    own, key = folder.systems.get(folder.system), "average_incomplete"
    if own is None:
        return ""
    if own[key].get("spearman") is None:
        key = "full"
    others = {
        name: document
        for name, document in folder.systems.items()
        if name != folder.system and name not in marks and document[key].get("spearman") is not None
    }
    if not others or own[key].get("spearman") is None:
        return ""
    name = max(others, key=lambda system: others[system][key]["spearman"])
    theirs, mine = others[name], own[key]["spearman"]
    best = theirs[key]["spearman"]
    told = f"The best reference with the same training data, {name}, reaches {number(best, 3)}"
    if key == "full" and len(own["subsets"]) > 1:
        told += " with all streams"
    elif key != "full" and theirs["full"].get("spearman") is not None:
        told += f" and {number(theirs['full']['spearman'], 3)}"
    above, below = (own[key], theirs[key]) if mine >= best else (theirs[key], own[key])
    high, low = (below.get("spearman_ci") or (None, None))[1], (above.get("spearman_ci") or (None, None))[0]
    if high is None or low is None:
        return f"{told}."
    settled = "the intervals do not overlap" if high < low else "the intervals overlap, so the order is not settled"
    return f"{told}; {settled}."


def _with_interval(part: Mapping[str, Any]) -> str:
    low, high = part.get("spearman_ci") or (None, None)
    value = number(part["spearman"], 3)
    return value if low is None or high is None else f"{value} (interval {number(low, 2)} to {number(high, 2)})"


def _is_complete(run: Mapping[str, Any], split: str) -> bool:
    """True where every sample of a split owns every stream, and where it is not known."""
    counts = (run.get("owned_streams") or {}).get(split)
    full = "+".join(run.get("modalities") or ())
    return not counts or counts.get(full, 0) == sum(counts.values())
