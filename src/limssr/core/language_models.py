"""Folders of language models on this machine: made of GGUF files once, hashed, and loaded without running code."""

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from limssr.core.conversions import kept_conversion
from limssr.core.errors import ArtifactError, InputError, LimssrError
from limssr.core.files import sha256_of
from limssr.core.reading.model_folder import outside_of
from limssr.core.reading.regular import open_regular

LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How everything is loaded from a folder: nothing is fetched, and no code that lies beside weights is run."""


def converted(file: Path) -> tuple[Path, str]:
    """A GGUF file dequantised once into an ordinary folder in the cache (float32, safetensors)."""
    fingerprint = hash_files([file])

    def convert(folder: Path) -> None:
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModel, AutoTokenizer

        with loading(str(file)), contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no option turns off
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name, **LOCAL)
            model = AutoModel.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32, **LOCAL)
        tokenizer.save_pretrained(folder)
        del model.config.quantization_config  # the weights are plain float32 from here on
        model.config.save_pretrained(folder)
        save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})

    return kept_conversion(f"{file.stem}-{fingerprint[:16]}", convert), fingerprint


def hash_files(files: list[Path]) -> str:
    """SHA-256 over the hashes of files, in their order."""
    if not files:
        raise ArtifactError("Expected at least one *.safetensors file in the backbone folder, found none.")
    digest = hashlib.sha256()
    for file in files:
        open_regular(outside_of(file)).close()  # refuses what is no file; what is one is hashed in pieces
        digest.update(bytes.fromhex(sha256_of(file)))
    return digest.hexdigest()


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """What goes wrong inside says that the backbone is damaged or of another kind, whatever library found it."""
    try:
        yield
    except (LimssrError, MemoryError):
        raise
    except BaseException as error:
        # What Rust calls a panic passes by every ordinary handler.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"Expected a language model that transformers can load in {name}, found a damaged or incomplete one, or "
            f"one of another kind ({reason}). Copy or download it again, or choose another backbone."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and reports of transformers."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
