"""Words in the sequence of the language model: read as its own embeddings, in any mixture of patterns."""

import numpy as np
import pytest
import torch

from limssr.core.config import BackboneConfig, ModelConfig, WordsConfig
from limssr.core.errors import InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.core.words import Words
from limssr.data.batching import collate
from limssr.evaluation.scorer import ModelScorer
from limssr.model.words import middle_out
from limssr.systems.build import build_model
from limssr.systems.saving import load_pretrained, save_pretrained

STREAMS = (Modality("talk", 3, words="hashed"), Modality("video", 4), Modality("captions", 3, words="hashed"))
CRITERIA = (Criterion("clarity"),)
T = 3


def sample(name, talk=None, captions=None, video=True):
    rng = np.random.default_rng(len(name))
    streams, words = {}, {}
    for stream, said in (("talk", talk), ("captions", captions)):
        if said is not None:
            streams[stream], words[stream] = np.ones((T, 3), np.float32), said
    if video:
        streams["video"] = rng.normal(size=(T, 4)).astype(np.float32)
    return Sample(name, streams, np.array([0.5]), words=words)


def timed(*texts):
    kept = [(n, text) for n, text in enumerate(texts) if text]
    return Words(tuple(text for _, text in kept), tuple((n, n + 1.0) for n, _ in kept), tuple(n for n, _ in kept))


SAMPLES = [
    sample("a", Words.whole("a clear and lively talk"), timed("hello", "", "bye")),
    sample("bb", None, timed("one", "two", "three")),
    sample("ccc", Words.whole("dull"), video=False),
    sample("dddd"),
    sample("eeeee", timed("", "late", ""), video=False),
]


def model_of(order="paper", reading="packed", **more):
    backbone = BackboneConfig(name="tiny", reading=reading)
    config = ModelConfig(backbone=backbone, block_order=order, **more)
    model = build_model(config, STREAMS, CRITERIA, seed=1)
    return model.eval()


def scores(model, samples=SAMPLES):
    with torch.no_grad():
        return model(collate(samples, STREAMS, CRITERIA)).unit_scores_BC[:, 0]


@pytest.mark.parametrize("order", ["paper", "interleaved"])
def test_packed_and_padded_reading_and_single_samples_agree(order):
    model = model_of(order)
    together = scores(model)
    torch.testing.assert_close(scores(model_of(order, "padded")), together, atol=1e-5, rtol=1e-4)
    alone = torch.cat([scores(model, [one]) for one in SAMPLES])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores(model, SAMPLES[::-1]).flip(0), together, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("order", ["paper", "interleaved"])
def test_the_score_depends_on_the_words_and_not_on_their_view(order):
    model = model_of(order)
    said = sample("a", Words.whole("a clear and lively talk"), timed("hello", "", "bye"))
    other = sample("a", Words.whole("a clear and lively walk"), timed("hello", "", "bye"))
    view = sample("a", Words.whole("a clear and lively talk"), timed("hello", "", "bye"))
    view.streams["talk"][:] = 9.0
    first, second, third = (scores(model, [one]) for one in (said, other, view))
    assert first != second
    assert first == third
    blind = model_of(order, words=WordsConfig(read="view"))
    assert scores(blind, [said]) == scores(blind, [other])
    assert scores(blind, [said]) != scores(blind, [view])


def test_words_stand_between_boundaries_on_the_segment_clock():
    model = model_of("interleaved")
    batch = collate([SAMPLES[0]], STREAMS, CRITERIA)
    plan = model.words.plan(batch)
    talk, captions = plan.blocks[0][0], plan.blocks[0][2]
    assert bytes(plan.ids_W[talk.rows].tolist()) == b"a clear and lively talk"
    assert bytes(plan.ids_W[captions.rows].tolist()) == b"hello bye"
    assert captions.segments.tolist() == [0] * 5 + [2] * 4
    assert set(talk.segments) == {0}


def test_a_long_text_loses_its_middle():
    assert middle_out(4, 4).tolist() == [0, 1, 2, 3]
    assert middle_out(9, 5).tolist() == [0, 1, 2, 7, 8]
    model = model_of(words=WordsConfig(limit=5))
    texts = [sample("a", Words.whole(text)) for text in ("abcdefgh", "abcxyzgh", "abcdefgi")]
    one, same, other = scores(model, texts)
    assert one == same
    assert one != other


def test_what_is_said_in_segments_that_are_not_valid_is_not_read():
    model = model_of()
    said = sample("a", None, timed("one", "two", "three"))
    said.streams["captions"][1] = np.nan
    other = sample("a", None, timed("one", "TWO!", "three"))
    other.streams["captions"][1] = np.nan
    assert scores(model, [said]) == scores(model, [other])


def test_a_model_of_words_asks_for_words():
    silent = sample("a", Words.whole("hello"))
    without = Sample(silent.id, silent.streams, silent.scores)
    with pytest.raises(InputError, match=r"stream 'talk': expected its words, found only their view"):
        scores(model_of(), [without])


@pytest.mark.parametrize("train", ["used", "all"])
def test_training_moves_what_is_trained_and_leaves_the_table(train):
    model = model_of(train_embeddings=train).train()
    output = model(collate(SAMPLES, STREAMS, CRITERIA))
    output.unit_scores_BC.sum().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not [name for name, grad in grads.items() if grad is None and not name.startswith("head")]
    assert not model.words.table_VH.requires_grad
    if train == "all":
        assert grads["tokens.table"][ord("v")].abs().sum() > 0


def test_a_saved_model_scores_the_same_and_holds_no_second_table(tmp_path):
    model = model_of()
    save_pretrained(model, tmp_path / "model")
    loaded = load_pretrained(tmp_path / "model")
    assert loaded.modalities[0].words == "hashed"
    assert torch.equal(scores(loaded), scores(model))
    assert not [name for name in model.state_dict() if "table_VH" in name]


def test_scoring_without_words_reads_placeholders():
    scorer = ModelScorer(model_of())
    found = scorer.score([SAMPLES[0], SAMPLES[0].restricted_to(("video",))])
    assert np.isfinite(found).all()
    assert found[0] != found[1]


def test_names_of_special_tokens_are_words(tmp_path):
    from transformers import AutoTokenizer

    from helpers.backbones import write_backbone
    from limssr.model.backbone.load import load_backbone

    folder = write_backbone(tmp_path / "backbone", "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "<|end|>", "additional_special_tokens": ["<missing_talk>"]})
    tokenizer.save_pretrained(folder)
    encode = load_backbone(BackboneConfig(name=str(folder)), seed=0).encode
    assert len(tokenizer("<|end|>", add_special_tokens=False)["input_ids"]) == 1
    for name in ("<|end|>", "<missing_talk>", "<start_talk>"):
        assert len(encode(name)) > 1
