"""Sound in overlapping windows, each standing for the moment at its centre."""

import numpy as np
from jaxtyping import Float32

from limssr.media.clock import NS, rows_ns
from limssr.media.decode import SOUND_RATE_HZ, Sound

# Half a sample: a piece that begins this close to the end of the last one follows it.
_SLACK_NS = NS // (2 * SOUND_RATE_HZ) + 1


class Windows:
    """Cut sound into windows; where it has a gap, begin anew.

    The first window of a run is centred on its first sample; what is missing before is zero.

    Args:
        window: Samples a window.
        hop: Samples from one window to the next.
    """

    def __init__(self, window: int, hop: int) -> None:
        self._window, self._hop = window, hop
        self._begin(0)

    def add(self, sound: Sound) -> tuple[np.ndarray, Float32[np.ndarray, "N W"]]:
        """The next piece of sound -> centres in ns [N] and windows [N, window] that are complete now."""
        expected_ns = self._start_ns + round(self._num_in * NS / SOUND_RATE_HZ)
        if self._num_in == 0 or abs(sound.start_ns - expected_ns) > _SLACK_NS:
            self._begin(sound.start_ns)
        self._num_in += len(sound.samples_N)
        self._held = np.concatenate([self._held, sound.samples_N])
        number = max((len(self._held) - self._window) // self._hop + 1, 0)
        if not number:
            return np.empty(0, np.int64), np.empty((0, self._window), np.float32)
        windows_NW = np.lib.stride_tricks.sliding_window_view(self._held, self._window)[:: self._hop][:number]
        times_ns = rows_ns(number, SOUND_RATE_HZ / self._hop, self._start_ns, first=self._num_out)
        self._num_out += number
        self._held = self._held[number * self._hop :]
        return times_ns, windows_NW

    def _begin(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._num_in = self._num_out = 0
        self._held = np.zeros(self._window // 2, np.float32)


class Gathered:
    """Joins pieces of sound into longer ones, so that each step has enough to do.

    Args:
        samples: A gathered piece has at least so many, except the last of a run.
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._start_ns = 0
        self._held: list[np.ndarray] = []
        self._number = 0

    def add(self, sound: Sound) -> list[Sound]:
        """The next piece -> gathered pieces that are ready."""
        ready = []
        end_ns = self._start_ns + round(self._number * NS / SOUND_RATE_HZ)
        if self._held and abs(sound.start_ns - end_ns) > _SLACK_NS:
            ready += self.rest()
        if not self._held:
            self._start_ns = sound.start_ns
        self._held.append(sound.samples_N)
        self._number += len(sound.samples_N)
        if self._number >= self._samples:
            ready += self.rest()
        return ready

    def rest(self) -> list[Sound]:
        """What is still held."""
        if not self._held:
            return []
        sound = Sound(start_ns=self._start_ns, samples_N=np.concatenate(self._held))
        self._held, self._number = [], 0
        return [sound]
