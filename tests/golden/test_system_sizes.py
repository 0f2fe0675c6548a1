"""Parameter counts of the comparison systems against counts of the public reference models, at the same sizes."""

import dataclasses

import pytest

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality
from limssr.systems.build import build_model
from limssr.systems.counting import num_parameters

VIDEO, AUDIO, FLOW = Modality("video", 768), Modality("audio", 768), Modality("flow", 1024)
CRITERIA = (Criterion("score"),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Golden:
    """A count that was measured on the public reference model.

    Attributes:
        system: Ours.
        expected: The reference's count.
        modalities: The streams it was built for.
        options: That make ours the reference's shape.
        extra: What ours has beyond it (name of a part -> numbers), as our docs say; subtracted before comparing.
    """

    system: str
    expected: int
    modalities: tuple[Modality, ...] = (VIDEO, AUDIO, FLOW)
    hidden: int | None = None
    options: dict[str, int | float | str | bool | None] = dataclasses.field(default_factory=dict)
    extra: dict[str, int] = dataclasses.field(default_factory=dict)


PAMFN_EXTRA = {
    "without six norms that are never used": -6 * 2 * 256,
    "without the map of zeros it starts from, which is counted and never trained": -3 * 256,
    "without a convolution of that map and its BatchNorm": -(3 * 768 * 256 + 256 + 2 * 256),
    "without a shortcut of that map and its BatchNorm": -(768 * 256 + 256 + 2 * 256),
    "with a constant in place of each of the two": 2 * 256,
}

GOLDEN: tuple[Golden, ...] = (
    Golden(
        system="asgtn",
        expected=4_234_394,
        modalities=(FLOW,),
        # the graph layers' biases (512 + 1024 over time, 136 + 68 over features): the reference has and never uses them
        extra={"biases that are never used": -1_740},
    ),
    Golden(system="cofinal", expected=6_218_348, modalities=(FLOW,)),
    Golden(system="mcmoe", expected=9_122_183),
    Golden(system="momke", expected=5_395_469),
    Golden(system="pamfn", expected=17_927_501, extra=PAMFN_EXTRA),
    Golden(system="pamfn", expected=18_058_573, modalities=(Modality("video", 1024), AUDIO, FLOW), extra=PAMFN_EXTRA),
    Golden(
        system="mlp-mixer",
        expected=4_867_829,
        modalities=(VIDEO, AUDIO),
        options={"clip_segments": 8},  # 16 tokens a clip, as its 15 of video and one of audio
        extra={"an input map for the second stream": 768 * 512 + 512, "without its unused norm": -2 * 512},
    ),
    Golden(
        system="imder", expected=13_171_441, extra={"fixed frequencies of three score networks, a buffer of ours": -384}
    ),
    Golden(
        system="gcnet",
        expected=10_630_111,
        extra={"recurrent layers that the reference builds and never uses": -1_778_400},
    ),
    Golden(system="gdlt", expected=3_163_396, modalities=(FLOW,)),
)


@pytest.mark.parametrize(("hidden", "expected"), [(100, 36.2e6), (200, 56.5e6)])
def test_sdr_gnn_has_the_rounded_count_of_the_reference(hidden: int, expected: float) -> None:
    """That is known in tenths of millions, and holds what the reference builds and never uses."""
    model = build_model(ModelConfig(system="sdr-gnn", hidden=hidden), (VIDEO, AUDIO, FLOW), CRITERIA, seed=0)
    total, joined, half = 2560, 5 * hidden // 2, hidden // 2
    first, second = (8 * hidden * (width + hidden + 2) for width in (total, 2 * hidden))
    unused = {
        "a recurrent encoder of the other kind, two layers": first + second,
        "attention over time in both branches": 2 * 2 * joined * (2 * joined + 1),
        "a map from the streams": (total + 1) * joined,
        "three maps of each hypergraph convolution": 2 * (3 * half * half + half),
    }
    assert num_parameters(model) + sum(unused.values()) == pytest.approx(expected, abs=0.05e6)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.system)
def test_the_count_is_that_of_the_reference(golden: Golden) -> None:
    config = ModelConfig(system=golden.system, hidden=golden.hidden, options=golden.options)
    model = build_model(config, golden.modalities, CRITERIA, seed=0)
    assert num_parameters(model) - sum(golden.extra.values()) == golden.expected
