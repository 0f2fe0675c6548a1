"""What a row of a comparison is, in words: what its system declares, and how this run of it was set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limssr.baselines import SYSTEMS
from limssr.baselines.catalogue import hidden_values
from limssr.baselines.pooled import Strategy
from limssr.compare.rows import CompareRow, Entry
from limssr.config import ModelConfig, StatisticsConfig
from limssr.model.backbone import KNOWN
from limssr.references import REFERENCES

LIMSSR = "limssr"
UNKNOWN = "unknown to this version"
ZEROS = ("zeros", "a zero vector")
"""How `absent` begins where absent streams are fed as zeros."""
POOLED_ABSENT: dict[Strategy, str] = {
    "per_subset": "not read: a model of its own for every subset",
    "impute": "its training mean, and a flag",
    "repeat": "its training mean, and a flag",
}


@dataclass(frozen=True)
class About:
    """What a row is.

    Attributes:
        title: As tables name it.
        source: Authors' name for it, venue and year; "" for what is ours.
        absent: What stands where a stream is absent.
        hidden_losses: The losses that look at streams which a step hides.
        targets: What these look at: "re-masked", streams that the sample owns and the step hides; "complete", every
            stream of a training sample; "" where there are no such losses.
        stochastic: Whether scoring draws random numbers (seeded); None: unknown.
        checked: What it was checked against.
        adapted: What differs from its paper; "" where nothing does.
        epochs: As configured; None: a regression has none.
        epochs_run: As many as it went through, one number a seed; None where that is not recorded.
        sizes: Sizes and options that are not the declared ones; "as declared" where all are.
    """

    title: str
    source: str
    absent: str
    hidden_losses: tuple[str, ...]
    targets: Literal["", "re-masked", "complete"]
    stochastic: bool | None
    checked: str
    adapted: str
    epochs: int | None
    epochs_run: tuple[int | None, ...]
    sizes: str


def about_row(row: CompareRow) -> About:
    """What `row` is."""
    entry = row.first
    if not entry.is_network:
        return _about_regression(entry)
    name, epochs_run = entry.config.model.system, tuple(_epochs_run(one) for one in row.entries)
    losses = tuple(hidden_values(name))
    return About(
        **_declared(entry, name),
        absent=absent_of(entry),
        hidden_losses=losses,
        targets="" if not losses else "complete" if entry.trained_on == "complete" else "re-masked",
        epochs=entry.config.train.epochs,
        epochs_run=epochs_run,
    )


def absent_of(entry: Entry) -> str:
    """What stands where a stream is absent, in a few words."""
    model = entry.config.model
    if not entry.is_network:
        pooled = REFERENCES[entry.system].pooled
        return POOLED_ABSENT[pooled[1]] if pooled else UNKNOWN
    if model.system != LIMSSR:
        return SYSTEMS[model.system].absent if model.system in SYSTEMS else UNKNOWN
    words = {
        "placeholders": "learned placeholders",
        "zeros": "zeros for the placeholders, an ablation",
        "omitted": "nothing for the placeholders, an ablation",
    }[model.absent]
    return words if model.head == "paper" else f"{words}; for its statistics the training median, and a flag"


def is_fed_zeros(entry: Entry) -> bool:
    """Whether zeros stand where a stream is absent."""
    return absent_of(entry).startswith(ZEROS)


def _declared(entry: Entry, name: str) -> dict[str, Any]:
    """What stands in the declaration of a network, and how its sizes differ from it."""
    model = entry.config.model
    if name == LIMSSR:
        title = "LIMSSR" if model.backbone.init == "pretrained" else "LIMSSR on random weights of the language model"
        checked = "scores and a training step of the published model, at its settings"
        if model.head != "paper":
            checked += f"; its head {model.head} is ours"
        more = {"source": "the paper", "stochastic": False, "checked": checked, "adapted": ""}
        return {"title": title, **more, "sizes": _sizes_of_limssr(model)}
    if name not in SYSTEMS:
        return {"title": name, "source": "", "stochastic": None, "checked": UNKNOWN, "adapted": "", "sizes": UNKNOWN}
    system = SYSTEMS[name]
    return {
        "title": system.title,
        "source": system.source,
        "stochastic": system.stochastic,
        "checked": system.checked,
        "adapted": system.changed,
        "sizes": _sizes(model),
    }


def _about_regression(entry: Entry) -> About:
    return About(
        title=REFERENCES[entry.system].summary,
        source="",
        absent=absent_of(entry),
        hidden_losses=(),
        targets="",
        stochastic=False,
        checked="nothing: it is ours, with scikit-learn's regression",
        adapted="",
        epochs=None,
        epochs_run=(),
        sizes="as declared",
    )


def _sizes(model: ModelConfig) -> str:
    """Where a comparison system's sizes and options differ from what it declares."""
    declared = SYSTEMS[model.system]
    fields = declared.options.model_fields
    changed = [] if model.hidden is None else [f"hidden {model.hidden}"]
    for key, value in model.options.items():
        if key not in fields:
            changed.append(f"{key} {value} (not an option of this version)")
        elif value != fields[key].get_default():
            changed.append(f"{key} {value} ({fields[key].get_default()} declared)")
    if model.system == "statistics":
        default = StatisticsConfig()
        for key in ("members", "hidden"):
            now, before = getattr(model.statistics, key), getattr(default, key)
            changed += [f"{key} {now} ({before} declared)"] if now != before else []
    if not changed:
        return "as declared"
    asked = {"hidden": model.hidden, "options": dict(model.options)}
    is_small = bool(declared.small) and asked == {"hidden": None, "options": {}, **declared.small}
    return f"{'small' if is_small else 'changed'}: {', '.join(changed)}"


def _sizes_of_limssr(model: ModelConfig) -> str:
    backbone = model.backbone
    known = KNOWN.get(backbone.name)
    all_layers = known.settings["num_hidden_layers"] if known else None
    layers = "all its layers"
    if backbone.num_layers not in (None, all_layers):
        layers = f"{backbone.num_layers} of its {all_layers} layers" if all_layers else f"{backbone.num_layers} layers"
    return f"{backbone.name}, {layers}; head {model.head}"


def _epochs_run(entry: Entry) -> int | None:
    found = (entry.record if entry.is_reference else entry.document).get("epochs_run")
    return None if found is None else int(found)


def epoch_words(about: About) -> str:
    """How long it was trained: "15", or "12 to 40 of 60" where training ended early."""
    if about.epochs is None:
        return "none"
    run: Sequence[int] = [number for number in about.epochs_run if number is not None]
    if not run or set(run) == {about.epochs}:
        return str(about.epochs)
    low, high = min(run), max(run)
    return f"{low if low == high else f'{low} to {high}'} of {about.epochs}"
