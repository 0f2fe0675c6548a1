"""Run the command line as a program would, inside this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from limssr.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Stdout as exactly one JSON document (`json.loads` refuses anything behind it, and NaN is refused here)."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture
def limssr(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`limssr("data", "inspect", store)` -> Outcome."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
