"""Which clips are the same music, told from their notes.

Clips of one segment number share a passage by definition. Two segments are joined as well

* when some player's two clips are cuts of one recording: they share a run of notes with equal pitches **and**
  velocities (Schubert D960 was cut into 8 and into 16 bars, and the numbers of the two cuts are shifted in places); or
* when nearly all of the shorter one's printed notes also stand in the other (a passage that returns, as in a rondo).

The relation is closed under chains, and each class is one group.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from limssr.data.importers.percepiano.streams import Performance

_NAME = re.compile(r"(?P<piece>.+)_(?P<bars>\d+)bars_(?P<player>[^_]+)_(?P<number>\d+)")
# Twelve successive notes with equal pitches and velocities never occur in two different takes of this data.
RECORDING_RUN = 12
# Runs of printed pitches: long enough to be a melody, short enough to survive a changed note.
PRINTED_RUN = 8
# Returning passages share 0.87 to 1 of the shorter one's runs; varied ones 0.73 at most.
SAME_PASSAGE_SHARE = 0.8

Segment = tuple[str, int, int]
Run = tuple[int, ...]


@dataclass(frozen=True)
class Clip:
    """A clip's name, taken apart from the right: pieces hold underscores and dots.

    Attributes:
        piece: For example `Schubert_D935_no.3`.
        bars: Length of the cut.
        player: A number, or `Score` / `Score2` for a rendering of the printed score.
        number: Of the segment within the piece; written with and without leading zeros.
    """

    piece: str
    bars: int
    player: str
    number: int

    @classmethod
    def parse(cls, clip_id: str) -> "Clip":
        """From `<piece>_<bars>bars_<player>_<segment>`.

        Raises:
            ValueError: The name does not follow the pattern.
        """
        match = _NAME.fullmatch(clip_id)
        if match is None:
            raise ValueError(f"expected <piece>_<bars>bars_<player>_<segment>, found {clip_id!r}")
        return cls(match["piece"], int(match["bars"]), match["player"], int(match["number"]))

    @staticmethod
    def matches(clip_id: str) -> bool:
        """True where the name follows the pattern."""
        return _NAME.fullmatch(clip_id) is not None

    @property
    def segment(self) -> Segment:
        """Piece, bars, number: the same for all players of the passage."""
        return self.piece, self.bars, self.number

    @property
    def is_rendering(self) -> bool:
        """True for a rendering of the printed score."""
        return self.player.startswith("Score")


def passages(performances: Mapping[str, Performance], printed: Mapping[Segment, Performance]) -> dict[Segment, str]:
    """Segment -> name of its passage, `<piece>/<bars>bars/<number>` of the passage's first segment.

    Args:
        performances: Clip id -> notes, renderings among them.
        printed: Segment -> notes of its score file, where there is one.
    """
    clips = {clip_id: Clip.parse(clip_id) for clip_id in performances}
    segments = sorted({clip.segment for clip in clips.values()})
    parent = {segment: segment for segment in segments}

    def root(segment: Segment) -> Segment:
        while parent[segment] != segment:
            segment = parent[segment]
        return segment

    renderings = [
        (clips[clip_id].segment, notes) for clip_id, notes in performances.items() if clips[clip_id].is_rendering
    ]
    played = [
        (clips[clip_id].segment, notes) for clip_id, notes in performances.items() if not clips[clip_id].is_rendering
    ]
    for first, second in [*_same_recording(played), *_same_notes([*printed.items(), *renderings])]:
        # The smaller name becomes the root, so that the passage is named after its first segment.
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {segment: "{}/{}bars/{:02d}".format(*root(segment)) for segment in segments}


def _runs(columns: np.ndarray, length: int) -> set[Run]:
    """All runs of `length` successive rows of `columns` [N, ...], as tuples of integers."""
    rows = (
        np.lib.stride_tricks.sliding_window_view(columns.astype(int), length, axis=0) if len(columns) >= length else []
    )
    return {tuple(row.ravel().tolist()) for row in rows}


def _same_recording(clips: Iterable[tuple[Segment, Performance]]) -> list[tuple[Segment, Segment]]:
    """Pairs of segments of which some clips are cuts of one recording."""
    owners: dict[Run, Segment] = {}
    pairs = set()
    for segment, notes in clips:
        for run in _runs(np.stack([notes.pitch, notes.velocity], axis=1), RECORDING_RUN):
            owner = owners.setdefault(run, segment)
            if owner != segment:
                pairs.add((owner, segment))
    return sorted(pairs)


def _same_notes(renderings: Iterable[tuple[Segment, Performance]]) -> list[tuple[Segment, Segment]]:
    """Pairs of segments where the shorter one's printed notes (nearly) all stand in the other."""
    runs: dict[Segment, set[Run]] = defaultdict(set)
    for segment, notes in renderings:
        # Onsets of a chord may differ by a tick: sort the notes of one hundredth of a second by pitch.
        order = np.lexsort((notes.pitch, notes.onset_s.round(2)))
        runs[segment] |= _runs(notes.pitch[order], PRINTED_RUN)
    pairs = []
    for first, second in combinations(sorted(runs), 2):
        smaller = min(len(runs[first]), len(runs[second]))
        if smaller and len(runs[first] & runs[second]) >= SAME_PASSAGE_SHARE * smaller:
            pairs.append((first, second))
    return pairs
