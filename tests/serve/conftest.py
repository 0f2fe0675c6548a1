"""A trained run and a server on a real port, for the tests of this folder."""

import http.client
import io
import json
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest

from limssr.core.recipes import parse_config
from limssr.data.store.reader import FeatureStore
from limssr.runs.train import train_run
from limssr.serve.app import ScoreServer
from limssr.serve.run import listen
from limssr.serve.server import StoppableServer, configured
from limssr.serve.settings import ServeSettings


@dataclass
class Reply:
    status: int
    headers: dict
    content: bytes

    @property
    def document(self):
        def refuse(word):
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.content, parse_constant=refuse)


class Client:
    """Speaks to a running server, a connection a request."""

    def __init__(self, port, app):
        self.port, self.app, self.token = port, app, None

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, body=body, headers={**own, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, document):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", path, content, {"Content-Type": "application/json"})

    def form(self, path, files, fields=None):
        """Files: name of the part -> (name of the file, bytes)."""
        boundary = uuid.uuid4().hex
        body = io.BytesIO()
        for name, value in (fields or {}).items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            body.write(head.encode() + value.encode() + b"\r\n")
        for name, (title, content) in files.items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{title}"\r\n\r\n'
            body.write(head.encode() + content + b"\r\n")
        body.write(f"--{boundary}--\r\n".encode())
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.ask("POST", path, body.getvalue(), kind)


@contextmanager
def running(settings):
    """A server in a thread of this process."""
    listening = listen(settings)
    app = ScoreServer(settings)
    server = StoppableServer(configured(app, settings), app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield Client(listening.getsockname()[1], app)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        app.close()
        listening.close()


@pytest.fixture(scope="session")
def served_run(store_path, tmp_path_factory):
    """A run of the miniature language model, with intervals and ridge beside it."""
    config = parse_config(
        {
            "data": {"store": str(store_path)},
            "model": {"backbone": {"name": "tiny"}, "hidden": 16},
            "train": {"epochs": 1, "warmup_epochs": 0},
            "evaluation": {"bootstrap": 0, "references": ["ridge"]},
        },
        where="test",
    )
    return train_run(config, tmp_path_factory.mktemp("served") / "run")


@pytest.fixture(scope="session")
def settings(served_run):
    return ServeSettings(
        runs=(served_run, served_run / "references" / "ridge"), port=0, body_s=1.0, head_s=1.0, stop_s=2.0, device="cpu"
    )


@pytest.fixture(scope="session")
def client(settings):
    with running(settings) as found:
        yield found


@pytest.fixture(scope="session")
def start():
    """`with start(settings, max_waiting=2) as client:` another server."""

    @contextmanager
    def started(settings, **changes):
        with running(replace(settings, **changes)) as found:
            yield found

    return started


@pytest.fixture(scope="session")
def performances(store_path):
    """The test samples of the store."""
    store = FeatureStore.open(store_path)
    return [store.sample(name) for name in store.ids("test")]


def body_of(*samples, **more):
    """The JSON body that asks for the scores of samples."""
    streams = [
        {"id": one.id, "streams": {name: as_rows(values) for name, values in one.streams.items()}} for one in samples
    ]
    return {"model": "run", "samples": streams, **more}


def as_rows(values):
    """An array as JSON has it: a segment that is not valid is null."""
    return [None if np.isnan(row).all() else [float(x) for x in row] for row in values]


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def tools():
    """The functions above, for tests."""

    class Tools:
        body_of = staticmethod(body_of)
        as_rows = staticmethod(as_rows)
        npy = staticmethod(npy)

    return Tools
