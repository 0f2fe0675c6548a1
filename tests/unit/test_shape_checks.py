"""The shapes and types in signatures are checked while tests run; without that, the signatures would be decoration."""

import pytest
import torch
from jaxtyping import TypeCheckError

from limssr.core.types import Batch


def test_a_wrong_type_in_a_batch_is_noticed():
    lengths_B = torch.tensor([3])
    good = {"video": torch.zeros(1, 3, 2)}
    present_BM, valid_BMT = torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, 3, dtype=torch.bool)
    assert len(Batch(ids=("a",), features=good, present_BM=present_BM, valid_BMT=valid_BMT, lengths_B=lengths_B)) == 1
    with pytest.raises(TypeCheckError):
        Batch(ids=("a",), features=good, present_BM=present_BM.float(), valid_BMT=valid_BMT, lengths_B=lengths_B)
    with pytest.raises(TypeCheckError):
        Batch(
            ids=("a",),
            features=good,
            present_BM=present_BM,
            valid_BMT=torch.ones(2, 1, 3, dtype=torch.bool),
            lengths_B=lengths_B,
        )
