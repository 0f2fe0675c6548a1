"""Stores at addresses: a server on loopback that drops connections, alters files and refuses; a bucket in memory."""

import http.server
import json
import threading

import fsspec
import pytest

from limssr.core.errors import ArtifactError, InputError, ResourceError
from limssr.data.store import remote
from limssr.data.store.reader import FeatureStore
from limssr.data.store.remote import address_of, fetched, is_address, publish

pytest.importorskip("aiohttp")


class Server(http.server.ThreadingHTTPServer):
    """Gives the files of a folder in ranges, and misbehaves as told."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.asked = folder, []
        self.drops, self.status, self.alters = 0, None, None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/store"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server, name = self.server, self.path.removeprefix("/store/")
        path = server.folder / name
        if server.status or not path.is_file():
            self.send_error(server.status or 404)
            return
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        if spoken := self.headers.get("Range"):
            first, _, last_text = spoken.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last_text or last), last)
        server.asked.append((name, first))
        piece = content[first : last + 1]
        if server.alters == name:
            piece = bytes([piece[0] ^ 1]) + piece[1:]
        self.send_response(206 if spoken else 200)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if server.drops and name.startswith("shards/"):
            server.drops -= 1
            self.wfile.write(piece[: len(piece) // 2])
            self.close_connection = True
            return
        self.wfile.write(piece)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(store_path):
    found = Server(store_path)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMSSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "WAIT_S", 0.01)
    monkeypatch.setattr(remote, "PIECE_BYTES", 4096)
    return tmp_path / "cache" / "stores"


def test_addresses_are_known_as_they_are_written_and_as_paths_fold_them():
    assert all(map(is_address, ("s3://a/b", "s3:/a/b", "https://x/y", "hf://datasets/me/x", "gs://a")))
    assert not any(map(is_address, ("stores/mine", "/s3/x", "C:/data", "s3x:/a", "http:", "./s3:/a")))
    assert address_of("s3:/bucket/name/") == "s3://bucket/name"


def test_a_store_is_fetched_once_through_dropped_connections(server, store_path):
    server.drops = 3
    store = FeatureStore.open(server.address)
    here = FeatureStore.open(store_path)
    assert store.fingerprint == here.fingerprint
    store.verify()
    sample = store.ids()[0]
    for name, stream_TD in here.sample(sample).streams.items():
        assert (store.sample(sample).streams[name] == stream_TD).all() or name
    shards = [one for one in server.asked if one[0].startswith("shards/")]
    server.asked.clear()
    assert FeatureStore.open(server.address).path == store.path
    assert {name for name, _ in server.asked} == {"store.json"}
    assert len(shards) > 4, "in pieces"


def test_a_fetch_that_was_ended_goes_on_where_it_was(server, own_cache, monkeypatch):
    monkeypatch.setattr(remote, "TRIES", 1)
    server.drops = 1
    with pytest.raises(InputError, match="the same command goes on"):
        fetched(server.address)
    (part,) = own_cache.rglob("*.part")
    part.write_bytes((server.folder / "shards" / part.name.removesuffix(".part")).read_bytes()[:5000])
    server.asked.clear()
    FeatureStore.open(server.address).verify()
    assert (f"shards/{part.name.removesuffix('.part')}", 5000) in server.asked
    assert min(first for name, first in server.asked if name.endswith(part.name.removesuffix(".part"))) == 5000


def test_a_file_that_was_altered_is_refused_and_fetched_anew(server, own_cache):
    name = next(one for one in json.loads((server.folder / "store.json").read_text())["files"] if "shards" in one)
    server.alters = name
    with pytest.raises(ArtifactError, match="SHA-256"):
        fetched(server.address)
    assert not [one for one in own_cache.iterdir() if one.is_dir() and not one.name.endswith(".partial")]
    server.alters = None
    FeatureStore.open(server.address).verify()


@pytest.mark.parametrize(("status", "said"), [(403, "credentials"), (401, "credentials"), (404, "look at the address")])
def test_what_a_server_refuses_is_said_at_once(server, status, said):
    server.status = status
    with pytest.raises(InputError, match=said):
        fetched(server.address)


def test_copies_that_were_not_used_for_longest_make_room(server, own_cache, monkeypatch):
    first = fetched(server.address)
    size = sum(path.stat().st_size for path in first.rglob("*") if path.is_file())
    monkeypatch.setenv("LIMSSR_STORES_GB", str(1.5 * size / 1e9))
    second = fetched(server.address + "/")  # the same address
    assert second == first
    third = fetched(server.address.replace("127.0.0.1", "localhost"))
    assert third.exists()
    assert not first.exists()
    monkeypatch.setenv("LIMSSR_STORES_GB", str(0.5 * size / 1e9))
    with pytest.raises(ResourceError, match="LIMSSR_STORES_GB"):
        fetched(server.address)
    monkeypatch.setenv("LIMSSR_STORES_GB", "much")
    with pytest.raises(InputError, match="a number of GB"):
        fetched(server.address)


def test_a_published_store_appears_last_and_is_the_same(store_path, monkeypatch):
    monkeypatch.setattr(remote, "ADDRESS", remote.re.compile(r"(memory):/+(?=[^/])"))
    system = fsspec.filesystem("memory")
    order, pipe = [], type(system).pipe_file

    def failing(self, path, value, **more):
        order.append(path)
        assert len(system.find("/bucket/mine")) == len(json.loads(value)["files"]), "the header comes last"
        return pipe(self, path, value, **more)

    monkeypatch.setattr(type(system), "pipe_file", failing)
    publish(store_path, "memory://bucket/mine")
    assert order == ["/bucket/mine/store.json"]
    monkeypatch.undo()
    monkeypatch.setattr(remote, "ADDRESS", remote.re.compile(r"(memory):/+(?=[^/])"))
    with pytest.raises(InputError, match="give another address"):
        publish(store_path, "memory://bucket/mine")
