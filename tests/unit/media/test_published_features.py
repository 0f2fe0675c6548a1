"""The encoders of the published features: streams and segments by one name, and a published model on a new video."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTModel, TimesformerConfig, TimesformerModel

from limssr.core.errors import InputError
from limssr.core.recipes import load_recipe, recipe_path
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter
from limssr.media.clock import PRESETS
from limssr.media.encoders import clips
from limssr.media.encoders.i3d import I3D, I3DSizes
from limssr.media.encoders.sets import SETS, WIDTHS
from limssr.media.encoders.swin3d import SwinSizes, VideoSwin
from limssr.media.encoders.table import chosen
from limssr.media.extract import ExtractOptions, extract
from limssr.media.record import published_record, relocated
from limssr.media.write import write_media
from limssr.runs.prediction.recordings import predict_recordings
from limssr.runs.train import train_run

SMALL = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """`NAME=SOURCE` of every encoder of the sets: random, with the published width, and one block a stage."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    picture = {"image_size": 32, "patch_size": 16, "num_frames": 4}
    TimesformerModel(TimesformerConfig(**SMALL, **picture)).save_pretrained(folder / "timesformer")
    ASTModel(ASTConfig(**SMALL, max_length=128, num_mel_bins=32)).save_pretrained(folder / "ast")
    torch.save(VideoSwin(SwinSizes(depths=(1, 1, 1, 1))).state_dict(), folder / "vst")
    torch.save(I3D(I3DSizes()).state_dict(), folder / "i3d-flow")
    return {name: f"{name}={folder / name}" for name in ("timesformer", "ast", "vst", "i3d-flow")}


@pytest.fixture
def clip(tmp_path, click, monkeypatch):
    """Four seconds with pictures and sound; encoders of clips see them small."""
    monkeypatch.setattr(clips, "SIDE_PX", 32)
    random = np.random.default_rng(0)
    pictures = [(n / 25, random.integers(0, 255, (48, 64, 3), np.uint8)) for n in range(100)]
    return write_media(tmp_path / "clip.mp4", pictures=pictures, sound_NC=click(1.1, 4.0))


def of_set(name, weights):
    return [weights[encoder] for encoder in SETS[name].values()]


@pytest.mark.parametrize("name", list(SETS))
def test_streams_widths_and_segments_are_the_published_ones(name, weights, clip, layouts, tmp_path):
    assert tuple(WIDTHS[name].values()) == layouts.PUBLISHED_WIDTHS[name]
    table = tmp_path / "t.csv"
    table.write_text(
        "id,split,score:total,media:recording\na,train,1,clip.mp4\nd,train,2,d.mp4\nb,val,1,b.mp4\nc,test,1,c.mp4\n"
    )
    for copy in ("b", "c", "d"):
        (tmp_path / f"{copy}.mp4").write_bytes(clip.read_bytes())
    options = ExtractOptions(segments=PRESETS[name], encoders=(name, *of_set(name, weights)))
    extract(table, tmp_path / "store", ExtractOptions(**{**vars(options), "scales": {"total": (0, 2)}}))
    store = FeatureStore.open(tmp_path / "store")
    assert {modality.name: modality.dim for modality in store.modalities} == WIDTHS[name]
    sample = store.sample("a")
    assert {len(stream) for stream in sample.streams.values()} == {1 if name == "fs1000" else 3}
    assert all(np.isfinite(stream).all() for stream in sample.streams.values())


def published_run(path, name):
    """A run on features that came from a published tree, of random values."""
    random = np.random.default_rng(0)
    dims = WIDTHS[name]
    with StoreWriter(
        path / "store",
        name=name,
        modalities=[Modality(stream, dim) for stream, dim in dims.items()],
        criteria=[Criterion("TES", 0, 45)],
        provenance={"importer": name},
    ) as writer:
        for number, split in enumerate(("train", "train", "train", "val", "test")):
            streams = {stream: random.normal(size=(4, dim)).astype(np.float32) for stream, dim in dims.items()}
            writer.add(Sample(f"s{number}", streams, np.array([9.0 * number]), f"g{number}", split))
    changes = [
        f"data.store={path / 'store'}",
        "train.epochs=1",
        "model.system=late-fusion",
        "evaluation.references=[]",
        "evaluation.bootstrap=0",
    ]
    return train_run(
        load_recipe(recipe_path("own"), [*changes, "model.backbone.name=tiny"]), path / "run", device="cpu"
    )


def test_a_model_of_published_features_scores_a_new_video(weights, clip, tmp_path):
    run = published_run(tmp_path, "rg")
    scored = predict_recordings(run, clip, encoders=of_set("rg", weights), device="cpu")
    row = scored.table.to_pylist()[0]
    assert 0 <= row["TES"] <= 45
    assert row["streams"] == "video+audio+flow"
    assert "published features of rg" in scored.notes[0]
    partly = predict_recordings(run, clip, encoders=[weights["ast"]], device="cpu")
    assert partly.table.to_pylist()[0]["streams"] == "audio"
    assert "without video, flow" in partly.notes[1]
    with pytest.raises(InputError, match="give vst=FILE"):
        predict_recordings(run, clip, device="cpu")
    with pytest.raises(InputError, match=r"Expected beside the set 'rg'.*'timesformer"):
        predict_recordings(run, clip, encoders=[weights["timesformer"]], device="cpu")


def test_weights_of_another_width_are_refused(weights):
    with pytest.raises(InputError, match=r"Expected 32 features of the stream 'audio'.*found 768"):
        published_record("rg", [weights["ast"]], [Modality("audio", 32)])


def test_weights_may_have_moved(weights):
    record = published_record("rg", [weights["ast"]], [Modality("audio", 768)])
    (moved,) = relocated(record, ["ast=elsewhere"]).streams
    assert moved == replace(record.streams[0], encoder="ast=elsewhere")
    with pytest.raises(InputError, match="'vst=x', which made no stream"):
        relocated(record, ["vst=x"])


def test_two_sets_are_refused():
    with pytest.raises(InputError, match="one set of encoders"):
        chosen(["rg", "fs1000"])
