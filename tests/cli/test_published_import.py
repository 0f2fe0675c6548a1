"""`limssr data import fs1000 | fisv | rg`."""

import pytest

SOURCES = ("fs1000", "fisv", "rg")


@pytest.fixture
def root(layouts, tmp_path):
    """`root("rg")` -> a small tree below a folder of its own."""

    def write(source, **features):
        folder = tmp_path / "published"
        layouts.WRITERS[source](folder, features=layouts.Features(widths=(4, 3, 2), **features))
        return folder

    return write


@pytest.mark.parametrize("source", SOURCES)
def test_a_tree_becomes_a_store(limssr, root, source, tmp_path):
    outcome = limssr("data", "import", source, root(source), tmp_path / "store", "--json")
    assert outcome.code == 0
    assert outcome.document["num_samples"] == sum(outcome.document["splits"].values())
    assert outcome.document["streams"] == dict.fromkeys(("video", "audio", "flow"), outcome.document["num_samples"])
    assert limssr("data", "verify", tmp_path / "store").code == 0
    assert source in limssr("data", "inspect", tmp_path / "store", "--json").out


def test_people_read_what_was_decided(limssr, root, tmp_path):
    outcome = limssr("data", "import", "rg", root("rg"), tmp_path / "store")
    assert "note: train.txt: header, its first line names the columns; 64 samples for split 'train'" in outcome.out


@pytest.mark.parametrize("source", SOURCES)
def test_streams_are_cut_only_on_request(limssr, root, source, tmp_path):
    folder = root(source, uneven=2)
    refused = limssr("data", "import", source, folder, tmp_path / "store")
    assert (refused.code, refused.out) == (2, "")
    assert "--align shortest" in refused.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["published"]
    cut = limssr("data", "import", source, folder, tmp_path / "store", "--align", "shortest", "--json")
    assert cut.code == 0
    assert cut.document["details"]["alignment"]["samples"] == 2


def test_samples_may_lack_streams_only_on_request(limssr, root, layouts, tmp_path):
    folder = root("fs1000")
    path = sorted((folder / layouts.FS1000_FOLDERS["audio"]).iterdir())[0]
    path.unlink()
    refused = limssr("data", "import", "fs1000", folder, tmp_path / "store")
    assert refused.code == 2
    assert f"audio: 1 ({path.stem})" in refused.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["published"]
    allowed = limssr("data", "import", "fs1000", folder, tmp_path / "store", "--allow-missing", "--json")
    assert allowed.code == 0
    assert allowed.document["streams"] == {"video": 52, "audio": 51, "flow": 52}


@pytest.mark.parametrize("source", SOURCES)
def test_a_folder_of_something_else_is_refused(limssr, source, tmp_path):
    outcome = limssr("data", "import", source, tmp_path, tmp_path / "store", "--json")
    assert outcome.code == 2
    assert "train" in outcome.document["error"]["message"]
    assert list(tmp_path.iterdir()) == []
