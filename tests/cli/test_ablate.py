"""`limssr ablate` as a person and as a program see it."""

from pathlib import Path

SMALL = (
    *("--set", "model.backbone.name=tiny", "--set", "data.modalities=null", "--set", "train.epochs=1"),
    *("--set", "train.warmup_epochs=0", "--set", "data.num_segments=4"),
)


def test_a_table_from_one_command(limssr, store_path, tmp_path):
    words = ("ablate", "ablation", "--table", "6", "--seeds", "1", "--store", store_path, "--out", tmp_path, *SMALL)
    plan = limssr(*words, "--dry-run", "--json").document
    assert len(plan["to_run"]) == plan["num_runs"] == 4
    assert list(tmp_path.iterdir()) == []
    document = limssr(*words, "--json").document
    assert [row["num_seeds"] for row in document["tables"][0]["rows"]] == [1, 1, 1, 1]
    assert all(Path(file).is_file() for file in document["files"])
    again = limssr(*words)
    assert again.code == 0
    assert "Path 1 only" in again.out
    assert "4 of 4 runs are done already" in again.err


def test_an_unknown_table_is_refused(limssr):
    outcome = limssr("ablate", "--table", "12")
    assert outcome.code == 2
    assert "ablation table" in outcome.err
