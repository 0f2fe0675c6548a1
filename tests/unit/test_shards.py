"""Parts of a source, scored by tasks that know nothing of one another, make the same bytes as one that scores all."""

import itertools
import shutil

import pytest

from helpers.networks import small_config
from limssr.core.errors import ArtifactError, InputError
from limssr.runs.prediction import predict as predicting
from limssr.runs.prediction.predict import predict, predict_part, write_predictions
from limssr.runs.prediction.shards import Shard, joined
from limssr.systems.build import build_model
from limssr.systems.saving import save_pretrained

BLOCK = 7


@pytest.fixture(scope="module")
def model_folder(world, tmp_path_factory):
    """LIMSSR, which keeps prompts from batch to batch: the numbers of a part must not depend on earlier ones."""
    folder = tmp_path_factory.mktemp("models") / "model"
    model = build_model(small_config("limssr"), world.modalities, world.criteria, seed=0)
    model.calibrate(world.samples)
    save_pretrained(model, folder)
    return folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(predicting, "BLOCK", BLOCK)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "1/3/5", "a/b", "1/99999999999"])
def test_a_part_that_does_not_exist_is_refused(text):
    with pytest.raises(InputError, match="I/N"):
        Shard.read(text)


@pytest.mark.parametrize(("num_samples", "of"), [(60, 4), (60, 20), (5, 3), (0, 2), (7, 1)])
def test_parts_are_whole_blocks_and_together_the_source(num_samples, of):
    ends = [Shard(n, of).blocks(num_samples, BLOCK) for n in range(1, of + 1)]
    assert ends[0][0] == 0
    assert ends[-1][1] == num_samples
    for (_, behind), (first, _) in itertools.pairwise(ends):
        assert behind == first
        assert first % BLOCK == 0 or first == num_samples


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_joined_parts_are_the_bytes_of_one_file(model_folder, store_path, tmp_path, ending):
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"scores.{ending}"
    write_predictions(predict(model_folder, store_path, device="cpu"), whole)
    for number in (3, 1, 2):  # whoever comes first
        assert predict_part(model_folder, store_path, out, Shard(number, 3), device="cpu")
    write_predictions(joined(out, 3), out)
    assert out.read_bytes() == whole.read_bytes()


def test_a_part_that_is_there_is_left_alone_and_one_of_something_else_is_refused(model_folder, store_path, tmp_path):
    out, shard = tmp_path / "scores.csv", Shard(2, 3)
    assert predict_part(model_folder, store_path, out, shard, device="cpu")
    before = shard.path(out).read_bytes()
    assert not predict_part(model_folder, store_path, out, shard, device="cpu")
    assert shard.path(out).read_bytes() == before
    with pytest.raises(InputError, match="found one of other options"):
        predict_part(model_folder, store_path, out, shard, device="cpu", split="test")
    with pytest.raises(InputError, match=r"found 1: scores.csv.1-of-3.parquet, .* are missing"):
        joined(out, 3)
    for number in (1, 3):
        predict_part(model_folder, store_path, out, Shard(number, 3), device="cpu", split="test")
    with pytest.raises(InputError, match="other options"):
        joined(out, 3)
    shutil.copy(Shard(1, 3).path(out), Shard(3, 3).path(out))
    predict_part(model_folder, store_path, tmp_path / "x.csv", Shard(2, 3), device="cpu", split="test")
    shutil.move(Shard(2, 3).path(tmp_path / "x.csv"), shard.path(out))
    with pytest.raises(InputError, match="another place"):
        joined(out, 3)
    shard.path(out).write_bytes(b"PAR1 is not enough")
    with pytest.raises(ArtifactError):
        joined(out, 3)
