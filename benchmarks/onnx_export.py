"""Which networks PyTorch's exporter can turn into ONNX, and how far the scores are apart (docs/decisions/onnx.md).

python benchmarks/onnx_export.py            # needs onnx, onnxscript and onnxruntime, which limssr itself does not
python benchmarks/onnx_export.py attention limssr
"""

import argparse
import importlib
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limssr.core.config import BackboneConfig, ModelConfig
from limssr.core.errors import LimssrError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.nn.contract import Network
from limssr.systems.build import build_model
from limssr.systems.table import SYSTEMS

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("score", 0.0, 10.0),)
NAMES = ("video", "audio", "present", "valid", "lengths")
LENGTHS, PATTERNS = (6, 11), (("video", "audio"), ("video",), ("audio",))
LONGEST, MAX_WORDS = 512, 110


class OnePerformance(nn.Module):
    """A network as a function of tensors alone, for a batch of one.

    Args:
        network: Calibrated.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, video: Tensor, audio: Tensor, present: Tensor, valid: Tensor, lengths: Tensor) -> Tensor:
        """Features [1, T, D], masks and length of one performance -> unit scores [1, C]."""
        features = {"video": video, "audio": audio}
        batch = Batch(ids=("one",), features=features, present_BM=present, valid_BMT=valid, lengths_B=lengths)
        return self.network(batch).unit_scores_BC


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description="Which networks can be turned into ONNX; a row each.")
    parser.add_argument("systems", nargs="*", help="only these")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    print("| network | largest difference of a score in [0, 1] | why not |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.systems or list(SYSTEMS):
            try:
                print(f"| {name} | {largest_difference(name, Path(folder) / f'{name}.onnx'):.1e} | |", flush=True)
            except Exception as error:
                print(f"| {name} | | {_in_a_line(error)} |", flush=True)


def largest_difference(name: str, path: Path) -> float:
    """Export a network with drawn weights, and score performances of other lengths and with fewer streams by both."""
    onnxruntime = importlib.import_module("onnxruntime")

    rng = np.random.default_rng(0)
    config = ModelConfig(system=name, backbone=BackboneConfig(name="tiny", num_layers=1))
    network = build_model(config, MODALITIES, CRITERIA, seed=0)
    network.calibrate([drawn(rng, LENGTHS[0], number) for number in range(20)])
    network.eval()
    length = torch.export.Dim("T", min=2, max=LONGEST)
    shapes = ({1: length}, {1: length}, None, {2: length}, None)
    with torch.no_grad():
        example = tensors(drawn(rng, LENGTHS[0], 0))
        program = torch.onnx.export(
            OnePerformance(network), example, dynamo=True, dynamic_shapes=shapes, input_names=NAMES, verbose=False
        )
        if program is None:
            raise LimssrError("the exporter gave nothing")
        program.save(path)
        session = onnxruntime.InferenceSession(path)
        differences = []
        for segments in LENGTHS:
            for streams in PATTERNS:
                given = tensors(drawn(rng, segments, 1).restricted_to(streams))
                taken = {one.name for one in session.get_inputs()}
                feed = {key: value.numpy() for key, value in zip(NAMES, given, strict=True) if key in taken}
                found = np.asarray(session.run(None, feed)[0])
                differences.append(float(np.abs(found - OnePerformance(network)(*given).numpy()).max()))
    return max(differences)


def drawn(rng: np.random.Generator, segments: int, number: int) -> Sample:
    """A performance that owns both streams."""
    streams = {one.name: rng.normal(size=(segments, one.dim)).astype(np.float32) for one in MODALITIES}
    return Sample(f"s{number}", streams, np.array([rng.uniform(0, 10)]), f"g{number}", "train")


def tensors(sample: Sample) -> tuple[Tensor, ...]:
    """What `OnePerformance` takes."""
    batch = collate([sample], MODALITIES, CRITERIA)
    return (batch.features["video"], batch.features["audio"], batch.present_BM, batch.valid_BMT, batch.lengths_B)


def _in_a_line(error: BaseException) -> str:
    """The innermost reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:MAX_WORDS].replace("|", "/")


if __name__ == "__main__":
    main()
