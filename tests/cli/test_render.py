"""The tables that people see, as they come out of a pipe."""

import io
import json

import pytest

from limssr.cli.output import Answer, print_answer
from limssr.cli.render import evaluation_lines
from limssr.data.missing import subsets


def document(streams: tuple[str, ...], systems: tuple[str, ...]) -> dict:
    def scored(start: float) -> dict:
        found = [
            {"streams": list(names), "num_samples": 270, "spearman": start + number / 1000,
             "spearman_ci": [0.123, 0.456], "mse": 0.0109, "pearson": 0.5, "mae": 0.08, "relative_l2": 3.0}
            for number, names in enumerate(subsets(streams))
        ]  # fmt: skip
        part = {"spearman": start + 0.1, "mse": 0.0109}
        return {"subsets": found, "average_incomplete": part, "full": part}

    around = {"split": "test", "selection": "val", "availability": None}
    return {**around, **scored(0.5), "systems": {name: scored(0.5) for name in systems}}


def shown(found: dict) -> str:
    out = io.StringIO()
    print_answer(Answer(found, evaluation_lines(found)), "text", out)
    json.dumps(found)
    return out.getvalue()


@pytest.mark.parametrize("streams", [("timing", "dynamics", "pedal"), ("a", "b", "c", "d")])
def test_no_number_is_cut_in_a_pipe(streams: tuple[str, ...]) -> None:
    systems = (
        "limssr",
        "ridge",
        "extra-trees",
        "extra-trees-repeated",
        "extra-trees-complete",
        "attention",
        "statistics",
    )
    text = shown(document(streams, systems))
    assert "…" not in text
    assert "[0.123, 0.456]" in text
    for number in range(len(subsets(streams))):
        assert text.count(f"{0.5 + number / 1000:.3f}") >= (len(systems) if number < 6 else 1)
    assert text.count("0.0109") >= 2 * len(systems)


def test_systems_are_rows_while_the_subsets_fit() -> None:
    lines = shown(document(("timing", "dynamics", "pedal"), ("limssr", "ridge"))).splitlines()
    row = next(line for line in lines if line.strip().startswith("ridge"))
    assert len(row.split()) == 1 + 6 + 4
