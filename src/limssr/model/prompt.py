"""The instruction in front of the streams (paper sections 3.4 and 3.5) and its ablations (Table 8)."""

from collections.abc import Sequence

from limssr.core.config import PromptConfig, PromptPart

# The published prompt is a constant of the published format: the five sentences quoted in sections 3.4 and 3.5 of the
# paper (arXiv 2605.00434, CC BY 4.0), joined by single blanks, ending in a colon and one blank.
_PUBLISHED: dict[PromptPart, str] = {
    "condition": ("Given the available {available} features from an action video. The {absent} modality is missing. "),
    "instruction": (
        "Based on the available modalities, please infer and reconstruct the useful latent representations "
        "for the missing {absent} modalities at the designated positions. "
    ),
    "fusion": (
        "Then integrate and enhance all multimodal features for action quality assessment. Output the fused "
        "multi-dimensional feature representations at the designated feature dimension positions: "
    ),
}
_PUBLISHED_WORDS = {"video": "visual"}


def prompt_text(config: PromptConfig, names: Sequence[str], present: Sequence[bool]) -> str:
    """The prompt for one pattern of present streams.

    Args:
        config: Variant and parts.
        names: All modality names, in the model's order.
        present: For each of them, whether it exists.

    Returns:
        The text; empty with variant "none" or without parts. Parts keep the order condition, instruction, fusion.
    """
    available = [name for name, owned in zip(names, present, strict=True) if owned]
    absent = [name for name, owned in zip(names, present, strict=True) if not owned]
    if config.variant == "none":
        return ""
    if config.variant == "published":
        words = {"available": _published_list(available), "absent": _published_list(absent)}
        parts = {part: sentence.format(**words) for part, sentence in _PUBLISHED.items()}
    else:
        parts = _clean_parts(config.subject, available, absent)
    return "".join(text for part, text in parts.items() if part in config.parts)


def _published_list(names: Sequence[str]) -> str:
    # NOTE(paper): with nothing absent the published prompt speaks of "the none modality"; kept word for word.
    return ", ".join(_PUBLISHED_WORDS.get(name, name) for name in names) or "none"


def _clean_parts(subject: str, available: Sequence[str], absent: Sequence[str]) -> dict[PromptPart, str]:
    condition = f"You observe {_and(available)} of {subject}."
    instruction = ""
    if absent:
        were = "is" if len(absent) == 1 else "are"
        named = _and(absent)
        condition += f" {named[:1].upper()}{named[1:]} {were} missing."
        instruction = "Infer what is missing from what you observe. "
    return {
        "condition": condition + " ",
        "instruction": instruction,
        "fusion": "Judge the quality of the whole performance: ",
    }


def _and(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
