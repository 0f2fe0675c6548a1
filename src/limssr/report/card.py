"""The model card of a run: what it scores, how well, how sure, from which data, and where it must not be trusted.

Markdown with the metadata of the Hugging Face Hub on top; made of the files of a run folder and nothing else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from limssr.core.reading.documents import read_json
from limssr.core.reading.records import own_file
from limssr.report.render import table_markdown
from limssr.report.run_tables import number, number_or_partial
from limssr.report.run_words import banners_of, summary_of, unseen_in
from limssr.report.runfolder import RunFolder
from limssr.report.table import NONE, Cell, Row, Table
from limssr.report.text import coverage_words, duration

TAGS = ["limssr", "multimodal", "missing-modalities", "regression"]
FEW_SAMPLES = 50
"""Below so many test performances a card says that its numbers are rough."""
NOT_GIVEN = "not given"
UNKNOWN_SOURCE = "OWNER/NAME"


def model_card(
    folder: RunFolder, *, source: str = UNKNOWN_SOURCE, licence: str | None = None, data_licence: str | None = None
) -> str:
    """The card.

    Args:
        folder: Of a finished run.
        source: Where it can be pulled from: the repository's name, or a file.
        licence: Of the weights, as the Hub names licences ("mit", "cc-by-4.0"); None: the card says that none is given.
        data_licence: Of the data it was trained on, in words.
    """
    from limssr.report import environment_of_templates

    run = folder.run
    name = str(run.get("name") or folder.name)
    streams = [str(stream) for stream in run.get("modalities") or ()]
    segment_s = (run.get("store") or {}).get("segment_s")
    contents = {
        "metadata": yaml.safe_dump(_metadata(folder, licence), sort_keys=False, allow_unicode=True),
        "name": name,
        "summary": summary_of(folder),
        "banners": banners_of(folder),
        "criteria": [
            {**criterion, "low": number(criterion["low"]), "high": number(criterion["high"])}
            for criterion in run.get("criteria") or ()
        ],
        "streams": ", ".join(f"`{stream}`" for stream in streams),
        "segment_s": f"{segment_s:g}" if segment_s else "",
        "data": _data(run, data_licence),
        "table": _table(folder),
        "coverage": " ".join(coverage_words((folder.evaluation or {}).get("coverage"))),
        "limits": _limits(folder),
        "source": source,
        "folder": source.rpartition("/")[2].removesuffix(".zip") if source != UNKNOWN_SOURCE else folder.name,
        "example": "{" + ", ".join(f'"{stream}": array' for stream in streams[:1]) + "}",
        "made": _made(run),
        "version": (run.get("environment") or {}).get("limssr") or "",
    }
    return environment_of_templates(autoescape=False).get_template("card.md.j2").render(**contents)


def estimator_card(
    folder: Path, *, source: str = UNKNOWN_SOURCE, licence: str | None = None, data_licence: str | None = None
) -> str:
    """The card of what `LimssrRegressor.save_pretrained` wrote: it knows its streams and scales, and no test split."""
    settings = read_json(own_file(folder / "config.json"))
    streams = ", ".join(f"`{one['name']}` ({one['dim']} features)" for one in settings["modalities"])
    criteria = ", ".join(
        f"{one['name']} ({number(one['low'])} to {number(one['high'])} {one['unit']})" for one in settings["criteria"]
    )
    metadata = {"library_name": "limssr", "tags": TAGS, **({"license": licence} if licence else {})}
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False)}---

# {source.rpartition("/")[2].removesuffix(".zip")}

A `LimssrRegressor` that scores {criteria}, from whichever of these streams a performance has: {streams}.

How good it is on new performances is not written down in it. Licence of the data: {data_licence or NOT_GIVEN}.

```python
from limssr import LimssrRegressor

model = LimssrRegressor.from_pretrained("{source}")
scores = model.predict([{{"{settings["modalities"][0]["name"]}": array}}])
```
"""


def _metadata(folder: RunFolder, licence: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "library_name": "limssr",
        "tags": TAGS,
        **({"license": licence} if licence else {}),
    }
    data = (folder.run.get("store") or {}).get("name")
    if not folder.evaluation or not data:
        return found
    results = []
    for key, words in (("average_incomplete", "streams missing"), ("full", "all streams")):
        value = (folder.evaluation.get(key) or {}).get("spearman")
        if value is not None:
            results.append({"type": "spearmanr", "value": round(value, 4), "name": f"Spearman, {words}"})
    task = {"type": "regression", "name": "scoring performances"}
    split = folder.evaluation.get("split") or "test"
    entry = {"task": task, "dataset": {"type": "other", "name": str(data), "split": split}, "metrics": results}
    if results:
        found["model-index"] = [{"name": str(folder.run.get("name") or folder.name), "results": [entry]}]
    return found


def _data(run: Mapping[str, Any], data_licence: str | None) -> list[str]:
    store = run.get("store") or {}
    if not store:
        return []
    counts = run.get("num_samples") or {}
    named = ", ".join(f"{number} {split}" for split, number in counts.items())
    lines = [f"Name: {store.get('name') or NOT_GIVEN}", f"Performances: {named}"]
    if (run.get("owned_streams") or {}).get("train"):
        owned = sorted(run["owned_streams"]["train"].items(), key=lambda item: -item[1])
        shown = [f"{streams or 'none'}: {number}" for streams, number in owned[:8]]
        more = f", and {len(owned) - 8} further patterns" if len(owned) > 8 else ""
        lines.append(f"Streams that training performances own: {'; '.join(shown)}{more}")
    if store.get("fingerprint"):
        lines.append(f"Fingerprint of the feature store: `{store['fingerprint'][:16]}`")
    return [*lines, f"Licence of the data: {data_licence or NOT_GIVEN}"]


def _table(folder: RunFolder) -> str:
    document = folder.evaluation
    if not document:
        return ""
    rows = [
        Row("+".join(part["streams"]), _cells(part))
        for part in document.get("subsets") or ()
        if not part.get("same_as")
    ]
    for key, words in (("average_incomplete", "average over incomplete subsets"), ("full", "all streams")):
        if document.get(key):
            rows.append(Row(words, _cells(document[key])))
    table = Table(
        key="results",
        title="Test results",
        hint="",
        first="streams",
        columns=("n", "Spearman", f"{folder.confidence:.0%} interval", "mean absolute error"),
        rows=tuple(rows),
    )
    return table_markdown(table).partition("\n\n")[2]  # the heading stands in the template


def _cells(part: Mapping[str, Any]) -> tuple[Cell, ...]:
    low, high = part.get("spearman_ci") or (None, None)
    interval = NONE if low is None or high is None else Cell(f"{low:.2f} to {high:.2f}")
    count = part.get("num_samples")
    return (
        Cell("") if count is None else Cell(str(count)),
        Cell(number_or_partial(part, "spearman", 3)),
        interval,
        Cell(number(part.get("mae"))),
    )


def _limits(folder: RunFolder) -> Sequence[str]:
    run, lines = folder.run, []
    tested = (run.get("num_samples") or {}).get("test") or 0
    if 0 < tested < FEW_SAMPLES:
        lines.append(
            f"Judged on {tested} test performances: the numbers above are rough, their intervals say how much."
        )
    if not tested:
        lines.append("It was judged on no test performances: how good it is on new ones is not known.")
    if unseen := unseen_in(run):
        lines.append(f"No training performance owned {', '.join(unseen)}: nothing was learned of it.")
    lines += [
        f"{str(warning)[:1].upper()}{str(warning)[1:]}." for warning in (run.get("auto") or {}).get("warnings") or ()
    ]
    return [
        *lines,
        "It repeats the judges it was trained on, with their habits; it does not know the rules of a sport.",
        "Scores of performances unlike those of its training data (another camera, level, discipline or judge) have "
        "not been checked.",
    ]


def _made(run: Mapping[str, Any]) -> list[str]:
    parameters, environment = run.get("parameters") or {}, run.get("environment") or {}
    seconds = (run.get("timings") or {}).get("training_s")
    found = [
        f"System: `{run.get('system') or 'limssr'}`",
        f"Parameters: {parameters['total']:,}, of which {parameters['trained']:,} were trained" if parameters else "",
        f"Seed: {run['seed']}" if run.get("seed") is not None else "",
        f"Training took {duration(seconds)} on {(run.get('device') or {}).get('name')}" if seconds else "",
        "Energy and emissions: not measured",
        f"Finished: {run['finished']}" if run.get("finished") else "",
        f"Code: limssr {environment.get('limssr')}, torch {(environment.get('packages') or {}).get('torch')}"
        if environment
        else "",
    ]
    return [line for line in found if line]
