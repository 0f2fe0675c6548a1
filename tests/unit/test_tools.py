"""The gate's own checks: sizes of files and functions, and tests that were skipped without need."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import check_sizes  # noqa: E402
import compare_systems  # noqa: E402

JUNIT = """<testsuites><testsuite>{cases}</testsuite></testsuites>"""
RAN = '<testcase classname="a" name="ran"/>'
FOR_DATA = '<testcase classname="a" name="b"><skipped message="real data not found: no folder x"/></testcase>'
FOR_GPU = '<testcase classname="a" name="c"><skipped message="no accelerator here"/></testcase>'


@pytest.mark.parametrize(
    ("cases", "has_data", "code"),
    [
        ([RAN], True, 0),
        ([RAN, FOR_GPU], True, 0),
        ([RAN, FOR_DATA], False, 0),
        ([RAN, FOR_DATA], True, 1),
        ([FOR_DATA], False, 1),
        ([], True, 1),
    ],
)
def test_a_needless_skip_fails_the_gate(tmp_path, cases, has_data, code):
    junit = tmp_path / "junit.xml"
    junit.write_text(JUNIT.format(cases="".join(cases)))
    shared = tmp_path / "shared"
    if has_data:
        shared.mkdir()
    command = [sys.executable, str(TOOLS / "check_skips.py"), str(junit), "--shared", str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr


def test_what_is_too_large_is_named(tmp_path):
    body = "\n".join(f"    x{number} = {number}" for number in range(61))
    docstring = '    """' + "word\n    " * 80 + '"""'
    path = tmp_path / "large.py"
    path.write_text(f"def long():\n{body}\n\ndef wide(a, b, c, d, e, f): ...\n\ndef told():\n{docstring}\n")
    found = list(check_sizes.problems(path))
    assert len(found) == 2
    assert "long has 62 lines" in found[0]
    assert "wide takes 6 positional" in found[1]
    path.write_text("\n" * 401)
    assert "401 lines" in next(iter(check_sizes.problems(path)))


def test_systems_are_compared_on_the_same_resamples(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        for streams in ("a", "b", "a+b"):
            score = float(number)
            for system, noise in (("limssr", 1.0), ("ridge", 60.0), ("twin", 1.0)):
                prediction = score + noise * rng.normal()
                rows.append(
                    {"system": system, "id": str(number), "streams": streams, "criterion": "c", "score": score,
                     "prediction": prediction}
                )  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "predictions.parquet")
    compare_systems.main(tmp_path)
    lines = {tuple(line.split()[2:4]): line for line in capsys.readouterr().out.splitlines()}
    assert len(lines) == 4
    low = float(lines["ridge", "incomplete"].split("[")[1].split(",")[0])
    assert low > 0.2
    assert abs(float(lines["twin", "incomplete"].split()[-3])) < 0.05
