"""The search for people who have arrays: no store, no run folder, only the model."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from limssr.core.config import RunConfig
from limssr.core.progress import Reporter
from limssr.core.types import Criterion, Modality, Sample
from limssr.runs.auto.look import Material
from limssr.runs.auto.search import Found, search
from limssr.runs.auto.settings import AutoSettings, auto_config


def search_samples(
    samples: Sequence[Sample],
    modalities: tuple[Modality, ...],
    criteria: tuple[Criterion, ...],
    *,
    groups: Sequence[str],
    config: RunConfig,
    minutes: float,
    device: torch.device,
    reporter: Reporter,
) -> Found:
    """Search on labelled samples.

    Args:
        samples: N.
        modalities: The M streams.
        criteria: The C criteria.
        groups: [N]; samples of one group are held out together.
        config: Its backbone and seed are used.
        minutes: Budget.
        device: For networks.
        reporter: Hears what was seen and judged.
    """
    grouped = [replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]
    material = Material(modalities=modalities, criteria=criteria, samples=grouped, test=[])
    backbone = {"name": config.model.backbone.name, "num_layers": config.model.backbone.num_layers}
    settings = AutoSettings.of(auto_config(None, minutes=minutes, tree={"model": {"backbone": backbone}}))
    return search(material, settings, seed=config.seed, device=device, reporter=reporter)
