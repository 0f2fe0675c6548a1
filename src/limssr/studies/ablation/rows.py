"""The rows of the paper's ablation tables (section 4.3, appendix C) as changes to a recipe, and rows of our own.

The paper names most of its rows in half a sentence. What we take each to mean is written beside it and in
docs/ablations.md; a row is nothing but the keys that it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FULL = "Full model"
"""The recipe as it is: the row that all others are compared with."""


@dataclass(frozen=True)
class AblationRow:
    """One row.

    Attributes:
        name: What the table calls it.
        changes: Dotted key -> value, laid over the recipe.
        published: The paper's name of the row where it has one; None for a row of ours.
        meaning: What is taken away, in a sentence.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    published: str | None = None
    meaning: str = ""

    @property
    def key(self) -> str:
        """The name as a folder name."""
        kept = "".join(sign if sign.isalnum() or sign in "._=+" else "-" for sign in self.name.lower())
        return "-".join(part for part in kept.split("-") if part)


@dataclass(frozen=True)
class AblationTable:
    """A table: its number in the paper ("ours" for rows that the paper does not have), its title and its rows."""

    number: str
    title: str
    rows: tuple[AblationRow, ...]


_NO_TEXT: dict[str, Any] = {"model.prompt.variant": "none"}
_POOLED: dict[str, Any] = {"model.num_fusion_tokens": 0, "loss.slots": 0.0}
_ONE_PLAIN_PATH: dict[str, Any] = {"model.paths": "path1", "model.calibration": "none", "loss.consistency": 0.0}
_ZERO_PADDED: dict[str, Any] = {"model.absent": "zeros", "model.boundary_tokens": "none"}
_BASELINE: dict[str, Any] = {
    "model.system": "attention",
    "train.learning_rate": 1e-3,
    "train.backbone_learning_rate": None,
}

COMPONENTS = AblationTable(
    "3",
    "Components and loss terms",
    (
        AblationRow(
            "Baseline", _BASELINE, "Baseline", "cross-modal attention over the streams that exist, then an MLP"
        ),
        AblationRow(
            "+ LLM",
            {**_NO_TEXT, **_ZERO_PADDED, **_POOLED, **_ONE_PLAIN_PATH},
            "+ LLM",
            "streams through the language model, absent ones as zeros, no text, no special tokens; its hidden states "
            "are averaged and scored",
        ),
        AblationRow(
            "+ PCMI",
            {"model.prompt.parts": ["condition", "instruction"], **_POOLED, **_ONE_PLAIN_PATH},
            "+ PCMI",
            "with prompt, boundaries and placeholders; still averaged and scored",
        ),
        AblationRow(
            "+ LMRF (w/o MDA)",
            {"model.calibration": "none"},
            "+ LMRF (w/o MDA)",
            "with fusion tokens and their instruction; the plain mean of both paths",
        ),
        AblationRow(FULL, {}, "+ MDA (Ours)", "everything"),
        AblationRow(
            "w/o LMRF",
            {"model.prompt.parts": ["condition", "instruction"], **_POOLED},
            "w/o LMRF",
            "averaged hidden states in place of the fusion slots",
        ),
        AblationRow(
            "w/o PCMI",
            {"model.prompt.parts": ["fusion"], **_ZERO_PADDED},
            "w/o PCMI",
            "absent streams as zeros, no boundaries, only the fusion instruction",
        ),
        AblationRow("w/o L_con", {"loss.consistency": 0.0}, "w/o L_con", "no consistency between the paths"),
        AblationRow("w/o L_reg", {"loss.slots": 0.0}, "w/o L_reg", "no regulariser on the slots"),
    ),
)


def _backbone(name: str, published: str | None = None, meaning: str = "") -> AblationRow:
    short = published.removeprefix("LIMSSR-") if published else name
    return AblationRow(short, {"model.backbone.name": name}, published, meaning or name)


BACKBONES = AblationTable(
    "4",
    "Language models",
    (
        AblationRow(FULL, {}, None, "the recipe's language model"),
        _backbone("qwen3-0.6b", "LIMSSR-Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        _backbone("Qwen/Qwen2.5-0.5B", "LIMSSR-Qwen2.5-0.5B"),
        _backbone("openbmb/MiniCPM-1B-sft-bf16", "LIMSSR-MiniCPM-1B"),
        _backbone("meta-llama/Llama-3.2-1B", "LIMSSR-Llama3.2-1B"),
        _backbone("google/gemma-3-1b-pt", "LIMSSR-Gemma3-1B"),
        _backbone("smollm2-135m"),
        _backbone("tiny", meaning="two layers of random weights, 64 wide, that read bytes"),
    ),
)
SLOTS = AblationTable(
    "5",
    "Number of fusion tokens K",
    tuple(AblationRow(f"K = {k}", {"model.num_fusion_tokens": k}, str(k)) for k in (2, 3, 4, 5, 6)),
)
PATHS = AblationTable(
    "6",
    "Paths of the mask-aware aggregation",
    (
        AblationRow(
            "Simple fusion (w/o MDA)",
            {"model.calibration": "none"},
            "Simple Fusion (w/o MDA)",
            "the plain mean of both paths, neither calibrated",
        ),
        AblationRow("Path 1 only", {"model.paths": "path1"}, "Path 1 Only", "calibrated reasoning on the slots"),
        AblationRow("Path 2 only", {"model.paths": "path2"}, "Path 2 Only", "pattern recovery on the blocks"),
        AblationRow(FULL, {}, "Full MDA", "both, with a learned mix"),
    ),
)
LORA = AblationTable(
    "7",
    "LoRA rank and alpha",
    tuple(
        AblationRow(f"r = {r}, alpha = {alpha}", {"model.lora.rank": r, "model.lora.alpha": alpha}, f"{r} {alpha}")
        for r, alpha in ((8, 16), (8, 32), (16, 16), (16, 32), (16, 64), (32, 32), (32, 64))
    ),
)
PROMPTS = AblationTable(
    "8",
    "Prompt",
    (
        AblationRow(
            "w/o condition",
            {"model.prompt.parts": ["instruction", "fusion"]},
            "w/o Condition",
            "does not say what is there and what is missing",
        ),
        AblationRow(
            "w/o task instruction",
            {"model.prompt.parts": ["condition", "fusion"]},
            "w/o Task Inst.",
            "does not ask to infer what is missing",
        ),
        AblationRow(
            "w/o fusion guide",
            {"model.prompt.parts": ["condition", "instruction"]},
            "w/o Fusion Guide",
            "does not ask for the fused representation",
        ),
        AblationRow(
            "w/o special tokens",
            {"model.boundary_tokens": "none", "model.absent": "omitted", **_POOLED},
            "w/o Special Tokens",
            "text and features only; averaged hidden states in place of the slots",
        ),
        AblationRow(
            "w/o all prompts",
            {**_NO_TEXT, "model.boundary_tokens": "none", "model.absent": "omitted", **_POOLED},
            "w/o All Prompts",
            "features only",
        ),
        AblationRow(FULL, {}, "Full Model", "everything"),
    ),
)
OURS = AblationTable(
    "ours",
    "What the paper does not ask",
    (
        AblationRow(FULL, {}, None, "the recipe as it is"),
        AblationRow(
            "random weights", {"model.backbone.init": "random"}, None, "the same shape without the language prior"
        ),
        AblationRow("no LoRA", {"model.lora": None}, None, "the language model is not trained at all"),
        AblationRow("1 layer", {"model.backbone.num_layers": 1}, None, "only the first layer of the language model"),
        AblationRow("2 layers", {"model.backbone.num_layers": 2}, None, "its first two"),
        AblationRow("4 layers", {"model.backbone.num_layers": 4}, None, "its first four"),
        AblationRow("rows: all", {"model.train_embeddings": "all"}, None, "the whole table is trained, as published"),
        AblationRow("rows: new", {"model.train_embeddings": "new"}, None, "only the special tokens are trained"),
        AblationRow("rows: none", {"model.train_embeddings": "none"}, None, "no token is trained"),
        AblationRow("absent: omitted", {"model.absent": "omitted"}, None, "nothing stands where a stream is absent"),
        AblationRow("absent: zeros", {"model.absent": "zeros"}, None, "zeros stand there"),
        AblationRow(
            "one placeholder", {"model.num_missing_tokens": 1}, None, "one placeholder a stream, not one a segment"
        ),
        AblationRow("Eq. 17", {"loss.regularizer": "eq17"}, None, "the paper's regulariser, not the published code's"),
        AblationRow(
            "attended padding", {"data.padding": "attended"}, None, "padding read like data, as the published code does"
        ),
        AblationRow("interleaved", {"model.block_order": "interleaved"}, None, "streams segment by segment"),
        AblationRow("published prompt", {"model.prompt.variant": "published"}, None, "the published sentences"),
    ),
)
TABLES: dict[str, AblationTable] = {
    table.number: table for table in (COMPONENTS, BACKBONES, SLOTS, PATHS, LORA, PROMPTS, OURS)
}
"""`limssr ablate --table` -> table."""
