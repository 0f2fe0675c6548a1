"""Checks for a system of your own: what limssr asks of every network in its table, LIMSSR included.

    from limssr.testing import check_system

    def test_my_system():
        check_system(MySystem)

The contract itself stands in `limssr.nn.contract`.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limssr.core.config import LossConfig, ModelConfig, RunConfig
from limssr.core.errors import LimssrError
from limssr.core.types import Batch, Criterion, Modality, Sample
from limssr.data.batching import collate
from limssr.data.missing import subsets
from limssr.nn.contract import Network
from limssr.nn.losses import total_loss
from limssr.systems.saving import load_pretrained, save_pretrained
from limssr.systems.system import System, declared
from limssr.systems.table import SYSTEMS
from limssr.training.loop import fit

MODALITIES = (Modality("video", 5), Modality("audio", 3), Modality("flow", 4), Modality("pose", 2))
CRITERIA = (Criterion("TES", 0.0, 130.0, "points"), Criterion("PCS", 10.0, 60.0, "points"))
CLOSE = 2e-5
"""How far unit scores may differ where sums are taken in another order."""
EPOCHS = 75
NUM_LEARNED = 16
LEFT = 0.9
"""Of the error before training."""


class SystemCheckError(AssertionError):
    """A system breaks the contract; the message says how, and what is expected of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A network that has seen its training samples, and samples of every pattern to put before it.

    Attributes:
        name: Of the system.
        model: Calibrated; every trained tensor moved a little, as zero starts would hide what depends on them.
        modalities: The M streams.
        samples: Every non-empty subset of the streams twice.
        criteria: The C criteria.
        build: Makes the same network anew, as it is before training, from a seed.
    """

    name: str
    model: Network
    modalities: tuple[Modality, ...]
    samples: Sequence[Sample]
    criteria: tuple[Criterion, ...] = CRITERIA
    build: Callable[[int], Network] | None = None

    def batch(self, samples: Sequence[Sample] | None = None, **options: int) -> Batch:
        """The samples as a batch."""
        return collate(self.samples if samples is None else samples, self.modalities, self.criteria, **options)

    def scores(self, batch: Batch) -> Tensor:
        """Unit scores [B, C]; NaN for samples that the system does not score."""
        with torch.inference_mode():
            output = self.model.eval()(batch)
        if output.scored_B is None:
            return output.unit_scores_BC
        return output.unit_scores_BC.masked_fill(~output.scored_B[:, None], torch.nan)


def check_system(
    system: str | type[Network] | System,
    *,
    settings: Mapping[str, Any] | None = None,
    num_streams: Sequence[int] = (1, 2, 3),
    seed: int = 0,
) -> tuple[str, ...]:
    """Ask of a system what limssr asks of its own; it takes some seconds for a small network.

    Args:
        system: A name in the table, a class derived from `Network` or `ComparisonSystem`, or a `System`.
        settings: Keys of `model` in a recipe, such as {"hidden": 16, "options": {...}}: make it small.
        num_streams: With how many streams (1 to 4) it is built.
        seed: Of samples and weights.

    Returns:
        What was checked, a line each; saving is checked for systems of the table alone, as loading looks there.

    Raises:
        SystemCheckError: The first promise that is not kept.
    """
    row = SYSTEMS[system] if isinstance(system, str) else declared(getattr(system, "__name__", "own"), system)
    name = system if isinstance(system, str) else row.title
    for number in num_streams:
        modalities = MODALITIES[:number]
        # The name only matters to the table, which the row has left already.
        config = ModelConfig.model_validate({**_SMALL, "system": name, **(settings or {})})

        def build(seed: int, config: ModelConfig = config, modalities: tuple[Modality, ...] = modalities) -> Network:
            return row.build(config, modalities, CRITERIA, seed=seed)

        case = made_case(name, build, modalities, seed=seed)
        for told, check in CHECKS.items():
            try:
                check(case)
            except AssertionError as error:
                raise SystemCheckError(f"{name} with {number} stream(s): expected that {told}. {error}") from None
            except LimssrError as error:
                raise SystemCheckError(f"{name} with {number} stream(s): {error}") from error
    return tuple(told for told, check in CHECKS.items() if check is not check_saving or name in SYSTEMS)


_SMALL = {"hidden": 16, "input_scaling": "standard", "output": "standardized", "dropout": 0.0}


def made_case(name: str, build: Callable[[int], Network], modalities: tuple[Modality, ...], *, seed: int = 0) -> Case:
    """A network, calibrated and shaken, with samples of every pattern."""
    samples = samples_of_every_pattern(modalities, seed)
    model = build(seed)
    model.calibrate(samples)
    shake(model)
    return Case(name=name, model=model, modalities=modalities, samples=samples, build=build)


def samples_of_every_pattern(modalities: tuple[Modality, ...], seed: int = 0) -> list[Sample]:
    """Every non-empty subset twice, lengths 3 to 7, with a few missing segments; never a stream without a valid one."""
    rng = np.random.default_rng(seed)
    found = []
    for owned in subsets([modality.name for modality in modalities]) * 2:
        length = int(rng.integers(3, 8))
        streams = {m.name: rng.normal(size=(length, m.dim)).astype(np.float32) for m in modalities if m.name in owned}
        for stream_TD in streams.values():
            stream_TD[1:][rng.random(length - 1) < 0.2] = np.nan
        scores = np.array([rng.uniform(0, 130), rng.uniform(10, 60)])
        found.append(Sample(f"sample-{len(found)}", streams, scores))
    return found


def training_batch(samples: Sequence[Sample], modalities: tuple[Modality, ...]) -> Batch:
    """As the loop gives it: some of what a sample owns is hidden, and stands in `owned`."""
    rng = np.random.default_rng(5)
    samples = [*samples] * 3  # of two streams only two samples own both, and luck may hide neither
    shown = []
    for sample in samples:
        every = subsets(tuple(m.name for m in modalities if m.name in sample.streams))
        shown.append(sample.restricted_to(every[int(rng.integers(len(every)))]))
    return dataclasses.replace(collate(shown, modalities, CRITERIA), owned=collate(samples, modalities, CRITERIA))


def shake(model: Network) -> None:
    """Move every trained tensor a little: zero starts (of adapters) would hide what depends on them."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)


def poisoned(batch: Batch, modalities: Sequence[Modality], poison: float) -> Batch:
    """A batch in which a value stands wherever nothing valid does."""
    features = {
        modality.name: batch.features[modality.name].masked_fill(~batch.valid_BMT[:, index, :, None], poison)
        for index, modality in enumerate(modalities)
    }
    owned = None if batch.owned is None else poisoned(batch.owned, modalities, poison)
    return dataclasses.replace(batch, features=features, owned=owned)


def check_scores(case: Case) -> None:
    """Scores are finite where the system says that it scores, and differ between samples."""
    scores_BC = case.scores(case.batch())
    assert scores_BC.shape == (len(case.samples), len(case.criteria)), (
        f"Found unit scores of shape {tuple(scores_BC.shape)} for {len(case.samples)} samples."
    )
    scored_B = scores_BC.isfinite().all(dim=1)
    why = [case.model.why_no_prediction(tuple(sample.streams)) for sample in case.samples]
    assert scored_B.tolist() == [reason is None for reason in why], (
        "Found scores that are not finite, or samples without one for which why_no_prediction gives no reason."
    )
    assert scored_B.any(), "Found no sample with a score."
    assert scores_BC[scored_B].std(dim=0).min() > 1e-6, "Found the same score for every sample."


def check_absent_is_not_read(case: Case) -> None:
    """What stands in memory behind an absent stream or segment is never read."""
    batch = case.batch()
    for poison in (float("nan"), float("inf"), 1e30):
        _same(case.scores(poisoned(batch, case.modalities, poison)), case.scores(batch), 0.0, f"with {poison} there")


def check_padding(case: Case) -> None:
    """Padding behind a performance changes nothing."""
    _same(case.scores(case.batch(pad_to=19)), case.scores(case.batch()), CLOSE, "with more padding")


def check_order(case: Case) -> None:
    """A score does not depend on the sample's place in a list."""
    order = np.random.default_rng(3).permutation(len(case.samples))
    scores_BC = case.scores(case.batch([case.samples[n] for n in order]))
    _same(scores_BC, case.scores(case.batch())[torch.from_numpy(order)], CLOSE, "in another order")


def check_companions(case: Case) -> None:
    """A score does not depend on the samples that are scored with it."""
    mixed_BC = case.scores(case.batch())
    patterns: dict[tuple[str, ...], list[int]] = {}
    for n, sample in enumerate(case.samples):
        patterns.setdefault(tuple(sample.streams), []).append(n)
    for rows in patterns.values():
        alone_BC = case.scores(case.batch([case.samples[n] for n in rows]))
        _same(alone_BC, mixed_BC[rows], CLOSE, "in a batch of its own pattern")


def check_gradients(case: Case) -> None:
    """Every trained tensor gets a gradient, through all stages, that values behind absent streams do not reach."""
    batch = poisoned(training_batch(case.samples, case.modalities), case.modalities, float("nan"))
    targets_BC = batch.unit_scores_BC
    assert targets_BC is not None
    state = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    case.model.zero_grad()
    torch.manual_seed(0)
    for stage in case.model.stages:
        case.model.enter(stage)
        terms = total_loss(case.model.train()(batch), targets_BC, LossConfig(task=1.0))
        assert terms.total.isfinite(), f"Found the loss {terms.total.item()} in the stage {stage.name}."
        terms.total.backward()
    trained = {name: p.grad for name, p in case.model.named_parameters() if p.requires_grad}
    case.model.load_state_dict(state)  # running statistics have moved
    assert trained, "Found no parameter that is trained."
    poisonous = [name for name, found in trained.items() if found is not None and not found.isfinite().all()]
    assert not poisonous, f"Found gradients that are not finite: {', '.join(poisonous)}."
    if len(case.modalities) > 1:  # with one stream nothing is ever hidden, and nothing to weigh against it
        idle = [name for name, found in trained.items() if found is None or not found.abs().max() > 0]
        assert not idle, f"Found trained parameters without a gradient: {', '.join(idle)}."
    resting = [name for name in trained if not any(stage.moves(name) for stage in case.model.stages)]
    assert not resting, f"Found parameters that move in no stage: {', '.join(resting)}."


def check_seed(case: Case) -> None:
    """The seed decides the weights, and the caller's random state is left alone."""
    if case.build is None:
        return
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, same, other = (case.build(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before), "Found that building moves torch's random state."
    weights = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1]), "Found other weights from the same seed."
    assert not torch.equal(weights[0], weights[2]), "Found the same weights from another seed."


def check_saving(case: Case) -> None:
    """A saved and loaded network gives the same bits. Left out for a class that is not in the table yet."""
    if case.model.config.system not in SYSTEMS:
        return
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(case.model, Path(folder) / "model")
        loaded = dataclasses.replace(case, model=load_pretrained(Path(folder) / "model"))
        _same(loaded.scores(case.batch()), case.scores(case.batch()), 0.0, "after saving and loading")


def check_learning(case: Case) -> None:
    """Training on sixteen samples moves towards their scores, through all stages."""
    if case.build is None:
        return
    model = case.build(0)
    every = [s for seed in range(9) for s in samples_of_every_pattern(case.modalities, seed)]
    usable = [sample for sample in every if model.why_no_prediction(tuple(sample.streams)) is None][:NUM_LEARNED]
    samples = [dataclasses.replace(sample, id=f"s{n}") for n, sample in enumerate(usable)]
    config = RunConfig.model_validate(
        {
            "model": model.config.model_dump(),
            "loss": {"task": 1.0, "slots": 0.0, "consistency": 0.0},
            "missing": {"dropout": "none"},
            "train": {
                "epochs": EPOCHS,
                "batch_size": 16,
                "learning_rate": 5e-3,
                "warmup_epochs": 0,
                "selection": "last",
                "weight_decay": 0.0,
            },
        }
    )
    before = dataclasses.replace(case, model=case.build(0))
    before.model.calibrate(samples)
    fit(model, samples, [], config=config)
    first, last = (_error(one, samples) for one in (before, dataclasses.replace(case, model=model)))
    assert last < LEFT * first, (
        f"Found a squared error of {last:.3g} after {EPOCHS} epochs on {len(samples)} samples, and {first:.3g} before."
    )


def _error(case: Case, samples: Sequence[Sample]) -> float:
    batch = case.batch(samples)
    assert batch.unit_scores_BC is not None
    return (case.scores(batch) - batch.unit_scores_BC).square().mean().item()


def _same(found: Tensor, expected: Tensor, tolerance: float, when: str) -> None:
    both = found.isfinite() & expected.isfinite()
    difference = (found - expected)[both].abs().max().item() if both.any() else 0.0
    alike = torch.equal(found.isfinite(), expected.isfinite())
    assert alike, f"Found scores that come or go {when}."
    assert difference <= tolerance, f"Found scores that change {when}, by up to {difference:.3g} on the unit scale."


CHECKS: Mapping[str, Callable[[Case], None]] = {
    "scores are finite and no constant": check_scores,
    "what stands behind an absent stream is not read": check_absent_is_not_read,
    "padding changes nothing": check_padding,
    "the order of samples changes nothing": check_order,
    "other samples of a batch change nothing": check_companions,
    "every trained tensor gets a finite gradient": check_gradients,
    "the seed decides the weights": check_seed,
    "saving and loading change no bit": check_saving,
    "training moves towards the scores": check_learning,
}
"""What is checked, in order."""
