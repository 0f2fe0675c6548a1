import dataclasses

import numpy as np
import pytest
import torch

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.systems.build import build_model
from limssr.systems.parts.memory import StreamMemory, neighbour_weights, stretched

MODALITIES = (Modality("a", 2), Modality("b", 3))
CRITERIA = (Criterion("x"),)


def sample(name: str, kind: int, *, length: int = 4, owned: tuple[str, ...] = ("a", "b"), turn: float = 0.0) -> Sample:
    """Stream a shows the kind as a direction, stream b as a constant; a turn makes another recording of it."""
    angle = 2.1 * kind + turn
    streams = {
        "a": np.tile([np.cos(angle), np.sin(angle)], (length, 1)).astype(np.float32),
        "b": np.full((length, 3), 10.0 * kind, dtype=np.float32),
    }
    return Sample(name, {stream: streams[stream] for stream in owned}, np.array([0.3 * kind]))


def memory_of(samples: list[Sample], *, size: int = 8) -> StreamMemory:
    memory = StreamMemory(MODALITIES, size, 3)
    memory.fill(samples)
    return memory


def retrieve(memory: StreamMemory, *wanted: Sample, num_neighbours: int = 1):
    return memory.retrieve(collate(wanted, MODALITIES, CRITERIA), num_neighbours, 0.1)


TRAINED = [sample(f"{kind}-{n}", kind) for kind in range(3) for n in range(2)]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_nearest_by_what_is_there_gives_what_is_not(kind):
    found = retrieve(memory_of(TRAINED), sample("new", kind, length=6, owned=("a",), turn=0.05))
    assert found.found_BM.tolist() == [[False, True]]
    torch.testing.assert_close(found.streams[1], torch.full((1, 6, 3), 10.0 * kind))


def test_a_sample_never_finds_itself():
    memory = memory_of([sample("0-0", 0), sample("1-0", 1)])
    memory.eval()
    assert retrieve(memory, sample("other", 0, owned=("a",))).streams[1].max() == 10.0  # the same recording
    for name in ("other", "0-0"):  # another one, whatever its name
        assert retrieve(memory, sample(name, 0, owned=("a",), turn=0.05)).streams[1].max() == 0.0
    memory.train()  # a step shows pieces of recordings, which only a name tells apart
    assert retrieve(memory, sample("0-0", 0, owned=("a",), turn=0.05)).streams[1].max() == 10.0


def test_what_was_never_owned_together_is_the_mean_and_what_nobody_owns_stays_absent():
    apart = [sample("p", 1, owned=("b",)), sample("q", 2, owned=("b",)), sample("r", 1, owned=("a",))]
    found = retrieve(memory_of(apart), sample("new", 1, owned=("a",)))
    torch.testing.assert_close(found.streams[1], torch.full((1, 4, 3), 15.0))
    lonely = memory_of([sample("r", 1, owned=("a",))])
    assert not retrieve(lonely, sample("new", 1, owned=("a",))).found_BM.any()


def test_a_small_memory_keeps_the_samples_with_most_streams():
    memory = memory_of([*(sample(f"half-{n}", n, owned=("a",)) for n in range(3)), *TRAINED], size=6)
    assert memory.get_buffer("owned_SM").all()


def test_weights_are_a_softmax_over_the_nearest_that_are_allowed():
    similarity = torch.tensor([[0.9, 0.5, 0.4, 0.8], [0.1, 0.2, 0.3, 0.4]])
    allowed = torch.tensor([[False, True, True, True], [False, False, False, False]])
    weights = neighbour_weights(similarity, allowed, 2, 0.1)
    expected = torch.softmax(torch.tensor([5.0, 8.0]), dim=0)
    torch.testing.assert_close(weights[0], torch.tensor([0.0, expected[0], 0.0, expected[1]]))
    assert weights[1].tolist() == [0.0] * 4


def test_stretching_is_straight_lines_over_each_length():
    points = torch.tensor([[[0.0], [2.0], [4.0]], [[1.0], [1.0], [7.0]]])
    found = stretched(points, torch.tensor([5, 1]), 5)
    torch.testing.assert_close(found[..., 0], torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 0.0, 0.0]]))


def test_a_retrieved_stream_is_marked():
    config = ModelConfig(system="missrag", hidden=8, options={"memory_size": 8})
    model = build_model(config, MODALITIES, CRITERIA, seed=0).eval()
    model.calibrate(TRAINED)
    batch = collate([sample("new", 1, turn=0.05), sample("new", 1, owned=("a",), turn=0.05)], MODALITIES, CRITERIA)
    whole, found_BM = model.complete(batch)
    torch.testing.assert_close(whole.features["b"][0], whole.features["b"][1])
    assert found_BM.tolist() == [[False, False], [False, True]]
    own, retrieved = model(batch).unit_scores_BC
    assert not torch.equal(own, retrieved)
    with torch.no_grad():
        model.retrieved_MH.zero_()
    torch.testing.assert_close(*model(dataclasses.replace(batch)).unit_scores_BC)
