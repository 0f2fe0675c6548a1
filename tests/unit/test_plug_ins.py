"""Importers and encoders that installed packages bring."""

import os
import subprocess
import sys

import pytest

from limssr.cli import main

PACKAGE = """
from limssr.data.importers import ImportReport
from limssr.data.simulate import simulate
from limssr.data.store import StoreWriter
from limssr.media.encoders.contract import EncoderCard
from limssr.media.encoders.table import Entry


def read(root, store, *, progress):
    modalities, criteria, samples = simulate(20, 3, seed=0)
    with StoreWriter(store, name="plug", modalities=modalities, criteria=criteria, provenance={}) as writer:
        for sample in samples:
            writer.add(sample)
    return ImportReport.of(store, decisions=[f"read {root}"])


CARD = EncoderCard(
    name="noise", reads="sound", does="nothing at all", columns=("x", "y"), licence="none", verified="not at all"
)
NOISE = Entry(card=CARD, load=lambda: None)
WRONG = Entry(card=CARD, load=lambda: None)
"""
ENTRY_POINTS = """
[limssr.importers]
mine = plug:read
broken = plug:no_such_name
[limssr.encoders]
noise = plug:NOISE
other = plug:WRONG
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """As pip would leave it; returns what runs Python with it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "plug.py").write_text(PACKAGE)
    info = folder / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*words):
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, cwd=folder)

    return run


def test_an_importer_is_found_by_its_name(installed):
    done = installed("-m", "limssr", "data", "import", "other", "mine", "here", "store")
    assert done.returncode == 0, done.stderr
    assert "read here" in done.stdout


@pytest.mark.parametrize(("name", "told"), [("broken", "no_such_name"), ("mien", "'mine'"), ("table", "comes with")])
def test_an_importer_that_is_not_there_is_explained(installed, name, told):
    done = installed("-m", "limssr", "data", "import", "other", name, "here", "store-2")
    assert done.returncode == 2
    assert told in done.stderr


def test_without_any_package_it_says_how_to_write_one(capsys, tmp_path):
    assert main(["data", "import", "other", "mine", str(tmp_path), str(tmp_path / "store")]) == 2
    assert "docs/own-system.md" in capsys.readouterr().err


def test_an_encoder_is_found_by_its_name(installed):
    code = "from limssr.media.encoders.table import card_of, is_known; print(card_of('noise').dim, is_known('noise'))"
    done = installed("-c", code)
    assert done.stdout == "2 True\n", done.stderr


def test_an_encoder_of_another_name_is_refused(installed):
    done = installed("-c", "from limssr.media.encoders.table import card_of; card_of('other')")
    assert "whose card is named 'other'" in done.stderr
