"""The text that verbs print for people. Everything in it is in the verb's JSON document as well."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import RenderableType

from limssr.report.columns import Columns
from limssr.report.text import (
    coverage_words,
    cut_words,
    few_words,
    partial_words,
    reason_words,
    same_words,
    scales_words,
)

Document = Mapping[str, Any]
MAX_ROWS = 40


def evaluation_lines(document: Document) -> tuple[RenderableType, ...]:
    """The table of subsets, the averages, and the other systems of the run beside them."""
    head = " · ".join(
        (
            f"{document['split']} split",
            _availability(document["availability"]),
            f"epoch chosen on: {document['selection']}",
        )
    )
    lines: list[RenderableType] = [head, _subsets(document["subsets"])]
    systems = document.get("systems") or {}
    if len(systems) > 1:
        lines.append(_systems(systems))
    else:
        lines.append(f"Mean of the incomplete subsets: {_pair(document.get('average_incomplete'))}")
        lines.append(f"All streams: {_pair(document.get('full'))}")
    lines += _not_averaged(systems or {"": document})
    told = (
        reason_words(document.get("full")),
        few_words(document),
        scales_words(document),
        cut_words(document["subsets"]),
    )
    lines += [sentence for sentence in told if sentence]
    lines += coverage_words(document.get("coverage"))
    if document["selection"] == "test":
        lines.append("The epoch was chosen on the test split: these numbers flatter the model.")
    if document.get("learned_from"):
        lines.append("The model learned from these samples: the numbers flatter it and say nothing of new ones.")
    return tuple(lines)


def fold_lines(folds: Sequence[Document]) -> tuple[RenderableType, ...]:
    """A row a fold of a cross-validation."""
    table = _table("fold", "groups", "samples", "incomplete", "all streams")
    for one in folds[:MAX_ROWS]:
        cells = [f"{one['num_groups']}", f"{one['num_samples']}", _text(one["incomplete"]), _text(one["full"])]
        table.add_row(one["run"], *cells)
    more = (f"... and {len(folds) - MAX_ROWS} more in run.json",) if len(folds) > MAX_ROWS else ()
    return ("Each fold by itself (Spearman):", table, *more)


def int8_lines(change: Document) -> tuple[RenderableType, ...]:
    """What int8 weights change on the validation split."""
    table = _table("what int8 weights change", "float32", "int8", "change")
    for part, title in (("average_incomplete", "mean of the incomplete subsets"), ("full", "all streams")):
        for name, word in (("spearman", "Spearman"), ("mse", "MSE")):
            numbers = change[part][name]
            difference = "-" if numbers["change"] is None else f"{numbers['change']:+.5f}"
            table.add_row(f"{word}, {title}", _text(numbers["float32"]), _text(numbers["int8"]), difference)
    return (f"Measured on the {change['num_samples']} samples of the validation split:", table)


def description_lines(document: Document) -> tuple[RenderableType, ...]:
    """Parameters and multiply-accumulates beside the published ones, every subset of the streams, the parts."""
    lines: list[RenderableType] = [f"{document['system']}, {document['num_segments']} segments", _costs(document)]
    if document["sequence_length"]:
        table = _table("streams", "prompt", "sequence", "multiply-accumulates")
        for subset, length in document["sequence_length"].items():
            macs = _large(document["macs_by_subset"][subset])
            table.add_row(subset.replace("+", " + "), _text(document["prompt_tokens"][subset]), _text(length), macs)
        source = document["prompt_tokens_source"]
        share = f"{document['prompt_share']:.0%} of the sequence with all streams (tokens counted: {source})"
        lines += [table, f"The prompt is {share}."]
    counted, full = len(document["macs_by_subset"]), max(document["macs_by_subset"], key=len)
    if counted < (every := 2 ** (full.count("+") + 1) - 1):
        lines.append(f"{counted} of {every:,} subsets of the streams were counted (evaluation.subsets).")
    return (*lines, "Parameters by part:", *(f"  {name}: {_text(count)}" for name, count in document["parts"].items()))


def _costs(document: Document) -> Columns:
    """What is counted here, and what the paper's Table 10 says."""
    published = document["published"] or {}
    parts = [published.get(name, ()) for name in ("params_millions", "flops_giga", "trained_millions")]
    (params, flops, trained), whole = parts, document["system"] != "limssr"
    rows: list[tuple[str, str, str]] = []

    def row(name: str, key: str, theirs: Sequence[float] = (), place: int = 0, unit: str = "") -> None:
        told = f"{theirs[place]:g} {unit}" if len(theirs) > place else "-"
        rows.append((name, _text(document[key]) if "macs" not in key else _large(document[key]), told))

    if not whole:
        row("parameters of the language model", "backbone_total", params, 0, "M")
        row("  trained", "backbone_trainable", trained, 0, "M")
        row("parameters around it", "around_backbone", params, 1, "M")
    row("parameters", "total", params if whole else (), 0, "M")
    row("  trained", "trainable", trained, 1, "M")
    row("  active: read by some pattern", "active")
    if not whole:
        row("multiply-accumulates: its linear maps", "macs_backbone", flops, 0, "G")
        row("  its attention products", "macs_attention")
        row("  around it", "macs_around_backbone", flops, 1, "G")
    row("multiply-accumulates" if whole else "  together", "macs_total", flops if whole else (), 0, "G")
    if not whole:
        row("  vocabulary logits, computed by the published code", "macs_lm_head")
    caption = "Table 10: FS1000, 95 segments, Qwen3-0.6B. docs/cost.md says what each figure counts."
    table = _table("all streams", "here", "paper, Table 10", caption=caption)
    for cells in rows:
        table.add_row(*cells)
    return table


def _large(value: int) -> str:
    """Multiply-accumulates in the unit that keeps three digits before the point."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.3f} {unit}"
    return _text(value)


def doctor_lines(document: Document) -> tuple[RenderableType, ...]:
    """The machine, then every language model, then what to mend."""
    models = _table("language model", "available", "how", others="left")
    for model in document["backbones"]:
        models.add_row(model["name"], "yes" if model["available"] else "no", model["how"])
    machine = {key: value for key, value in document.items() if key not in ("backbones", "problems")}
    problems = [f"Problem: {problem}" for problem in document["problems"]]
    return (*outline(machine), models, *(problems or ["No problems found."]))


def device_check_lines(document: Document) -> tuple[RenderableType, ...]:
    """What a device computes beside the CPU."""
    table = _table("compared with the CPU", "precision", "difference", "allowed", "s a step", "result", others="left")
    for check in document["checks"]:
        found = "-" if check["difference"] is None else f"{check['difference']:.2g}"
        step = "-" if check["seconds_a_step"] is None else f"{check['seconds_a_step']:.3f}"
        result = check["error"] or ("well" if check["passed"] else "differs")
        table.add_row(check["what"], check["precision"], found, f"{check['tolerance']:.2g}", step, result)
    well = "All of it is within what is allowed." if document["passed"] else "Do not rely on this device as it is."
    return (f"Device {document['device']} ({document['reason']})", table, well)


def rows_table(rows: Sequence[Document]) -> RenderableType:
    """Records with the same keys as a table; long ones are cut, and say so."""
    if not rows:
        return "no rows"
    cut = f"first {MAX_ROWS} of {len(rows)} rows; --out FILE writes all" if len(rows) > MAX_ROWS else None
    table = _table(*rows[0], caption=cut)
    for row in rows[:MAX_ROWS]:
        table.add_row(*(_text(value) for value in row.values()))
    return table


def _subsets(subsets: Iterable[Document]) -> Columns:
    table = _table("streams", "samples", "Spearman", "interval", "Pearson", "MSE", "MAE", "R-l2")
    for subset in subsets:
        interval = subset.get("spearman_ci") or (None, None)
        shown = "-" if interval[0] is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
        numbers = (_text(subset.get(name)) for name in ("pearson", "mse", "mae", "relative_l2"))
        spearman = _text(subset["spearman"])
        table.add_row(" + ".join(subset["streams"]), str(subset["num_samples"]), spearman, shown, *numbers)
    return table


def _systems(systems: Mapping[str, Document]) -> Columns:
    """Spearman of every system under every subset, then the averages: one row for each system if they fit."""
    first = next(iter(systems.values()))
    heads = ["\n+ ".join(subset["streams"]) for subset in first["subsets"][:-1]]
    heads += ["mean of\nincomplete", "all\nstreams", "MSE of\nincomplete", "MSE, all\nstreams"]
    rows = {name: [*_spearmans(document)[:-1], *_averages(document)] for name, document in systems.items()}
    table = Columns("Spearman", *heads, turn=True)
    for name, values in rows.items():
        table.add_row(name, *values)
    return table


def _spearmans(document: Document) -> list[str]:
    return [_text(subset["spearman"]) for subset in document["subsets"]]


def _averages(document: Document) -> list[str]:
    parts = [document.get("average_incomplete") or {}, document.get("full") or {}]
    return [_number_of(part, metric, "\n") for metric in ("spearman", "mse") for part in parts]


def _number_of(part: Document, metric: str, separator: str = " ") -> str:
    """A number; of an average that is n/a what there is of it."""
    partial = partial_words(part, metric, _text)
    return f"n/a{separator}({partial})" if partial else _text(part.get(metric))


def _not_averaged(systems: Mapping[str, Document]) -> list[str]:
    """Subsets that the mean leaves out, as they are others that read the same; a line a reason, not a system."""
    names: dict[str, list[str]] = {}
    for name, document in systems.items():
        names.setdefault(same_words(document.get("average_incomplete") or {}), []).append(name)
    told = [(f" ({', '.join(of)})" if len(names) > 1 else "", words) for words, of in names.items() if words]
    return [f"Left out of the mean of the incomplete subsets{of}: {words}." for of, words in told]


def _table(*columns: str, others: Literal["left", "right"] = "right", caption: str | None = None) -> Columns:
    """An empty table; `others` is how columns after the first are aligned."""
    return Columns(*columns, others=others, caption=caption)


def _availability(availability: Any) -> str:
    if not availability:
        return "trained on the store as it is"
    if isinstance(availability, Mapping):
        return "trained with " + ", ".join(f"{key} {_text(value)}" for key, value in availability.items())
    return str(availability)


def _pair(part: Document | None) -> str:
    if not part:
        return "-"
    return f"Spearman {_number_of(part, 'spearman')}, MSE {_number_of(part, 'mse')}"


def outline(document: Document, depth: int = 0) -> list[str]:
    """Nested mappings as indented "key: value" lines."""
    lines = []
    for key, value in document.items():
        label = f"{'  ' * depth}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping) and value:
            lines += [f"{label}:", *outline(value, depth + 1)]
        else:
            lines.append(f"{label}: {_text(value)}")
    return lines


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN is the only value that differs from itself
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if 0 < abs(value) < 0.1:
            return f"{value:.2g}" if abs(value) < 0.001 else f"{value:.4f}"
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    return str(value)


def seconds_lines(seconds: Mapping[str, Any]) -> list[str]:
    """How long each part took; the parts add up to the whole."""
    parts = {name: seconds[name] for name in ("starting", "model", "encoders", "scoring") if name in seconds}
    parts["reading"] = sum(seconds["reading"].values())
    rest = seconds["whole"] - sum(parts.values())
    shown = [f"{name} {parts[name]:.1f} s" for name in ("starting", "model", "encoders", "reading") if name in parts]
    shown.append(f"scoring {parts['scoring'] + max(rest, 0):.1f} s")
    return [f"It took {seconds['whole']:.1f} s: {', '.join(shown)}."]
