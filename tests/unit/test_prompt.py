"""The words in front of the streams."""

import itertools

import pytest

from limssr.core.config import PromptConfig
from limssr.model.prompt import prompt_text

NAMES = ("video", "audio", "flow")


def test_published_prompt_names_present_and_absent_streams() -> None:
    text = prompt_text(PromptConfig(variant="published"), NAMES, (True, False, False))
    assert text.startswith(
        "Given the available visual features from an action video. The audio, flow modality is missing. "
    )
    assert text.endswith("designated feature dimension positions: ")


def test_published_prompt_says_none_where_nothing_is_absent() -> None:
    assert "The none modality is missing" in prompt_text(PromptConfig(variant="published"), NAMES, (True,) * 3)


def test_clean_prompt_does_not_speak_of_missing_streams_where_there_are_none() -> None:
    text = prompt_text(PromptConfig(subject="a piano performance"), NAMES, (True,) * 3)
    assert (
        text == "You observe video, audio and flow of a piano performance. Judge the quality of the whole performance: "
    )


@pytest.mark.parametrize("present", [p for p in itertools.product((True, False), repeat=3) if any(p)])
def test_clean_prompt_names_every_stream_once(present: tuple[bool, ...]) -> None:
    text = prompt_text(PromptConfig(), NAMES, present).lower()
    for name in NAMES:
        assert text.count(name) == 1
    assert (" missing" in text) == (not all(present))


@pytest.mark.parametrize("variant", ["published", "clean"])
def test_each_part_can_be_left_out(variant: str) -> None:
    whole = prompt_text(PromptConfig(variant=variant), NAMES, (True, False, True))
    pieces = [
        prompt_text(PromptConfig(variant=variant, parts=(part,)), NAMES, (True, False, True))
        for part in ("condition", "instruction", "fusion")
    ]
    assert all(pieces)
    assert "".join(pieces) == whole
    assert prompt_text(PromptConfig(variant=variant, parts=()), NAMES, (True, False, True)) == ""
