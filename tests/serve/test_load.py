"""`limssr benchmark serve` and `limssr benchmark live` at small size."""

import gc
import json
import os
from pathlib import Path

import pytest

from limssr.cli import main
from limssr.core.errors import InputError
from limssr.serve.load import measure_load


def test_a_server_is_measured_beside_a_loop(served_run):
    report = measure_load(served_run, clients=(1, 3), requests=6, ways=("serve",))
    assert [(one.way, one.clients) for one in report.levels] == [("loop", 1), ("serve", 1), ("serve", 3)]
    for one in report.levels:
        assert one.failed == 0
        assert 0 < one.p50 <= one.p95 <= one.p99
        assert one.a_second > 0
    assert list(report.memory_mib) == [11, 17]
    with pytest.raises(InputError, match="1 to 256 clients"):
        measure_load(served_run, clients=(1_000,))


def test_memory_does_not_grow_with_requests(client, performances, tools):
    """In the process of the tests; 120 requests that were kept would be tens of MiB."""
    body = json.dumps(tools.body_of(*performances[:2])).encode()

    def resident_mib(number):
        for _ in range(number):
            assert client.post("/v1/score", body).status == 200
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    kept = 120 * sum(array.nbytes for one in performances[:2] for array in one.streams.values()) / 2**20
    before = resident_mib(30)
    assert resident_mib(120) < before + kept / 2


def test_a_new_segment_is_measured_beside_reading_all_again(tmp_path, capsys):
    out = tmp_path / "live.json"
    words = ["benchmark", "live", "--backbone", "tiny", "--segments", "12", "--repeats", "1", "--sessions", "1", "2"]
    assert main([*words, "--out", str(out)]) == 0
    assert "times" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert found["tokens"]["kept"] == 3
    assert found["difference"] < 1e-5
    assert found["as_trained"] > 0
    assert set(found["together"]) == {"1", "2"}
    assert "12" in found["again"]
