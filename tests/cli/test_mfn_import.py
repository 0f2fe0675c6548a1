"""`limssr data import mfn`."""

import sys

import pytest


@pytest.fixture
def root(layouts, tmp_path):
    files = layouts.mfn_files()
    del files["text_train_emb"]
    layouts.write_mfn(tmp_path / "MFN", files)
    layouts.write_mfn(tmp_path / "MFN", layouts.mfn_files("pom", seed=1), "pom")
    return tmp_path / "MFN"


def test_the_release_becomes_a_store(limssr, root, tmp_path):
    outcome = limssr("data", "import", "mfn", root, tmp_path / "store", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["splits"] == {"train": 6, "val": 3, "test": 4}
    assert outcome.document["streams"] == {"audio": 13, "video": 13, "text": 7}
    assert outcome.document["criteria"] == {"sentiment": [1, 5]}
    assert outcome.document["details"]["splits"]["train"]["streams"]["text"]["file"] == "not there"
    assert limssr("data", "verify", tmp_path / "store").code == 0
    inspected = limssr("data", "inspect", tmp_path / "store", "--json").document
    assert inspected["name"] == "ICT-MMMO"
    assert {"streams": ["audio", "video"], "samples": {"train": 6, "val": 0, "test": 0}} in inspected["owned"]


def test_the_other_data_set_is_chosen_by_name(limssr, root, tmp_path):
    outcome = limssr("data", "import", "mfn", root, tmp_path / "store", "--dataset", "pom", "--json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.document["criteria"]) == 17


def test_people_read_what_was_decided(limssr, root, tmp_path):
    text = limssr("data", "import", "mfn", root, tmp_path / "store").out
    assert "note: no file of text for train: the stream is absent from these clips" in text


def test_refusals_leave_nothing(limssr, root, tmp_path, monkeypatch):
    outcome = limssr("data", "import", "mfn", tmp_path, tmp_path / "store", "--json")
    assert outcome.code == 2
    assert "new_data/mmmo" in outcome.document["error"]["message"]
    monkeypatch.setitem(sys.modules, "h5py", None)
    outcome = limssr("data", "import", "mfn", root, tmp_path / "store", "--json")
    assert (outcome.code, outcome.document["error"]["kind"]) == (2, "MissingExtraError")
    assert [path.name for path in tmp_path.iterdir()] == ["MFN"]
