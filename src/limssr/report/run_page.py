"""Collects the content of a run's report for the template."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limssr.report.first_screen import first_screen, sure_rows
from limssr.report.inside import inside_of
from limssr.report.performances import as_table, performances
from limssr.report.run_figures import Image, Points, error_curves, error_scale_css, scatters, term_curves
from limssr.report.run_tables import build_error_rows, build_heat_map, build_subset_table, number
from limssr.report.run_words import banners_of, summary_of
from limssr.report.runfolder import RunFolder
from limssr.report.search_words import search_of
from limssr.report.text import partial_words

MAX_STREAMS_IN_BARS = 31


def build_contents(folder: RunFolder) -> dict[str, Any]:
    """The variables of template.html.j2."""
    run, document = folder.run, folder.evaluation
    panels, worst = _scatter_images(folder)
    return {
        "name": run.get("name") or folder.name,
        "folder": folder.name,
        "system": folder.system,
        "summary": summary_of(folder),
        "banners": banners_of(folder),
        "first_screen": first_screen(folder),
        "sure": sure_rows(folder),
        "level": 100 * float(((document or {}).get("coverage") or {}).get("level") or 0.9),
        "inside": inside_of(folder.explained, folder.figures),
        "tiles": _tiles(folder),
        "facts": _facts(folder),
        "criteria": _criteria(run),
        "ownership": _ownership(run),
        "table": build_subset_table(folder),
        "confidence": f"{100 * folder.confidence:g} %",
        "interval_words": _interval_words(document or {}),
        "split": (document or {}).get("split") or "test",
        "errors": build_error_rows(folder.systems[folder.system]) if document else [],
        "heat": build_heat_map(folder.systems[folder.system]) if document else None,
        "search": search_of(run),
        "curves": _curves(folder),
        "scatters": panels,
        "worst_error": f"{worst:.2f}",
        "performances": as_table(performances(folder)),
        "error_scale": error_scale_css(),
        "learned": _learned(run.get("learned")),
        "environment": _environment(run),
        "references": list(run.get("references") or ()),
        "config_text": folder.config_text,
        "missing": folder.missing,
        "store_name": (run.get("store") or {}).get("name") or "STORE",
        "version": run.get("limssr_version") or (run.get("environment") or {}).get("limssr") or "",
    }


def _interval_words(document: Mapping[str, Any]) -> str:
    """How the intervals were made; a run from before there was a choice has percentiles over performances."""
    what = "group of performances" if document.get("resample") == "groups" else "performance"
    if document.get("interval") == "jackknife":
        return f"by leaving out each {what} in turn"
    return f"bootstrap over {what}s"


def _tiles(folder: RunFolder) -> list[dict[str, str]]:
    run, tiles = folder.run, []
    own = folder.systems.get(folder.system)
    if own:
        for key, label in (("average_incomplete", "incomplete streams, average"), ("full", "all streams")):
            part = own[key]
            if part.get("spearman") is not None:
                low, high = part.get("spearman_ci") or (None, None)
                interval = f"{number(low, 2)} to {number(high, 2)}" if low is not None else "no interval"
                plain = part.get("spearman_plain")
                interval += f"; plain mean {number(plain, 3)}" if plain is not None else ""
                tiles.append({"label": f"Spearman, {label}", "value": number(part["spearman"], 3), "note": interval})
            elif partial := partial_words(part, "spearman", lambda value: number(value, 3)):
                tiles.append({"label": f"Spearman, {label}", "value": "n/a", "note": f"({partial})"})
    parameters = run.get("parameters") or {}
    if parameters:
        trained, total = int(parameters.get("trained", 0)), int(parameters.get("total", 0))
        tiles.append({"label": "trained parameters", "value": _count(trained), "note": f"of {_count(total)}"})
    seconds = (run.get("timings") or {}).get("training_s")
    if seconds is not None:
        device = (run.get("device") or {}).get("name", "")
        tiles.append(
            {"label": "training time", "value": _duration(float(seconds)), "note": f"on {device}" if device else ""}
        )
    return tiles


def _facts(folder: RunFolder) -> list[tuple[str, str]]:
    run, store = folder.run, folder.run.get("store") or {}
    window = f"{store['segment_s']:g} s a segment" if store.get("segment_s") else ""
    best, epochs = run.get("best_epoch"), run.get("epochs_run") or len(folder.history) or None
    kept = f"epoch {best + 1} of {epochs}" if best is not None and epochs else ""
    selection = {
        "val": "lowest validation loss",
        "last": "the last one",
        "test": "best on the test split",
    }.get(str(run.get("selection")), str(run.get("selection") or ""))
    rows = [
        ("Data set", ", ".join(part for part in (str(store.get("name") or ""), window) if part)),
        ("Streams", ", ".join(run.get("modalities") or ())),
        ("Fingerprint of the store", str(store.get("fingerprint") or "")),
        ("System", folder.system),
        ("Modality dropout", str(run.get("dropout") or "").replace("_", " ")),
        ("Kept", ", ".join(part for part in (kept, f"chosen by: {selection}" if selection else "") if part)),
        ("Seed", str(run.get("seed", ""))),
        ("Started", str(run.get("started") or "").replace("T", " ")),
        ("Finished", str(run.get("finished") or "").replace("T", " ")),
    ]
    return [(label, value) for label, value in rows if value]


def _criteria(run: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for criterion in run.get("criteria") or ():
        if isinstance(criterion, str):
            found.append({"name": criterion, "scale": "", "unit": ""})
        else:
            scale = f"{criterion['low']:g} to {criterion['high']:g}"
            found.append({"name": criterion["name"], "scale": scale, "unit": str(criterion.get("unit", ""))})
    return found


def _ownership(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For every split, how many samples own exactly which streams; fewest streams first."""
    blocks = []
    for split, counts in (run.get("owned_streams") or {}).items():
        total = sum(counts.values())
        if not total:
            continue
        most = max(counts.values())
        order = {name: rank for rank, name in enumerate(run.get("modalities") or ())}
        keys = sorted(counts, key=lambda key: (key.count("+"), [order.get(name, 99) for name in key.split("+")]))
        bars = [
            {
                "label": key.replace("+", " + "),
                "count": counts[key],
                "share": f"{100 * counts[key] / total:.0f} %",
                "width": round(100 * counts[key] / most, 2),
                "full": key.count("+") + 1 == len(order),
            }
            for key in keys[:MAX_STREAMS_IN_BARS]
        ]
        blocks.append({"split": split, "total": total, "bars": bars, "more": len(keys) - len(bars)})
    return blocks


def _curves(folder: RunFolder) -> list[Image]:
    if not folder.history:
        return []
    best = folder.run.get("best_epoch")
    images = [error_curves(folder.history, best), term_curves(folder.history)]
    return [image for image in images if image is not None]


def _scatter_images(folder: RunFolder) -> tuple[list[Image], float]:
    if folder.predictions is None or folder.evaluation is None:
        return [], 0.0
    columns = {name: folder.predictions[name] for name in ("streams", "criterion", "score", "prediction")}
    streams = np.array(columns["streams"].to_pylist())
    truth, prediction = _to_unit(folder, columns)
    judged = np.isfinite(truth) & np.isfinite(prediction)
    panels = []
    for subset in folder.systems[folder.system]["subsets"]:
        chosen = judged & (streams == "+".join(subset["streams"]))
        note = f"{subset['num_samples']} performances, Spearman {number(subset.get('spearman'), 2)}"
        panels.append(Points(" + ".join(subset["streams"]), note, truth[chosen], prediction[chosen]))
    return scatters(panels)


def _to_unit(folder: RunFolder, columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and predictions on the criteria's unit scale; a criterion of unknown scale on that of its scores."""
    names = np.array(columns["criterion"].to_pylist())
    truth = columns["score"].to_numpy().astype(float)
    prediction = columns["prediction"].to_numpy().astype(float)
    scales = {
        str(item["name"]): (float(item["low"]), float(item["high"]))
        for item in folder.run.get("criteria") or ()
        if isinstance(item, Mapping)
    }
    for name in np.unique(names):
        rows = names == name
        known = truth[rows][np.isfinite(truth[rows])]
        low, high = scales.get(str(name)) or ((known.min(), known.max()) if len(known) else (0.0, 1.0))
        span = (high - low) or 1.0
        truth[rows] = (truth[rows] - low) / span
        prediction[rows] = (prediction[rows] - low) / span
    return truth, prediction


def _learned(learned: Any) -> dict[str, Any] | None:
    if not learned:
        return None
    roles = [float(value) for value in learned.get("role_weights") or ()]
    reliabilities = {str(name): float(value) for name, value in (learned.get("reliabilities") or {}).items()}
    mix = learned.get("mix")
    return {
        "roles": _bars(
            [(f"slot {index + 1}", value) for index, value in enumerate(roles)], top=max(roles, default=1.0)
        ),
        "reliabilities": _bars(list(reliabilities.items()), top=1.0),
        "mix": None
        if mix is None
        else {
            "main": f"{mix:.3f}",
            "aux": f"{1 - mix:.3f}",
            "width": _percent(float(mix)),
            "fixed": bool(learned.get("mix_is_fixed")),
        },
    }


def _bars(items: Sequence[tuple[str, float]], *, top: float) -> list[dict[str, Any]]:
    return [{"label": name, "text": f"{value:.3f}", "width": _percent(value / (top or 1.0))} for name, value in items]


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 2) if math.isfinite(share) else 0.0


_ENVIRONMENT_WORDS = {
    "git": "commit",
    "python": "Python",
    "cpu": "CPU",
    "num_cores": "CPU cores",
    "memory_gib": "memory, GiB",
    "torch_threads": "threads of torch",
}


def _environment(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The environment record flattened to lines; nested mappings become "name version" lists."""
    rows = []
    for key, value in (run.get("environment") or {}).items():
        if value in (None, "", {}):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {version}" for name, version in value.items() if version)
        rows.append((_ENVIRONMENT_WORDS.get(str(key), str(key).replace("_", " ")), str(value)))
    return rows


def _count(number_of: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number_of >= size:
            return f"{number_of / size:.3g} {unit}"
    return str(number_of)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
