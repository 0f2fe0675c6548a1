"""limssr: score a long performance from several time-aligned streams, some of which may be missing."""

import importlib
from typing import TYPE_CHECKING, Any

from limssr.core.version import __version__

if TYPE_CHECKING:
    from limssr import explain
    from limssr.core.types import Criterion, Modality, Sample
    from limssr.data.from_arrays import make_store
    from limssr.data.store import FeatureStore, StoreWriter
    from limssr.estimator import LimssrRegressor
    from limssr.media.from_recordings import extract
    from limssr.runs.live.scorer import LiveScorer
    from limssr.runs.load import load
    from limssr.studies.python import auto, compare, evaluate, open_run, train
    from limssr.systems.table import register_system

__all__ = [
    "Criterion",
    "FeatureStore",
    "LimssrRegressor",
    "LiveScorer",
    "Modality",
    "Sample",
    "StoreWriter",
    "__version__",
    "auto",
    "compare",
    "evaluate",
    "explain",
    "extract",
    "load",
    "make_store",
    "open_run",
    "register_system",
    "train",
]

# What is offered here is loaded when it is asked for: torch takes a second, `import limssr` alone does not need it.
_PLACES = {
    "Criterion": "limssr.core.types",
    "FeatureStore": "limssr.data.store",
    "LimssrRegressor": "limssr.estimator",
    "LiveScorer": "limssr.runs.live.scorer",
    "Modality": "limssr.core.types",
    "Sample": "limssr.core.types",
    "StoreWriter": "limssr.data.store",
    "auto": "limssr.studies.python",
    "compare": "limssr.studies.python",
    "evaluate": "limssr.studies.python",
    "extract": "limssr.media.from_recordings",
    "load": "limssr.runs.load",
    "make_store": "limssr.data.from_arrays",
    "open_run": "limssr.studies.python",
    "train": "limssr.studies.python",
    "register_system": "limssr.systems.table",
}


def __getattr__(name: str) -> Any:
    if name == "explain":  # a package that can be called
        return importlib.import_module("limssr.explain")
    if name not in _PLACES:
        raise AttributeError(f"module 'limssr' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
