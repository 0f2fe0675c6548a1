"""Requests made at random to do harm: each gets an answer in time, never a failure of ours, and the scores stay right.

LIMSSR_HOSTILE sets their number (500 and more by hand), LIMSSR_SEED the seed.
"""

import json
import os
import random
import re
import socket
import tempfile
from pathlib import Path

import numpy as np

NUMBER = int(os.environ.get("LIMSSR_HOSTILE", "60"))
SEED = int(os.environ.get("LIMSSR_SEED", "1"))
VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    10**30,
    "",
    "NaN",
    "video",
    [],
    [[]],
    {},
    [None],
    [[None]],
    "\u0000",
    "x" * 5000,
)


def mutated(value, dice):
    """A document with something in it exchanged, removed or repeated."""
    if dice.random() < 0.15:
        return dice.choice(VALUES)
    if isinstance(value, dict) and value:
        key = dice.choice(list(value))
        changed = dict(value)
        way = dice.random()
        if way < 0.2:
            del changed[key]
        elif way < 0.4:
            changed[dice.choice(["video", "model", "id", "", "é", "x" * 300])] = dice.choice(VALUES)
        else:
            changed[key] = mutated(value[key], dice)
        return changed
    if isinstance(value, list) and value:
        place = dice.randrange(len(value))
        way = dice.random()
        if way < 0.2:
            return value[:place]
        if way < 0.3:
            return value * dice.choice([2, 50])
        return [*value[:place], mutated(value[place], dice), *value[place + 1 :]]
    return dice.choice(VALUES)


def damaged(content, dice):
    """Bytes with some of them exchanged, cut off or put in."""
    content = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        place = dice.randrange(len(content) + 1)
        way = dice.random()
        if way < 0.4 and place < len(content):
            content[place] = dice.randrange(256)
        elif way < 0.6:
            del content[place:]
        else:
            content[place:place] = dice.randbytes(dice.choice([1, 8, 200]))
    return bytes(content)


def json_request(sample, tools, dice):
    document = mutated(tools.body_of(sample, interval=0.9), dice)
    content = json.dumps(document).encode()
    return "application/json", damaged(content, dice) if dice.random() < 0.3 else content


def form_request(sample, tools, dice):
    boundary = "b" * 20
    parts = []
    for name, values in sample.streams.items():
        content = tools.npy(values)
        if dice.random() < 0.6:
            content = damaged(content, dice)
        title = dice.choice(["x.npy", "x.npz", "x.csv", "x.parquet", "x.xlsx", "../x.npy", "x", "é.npy", 'x".npy'])
        part = dice.choice([name, name, name, "recording", "streams", f"a/{name}", "media:x", "", "model"])
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{title}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\nrun\r\n--{boundary}--\r\n'.encode()
    )
    content = b"".join(parts)
    return f"multipart/form-data; boundary={boundary}", damaged(content, dice) if dice.random() < 0.4 else content


def is_whole(received):
    """Whether an answer has all the bytes that it promises: where the head was damaged the connection may stay open."""
    head, end, body = received.partition(b"\r\n\r\n")
    promised = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end and promised) and len(body) >= int(promised[1])


def answered(port, kind, content, dice):
    """The status of the answer; None where the client has left before."""
    path = dice.choice(
        ["/v1/score", "/v1/score", "/v1/explain", "/v1/models", "/v1/models/%00", "/v1/live/run", "/static/x"]
    )
    length = dice.choice([len(content)] * 8 + [len(content) + 5, max(len(content) - 5, 0), 10**12])
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    raw = head.encode() + b"Connection: close\r\n\r\n" + content
    if dice.random() < 0.1:
        raw = damaged(raw, dice)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        try:
            link.sendall(raw)
            if dice.random() < 0.1:
                return None
            received = b""
            while not is_whole(received) and (piece := link.recv(65_536)):
                received += piece  # a hang is a time-out of the socket, which fails the test
        except (ConnectionResetError, BrokenPipeError):
            return None  # refused before it was all sent
    if not received:
        return None
    assert b"Traceback" not in received
    assert b'File "' not in received
    assert b" --" not in received.partition(b'"detail":')[2]
    return int(received.split(b" ", 2)[1])


def test_hostile_requests_are_answered_and_change_nothing(client, performances, tools):
    dice = random.Random(SEED)
    expected = client.post("/v1/score", tools.body_of(performances[0])).document["samples"]
    files = set(Path(tempfile.gettempdir()).glob("limssr-serve-*"))
    seen = []
    for number in range(NUMBER):
        make = json_request if dice.random() < 0.5 else form_request
        kind, content = make(dice.choice(performances), tools, dice)
        status = answered(client.port, kind, content, dice)
        assert status is None or status < 500, (number, status)
        seen.append(status)
        if number % 20 == 19:
            assert client.post("/v1/score", tools.body_of(performances[0])).document["samples"] == expected
    assert sum(status is not None and status >= 400 for status in seen) > NUMBER / 3
    assert client.app.state.engine.admitted == 0
    assert set(Path(tempfile.gettempdir()).glob("limssr-serve-*")) == files
    assert np.isfinite(expected[0]["scores"]["execution"]["score"])
