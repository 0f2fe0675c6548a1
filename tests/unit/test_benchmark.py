"""The benchmark: its arithmetic, that both sides are the same model, its clock, and its files."""

import csv
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limssr.core.config import BackboneConfig, LoraConfig, ModelConfig, PromptConfig, RunConfig
from limssr.core.config_data import DataConfig
from limssr.core.errors import InputError, LimssrError
from limssr.core.timing import Spread, ratios, take_turns
from limssr.core.types import Criterion, Modality
from limssr.data.batching import collate
from limssr.model.backbone.families import KNOWN
from limssr.model.backbone.load import meta_backbone
from limssr.model.limssr import LimssrModel
from limssr.studies.paper.describe import describe
from limssr.studies.speed import BenchmarkOptions, run_benchmark, write_report
from limssr.studies.speed.agreement import check_agreement
from limssr.studies.speed.arithmetic import Sizes, forward_macs, limit, measure_sizes, training_macs
from limssr.studies.speed.growth import fitted_exponent, measure_growth, write_growth
from limssr.studies.speed.implementations import LiteralImplementation, OurImplementation
from limssr.studies.speed.memory import Peak, measure_in_process, peak_of
from limssr.studies.speed.savings import SAVINGS
from limssr.studies.speed.setup import build_literal, build_ours, prepare, real_lengths, real_samples, sizes_of
from limssr.studies.speed.tables import benchmark_tables
from limssr.studies.speed.workloads import WORKLOADS, LiteralReader, OurReader

TINY = BenchmarkOptions(backbone="tiny", segments=5, batch_size=2, num_samples=4, repeats=1, device="cpu")
STREAMS = (Modality("video", 768), Modality("audio", 768), Modality("flow", 1024))
CPU = torch.device("cpu")
PUBLISHED_PROMPT_TOKENS = 75


def sizes_of_shape(name: str) -> Sizes:
    config = ModelConfig(backbone=BackboneConfig(name=name), prompt=PromptConfig(variant="none"))
    backbone = meta_backbone(config.backbone)
    with torch.device("meta"):
        model = LimssrModel(config, STREAMS, [Criterion("score")], backbone)
    return measure_sizes(model, vocabulary=KNOWN[name].vocabulary, prompt_tokens=PUBLISHED_PROMPT_TOKENS)


@pytest.mark.parametrize(("name", "step", "score"), [("smollm2-135m", 1.37, 1.58), ("qwen3-0.6b", 1.43, 1.69)])
def test_limits_are_the_ones_worked_out_by_hand(name: str, step: float, score: float) -> None:
    sizes, dense = sizes_of_shape(name), [95] * 8
    training = limit(
        training_macs(sizes, dense, prompt="per_sample", logits="computed"),
        training_macs(sizes, dense, prompt="shared"),
    )
    scoring = limit(
        forward_macs(sizes, dense, prompt="per_sample", logits="computed"), forward_macs(sizes, dense, prompt="cached")
    )
    assert (round(training.maps, 2), round(scoring.maps, 2)) == (step, score)
    # attention and head are the same on both sides, so they pull every ratio towards 1
    assert 1 < training.everything < training.maps
    assert 1 < scoring.everything < scoring.maps


def test_counts_are_those_of_describe_and_of_the_paper() -> None:
    sizes = sizes_of_shape("qwen3-0.6b")
    one = forward_macs(sizes, [95], prompt="per_sample")
    assert forward_macs(sizes, [95], prompt="per_sample", logits="computed").maps == pytest.approx(222.115e9, rel=1e-5)
    dims = {modality.name: modality.dim for modality in STREAMS}
    model = ModelConfig(prompt=PromptConfig(variant="published"), train_embeddings="new")
    counted = describe(RunConfig(model=model, data=DataConfig(stream_dims=dims, num_segments=95)))
    assert (one.maps, one.attention) == (counted.macs_backbone, counted.macs_attention)


def test_the_arithmetic_lays_sequences_out_as_the_model_does() -> None:
    setting = prepare(TINY)
    ours = build_ours(setting)
    for segments in (1, 4, 9):
        full = (True,) * len(setting.modalities)
        whole = ours.sequence_length(full, segments)
        assert whole == len(ours.tokens.rows.prompts[full]) + sizes_of(setting, ours).body(segments)


def test_prompts_are_counted_once_where_they_are_shared() -> None:
    sizes = Sizes(frozen=100, adapters=10, attention=2, logits=0, segment=0, head=0, modalities=2, special=6, prompt=5)
    body = 2 * 3 + 6
    each = forward_macs(sizes, [3, 3], prompt="per_sample")
    assert each.maps == 110 * 2 * (5 + body)
    assert each.attention == 2 * 2 * (5 + body) ** 2
    shared = forward_macs(sizes, [3, 3], prompt="shared", num_prompts=1)
    assert shared.maps == 110 * (5 + 2 * body)
    assert shared.attention == 2 * (2 * body * (5 + body) + 5 * 5)
    assert forward_macs(sizes, [3, 3], prompt="cached").maps == 110 * 2 * body
    # forwards, gradients of inputs, and for adapters gradients of weights
    assert training_macs(sizes, [3, 3], prompt="cached").maps == (100 * 2 + 10 * 3) * 2 * body


@pytest.mark.parametrize(
    "options",
    [
        TINY,
        replace(TINY, modalities=2),
        replace(TINY, settings=("model.train_embeddings=all",)),
        replace(TINY, settings=("model.backbone.reading=padded",)),
    ],
    ids=lambda options: f"{options.modalities} {options.settings}",
)
def test_both_sides_are_the_same_model(options: BenchmarkOptions) -> None:
    setting = prepare(options)
    ours = build_ours(setting)
    literal = build_literal(setting, ours)
    agreement = check_agreement(setting, ours, literal)
    assert agreement.scores < 1e-5
    assert agreement.gradients < 1e-4
    # what was compared is not nothing: the literal side moves the rows of its table that prompts read, and no others
    batch = collate(real_samples(setting)[:2], setting.modalities, setting.criteria, pad_to=None)
    table = literal.language_model.get_input_embeddings().weight
    before = table.detach().clone()
    LiteralImplementation(setting, literal).train_step(replace(batch, present_BM=torch.ones_like(batch.present_BM)))
    assert not torch.equal(table[setting.encode("features")], before[setting.encode("features")])


def test_sides_that_differ_are_refused() -> None:
    setting = prepare(TINY)
    ours = build_ours(setting)
    literal = build_literal(setting, ours)
    with torch.no_grad():
        literal.cond_gate[0].bias += 0.1
    with pytest.raises(LimssrError, match="no ratios"):
        check_agreement(setting, ours, literal)


def test_the_literal_computation_is_the_published_one(shared: Path) -> None:
    from safetensors.torch import load_file

    from limssr.core.types import Batch
    from limssr.model.backbone.load import load_backbone
    from limssr.studies.speed.literal import LiteralModel, LiteralShape

    folder = shared / "fixtures" / "published_parity"
    backbone = load_backbone(BackboneConfig(name=str(folder / "backbone")), seed=0)
    state = load_file(folder / "checkpoint.safetensors")
    table = state["language_model.base_model.model.model.embed_tokens.weight"]
    streams = (Modality("video", 32), Modality("audio", 768), Modality("flow", 1024))
    shape = LiteralShape(
        modalities=streams,
        num_slots=4,
        num_criteria=1,
        vocabulary=len(table) - 13,
        dropout=0.15,
        lora=LoraConfig(rank=4),
        prompt=PromptConfig(variant="published"),
    )
    assert backbone.encode is not None
    literal = LiteralModel(shape, backbone.model.config, backbone.encode).eval()
    ours = {key.replace("base_model.model.", "", 1): tensor for key, tensor in state.items()}
    literal.load_state_dict({**ours, "language_model.lm_head.weight": table})
    inputs, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    features = {modality.name: inputs[modality.name] for modality in streams}
    count, segments = features["video"].shape[:2]
    for letters in ("v", "a+f", "v+a+f"):
        present = torch.tensor([letter in letters.split("+") for letter in "vaf"])
        valid = present[None, :, None].expand(count, -1, segments)
        lengths = torch.full((count,), segments)
        batch = Batch(
            ids=tuple("abcdefgh"[:count]),
            features=features,
            present_BM=present.expand(count, -1),
            valid_BMT=valid,
            lengths_B=lengths,
        )
        with torch.no_grad():
            output = literal(batch)
        torch.testing.assert_close(output.unit_scores_BC[:, 0], expected[f"{letters}/output"], atol=5e-6, rtol=0)
        torch.testing.assert_close(output.fused_BH, expected[f"{letters}/fused_modal_feat"], atol=3e-5, rtol=0)


def test_contestants_take_turns_and_quick_work_is_repeated() -> None:
    calls: list[str] = []
    slow = {name: lambda name=name: (calls.append(name), time.sleep(0.03)) for name in "ab"}
    seconds = take_turns(slow, repeats=3, device=CPU)
    assert "".join(calls) == "ab" * 4
    assert all(len(found) == 3 and min(found) > 0.02 for found in seconds.values())
    quick = itertools.count()
    take_turns({"quick": lambda: next(quick)}, repeats=1, device=CPU)
    assert next(quick) > 100


def test_ratios_are_taken_within_rounds() -> None:
    # the machine was ten times slower in the second round, for both
    assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == Spread(2.0, 2.0, 2.0)
    assert ratios([2.0, 3.0, 4.0], [1.0, 1.0, 1.0]) == Spread(3.0, 2.5, 3.5)


def test_lengths_are_like_percepianos() -> None:
    lengths = np.array(real_lengths(1000, seed=0))
    assert (lengths.min(), lengths.max()) == (9, 170)
    assert np.median(lengths) == pytest.approx(24, abs=1)
    assert sorted(real_lengths(8, seed=0)) == sorted(real_lengths(8, seed=1))
    assert real_lengths(8, seed=0) != real_lengths(8, seed=1)


def test_both_readers_read_the_same(tmp_path: Path) -> None:
    setting = prepare(TINY)
    samples = real_samples(setting)
    literal = LiteralReader(tmp_path / "pickled", setting, samples).read()
    assert OurReader(tmp_path / "store", setting, samples).read() != pytest.approx(0.0)
    cut = sum(float(stream[: TINY.segments].sum()) for sample in samples for stream in sample.streams.values())
    assert literal == pytest.approx(cut, rel=1e-4)


def test_checkpoints_come_back(tmp_path: Path) -> None:
    setting = prepare(TINY)
    ours = build_ours(setting)
    sides = {
        "literal": LiteralImplementation(setting, build_literal(setting, ours)),
        "ours": OurImplementation(setting, ours),
    }
    for name, side in sides.items():
        assert side.save(tmp_path / name) > 0
        before = {key: value.clone() for key, value in side.model.state_dict().items()}
        with torch.no_grad():
            for parameter in side.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(1.0)
        side.load(tmp_path / name)
        assert all(torch.equal(value, before[key]) for key, value in side.model.state_dict().items())


def test_a_whole_benchmark_and_its_files(tmp_path: Path) -> None:
    names = tuple(saving.name for saving in SAVINGS)
    report = run_benchmark(replace(TINY, num_samples=2, num_layers=1), memory=(), savings=names)
    peaks = {"literal_peak": Peak(30, 10), "our_peak": Peak(15, 10)}
    report = replace(report, works=(replace(report.works[0], **peaks), *report.works[1:]))
    assert [work.name for work in report.works] == list(WORKLOADS)
    assert {saving.name for saving in report.savings} == set(names)
    times, memory, switched = benchmark_tables(report)
    assert [row.label for row in times.rows] == [work.title for work in report.works]
    assert [cell.text for cell in memory.rows[0].cells[:3]] == ["0 MB", "0 MB", "0.50x"]
    assert len(switched.rows) == len(report.savings)
    files = write_report(report, tmp_path)
    assert {file.name for file in files} == {"benchmark.json", "benchmark.csv", "benchmark.svg", "benchmark.png"}
    document = json.loads((tmp_path / "benchmark.json").read_text())
    step = document["works"][0]
    assert step["ratio"]["median"] == pytest.approx(step["seconds"]["literal"][0] / step["seconds"]["ours"][0])
    assert step["our_peak"] == {"peak": 15, "model": 10}
    assert step["limit"]["maps"] > 1
    rows = list(csv.DictReader((tmp_path / "benchmark.csv").read_text().splitlines()))
    assert len(rows) == len(report.works) + len(report.savings)
    assert float(rows[0]["ratio"]) == pytest.approx(step["ratio"]["median"])


def test_memory_is_that_of_the_work() -> None:
    """300 MB that a work takes and gives back are its peak; what was there before is not."""
    before = torch.ones(25_000_000)
    found = peak_of(lambda: torch.ones(75_000_000), CPU)
    assert found.model > before.nbytes
    assert 290e6 < found.work < 400e6


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    found = measure_in_process(TINY, "literal", "step")
    assert 0 < found.work < found.model  # the libraries alone take more, and loading is not counted


def test_exponents_are_slopes() -> None:
    assert fitted_exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


def test_growth_and_its_files(tmp_path: Path) -> None:
    options = replace(TINY, num_layers=1)
    report = measure_growth(options, axes=("modalities",), grids={"modalities": (1, 2)}, memory=())
    (curve,) = report.curves
    assert [point.value for point in curve.points] == [1, 2]
    assert set(curve.exponents) == {"step_s", "score_s"}
    assert {file.name for file in write_growth(report, tmp_path)} == {
        "growth.json", "growth.csv", "growth.svg", "growth.png",
    }  # fmt: skip
    with pytest.raises(InputError, match="at least two"):
        measure_growth(options, axes=("segments",), grids={"segments": (4,)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segments": 0}, "--segments"),
        ({"backbone": "small", "weights": "pretrained"}, "no pretrained weights"),
        ({"store": "nowhere"}, "feature store"),
        ({"settings": ("model.bakcbone=tiny",)}, "model.backbone"),
    ],
    ids=str,
)
def test_bad_options_are_refused(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(replace(TINY, **change))


def test_a_store_brings_its_own_streams(store_path: Path) -> None:
    setting = prepare(replace(TINY, store=str(store_path)))
    samples = real_samples(setting)
    assert 0 < len(samples) <= TINY.num_samples
    assert all(set(sample.streams) == {modality.name for modality in setting.modalities} for sample in samples)
    ours = build_ours(setting)
    scores = LiteralImplementation(setting, build_literal(setting, ours)).evaluate(samples)
    assert [part.shape for part in scores] == [(len(samples), len(setting.criteria))] * len(scores)


def test_streams_may_be_called_as_methods_are() -> None:
    """PercePiano has a stream "keys", which is what a dictionary's method is called too."""
    from limssr.model.backbone.load import load_backbone
    from limssr.studies.speed.literal import LiteralModel, LiteralShape

    backbone = load_backbone(BackboneConfig(name="tiny"), seed=0)
    streams = (Modality("keys", 3), Modality("items", 2), Modality("audio", 4))
    shape = LiteralShape(
        modalities=streams,
        num_slots=2,
        num_criteria=1,
        vocabulary=256,
        dropout=0.1,
        lora=LoraConfig(rank=2),
        prompt=PromptConfig(variant="published"),
    )
    assert backbone.encode is not None
    assert len(LiteralModel(shape, backbone.model.config, backbone.encode).feature_to_llm) == 3
