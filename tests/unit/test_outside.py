"""Files from anyone: bounded before they are read, regular, and refused in words whatever is wrong with them."""

import io
import json
import os
import pickle
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

from limssr.core.config import ModelConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.reading import tables
from limssr.core.reading.arrays import opened_archive, read_member, read_npy
from limssr.core.reading.checkpoints import read_checkpoint as read_published
from limssr.core.reading.documents import read_json
from limssr.core.reading.regular import Outside, open_regular, read_bytes
from limssr.core.reading.tables import read_parquet
from limssr.core.reading.tensors import read_tensors
from limssr.core.types import Criterion, Modality
from limssr.data.store.format import HEADER_NAME
from limssr.data.store.reader import FeatureStore
from limssr.report.runfolder import read_run_folder
from limssr.runs.folder import read_run
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained


def outside(path: Path) -> Outside:
    return Outside(path=path, what="a file", remedy="write it again")


def header(text: str) -> bytes:
    content = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content


def described(shape: str, code: str = "<f4", order: str = "False") -> bytes:
    return header(f"{{'descr': '{code}', 'fortran_order': {order}, 'shape': {shape}, }}")


LIES = {
    "a trillion rows": described("(1099511627776, 3)") + bytes(12),
    "rows beyond any number": described("(18446744073709551616, 3)") + bytes(12),
    "rows below nothing": described("(-1, 3)") + bytes(12),
    "truth as a size": described("(True, 3)") + bytes(12),
    "many axes": described(f"({'1, ' * 40})", "<f4"),
    "a text that never closes": header("{'descr': '<f4"),
    "depth without end": b"\x93NUMPY\x01\x00" + (9_000).to_bytes(2, "little") + b"(" * 9_000,
    "a header of gigabytes": b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{",
    "a version of the future": b"\x93NUMPY\x09\x00" + bytes(200),
    "more bytes than declared": described("(2, 3)") + bytes(25),
    "fewer bytes than declared": described("(2, 3)") + bytes(23),
    "long texts": described("(2,)", "<U250000000"),
    "records": header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }") + bytes(4),
    "objects": described("(1,)", "|O") + pickle.dumps(print),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", LIES)
def test_a_header_that_lies_is_refused_before_anything_is_read(tmp_path, kind):
    path = tmp_path / "a.npy"
    path.write_bytes(LIES[kind])
    with pytest.raises(InputError, match=r"a\.npy"):
        read_npy(outside(path))


def test_a_sparse_file_is_not_read(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        file.write(described("(500000000, 3)"))
        file.truncate(file.tell() + 6_000_000_000)
    with pytest.raises(InputError, match="6,000,000,000 bytes"):
        read_npy(outside(path))


def archive(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr("a.npy", content)
    return bytearray(buffer.getvalue())


def flipped(content: bytearray, place: int) -> bytearray:
    content[place] ^= 0xFF
    return content


def replaced(content: bytearray, field: bytes, place: int, value: int) -> bytearray:
    """A number of two bytes in the local or the central header of the only member."""
    start = content.index(field) + place
    content[start : start + 2] = value.to_bytes(2, "little")
    return content


GOOD = described("(200, 3)") + np.random.default_rng(0).normal(size=(200, 3)).astype("<f4").tobytes()
ARCHIVES = {
    "a flipped byte": lambda: flipped(archive(GOOD), 700),
    "a flipped byte of the sum": lambda: replaced(replaced(archive(GOOD), b"PK\x03\x04", 14, 7), b"PK\x01\x02", 16, 7),
    "packed by lzma": lambda: archive(GOOD, zipfile.ZIP_LZMA),
    "packed by bzip2": lambda: archive(GOOD, zipfile.ZIP_BZIP2),
    "encrypted": lambda: replaced(replaced(archive(GOOD), b"PK\x03\x04", 6, 1), b"PK\x01\x02", 8, 1),
    "an unknown packing": lambda: replaced(replaced(archive(GOOD), b"PK\x03\x04", 8, 77), b"PK\x01\x02", 10, 77),
    "a version of the future": lambda: replaced(archive(GOOD), b"PK\x01\x02", 6, 999),
    "a promise of gigabytes": lambda: archive(described("(500000000, 3)") + bytes(100)),
    "gigabytes behind a small promise": lambda: archive(described("(2, 3)") + bytes(50_000_000)),
    "objects": lambda: archive(LIES["objects"]),
    "cut": lambda: archive(GOOD)[:-30],
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_damaged_or_swollen_archive_is_refused(tmp_path, kind):
    path = tmp_path / "a.npz"
    path.write_bytes(ARCHIVES[kind]())
    with pytest.raises(InputError, match=r"a\.npz"), opened_archive(outside(path)) as opened:
        read_member(opened, "a", outside(path))


def test_what_numpy_writes_is_read(tmp_path):
    for order in ("C", "F"):
        array = np.asarray(np.arange(12, dtype=">i2").reshape(4, 3), order=order)
        np.save(tmp_path / "a.npy", array)
        np.savez_compressed(tmp_path / "a.npz", a=array)
        np.testing.assert_array_equal(read_npy(outside(tmp_path / "a.npy")), array)
        with opened_archive(outside(tmp_path / "a.npz")) as opened:
            np.testing.assert_array_equal(read_member(opened, "a", outside(tmp_path / "a.npz")), array)


def test_a_table_is_measured_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.zeros(5_000), "b": np.zeros(5_000)}), path)
    assert read_parquet(outside(path)).num_rows == 5_000
    monkeypatch.setattr(tables, "MAX_VALUES", 9_999)
    with pytest.raises(InputError, match="5,000 rows of 2 columns"):
        read_parquet(outside(path))


def test_one_long_text_is_not_written_out_a_thousand_times(tmp_path):
    path = tmp_path / "a.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, dtype=np.int32)), pa.array(["x" * 2**20]))
    pq.write_table(pa.table({"id": texts}), path, store_schema=False)
    assert path.stat().st_size < 10**7
    with pytest.raises(InputError, match="bytes of text"):
        read_parquet(outside(path))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 50 + b"PAR1", b"PAR1\x15\x00" * 9])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet"):
        read_parquet(outside(tmp_path / "a.parquet"))


@pytest.mark.parametrize("content", [
    b"[" * 10**5, b'{"a":' * 10**4, b"9" * 5_000, b"NaN", b'"\\ud800"', b"\xff", b"", b"[" * 70 + b"]" * 70,
])  # fmt: skip
def test_json_that_nobody_writes_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(outside(tmp_path / "a.json"))


NO_FILES = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "nothing": lambda path: None,
    "Too many levels": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("read", [open_regular, read_json, read_npy, read_parquet, read_tensors])
def test_only_regular_files_are_opened(tmp_path, read, kind):
    path = tmp_path / "thing"
    NO_FILES[kind](path)
    with pytest.raises(InputError, match=kind):
        read(outside(path))


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a\udc80b/" + "y" * 300])
def test_a_path_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(InputError):
        open_regular(outside(tmp_path / name))


def test_a_file_of_the_system_without_an_end_is_bounded():
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_bytes(outside(Path("/proc/self/status")), limit=10)


class Made:
    def __init__(self, maker, size: int) -> None:
        self.maker, self.size = maker, size

    def __reduce__(self):
        return (self.maker, (self.size,))


def packed(path: Path) -> None:
    torch.save({"a": torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, value in content.items():
            new.writestr(name, value)


PUBLISHED = {
    "four gigabytes of nothing": lambda path: path.write_bytes(pickle.dumps(Made(bytearray, 2**32), protocol=2)),
    "a terabyte of nothing": lambda path: path.write_bytes(pickle.dumps(Made(bytearray, 2**40), protocol=2)),
    "much of nothing, in an archive": lambda path: torch.save(Made(bytearray, 2**33), path),
    "a few bytes, by a maker": lambda path: path.write_bytes(pickle.dumps(Made(bytearray, 10), protocol=2)),
    "a tensor that repeats itself": lambda path: torch.save({"a": torch.zeros(1).expand(2**40)}, path),
    "packed values": packed,
    "an archive of several parts": lambda path: path.write_bytes(zlib.compress(b"x") + b"PK\x06\x07" + b"\1" * 60),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_a_checkpoint_cannot_ask_for_more_than_it_holds(tmp_path, kind):
    path = tmp_path / "a.pt"
    PUBLISHED[kind](path)
    with pytest.raises(InputError, match=r"a\.pt"):
        read_published(path)


@pytest.fixture
def copied(store_path, tmp_path):
    return Path(shutil.copytree(store_path, tmp_path / "store"))


def rewrite(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def file_named(name):
    return lambda document: document["files"].update({name: {"bytes": 10, "sha256": "0" * 64}})


def at(*keys, value):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


HEADERS = {
    "a file outside": file_named("../../../etc/passwd"),
    "a device": file_named("/dev/zero"),
    "a way around": file_named("shards/../../secret"),
    "another file of the folder": file_named("notes.txt"),
    "a size that is text": at("files", "index.parquet", "bytes", value="12"),
    "a hash that is none": at("files", "index.parquet", "sha256", value="abc"),
    "files as a list": at("files", value=["index.parquet"]),
    "a width of nothing": at("modalities", 0, "dim", value=0),
    "a width without end": at("modalities", 0, "dim", value=10**12),
    "a stream of another name": at("modalities", 0, "name", value="other"),
    "columns that are numbers": at("modalities", 0, "columns", value=[1, 2]),
    "another number of columns": at("modalities", 0, "columns", value=["a"]),
    "an offset that is text": at("modalities", 0, "offsets", value=["a"]),
    "a stream twice": lambda document: document["modalities"].append(document["modalities"][0]),
    "no streams": at("modalities", value=[]),
    "a scale upside down": at("criteria", 0, "low", value=1e9),
    "a scale that is text": at("criteria", 0, "low", value="0"),
    "a version that is true": at("format_version", value=True),
    "a name that is a number": at("name", value=7),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_store_that_others_wrote_is_checked_before_it_is_used(copied, kind):
    rewrite(copied / HEADER_NAME, HEADERS[kind])
    with pytest.raises(ArtifactError):
        FeatureStore.open(copied)


def with_index(copied: Path, change) -> None:
    import hashlib

    table = change(pq.read_table(copied / "index.parquet"))
    pq.write_table(table, copied / "index.parquet")
    content = (copied / "index.parquet").read_bytes()
    signed = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(copied / HEADER_NAME, at("files", "index.parquet", value=signed))


INDICES = {
    "no ids": lambda table: table.drop_columns(["id"]),
    "ids twice": lambda table: pa.concat_tables([table, table]),
    "ids that are numbers": lambda table: table.set_column(0, "id", pa.array(range(table.num_rows))),
    "a shard that is not there": lambda table: table.set_column(
        table.column_names.index("shard"), "shard", pa.array([77] * table.num_rows, pa.int32())
    ),
    "gaps in the splits": lambda table: table.set_column(1, "split", pa.nulls(table.num_rows, pa.string())),
}


@pytest.mark.parametrize("kind", INDICES)
def test_an_index_that_others_wrote_is_checked_before_it_is_used(copied, kind):
    with_index(copied, INDICES[kind])
    with pytest.raises(ArtifactError, match="index"):
        FeatureStore.open(copied)


@pytest.mark.parametrize(("name", "key", "value"), [
    *(("run.json", key, value) for key, value in {
        "store": [1], "modalities": [1, 2], "criteria": {"a": 1}, "references": "none", "timings": 3,
        "owned_streams": {"train": ["a"]}, "best_epoch": "first", "num_samples": {"train": -1}, "learned": [],
        "environment": "here", "availability": True,
    }.items()),
    *(("evaluation.json", key, value) for key, value in {
        "subsets": [], "criteria": [3], "average_incomplete": None, "full": {"spearman": "high"}, "systems": [1],
        "split": 3,
    }.items()),
])  # fmt: skip
def test_a_value_of_another_type_is_an_altered_run_folder(scored_run, name, key, value):
    run = scored_run("first", seed=1, noise=2.0)
    read_run_folder(run)
    rewrite(run / name, at(key, value=value))
    with pytest.raises(ArtifactError, match=f"{name}.*{key}"):
        read_run_folder(run)


@pytest.mark.parametrize("text", ["a: &a [*a]", "[1]", "seed: {}", "train: {epochs: 1e99}", "x" * 10**6, "{"])
def test_an_altered_configuration_is_an_altered_run_folder(scored_run, text):
    run = scored_run("first", seed=1, noise=2.0)
    (run / "config.yaml").write_text(text)
    with pytest.raises(ArtifactError, match=r"config\.yaml"):
        read_run(run)


@pytest.fixture
def model_folder(tmp_path):
    config = ModelConfig(system="attention", hidden=8)
    model = build_model(config, (Modality("a", 3),), (Criterion("total", 0.0, 10.0),), seed=0)
    save_pretrained(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(("keys", "value"), [
    (("model", "hidden"), 10**9), (("model", "system"), 3), (("model",), None), (("modalities", 0, "dim"), "wide"),
    (("modalities",), []), (("criteria", 0, "low"), None), (("random_seed",), -1), (("backbone_sha256",), None),
    (("unseen_streams",), "a"), (("model", "unknown"), 1),
])  # fmt: skip
def test_a_model_folder_that_others_wrote_is_checked_before_it_is_built(model_folder, keys, value):
    load_pretrained(model_folder)
    rewrite(model_folder / "config.json", at(*keys, value=value))
    with pytest.raises(ArtifactError, match=r"config\.json"):
        load_pretrained(model_folder)


def test_weights_are_held_against_the_model_before_they_are_read(model_folder):
    save_file({"other": np.zeros(3, dtype=np.float32)}, model_folder / "model.safetensors")
    with pytest.raises(ArtifactError, match="do not fit the model"):
        load_pretrained(model_folder)
    with (model_folder / "model.safetensors").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(ArtifactError, match="bytes where its header declares"):
        load_pretrained(model_folder)


def test_a_hub_is_not_asked_because_a_folder_says_so(model_folder, monkeypatch):
    asked = []

    def snapshot_download(name, **options):
        asked.append(options["local_files_only"])
        raise OSError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    backbone = {"name": "somebody/something", "local_files_only": False}
    changed = ModelConfig.model_validate({"backbone": backbone}).model_dump(mode="json")
    rewrite(model_folder / "config.json", at("model", value=changed))
    with pytest.raises(InputError, match="somebody/something"):
        load_pretrained(model_folder)
    assert asked == [True]
