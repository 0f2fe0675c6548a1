"""What a server refuses, and with which words: those of the command line, as problem details."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from limssr.core.errors import InputError, MissingExtraError
from limssr.serve import extras
from limssr.serve.engine import Job
from limssr.serve.run import listen
from limssr.serve.settings import ServeSettings

JSON = {"Content-Type": "application/json"}


def refused(answer, status, *words):
    assert answer.status == status, answer.content
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.document
    assert document["status"] == status
    assert document["instance"].endswith(answer.headers["x-request-id"])
    for word in words:
        assert word in document["detail"]
    assert "Traceback" not in answer.content.decode()
    assert " --" not in document["detail"]
    assert tempfile.gettempdir() not in document["detail"]
    return document


def with_stream(value, name="video"):
    return {"model": "run", "samples": [{"id": "x", "streams": {name: value}}]}


ROW = [0.5] * 24
BODIES = {
    "other width": (with_stream([[1.0, 2.0]]), 422, ["Sample 'x', stream 'video': expected width", "found 2"]),
    "unknown stream": (with_stream([ROW], "vidoe"), 422, ["Unknown stream 'vidoe'", "did you mean 'video'"]),
    "no stream": ({"model": "run", "samples": [{"streams": {}}]}, 422, ["all streams are absent"]),
    "all missing": (with_stream([None, None]), 422, ["found 0"]),
    "rank 1": (with_stream([1.0, 2.0]), 422, ["expected rank 2"]),
    "rank 3": (with_stream([[[1.0]]]), 422, ["found a list"]),
    "ragged": (with_stream([[1.0], [1.0, 2.0]]), 422, ["rows of 1 and 2 values"]),
    "text": (with_stream([["a"] * 24]), 422, ["found a str"]),
    "part of a segment": (with_stream([[None, *ROW[1:]]]), 422, ["NaN"]),
    "too large a number": (with_stream([[1e300] * 24]), 422, ["'x'"]),
    "unknown key": ({"model": "run", "samples": [], "sample": 1}, 422, ["the body of the request"]),
    "unknown model": ({"model": "no", "samples": [{"streams": {"video": [ROW]}}]}, 404, ["Unknown model"]),
    "no model": ({"samples": [{"streams": {"video": [ROW]}}]}, 422, ["run, ridge"]),
    "interval of 2": ({**with_stream([ROW]), "interval": 2}, 422, ["2"]),
    "unknown subset": ({**with_stream([ROW]), "streams": ["vidoe"]}, 422, ["did you mean 'video'"]),
    "same id": ({"model": "run", "samples": [{"streams": {"video": [ROW]}}] * 2}, 422, ["again"]),
    "too many samples": ({"model": "run", "samples": [{"streams": {}}] * 300}, 413, ["256"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_right_gets_the_sentence_of_the_command(client, name):
    body, status, words = BODIES[name]
    refused(client.post("/v1/score", body), status, *words)


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "no JSON"),
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"[" * 100_000, 400, "depth"),
        (b"[" * 80 + b"]" * 80, 400, "deeper"),
        (b'{"samples": [{"streams": {"video": [[NaN]]}}]}', 400, "NaN"),
        (b'{"samples": [{"streams": {"video": [[Infinity]]}}]}', 400, "Infinity"),
        (b'{"samples": [{"streams": {"video": [[' + b"9" * 5000 + b"]]}}]}", 400, "digits"),
        (b'{"model": "\\ud800", "samples": []}', 400, "surrogate"),
        (b"null", 422, "the body of the request"),
        (b"[1]", 422, "the body of the request"),
    ],
)
def test_no_json_is_a_bad_request(client, content, status, word):
    refused(client.post("/v1/score", content), status, word)


def test_kinds_of_bodies_that_are_not_read(client):
    for kind in ("text/plain", "application/xml", "", "application/octet-stream"):
        refused(client.ask("POST", "/v1/score", b"{}", {"Content-Type": kind}), 415, "multipart/form-data")
    refused(client.ask("POST", "/v1/score", b"x", {**JSON, "Content-Encoding": "gzip"}), 415, "Content-Encoding")
    assert client.ask("POST", "/v1/score", b"x", {"Content-Type": "multipart/form-data"}).status == 400
    assert client.get("/v1/score").status == 405
    refused(client.get("/v1/nothing"), 404)
    refused(client.get("/static/../app.py"), 404)
    refused(client.get("/static/%2e%2e/app.py"), 404)


def test_too_much_is_refused_before_it_is_read(start, settings, tools):
    with start(settings, max_body=20_000, max_segments=10) as client:
        refused(client.post("/v1/score", b" " * 20_001), 413, "20,000 bytes", "higher bound")
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
        connection.request("POST", "/v1/score", iter([b" " * 9_000] * 3), JSON, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()
        refused(client.post("/v1/score", with_stream([[0.0]] * 11)), 413, "at most 10 segments, found 11")
        long = tools.npy(np.zeros((11, 24), np.float32))
        refused(client.form("/v1/score", {"video": ("v.npy", long)}, {"model": "run"}), 413, "higher bound")
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", tools.npy(np.zeros((100_000, 24), np.float32)))
        assert len(bomb.getvalue()) < 15_000
        refused(client.form("/v1/score", {"video": ("v.npz", bomb.getvalue())}, {"model": "run"}), 413, "unpacked")
        promise = tools.npy(np.zeros((1, 24), np.float32)).replace(b"(1, 24)", b"(1000000000, 24)"[:16])
        assert client.form("/v1/score", {"video": ("v.npy", promise)}, {"model": "run"}).status == 422


def test_files_that_are_none_are_refused_and_none_is_left(client, tools):
    before = set(Path(tempfile.gettempdir()).glob("limssr-serve-*"))
    pickle = io.BytesIO()
    np.save(pickle, np.array([{}], dtype=object), allow_pickle=True)
    for title, content, word in [
        ("v.npy", pickle.getvalue(), "pickled"),
        ("v.npy", b"junk", "v.npy"),
        ("v.npz", b"PK\x03\x04", "v.npz"),
        ("v.parquet", b"PAR1PAR1", "v.parquet"),
        ("v.csv", b"\x00\x01", "video"),
        ("v.exe", b"MZ", "found 'v.exe'"),
        ("../../etc/passwd", b"x", "found 'passwd'"),
        ("v", b"", "expected a file of kind"),
    ]:
        refused(client.form("/v1/score", {"video": (title, content)}, {"model": "run"}), 422, word)
    array = tools.npy(np.zeros((3, 24), np.float32))
    refused(client.form("/v1/score", {"vidoe": ("v.npy", array)}, {"model": "run"}), 422, "did you mean 'video'")
    refused(client.form("/v1/score", {"recording": ("v.mp4", b"x")}, {"model": "run"}), 422, "limssr extract")
    refused(client.form("/v1/score", {}, {"model": "run"}), 422, "found none")
    refused(client.form("/v1/score", {"video": ("v.npy", array)}, {"modle": "run"}), 422, "did you mean 'model'")
    refused(client.form("/v1/score", {"video": ("v.npy", array)}, {"model": "run", "interval": "x"}), 422, "0.9")
    assert set(Path(tempfile.gettempdir()).glob("limssr-serve-*")) == before


def test_what_the_command_settles_by_an_option_is_said_for_clients(client):
    """Tables that the command refuses with the name of an option; nobody can give one over HTTP."""

    def table(rows):
        return "\n".join(",".join(map(str, row)) for row in rows).encode()

    numbers = [[round(0.37 * (r * 7 + c) % 5, 3) for c in range(24)] for r in range(6)]
    two_clocks = [["time_s", "timestamp", *map("f{}".format, range(22))]]
    two_clocks += [[n, n, *row[2:]] for n, row in enumerate(numbers)]
    falling = [["time_s", *map("f{}".format, range(24))], *([9 - n, *row] for n, row in enumerate(numbers))]
    counted = [[n, *row[1:]] for n, row in enumerate(numbers)]
    for files, words in [
        ({"video": ("v.csv", table(two_clocks))}, ["one column of times", "remove one"]),
        ({"video": ("v.csv", table(falling))}, ["times that rise", "rename the column"]),
        ({"video": ("v.csv", table(counted))}, ["remove it or name it"]),
        (
            {"video": ("v.csv", table(numbers)), "flow": ("f.csv", table([row[:16] for row in numbers[:4]]))},
            ["send streams of one length"],
        ),
    ]:
        refused(client.form("/v1/score", files, {"model": "run"}), 422, *words)


def test_slow_and_vanished_clients_hold_nothing(client):
    """Half a body: 408 after the time that it may take. Half a head: the connection closes."""

    def spoken(content, *, wait):
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as link:
            link.sendall(content)
            if not wait:
                return b""
            received = b""
            while piece := link.recv(65_536):
                received += piece
            return received

    head = (
        b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    begun = time.monotonic()
    assert b" 408 " in spoken(head, wait=True).split(b"\r\n")[0]
    assert spoken(b"POST /v1/sc", wait=True) == b""
    assert spoken(b"", wait=True) == b""
    assert time.monotonic() - begun < 8
    spoken(head, wait=False)
    assert b" 400 " in spoken(b"NONSENSE\r\n\r\n", wait=True).split(b"\r\n")[0]
    until = time.monotonic() + 5
    while client.app.state.engine.admitted and time.monotonic() < until:
        time.sleep(0.05)
    assert client.app.state.engine.admitted == 0


def test_a_full_server_says_when_to_come_again(start, settings, performances, tools):
    with start(settings, max_waiting=2, body_s=20.0) as client:
        engine, go = client.app.state.engine, threading.Event()
        engine.submit(Job(work=go.wait))
        answers, body = [], tools.body_of(performances[0])
        asking = [threading.Thread(target=lambda: answers.append(client.post("/v1/score", body))) for _ in range(2)]
        for thread in asking:
            thread.start()
        until = time.monotonic() + 10
        while engine.admitted < 2 and time.monotonic() < until:
            time.sleep(0.01)
        answer = client.post("/v1/score", tools.body_of(performances[0]))
        refused(answer, 429, "at most 2 requests")
        assert int(answer.headers["retry-after"]) >= 1
        engine.stop_admitting()
        refused(client.post("/v1/score", tools.body_of(performances[0])), 503, "stopping")
        refused(client.get("/readyz"), 503)
        go.set()
        for thread in asking:
            thread.join()
        assert [one.status for one in answers] == [200, 200]


def test_a_token_is_asked_for_everywhere_but_on_the_page(start, settings, tmp_path):
    path = tmp_path / "token"
    path.write_text("a-long-token-of-many-letters\n")
    with start(settings, token_file=path) as client:
        for route in ("/v1/models", "/metrics", "/v1/nothing"):
            refused(client.get(route), 401, "Authorization: Bearer")
        assert client.get("/").status == client.get("/healthz").status == 200
        client.token = "a-long-token-of-many-letterS"
        assert client.get("/v1/models").status == 401
        client.token = "a-long-token-of-many-letters"
        assert client.get("/v1/models").status == 200


def test_another_sites_name_is_refused_without_a_token(client):
    refused(client.ask("GET", "/v1/models", headers={"Host": "evil.example"}), 421, "127.0.0.1")
    assert client.ask("GET", "/v1/models", headers={"Host": "localhost:1"}).status == 200


def test_settings_that_would_serve_strangers_are_refused(tmp_path, served_run):
    def settings(**changes):
        return ServeSettings(**{"runs": (served_run,), **changes})

    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
        with pytest.raises(InputError, match="--token-file"):
            settings(host=host).check()
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        settings(host=host).check()
    short = tmp_path / "short"
    short.write_text("secret")
    with pytest.raises(InputError, match="at least 16"):
        settings(host="0.0.0.0", token_file=short).check()
    with pytest.raises(InputError, match="found nothing"):
        settings(token_file=tmp_path / "none").check()
    with pytest.raises(InputError, match="--port"):
        settings(port=70_000).check()
    taken = listen(settings(port=0))
    with pytest.raises(InputError, match="free port"):
        listen(settings(port=taken.getsockname()[1]))
    taken.close()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(extras.PACKAGES, "no_such_module", "no-such-package")
    with pytest.raises(MissingExtraError, match=r"no-such-package is not installed: pip install .*\[serve\]"):
        extras.check_packages()


def test_the_command_serves_and_stops_on_a_signal(served_run, performances, tools):
    """In a process of its own, since signals are a process's."""
    words = [sys.executable, "-m", "limssr", "serve", str(served_run), "--port", "0"]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        line = process.stderr.readline()
        while "Serving run at http://127.0.0.1:" not in line:
            assert line, process.stderr.read()
            line = process.stderr.readline()
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        until = time.monotonic() + 20
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("POST", "/v1/score", json.dumps(tools.body_of(performances[0])), JSON)
                break
            except ConnectionError:
                assert time.monotonic() < until
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        connection.close()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.strip() == "Stopped."
    lines = [json.loads(one) for one in err.splitlines() if one.startswith("{")]
    assert {"event", "time", "level"} <= lines[0].keys()
    asked = next(one for one in lines if one.get("path") == "/v1/score")
    assert asked["status"] == 200
    assert asked["samples"] == 1
    assert "streams" not in asked
