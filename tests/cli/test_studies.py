"""What no study can be run with is refused first, before the store is read: by every study, and by dry runs too."""

import os

import pytest

from limssr.core.errors import InputError
from limssr.core.files import check_folder

# The stores are nowhere: whatever is said about anything else was said before they were opened.
STUDIES = {
    "sweep": ("sweep", "systems", "demo", "--store", "nowhere"),
    "ablate": ("ablate", "ablation", "--store", "nowhere"),
    "reproduce": ("reproduce", "fisv", "--store", "nowhere"),
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_processes_and_folder_are_checked_first(limssr, tmp_path, study, dry):
    for number in (0, -1):
        refused = limssr(*STUDIES[study], "--processes", number, "--out", tmp_path / "out", *dry, "--json")
        assert refused.code == 2
        assert f"at least one process, found {number}" in refused.document["error"]["message"]
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused = limssr(*STUDIES[study], "--out", out, *dry, "--json")
        assert refused.code == 2
        assert "Expected to write into the folder" in refused.document["error"]["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_may_be_there_or_not_but_must_take_files(tmp_path, monkeypatch):
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="may not be written to"):
        check_folder(tmp_path / "new")
