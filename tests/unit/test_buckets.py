"""Stores at s3://: published and read through s3fs on a server of this machine, which misbehaves as told."""

import json

import fsspec
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.data.store import remote
from limssr.data.store.reader import FeatureStore
from limssr.data.store.remote import fetched, publish

pytest.importorskip("s3fs")
pytest.importorskip("moto")

from helpers.bucket import Bucket


@pytest.fixture(scope="module")
def server():
    found = Bucket()
    yield found
    found.close()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch):
    """The server with an empty bucket, and a cache of this test's own."""
    server.asked.clear()
    server.drops, server.alters, server.denies, server.breaks_at = 0, None, (), None
    for name, value in (
        ("AWS_ENDPOINT_URL", server.url),
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("LIMSSR_CACHE", str(tmp_path / "cache")),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "WAIT_S", 0.01)
    monkeypatch.setattr(remote, "PIECE_BYTES", 4096)
    system = fsspec.filesystem("s3")
    system.clear_instance_cache()
    system = fsspec.filesystem("s3")
    if not system.exists("bucket"):
        system.mkdir("bucket")
    for path in system.find("bucket"):
        system.rm_file(path)
    system.invalidate_cache()
    yield server
    system.clear_instance_cache()


def in_bucket():
    system = fsspec.filesystem("s3")
    system.invalidate_cache()
    return {path.removeprefix("bucket/mine/") for path in system.find("bucket/mine")}


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_published_store_is_read_back_byte_by_byte_through_dropped_connections(bucket, store_path):
    publish(store_path, "s3://bucket/mine")
    assert in_bucket() == set(files(store_path))
    puts = [path for method, path in bucket.asked if method == "PUT"]
    assert puts[-1] == "/bucket/mine/store.json", "the header comes last"
    bucket.drops = 3
    store = FeatureStore.open("s3://bucket/mine")
    assert bucket.drops == 0
    assert files(store.path) == files(store_path)
    bucket.asked.clear()
    assert FeatureStore.open("s3://bucket/mine").path == store.path
    assert not [path for _, path in bucket.asked if "/shards/" in path], "fetched once"
    with pytest.raises(InputError, match="give another address"):
        publish(store_path, "s3://bucket/mine")


def test_half_a_store_cannot_be_opened_and_is_published_again(bucket, store_path):
    bucket.breaks_at = list(json.loads((store_path / "store.json").read_text())["files"])[-1]
    with pytest.raises(InputError, match="credentials"):
        publish(store_path, "s3://bucket/mine")
    assert "store.json" not in in_bucket()
    with pytest.raises(InputError, match="look at the address"):
        fetched("s3://bucket/mine")
    bucket.breaks_at = None
    publish(store_path, "s3://bucket/mine")
    assert FeatureStore.open("s3://bucket/mine").fingerprint == FeatureStore.open(store_path).fingerprint


def test_a_file_that_was_altered_is_refused_and_fetched_anew(bucket, store_path, tmp_path):
    publish(store_path, "s3://bucket/mine")
    bucket.alters = next(
        name for name in json.loads((store_path / "store.json").read_text())["files"] if "shard" in name
    )
    with pytest.raises(ArtifactError, match="SHA-256"):
        fetched("s3://bucket/mine")
    copies = [one for one in (tmp_path / "cache" / "stores").iterdir() if one.is_dir()]
    assert all(one.name.endswith(".partial") for one in copies)
    bucket.alters = None
    FeatureStore.open("s3://bucket/mine").verify()


def test_what_may_not_be_read_or_written_is_said(bucket, store_path, monkeypatch):
    publish(store_path, "s3://bucket/mine")
    bucket.denies = ("GET",)
    with pytest.raises(InputError, match=r"server refuses.*credentials"):
        fetched("s3://bucket/mine")
    bucket.denies = ("PUT",)
    with pytest.raises(InputError, match=r"server refuses.*credentials"):
        publish(store_path, "s3://bucket/other")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(InputError, match=r"Unable to locate credentials.*as its own tools take them"):
        fetched("s3://bucket/mine")


def test_a_bucket_that_does_not_exist_is_not_made(bucket, store_path):
    with pytest.raises(InputError, match="whether its bucket exists"):
        publish(store_path, "s3://buckett/mine")
    assert not fsspec.filesystem("s3").exists("buckett")
