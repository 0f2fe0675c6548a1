"""Several processes behind one port: one may die, and nobody gets a wrong answer."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

JSON = {"Content-Type": "application/json"}
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers below /proc")


def asked(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, JSON)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def workers_of(process):
    """Process ids of what serves; the tracker of multiprocessing is none."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    found = set()
    for pid in pids:
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


def wait_for(found, seconds=60):
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def serving(*words):
    """The command in a process of its own, and its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "limssr", "serve", *words, "--port", "0"],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        said = []
        try:
            for line in process.stderr:
                said.append(line)
                if "Serving" in line:
                    break
            assert said, process.wait()
            assert "Serving" in said[-1], said
            threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()
            yield process, int(re.search(r"127\.0\.0\.1:(\d+)", said[-1])[1]), said
        finally:
            process.kill()


def test_a_killed_worker_is_replaced_and_answers_stay_right(served_run, client, performances, tools):
    bodies = [json.dumps({**tools.body_of(one), "model": "ridge"}) for one in performances[:4]]
    expected = [json.loads(client.post("/v1/score", body.encode()).content)["samples"] for body in bodies]
    stop, right, wrong, lost = threading.Event(), [], [], []

    def ask(which):
        while not stop.is_set():
            try:
                status, content = asked(port, "POST", "/v1/score", bodies[which])
            except (OSError, http.client.HTTPException):
                lost.append(which)  # its worker died under it: no answer, and none that is wrong
                continue
            ok = status == 200 and json.loads(content)["samples"] == expected[which]
            (right if ok else wrong).append((status, content))

    with serving(str(served_run / "references" / "ridge"), "--workers", "2") as (process, port, said):
        assert "2 workers" in said[-1]
        wait_for(lambda: len(workers_of(process)) == 2)
        clients = [threading.Thread(target=ask, args=(which,)) for which in range(len(bodies))]
        for one in clients:
            one.start()
        wait_for(lambda: len(right) > 20)
        victim = min(workers_of(process))
        os.kill(victim, signal.SIGKILL)
        answered = len(right)
        wait_for(lambda: len(right) > answered + 20)
        wait_for(lambda: len(workers_of(process) - {victim}) == 2)
        stop.set()
        for one in clients:
            one.join()
        assert not wrong
        assert len(lost) <= 2 * len(bodies)
        status, counters = asked(port, "GET", "/metrics")
        counted = re.search(rb'limssr_requests_total\{route="/v1/score",status="200"\} (\d+)', counters)
        assert status == 200
        # The victim may have sent an answer to each client that it did not live to count.
        assert len(right) - len(bodies) <= int(counted[1]) <= len(right) + len(lost)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0
    assert any("worker replaced" in line for line in said)
