"""What systems on video and text share: which streams those are, and learned queries that read a sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limssr.core.errors import InputError
from limssr.core.types import Modality, Sample


def video_and_text(system: str, modalities: Sequence[Modality], video: str | None, text: str | None) -> tuple[int, int]:
    """Places of the two streams among the modalities.

    Args:
        system: Its name, for messages.
        modalities: The M streams.
        video: Name of the stream that is watched; None: "video", or of two streams the one that is not text.
        text: Name of the stream of text; None: the only stream of words, or else "text".

    Raises:
        InputError: One of them does not exist, or both are the same.
    """
    names, of_words = [item.name for item in modalities], [item.name for item in modalities if item.words]
    text = text or (of_words[0] if len(of_words) == 1 else "text")
    others = [name for name in names if name != text]
    video = video or (others[0] if len(others) == 1 and text in names and "video" not in names else "video")
    places = {}
    for option, name in (("video", video), ("text", text)):
        if name not in names:
            raise InputError(
                f"{system} needs a stream of {option}, expected one called '{name}', found {', '.join(names)}: "
                f"name it with model.options.{option}=STREAM, or take a system that does without."
            )
        places[option] = names.index(name)
    if places["video"] == places["text"]:
        raise InputError(f"{system}: video and text must be two streams, found '{modalities[places['video']].name}'.")
    return places["video"], places["text"]


def check_pairs(system: str, samples: Sequence[Sample], video: str, text: str) -> None:
    """Refuse training samples of which none owns both streams: what joins them could not be learned.

    Raises:
        InputError: There is none.
    """
    if not any(video in sample.streams and text in sample.streams for sample in samples):
        raise InputError(
            f"{system} learns from samples that own both {video} and {text}, found none among {len(samples)} training "
            "samples: give it some, or take a system that does without."
        )


class QueryReader(nn.Module):
    """Learned queries that attend to a sequence, one head.

    Args:
        hidden: H.
        num_queries: Q.
    """

    def __init__(self, hidden: int, num_queries: int) -> None:
        super().__init__()
        self.queries_QH = nn.Parameter(torch.randn(num_queries, hidden))
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x_BTH: Tensor, real_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Sequence and what of it is real -> tokens [B, Q, H], logarithms of the attention [B, Q, T]."""
        scores_BQT = torch.einsum("qh,bth->bqt", self.queries_QH, self.key(x_BTH)) / x_BTH.shape[2] ** 0.5
        # a row without any real place attends to its zeros; the lowest number instead of -inf keeps gradients numbers
        ignored_BT = ~real_BT & real_BT.any(dim=1, keepdim=True)
        lowest = torch.finfo(scores_BQT.dtype).min
        log_BQT = scores_BQT.masked_fill(ignored_BT[:, None], lowest).log_softmax(dim=2)
        return self.norm(self.queries_QH + log_BQT.exp() @ self.value(x_BTH)), log_BQT


def mean_of_rows(value_B: Tensor, rows_B: Tensor) -> Tensor:
    """Mean over the rows that count; zero, with a graph, where none does."""
    return value_B.masked_fill(~rows_B, 0.0).sum() / rows_B.sum().clamp(min=1)
