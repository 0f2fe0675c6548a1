import json

import pytest
import torch

from limssr.core.errors import ArtifactError, ResourceError
from limssr.core.reading.records import CheckpointDocument, read_document
from limssr.training import checkpoint
from limssr.training.checkpoint import TrainingState, load_checkpoint, load_scoring_weights, save_checkpoint


def state(epoch, *, average=True):
    generator = torch.Generator().manual_seed(epoch)
    weights = {"a.weight": torch.randn(3, 2, generator=generator), "a.count": torch.tensor(epoch)}
    optimizer = {"0.exp_avg": torch.randn(3, 2, generator=generator), "0.step": torch.tensor(float(epoch))}
    return TrainingState(
        epoch,
        weights,
        {name: value * 2 for name, value in weights.items()} if average else None,
        optimizer,
        {"history": [{"epoch": epoch, "val_loss": 0.1 + 0.2}], "num_updates": 7, "scaler": None},
    )


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_there_is_no_checkpoint(tmp_path):
    assert load_checkpoint(tmp_path / "none") is None


@pytest.mark.parametrize("average", [True, False])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path, average):
    saved = state(3, average=average)
    save_checkpoint(tmp_path, saved, keep_epochs={3})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.epoch == 3
    assert loaded.progress == saved.progress
    assert same(loaded.weights, saved.weights)
    assert same(loaded.optimizer, saved.optimizer)
    assert (loaded.average is not None) == average
    scored = load_scoring_weights(tmp_path, 3)
    assert same(scored, saved.average if average else saved.weights)


def test_the_newest_and_the_epochs_to_keep_are_kept_and_leftovers_are_cleared(tmp_path):
    (tmp_path / ".epoch-0001.abcd.partial").mkdir(parents=True)
    for epoch in range(5):
        save_checkpoint(tmp_path, state(epoch), keep_epochs={min(epoch, 1), min(epoch, 2)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0001", "epoch-0002", "epoch-0004"]
    assert not (tmp_path / "epoch-0002" / "optimizer.safetensors").exists()
    assert same(load_scoring_weights(tmp_path, 2), state(2).average)


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    save_checkpoint(tmp_path, state(0), keep_epochs={0})
    half = tmp_path / ".epoch-0001.abcd.partial"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.epoch == 0


def test_a_full_disk_leaves_the_previous_checkpoint_as_it_was(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state(0), keep_epochs={0})

    def full(path, content):
        if path.name == "optimizer.safetensors":
            raise ResourceError("full")
        path.write_bytes(content)

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(ResourceError):
        save_checkpoint(tmp_path, state(1), keep_epochs={1})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0000"]
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert same(loaded.weights, state(0).weights)


def test_an_altered_file_is_named(tmp_path):
    save_checkpoint(tmp_path, state(0), keep_epochs={0})
    path = tmp_path / "epoch-0000" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors"):
        load_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match="found none"):
        load_checkpoint(tmp_path)


def test_a_newer_format_is_refused(tmp_path):
    save_checkpoint(tmp_path, state(0), keep_epochs={0})
    path = tmp_path / "epoch-0000" / "state.json"
    document = json.loads(path.read_text())
    document["format_version"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="newer limssr"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"format_version": "1"}', '{"format_version": true}', '{"format_version": 1}']
)
def test_json_that_is_not_ours_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ArtifactError):
        read_document(tmp_path / "x.json", CheckpointDocument, newest_version=1)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    checkpoint.write_json(path, {"a": 1})

    def full(partial, content):
        partial.write_bytes(content[:3])
        raise ResourceError("full")

    monkeypatch.setattr("limssr.core.files.write_bytes", full)
    with pytest.raises(ResourceError):
        checkpoint.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_optimizer_state_survives_packing():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.tensor([0.5, -1.0])
    optimizer.step()
    before = optimizer.state_dict()["state"]
    after = checkpoint.unpack_optimizer(checkpoint.pack_optimizer(before))
    assert after.keys() == before.keys()
    assert same(after[0], before[0])
