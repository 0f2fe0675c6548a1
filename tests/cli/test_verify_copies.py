"""`limssr data verify` finds the same recording under several ids, however it came into the store."""

import numpy as np
import pytest

from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.writer import StoreWriter

MODALITIES = (Modality("video", 4), Modality("audio", 3))


def write(path, copied=(), only=("video", "audio")):
    """Twelve samples, four of each split in turn; `copied` gives a sample the streams of another."""
    random = np.random.default_rng(1)
    found = [{one.name: random.normal(size=(5, one.dim)).astype(np.float32) for one in MODALITIES} for _ in range(12)]
    for source, target in copied:
        found[target] = found[target] | {name: found[source][name] for name in only}
    with StoreWriter(path, name="x", modalities=MODALITIES, criteria=[Criterion("t", 0, 12)], provenance={}) as writer:
        for number, streams in enumerate(found):
            split = ("train", "val", "test")[number % 3]
            writer.add(Sample(f"s{number}", streams, np.array([float(number)]), None, split))
    return path


@pytest.mark.parametrize(
    ("copied", "only", "said"),
    [
        ([], ("video", "audio"), ""),
        ([(0, 2)], ("video", "audio"), "identical features under other ids in two splits: 1 pairs of samples, such as "
            "'s0' (train) = 's2' (test)"),
        ([(0, 1), (1, 2)], ("video", "audio"), "identical features under other ids in two splits: 2 pairs"),
        ([(0, 3)], ("video", "audio"), "identical features under other ids in one split: 1 pairs"),
        ([(1, 2)], ("audio",), "one identical stream of several in two splits: 1 pairs"),
    ],
)  # fmt: skip
def test_copies_are_found(limssr, tmp_path, copied, only, said):
    store = write(tmp_path / "store", copied, only)
    outcome = limssr("data", "verify", store)
    assert outcome.code == 0
    assert "every file and every sample as written" in outcome.out
    assert ("warning: " + said in " ".join(outcome.out.split())) if said else "warning" not in outcome.out
    copies = limssr("data", "verify", store, "--json").document["copies"]
    assert [sentence[: len(said)] for sentence in copies] == ([said] if said else [])
