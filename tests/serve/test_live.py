"""Live sessions over a WebSocket, and the command `limssr live`."""

import contextlib
import io
import json
import sys
import threading

import numpy as np
import pytest
from websockets.sync.client import connect

from limssr.cli import main
from limssr.core.recipes import parse_config
from limssr.runs.load import load
from limssr.runs.train import train_run


@pytest.fixture(scope="module")
def interleaved_run(store_path, tmp_path_factory):
    config = parse_config(
        {
            "data": {"store": str(store_path)},
            "model": {"backbone": {"name": "tiny"}, "block_order": "interleaved"},
            "train": {"epochs": 1, "warmup_epochs": 0},
            "evaluation": {"bootstrap": 0, "references": []},
        },
        where="test",
    )
    return train_run(config, tmp_path_factory.mktemp("live") / "live-run")


@pytest.fixture(scope="module")
def live_client(start, settings, interleaved_run, served_run):
    with start(settings, runs=(interleaved_run, served_run), max_sessions=6) as client:
        yield client


class Session:
    """Says something and hears the answer."""

    def __init__(self, port, model, **options):
        self.connecting = connect(f"ws://127.0.0.1:{port}/v1/live/{model}", proxy=None, **options)

    def say(self, document):
        self.link.send(document if isinstance(document, str | bytes) else json.dumps(document))
        return json.loads(self.link.recv(timeout=20))

    def __enter__(self):
        self.link = self.connecting.__enter__()
        return self

    def __exit__(self, *failure):
        self.connecting.__exit__(*failure)


def play(port, sample, tools, model="live-run"):
    """All answers to a performance that is played segment by segment."""
    with Session(port, model) as session:
        told = [session.say({"type": "start"})]
        rows = {name: tools.as_rows(values) for name, values in sample.streams.items()}
        for t in range(sample.num_segments):
            told.append(session.say({"type": "segments", "streams": {name: [row[t]] for name, row in rows.items()}}))
        told.append(session.say({"type": "end"}))
    return told


def test_a_session_ends_with_the_score_of_the_whole(live_client, interleaved_run, performances, tools):
    found = load(interleaved_run, device="cpu")
    for sample in (performances[0], performances[1].restricted_to(("audio", "flow"))):
        told = play(live_client.port, sample, tools)
        assert told[0] == {"type": "started", "model": "live-run", "reads_again": None}
        assert [one["type"] for one in told[1:]] == ["score"] * sample.num_segments + ["ended"]
        scores = [one["score"] for one in told[-1]["scores"].values()]
        np.testing.assert_allclose(scores, found.score([sample])[0], atol=1e-4)
        assert set(told[-1]["streams"]) == set(sample.streams)
        assert told[-1]["how"] == "kept"


def test_a_run_in_blocks_is_read_again_and_says_so(live_client, served_run, performances, tools):
    told = play(live_client.port, performances[0], tools, model="run")
    assert "block_order: paper" in told[0]["reads_again"]
    scores = [one["score"] for one in told[-1]["scores"].values()]
    assert scores == load(served_run, device="cpu").score([performances[0]])[0].tolist()


def test_sessions_side_by_side_get_their_own_scores(live_client, performances, tools):
    some = performances[:4]
    alone = [play(live_client.port, sample, tools)[-1]["scores"] for sample in some]
    found = [None] * len(some)

    def one(n):
        found[n] = play(live_client.port, some[n], tools)[-1]["scores"]

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(some))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for told, expected in zip(found, alone, strict=True):
        for name, value in expected.items():
            assert told[name]["score"] == pytest.approx(value["score"], abs=1e-4)


def test_wrong_messages_are_told_and_the_performance_goes_on(live_client, performances, tools):
    rows = {name: tools.as_rows(values)[:1] for name, values in performances[0].streams.items()}
    with Session(live_client.port, "live-run") as session:
        session.say({"type": "start"})
        for wrong, words in [
            ({"streams": {"vidoe": [[1.0]]}}, "did you mean 'video'"),
            ({"streams": {"video": [[1.0]]}}, "expected width"),
            ({"streams": 5}, "array for each stream"),
            ({}, "array for each stream"),
            ({"streams": {"video": "x"}}, "array"),
        ]:
            told = session.say({"type": "segments", **wrong})
            assert told["type"] == "problem"
            assert told["status"] == 422
            assert words in told["detail"]
        assert session.say({"type": "segments", "streams": {"video": [None]}})["scores"]["execution"]["score"] is None
        assert session.say({"type": "segments", "streams": rows})["segments"] == 2


@pytest.mark.parametrize("message", ["{", "[1]", b"\x00", "[" * 5000, json.dumps({"type": "dance"})])
def test_a_session_that_makes_no_sense_ends(live_client, message):
    with Session(live_client.port, "live-run") as session:
        session.say({"type": "start"})
        told = session.say(message)
        assert told["type"] == "problem"
        assert 400 <= told["status"] < 500
        with pytest.raises(Exception, match="1008"):
            session.link.recv(timeout=10)


def test_sessions_are_bounded_and_other_sites_and_models_refused(live_client):
    with Session(live_client.port, "nothing") as session:
        assert session.say({"type": "start"})["status"] == 404
    with pytest.raises(Exception, match="403"), Session(live_client.port, "live-run", origin="http://evil.example"):
        pass
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(Session(live_client.port, "live-run")).say({"type": "start"})
        with Session(live_client.port, "live-run") as session:
            assert json.loads(session.link.recv(timeout=10))["status"] == 429


def test_the_first_message_may_carry_the_token(start, settings, interleaved_run, tmp_path):
    path = tmp_path / "token"
    path.write_text("a-long-token-of-many-letters")
    with start(settings, runs=(interleaved_run,), token_file=path) as client:
        with Session(client.port, "live-run") as session:
            assert session.say({"type": "start", "token": "wrong"})["status"] == 401
        with Session(client.port, "live-run") as session:
            assert session.say({"type": "start", "token": path.read_text()})["type"] == "started"


def test_the_command_plays_a_store_and_reads_lines(
    interleaved_run, store_path, performances, capsys, monkeypatch, tools
):
    sample = performances[0]
    expected = load(interleaved_run, device="cpu").score([sample])[0]
    words = ["live", str(interleaved_run), str(store_path), "--sample", sample.id, "--speed", "0", "--json"]
    assert main([*words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["scores"]) == sample.num_segments
    np.testing.assert_allclose([one["score"] for one in found["final"]["scores"].values()], expected, atol=1e-4)
    rows = {name: tools.as_rows(values) for name, values in sample.streams.items()}
    lines = [json.dumps({name: row[t] for name, row in rows.items()}) for t in range(sample.num_segments)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert main(["live", str(interleaved_run), "-", "--lines"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose([one["score"] for one in told[-1]["scores"].values()], expected, atol=1e-4)
    assert [one["segments"] for one in told][-1] == sample.num_segments
    for text, words in [
        ("{", "line 1"),
        ("{}\n[1]", "line 2"),
        ('{"video": [1]}', "expected width"),
        ("", "at least one"),
    ]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(["live", str(interleaved_run), "-"]) == 2
        assert words in capsys.readouterr().err


def test_a_performance_is_played_in_real_time(interleaved_run, store_path, capsys):
    """The store's segments last a second: at 50 times their speed they take a fiftieth."""
    import time

    begun = time.perf_counter()
    assert main(["live", str(interleaved_run), str(store_path), "--speed", "20"]) == 0
    out = capsys.readouterr().out
    number = int(out.splitlines()[-1].split()[0])
    assert time.perf_counter() - begun >= number / 20
    assert main(["live", str(interleaved_run), "/no/such/place"]) == 2
    assert main(["live", str(interleaved_run), str(store_path), "--sample", "no"]) == 2
