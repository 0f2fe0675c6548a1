"""Made-up routines: a figure that dances to music, filmed and recorded, with faults that a judge can count.

What the judge counts is known exactly: how far arms and legs reach and how often the figure stumbles, which is seen,
how steadily the music is played and how often a note is wrong, which is heard.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.media.extras import import_cv2
from limssr.media.write import WriteOptions, write_media

HEIGHT_PX, WIDTH_PX, PICTURES_HZ, SOUND_HZ = 240, 320, 15, 16_000
MOST_STUMBLES, MOST_WRONG = 4, 6
STUMBLE_S = 0.7
HIGHEST = 40.0
# Semitones from A4 of the tune, one a beat.
TUNE = (-9, -5, -2, -5, -4, 0, 3, 0, -7, -4, 0, -4, -9, -5, -2, 3)
SKIN, SHIRT, TROUSERS, FLOOR = (224, 172, 138), (178, 58, 72), (42, 52, 96), (188, 176, 150)
SHOES, HAIR = (30, 30, 30), (70, 45, 30)


@dataclass(frozen=True, kw_only=True)
class Routine:
    """What happens in a recording.

    Attributes:
        length_s: Of the recording.
        beats_per_min: Tempo that the music should have.
        reach: How far limbs go, in [0.25, 1].
        stumbles_s: When the figure stumbles.
        unsteady: Deviation of the beats from the tempo, as a share of a beat, in [0, 0.25].
        wrong: Numbers of the beats with a wrong note.
        seed: Of everything that does not matter: clothes, place, small movements.
    """

    length_s: float
    beats_per_min: float
    reach: float
    stumbles_s: tuple[float, ...]
    unsteady: float
    wrong: tuple[int, ...]
    seed: int

    @property
    def score(self) -> float:
        """The judge's rule: ten points each for reach, for no stumble, for a steady beat and for right notes."""
        points = (
            (self.reach - 0.25) / 0.75,
            1 - len(self.stumbles_s) / MOST_STUMBLES,
            1 - self.unsteady / 0.25,
            1 - len(self.wrong) / MOST_WRONG,
        )
        return round(HIGHEST / 4 * sum(points), 2)


def make_routine(number: int, *, length_s: float, seed: int) -> Routine:
    """The routine of a number; all of them are independent."""
    random = np.random.default_rng((seed, number))
    beats_per_min = float(random.uniform(90, 140))
    num_beats = int(length_s * beats_per_min / 60)
    places_s = random.permutation(np.arange(0.5, length_s - STUMBLE_S, STUMBLE_S + 0.2))
    num_stumbles = min(int(random.integers(0, MOST_STUMBLES + 1)), len(places_s))
    num_wrong = min(int(random.integers(0, MOST_WRONG + 1)), num_beats)
    return Routine(
        length_s=length_s,
        beats_per_min=beats_per_min,
        reach=float(random.uniform(0.25, 1)),
        stumbles_s=tuple(sorted(float(second) for second in places_s[:num_stumbles])),
        unsteady=float(random.uniform(0, 0.25)),
        wrong=tuple(sorted(int(beat) for beat in random.permutation(num_beats)[:num_wrong])),
        seed=int(random.integers(2**31)),
    )


def film(routine: Routine, path: Path, *, sound: bool = True) -> Path:
    """Write the recording of a routine, with or without its sound."""
    options = WriteOptions(picture_hz=PICTURES_HZ, sound_hz=SOUND_HZ)
    sound_NC = play(routine)[:, None] if sound else None
    return write_media(path, pictures=_pictures(routine), sound_NC=sound_NC, options=options)


def play(routine: Routine) -> np.ndarray:
    """The music, [N] in [-1, 1]: a decaying tone with overtones at each beat."""
    random = np.random.default_rng((routine.seed, 1))
    beat_s = 60 / routine.beats_per_min
    samples_N = np.zeros(round(routine.length_s * SOUND_HZ), np.float64)
    seconds = np.arange(round(0.9 * beat_s * SOUND_HZ)) / SOUND_HZ
    for beat in range(int(routine.length_s / beat_s)):
        note = TUNE[beat % len(TUNE)] + (int(random.choice([-1, 1])) if beat in routine.wrong else 0)
        late_s = float(random.normal(0, routine.unsteady * beat_s))
        begin = round(min(max(beat * beat_s + late_s, 0), routine.length_s) * SOUND_HZ)
        cycles = 440 * 2 ** (note / 12) * seconds
        tone = sum(np.sin(2 * np.pi * overtone * cycles) / overtone**2 for overtone in (1, 2, 3))
        piece = (0.3 * tone * np.exp(-3 * seconds / beat_s) * np.minimum(seconds / 0.005, 1))[: len(samples_N) - begin]
        samples_N[begin : begin + len(piece)] += piece
    samples_N += 0.001 * random.normal(size=len(samples_N))
    return np.clip(samples_N, -1, 1).astype(np.float32)


def _pictures(routine: Routine) -> Iterator[tuple[float, np.ndarray]]:
    random = np.random.default_rng((routine.seed, 2))
    wall = random.integers(150, 215, 3)
    stripes_HW = np.kron(random.integers(-12, 12, (6, 8)), np.ones((HEIGHT_PX // 6, WIDTH_PX // 8)))
    ground_HWC = np.clip(wall + stripes_HW[:, :, None], 0, 255).astype(np.uint8)
    ground_HWC[round(HEIGHT_PX * 0.8) :] = FLOOR
    place = float(random.uniform(0.42, 0.58))
    for frame in range(round(routine.length_s * PICTURES_HZ)):
        time_s = frame / PICTURES_HZ
        yield time_s, _draw(ground_HWC.copy(), routine, time_s, place)


def _draw(picture_HWC: np.ndarray, routine: Routine, time_s: float, place: float) -> np.ndarray:
    """The figure at a moment: arms and one leg go out and back with the beat, the body steps from side to side."""
    cv2 = import_cv2()
    phase = time_s * routine.beats_per_min / 60
    swing = 0.5 - 0.5 * math.cos(math.pi * phase)
    falling_s = [time_s - at_s for at_s in routine.stumbles_s if at_s <= time_s <= at_s + STUMBLE_S]
    fall = max((math.sin(math.pi * since_s / STUMBLE_S) for since_s in falling_s), default=0.0)
    trunk = 0.24 * HEIGHT_PX
    hip = np.array([(place + 0.06 * math.sin(math.pi * phase / 2)) * WIDTH_PX, (0.56 + 0.12 * fall) * HEIGHT_PX])
    lean = 0.9 * fall
    neck = hip + trunk * np.array([math.sin(lean), -math.cos(lean)])
    across = 0.30 * trunk * np.array([math.cos(lean), math.sin(lean)])
    for side in (-1, 1):
        out = swing if side > 0 else 1 - swing
        leg = 0.12 + 0.75 * routine.reach * (swing if side > 0 else 0) + 0.3 * fall
        _draw_leg(picture_HWC, hip + side * 0.6 * across, side=side, out=leg, trunk=trunk)
        _draw_arm(picture_HWC, neck + side * across, side=side, out=0.25 + 2.3 * routine.reach * out, trunk=trunk)
    body = np.array([neck - 1.15 * across, neck + 1.15 * across, hip + 0.85 * across, hip - 0.85 * across])
    cv2.fillConvexPoly(picture_HWC, np.rint(body * 16).astype(np.int32), SHIRT, cv2.LINE_AA, 4)
    head = neck + 0.36 * trunk * np.array([math.sin(lean), -math.cos(lean)])
    _limb(picture_HWC, (neck, head), SKIN, round(0.18 * trunk))
    _head(picture_HWC, head, 0.2 * trunk)
    return picture_HWC


def _draw_arm(picture_HWC: np.ndarray, shoulder: np.ndarray, *, side: int, out: float, trunk: float) -> None:
    elbow = shoulder + 0.52 * trunk * np.array([side * math.sin(out), math.cos(out)])
    hand = elbow + 0.5 * trunk * np.array([side * math.sin(out + 0.35), math.cos(out + 0.35)])
    _limb(picture_HWC, (shoulder, elbow), SHIRT, round(0.19 * trunk))
    _limb(picture_HWC, (elbow, hand), SKIN, round(0.14 * trunk))


def _draw_leg(picture_HWC: np.ndarray, joint: np.ndarray, *, side: int, out: float, trunk: float) -> None:
    knee = joint + 0.78 * trunk * np.array([side * math.sin(out), math.cos(out)])
    foot = knee + 0.78 * trunk * np.array([side * math.sin(out * 0.6), math.cos(out * 0.6)])
    toe = foot + np.array([side * 0.18 * trunk, 0.04 * trunk])
    _limb(picture_HWC, (joint, knee, foot), TROUSERS, round(0.24 * trunk))
    _limb(picture_HWC, (foot, toe), SHOES, round(0.16 * trunk))


def _head(picture_HWC: np.ndarray, head_2: np.ndarray, radius: float) -> None:
    cv2 = import_cv2()
    x, y = (round(float(value)) for value in head_2)
    size = (round(radius * 0.85), round(radius * 1.1))
    hair, mouth = (x, y - round(radius * 0.2)), round(radius * 0.3)
    cv2.ellipse(picture_HWC, hair, (size[0] + 1, size[1]), 0, 0, 360, HAIR, -1, cv2.LINE_AA)
    cv2.ellipse(picture_HWC, (x, y), size, 0, 0, 360, SKIN, -1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = (x + side * round(radius * 0.35), y - round(radius * 0.15))
        cv2.circle(picture_HWC, eye, 1, HAIR, -1, cv2.LINE_AA)
    below = y + round(radius * 0.5)
    cv2.line(picture_HWC, (x - mouth, below), (x + mouth, below), SHIRT, 1, cv2.LINE_AA)


def _limb(picture_HWC: np.ndarray, points: tuple[np.ndarray, ...], colour: tuple[int, int, int], width: int) -> None:
    cv2 = import_cv2()
    line = np.rint(np.array(points) * 16).astype(np.int32)
    cv2.polylines(picture_HWC, [line], False, colour, max(width, 1), cv2.LINE_AA, 4)
    for end in (points[0], points[-1]):
        cv2.circle(
            picture_HWC, tuple(int(value) for value in np.rint(end)), max(width // 2, 1), colour, -1, cv2.LINE_AA
        )
