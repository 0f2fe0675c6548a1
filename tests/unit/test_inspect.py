import json

import numpy as np
import pytest
from rich.console import Console

from limssr.core.errors import InputError
from limssr.core.types import SPLITS, Criterion, Modality, Sample
from limssr.data.inspect import describe_store, figure, render
from limssr.data.mask import mask_store
from limssr.data.missing import subsets
from limssr.data.store.reader import FeatureStore, StoreWriter


@pytest.fixture
def masked_store(store, tmp_path):
    return mask_store(store, tmp_path / "masked", rate=0.5, seed=0)


def test_counts_agree_with_the_samples(masked_store):
    summary = describe_store(masked_store)
    samples = masked_store.samples()
    names = tuple(modality.name for modality in masked_store.modalities)
    assert tuple(subset for subset, _ in summary.owned) == subsets(names)
    for subset, counts in summary.owned:
        for split in SPLITS:
            assert counts[split] == sum(s.split == split and tuple(s.streams) == subset for s in samples)
    assert summary.num_samples == sum(summary.splits.values()) == 60
    assert summary.num_groups == len({sample.group for sample in samples})
    lengths = [sample.num_segments for sample in samples]
    assert summary.lengths == {"min": min(lengths), "median": np.median(lengths), "max": max(lengths)}
    for stream in summary.streams:
        valid = np.concatenate([~np.isnan(s.streams[stream.name][:, 0]) for s in samples if stream.name in s.streams])
        assert stream.valid_share == pytest.approx(valid.mean())
        assert stream.num_samples == sum(stream.name in sample.streams for sample in samples)
        for split in SPLITS:
            assert stream.splits[split] == sum(s.split == split and stream.name in s.streams for s in samples)
    assert summary.availability["rate"] == 0.5


def test_scores_agree_with_the_samples(store):
    scores = np.stack([sample.scores for sample in store.samples()])
    for column, score in enumerate(describe_store(store).scores):
        assert (score.minimum, score.maximum) == (scores[:, column].min(), scores[:, column].max())
        assert score.mean == pytest.approx(scores[:, column].mean())
        assert score.deviation == pytest.approx(scores[:, column].std())
        assert sum(score.histogram) == score.num_judged == 60
        assert (score.bin_edges[0], score.bin_edges[-1]) == (score.low, score.high)


@pytest.fixture
def odd_store(tmp_path):
    """Six streams of which few subsets occur, a criterion that is judged twice, and names that look like markup."""
    modalities = [Modality(name, 1) for name in ("f", "e", "d", "c", "b", "a")]
    with StoreWriter(
        tmp_path / "odd",
        name="[bold]odd",
        modalities=modalities,
        criteria=[Criterion("total", 0, 10), Criterion("rare [x]", 0, 1)],
        provenance={},
        derived_scales=["total"],
    ) as writer:
        for number, split in enumerate(("train", "train", "val", "test")):
            names = ("f", "a") if number % 2 else ("e",)
            scores = np.array([11.0 + number, number if number < 2 else np.nan])
            writer.add(Sample(f"s{number}", {name: np.ones((2, 1)) for name in names}, scores, "", split))
    return FeatureStore.open(tmp_path / "odd")


def test_of_many_streams_only_the_subsets_that_occur_are_listed(odd_store):
    summary = describe_store(odd_store)
    assert [subset for subset, _ in summary.owned] == [("e",), ("f", "a")]
    assert np.isnan(summary.streams[2].valid_share)
    total, rare = summary.scores
    assert (total.scale_from, rare.scale_from) == ("training scores", "declared")
    assert (total.bin_edges[0], total.bin_edges[-1]) == (0.0, 14.0)
    assert (rare.num_judged, sum(rare.histogram)) == (2, 2)


def test_the_document_is_plain_json(odd_store):
    document = json.loads(json.dumps(describe_store(odd_store).to_dict(), allow_nan=False))
    assert document["owned"][1] == {"streams": ["f", "a"], "samples": {"train": 1, "val": 0, "test": 1}}
    assert document["streams"][2]["valid_share"] is None
    assert document["availability"] is None


def text_of(summary, width=100):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(summary))
    return capture.get()


def test_the_terminal_shows_everything(masked_store):
    text = text_of(describe_store(masked_store))
    for word in ("simulated performances", "60 samples", "video + audio + flow", "execution", "0 to 60", "█"):
        assert word in text
    assert "Made incomplete: pattern independent, rate 0.5, seed 0, splits train + val" in text
    assert masked_store.fingerprint[:16] in text


def test_names_are_never_read_as_markup(odd_store):
    text = text_of(describe_store(odd_store))
    assert "[bold]odd" in text
    assert "rare [x]" in text
    assert "0 to 10 *" in text
    assert "scale taken from the training scores" in text


def test_a_stream_that_no_training_sample_owns_is_pointed_out(store, tmp_path):
    assert "No training sample" not in text_of(describe_store(store))
    with StoreWriter(
        tmp_path / "bare", name="bare", modalities=store.modalities, criteria=store.criteria, provenance={}
    ) as writer:
        for sample in store.samples():
            writer.add(sample.restricted_to(("video", "audio")) if sample.split == "train" else sample)
    summary = describe_store(FeatureStore.open(tmp_path / "bare"))
    assert "No training sample owns flow: nothing can learn to read it." in text_of(summary)
    assert summary.to_dict()["streams"][2]["splits"]["train"] == 0


def test_long_names_leave_the_numbers_whole_on_a_narrow_terminal(tmp_path):
    name = "Interpretation_Unsatisfactory/doubtful_Convincing"
    with StoreWriter(
        tmp_path / "long", name="x", modalities=[Modality("a", 1)], criteria=[Criterion(name)], provenance={}
    ) as writer:
        for number, split in enumerate(("train", "train", "val", "test")):
            writer.add(Sample(f"s{number}", {"a": np.ones((2, 1))}, np.array([number / 4]), "", split))
    text = text_of(describe_store(FeatureStore.open(tmp_path / "long")), width=80)
    assert "0.375 ± 0.28" in text
    assert "…" not in text


@pytest.mark.parametrize(("name", "start"), [("f.png", b"\x89PNG"), ("f.svg", b"<?xml"), ("deep/f.pdf", b"%PDF")])
def test_a_figure_is_drawn_and_is_the_same_again(odd_store, tmp_path, name, start):
    summary = describe_store(odd_store)
    figure(summary, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
    figure(summary, tmp_path / name)
    assert (tmp_path / name).read_bytes() == content
    assert not list(tmp_path.glob("**/*.partial"))


def test_the_figure_has_three_titled_panels(masked_store, tmp_path):
    figure(describe_store(masked_store), tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    for title in ("Samples that own exactly", "Streams (width)", "Scores over their scales"):
        assert title in text


def test_another_kind_of_figure_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf, found 'f\.bmp'"):
        figure(describe_store(store), tmp_path / "f.bmp")
    assert list(tmp_path.iterdir()) == []
