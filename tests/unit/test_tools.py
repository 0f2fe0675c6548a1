"""The tools: what the gate checks by itself, and how results are read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import check_sizes
import flattery
from limssr.core.config import RunConfig, TrainConfig
from limssr.runs.folder import write_config, write_run

TOOLS = Path(__file__).resolve().parents[2] / "tools"

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


def test_a_dataclass_of_many_fields_is_keyword_only(tmp_path):
    fields = [f"    field{number}: int\n" for number in range(6)]
    path = tmp_path / "dataclasses.py"

    def found(decorator, body):
        path.write_text(f"{decorator}\nclass Many:\n{''.join(body)}")
        return list(check_sizes.problems(path))

    assert "Many takes 6 fields by position" in found("@dataclass", fields)[0]
    assert "Many takes 6 fields by position" in found("@dataclasses.dataclass(frozen=True)", fields)[0]
    assert not found("@dataclass(frozen=True, kw_only=True)", fields)
    assert not found("@dataclass", [*fields[:5], "    _: KW_ONLY\n", fields[5]])
    assert not found(
        "@dataclass", [*fields[:5], "    other: ClassVar[int] = 1\n", "    made: int = field(init=False)\n"]
    )
    assert not found("@register", fields)


def test_flattery_is_what_the_test_split_adds_to_the_choice(tmp_path, capsys):
    numbers = [(3.0, 0.40, 9.0), (1.0, 0.50, 5.0), (2.0, 0.62, 4.0), (2.5, 0.55, 4.5)]
    for seed in (1, 2):
        run = tmp_path / f"seed{seed}"
        run.mkdir()
        config = RunConfig(train=TrainConfig(epochs=4, selection="test"))
        write_config(run, config)
        write_run(run, {"status": "done"})
        lines = [
            {"epoch": epoch, "val_loss": val, "test_spearman": rho + seed / 100, "test_mse": mse}
            for epoch, (val, rho, mse) in enumerate(numbers)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    flattery.main([tmp_path / "seed1", tmp_path / "seed2"])
    text = capsys.readouterr().out
    assert "| seed1 | 2 | 4 | 3 | 0.510 | 0.560 | 0.630 | +0.120 | 5.0000 | 4.0000 |" in text
    assert "test - val: +0.1200 ± 0.0000 over 2 runs" in text
    assert "test - last: +0.0700 ± 0.0000 over 2 runs" in text


def test_flattery_cannot_be_asked_of_an_honest_run(tmp_path):
    write_config(tmp_path, RunConfig())
    write_run(tmp_path, {"status": "done"})
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"epoch": 0, "val_loss": 1.0}) + "\n")
    with pytest.raises(SystemExit, match="selection: test"):
        flattery.main([tmp_path])
