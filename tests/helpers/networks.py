"""Every network at a size that a test can afford, and samples of every pattern to put before it."""

from functools import cache

from limssr.core.config import BackboneConfig, ModelConfig, PromptConfig, StatisticsConfig
from limssr.systems.build import build_model
from limssr.systems.table import SYSTEMS
from limssr.testing import CRITERIA, MODALITIES, Case, made_case

TINY = BackboneConfig(name="tiny")

SIZES: dict[str, dict[str, object]] = {
    "limssr": {"hidden": None, "backbone": {"name": "tiny"}},
    "t2cr": {"options": {"decoder_layers": 1, "num_heads": 2, "num_exemplars": 4}},
    "cofinal": {"options": {"encoder_layers": 1, "decoder_layers": 1}},
    "asgtn": {"options": {"num_segments": 6}},
    "sgn": {"options": {"video": "video", "text": "audio"}},
    "vatp-net": {"options": {"video": "video", "text": "audio"}},
    "mcmoe": {"options": {"encoder_layers": 1, "decoder_layers": 1}},
    "actionmae": {"options": {"temporal_depth": 1, "depth": 1, "num_memory": 2}},
    "missrag": {"options": {"memory_size": 24, "memory_segments": 3}},
    "mlp-mixer": {"options": {"depth": 1, "clip_segments": 2}},
    "dmvg": {"options": {"latent": 8, "sampler_steps": 3}},
    "imder": {
        "hidden": 8,
        "options": {
            "levels": 1,
            "heads": 2,
            "score_layers": 1,
            "score_halvings": 2,
            "refiner_blocks": 1,
            "sampler_steps": 2,
        },
    },
    "pamfn": {"hidden": 8, "options": {"num_mixtures": 2}},
    "momke": {"options": {"depth": 2}},
    "sdr-gnn": {"options": {"recurrent_layers": 1}},
}
"""System -> `model` settings beside width 16; those not named here are small enough by themselves."""

VARIANTS = {
    "limssr-plain": ModelConfig(backbone=TINY),
    "limssr-padded": ModelConfig(backbone=BackboneConfig(name="tiny", reading="padded"), input_scaling="standard"),
    "limssr-interleaved": ModelConfig(backbone=TINY, block_order="interleaved", input_scaling="standard"),
    "limssr-encoder": ModelConfig(
        backbone=TINY,
        prompt=PromptConfig(variant="none"),
        boundary_tokens="none",
        absent="omitted",
        num_fusion_tokens=0,
        paths="path1",
        calibration="none",
    ),
    "limssr-zeros": ModelConfig(backbone=TINY, absent="zeros", calibration="none"),
    "limssr-statistics": ModelConfig(backbone=TINY, head="statistics", output="standardized"),
    "limssr-in-stages": ModelConfig(
        backbone=TINY, head="statistics", output="standardized", statistics=StatisticsConfig(first=0.5)
    ),
    "attention-unscaled": ModelConfig(system="attention"),
}
"""Further settings of a system that go through the same suite."""

PAIRS_WITHOUT_TARGETS = {
    "missrag": "its pairs are neighbours in a memory; none of its losses has a stream as target",
    "vatp-net": "it reads two streams of a sample at once; none of its losses looks at a hidden one",
}
"""Systems that need samples with two streams though no loss of theirs looks at a hidden one, and why."""

SCORES_FROM_ALL_OWNED = {
    ("imder", "complete"): "its first stage is trained on all that a sample owns",
    ("corrkd", "teacher"): "so is the teacher",
    ("pcd", "teacher"): "so is the teacher",
    ("mcmoe", "training"): "BatchNorm of the projections sees the targets, too",
}
"""(system, stage) in which a stream that the step hides moves the score, and why."""

MIN_STREAMS = {"sgn": 2, "vatp-net": 2}
"""Systems that are made of two streams with different parts and cannot be built for one alone."""

ALL_MODALITIES = MODALITIES


def small_config(name: str, **more: object) -> ModelConfig:
    """The configuration of a system, or of one of `VARIANTS`, for tests."""
    if name in VARIANTS:
        return VARIANTS[name].model_copy(update=more)
    settings = {"hidden": 16, "input_scaling": "standard", "output": "standardized", "dropout": 0.1}
    return ModelConfig.model_validate({"system": name, **settings, **SIZES.get(name, {}), **more})


@cache
def case_of(name: str, num_modalities: int) -> Case:
    """A system that has seen its training samples and was shaken."""
    modalities = ALL_MODALITIES[:num_modalities]
    return made_case(name, lambda seed: build_model(small_config(name), modalities, CRITERIA, seed=seed), modalities)


NAMES = SYSTEMS.built_in
"""Every system, LIMSSR first."""
CASES = tuple((name, m) for name in (*NAMES, *VARIANTS) for m in (1, 2, 3, 4) if m >= MIN_STREAMS.get(name, 1))
"""Every system and variant with every number of streams that it can have."""
