"""Fixtures that several folders of tests share."""

import os
from pathlib import Path
from types import ModuleType

# Workers side by side have one core each. This stands before torch is imported, and children inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from beartype import beartype
from jaxtyping import install_import_hook, jaxtyped

# Shapes written in signatures are checked while the tests run. The hook must be in place before limssr is imported.
CHECKED = ("limssr.data.batching", "limssr.model", "limssr.nn")
_hook = install_import_hook(CHECKED, "beartype.beartype")

from limssr.core.types import Batch, ScoreOutput  # noqa: E402

# Batch and ScoreOutput check the shapes of their tensors whoever makes them; Sample does not: tests give it wrong ones.
for _checked_class in (Batch, ScoreOutput):
    jaxtyped(typechecker=beartype)(_checked_class)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data: LIMSSR_SHARED, or the folder `shared` beside the checkout."""
    folder = Path(os.environ.get("LIMSSR_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"real data not found: no folder {folder} (set LIMSSR_SHARED to it)")
    return folder


@pytest.fixture(scope="session")
def layouts() -> ModuleType:
    """The module that writes made-up data in the published layouts: `layouts.write_rg(root)` and others."""
    from helpers import published_layouts

    return published_layouts


@pytest.fixture(scope="session")
def world():
    """A small simulated world: 60 performances, three streams, two criteria."""
    from limssr.data.simulate import simulate_world

    return simulate_world(60, seed=7, num_segments=(4, 9), invalid_rate=0.1)


@pytest.fixture(scope="session")
def store_path(tmp_path_factory):
    """The folder of a small simulated store. Read only: tests that alter a store copy it first."""
    from limssr.data.simulate import simulate_store

    path = tmp_path_factory.mktemp("stores") / "simulated"
    simulate_store(path, 60, seed=7, num_segments=(4, 9), invalid_rate=0.1)
    return path


@pytest.fixture
def store(store_path):
    """The small simulated store, opened."""
    from limssr.data.store.reader import FeatureStore

    return FeatureStore.open(store_path)


@pytest.fixture
def scored_run(store_path, tmp_path):
    """`scored_run("first", seed=1, noise=2.0)` writes a finished run folder below tmp_path, of a made-up system."""
    from helpers.scored_runs import RunWriter

    return RunWriter(tmp_path, store_path)
