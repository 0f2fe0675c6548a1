"""Words beside recordings: on the clock of the recording, in the store and when new recordings are scored."""

import csv

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.data.store.reader import FeatureStore
from limssr.media.clock import parse_segments
from limssr.media.extract import ExtractOptions, extract
from limssr.media.manifest import load_recordings
from limssr.media.record import ExtractionRecord
from limssr.media.samples import read_recordings
from limssr.media.write import write_media

OPTIONS = ExtractOptions(segments=parse_segments("1"), encoders=("motion",), words="hashed")
SRT = "1\n00:00:00,200 --> 00:00:01,000\nsteady now\n\n2\n00:00:01,400 --> 00:00:02,000\nand land it\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, flash):
    """Three recordings of three seconds: words with times, words without, and none."""
    folder = tmp_path_factory.mktemp("spoken")
    (folder / "r0.srt").write_text(SRT)
    rows = []
    for number, (split, text) in enumerate((("train", "r0.srt"), ("val", "all of it at once"), ("test", ""))):
        write_media(folder / f"r{number}.mp4", pictures=flash(1.0 + number / 10, np.arange(75) / 25))
        row = {"id": f"r{number}", "split": split, "score:total": number, "media:video": f"r{number}.mp4"}
        rows.append(row | {"text:commentary": text, "offset:commentary": "1" if number == 0 else ""})
    rows.append({**rows[0], "id": "r3", "media:video": "r1.mp4", "score:total": 1, "split": "val"})
    rows.insert(1, {**rows[0], "id": "r4", "media:video": "r4.mp4", "score:total": 3})
    write_media(folder / "r4.mp4", pictures=flash(2.0, np.arange(75) / 25))
    with (folder / "recordings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def store(folder):
    report = extract(folder / "recordings.csv", folder / "store", OPTIONS)
    assert not report.failures
    return FeatureStore.open(folder / "store")


def test_words_stand_on_the_clock_of_the_recording(store):
    sample = store.sample("r0")
    assert sample.num_segments == 3
    assert sample.words["commentary"].by_segment(3) == ["", "steady now", "and land it"]
    assert sample.words["commentary"].times == ((1.2, 2.0), (2.4, 3.0))
    assert store.sample("r1").words["commentary"].text == "all of it at once"
    assert not store.sample("r2").words
    assert [modality.words for modality in store.modalities] == [None, "hashed"]


def test_new_recordings_are_read_in_the_same_way(folder, store):
    record = ExtractionRecord.from_dict(store.info.extraction)
    found = read_recordings(folder / "recordings.csv", record, store.modalities)
    for sample in found.samples:
        kept = store.sample(sample.id)
        assert sample.words == kept.words
        for name, stream_TD in kept.streams.items():
            np.testing.assert_array_equal(sample.streams[name], stream_TD)
    (alone,) = read_recordings(folder / "r0.mp4", record, store.modalities).samples
    assert set(alone.streams) == {"motion"}


def test_contained_looks_at_files_of_words_and_not_at_words(folder, tmp_path):
    manifest = folder / "outside.csv"
    manifest.write_text("id,split,score:total,sensor:x,text:c\na,train,1,,../words.txt\n")
    with pytest.raises(InputError, match=r"found \.\./words\.txt"):
        load_recordings(manifest, use="extract", paths="contained")
    manifest.write_text("id,split,score:total,sensor:x,text:c\na,train,1,,go ../ and up\n")
    assert load_recordings(manifest, use="extract", paths="contained").rows
