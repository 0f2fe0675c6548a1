"""Names of tensors: in a state dict of the published code, and in our model.

Both name the same tensors, so the map is a table of prefixes that is read from either side.
"""

from dataclasses import dataclass
from typing import Literal

STREAMS: dict[str, str] = {"v": "video", "a": "audio", "f": "flow"}
"""Letters of the published streams -> our names, in the order of their masks."""

_MODULES = (
    ("token_role_weight", "head.path1.role"),
    ("missing_confidence", "head.path2.reliability"),
    ("w1", "head.mix"),
    ("LN.", "head.path1.norm."),
    ("cond_head.", "head.path1.residual."),
    ("cond_gate.", "head.path1.gate."),
    ("regressor.", "head.main."),
    ("auxiliary_regressor.", "head.aux."),
    ("cross_modal_attn.", "head.path2.attention."),
    ("modal_gate.", "head.path2.gate."),
)
_CONVOLUTIONS = ("0.weight", "4.weight")


@dataclass(frozen=True)
class KeyMap:
    """The two names of every tensor.

    Attributes:
        letters: The M streams as the state dict calls them, in the order of the model.
        adapters: "lora" where the language model is wrapped by adapters, as the published script does.
    """

    letters: tuple[str, ...] = tuple(STREAMS)
    adapters: Literal["lora", "none"] = "lora"

    @property
    def backbone(self) -> str:
        """What the names of the language model's tensors begin with."""
        return "language_model.base_model.model." if self.adapters == "lora" else "language_model."

    @property
    def table(self) -> str:
        """The token table."""
        return f"{self.backbone}model.embed_tokens.weight"

    @property
    def output_matrix(self) -> str:
        """The language model's output matrix: part of the file, never of a score."""
        return f"{self.backbone}lm_head.weight"

    def ours(self, key: str) -> str | None:
        """Published name -> ours; None for what our model does not have."""
        return _translate(key, self._pairs())

    def published(self, name: str) -> str | None:
        """Our name -> the published one; None for what the published model does not have."""
        return _translate(name, [(ours, theirs) for theirs, ours in self._pairs()])

    def is_convolution(self, key: str) -> bool:
        """Whether a published tensor is a convolution of width 1 [H, D, 1], which is a linear map [H, D] here."""
        return key.startswith("feature_to_llm.") and key.endswith(_CONVOLUTIONS)

    def published_shape(self, key: str, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that a tensor has in the state dict."""
        return (*ours, 1) if self.is_convolution(key) else ours

    def _pairs(self) -> list[tuple[str, str]]:
        streams = [
            pair
            for index, letter in enumerate(self.letters)
            for pair in (
                (f"feature_to_llm.{letter}.", f"projections.{index}.layers."),
                (f"modal_norms.{letter}.", f"head.path2.norms.{index}."),
            )
        ]
        # The table stands before the rest of the language model: the first prefix that fits is taken.
        return [(self.table, "tokens.table"), (f"{self.backbone}model.", "backbone."), *streams, *_MODULES]


def _translate(name: str, pairs: list[tuple[str, str]]) -> str | None:
    for before, after in pairs:
        if name == before or (before.endswith(".") and name.startswith(before)):
            return after + name.removeprefix(before)
    return None
