"""What the report says first, and what it shows of an explanation."""

import json

import numpy as np
import pytest

from limssr.core.errors import ArtifactError
from limssr.report import first_screen as first_screen_module
from limssr.report import write_report
from limssr.report.first_screen import first_screen, ordered_shares
from limssr.report.runfolder import read_run_folder

NAMES = ("video", "audio", "flow")


@pytest.fixture
def run_dir(scored_run):
    return scored_run("told", noise=3.0)


def written(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_the_first_screen_is_in_plain_words_and_from_the_numbers(run_dir):
    screen = {one["question"]: one["answer"] for one in first_screen(read_run_folder(run_dir))}
    assert (
        "2 scores (execution, difficulty) of a performance, from video, audio and flow." in screen["What can it score?"]
    )
    shares = ordered_shares(read_run_folder(run_dir))
    assert len(shares) == 7
    assert f"{10 * shares['video+audio+flow']:.1f} times in 10 with video + audio + flow" in screen["How well?"]
    assert screen["How sure is a score?"].startswith("This run gives no intervals")
    assert "limssr explain says" in screen["From which streams?"]


@pytest.mark.parametrize("few", [("video+audio+flow",), ("video", "audio+flow"), None])
def test_the_first_screen_claims_nothing_of_a_few_performances(run_dir, few):
    """As the table does not: "8.6 times in 10" of eight performances is no number."""
    document = json.loads((run_dir / "evaluation.json").read_text())
    for one in document["subsets"]:
        if few is None or "+".join(one["streams"]) in few:
            one["num_samples"] = 8
    rows = [
        {"streams": one["streams"], "criterion": "execution", "num_samples": one["num_samples"], "covered": 0.9,
         "covered_ci": [0.8, 1.0], "width": 1.0, "source": "pattern"}
        for one in document["subsets"]
    ]  # fmt: skip
    document["coverage"] = {"level": 0.9, "num_calibration": 30, "subsets": rows}
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    screen = {one["question"]: one["answer"] for one in first_screen(read_run_folder(run_dir))}
    well, sure = screen["How well?"], screen["How sure is a score?"]
    if few is None:
        assert well.startswith("Too few performances were judged with video (8), ")
        assert "and 3 more sets of streams" in well
        assert sure == "Too few performances were judged to count how often its 90 % intervals hold."
        return
    told, left_out = well.split("Too few performances were judged with ")
    assert all(f"{streams.replace('+', ' + ')} (8)" in left_out for streams in few)
    with_all = "video+audio+flow" not in few
    assert (
        ("with video + audio + flow" in told) == ("off by" in told) == ("with video + audio + flow" in sure) == with_all
    )


def test_pairs_in_the_right_order_are_counted():
    truth = np.array([1.0, 2.0, 3.0, 3.0])
    assert first_screen_module._ordered(truth, truth) == 1.0
    assert first_screen_module._ordered(truth, -truth) == 0.0
    assert first_screen_module._ordered(truth, np.ones(4)) == 0.5
    assert first_screen_module._ordered(truth, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(4 / 5)
    assert first_screen_module._ordered(np.ones(3), truth[:3]) is None


def test_coverage_is_told_and_tabled(run_dir):
    document = json.loads((run_dir / "evaluation.json").read_text())
    rows = [
        {"streams": subset, "criterion": one["name"], "num_samples": 12, "covered": covered, "covered_ci": [0.8, 1.0],
         "width": 0.3 * (one["high"] - one["low"]), "source": source}
        for subset, covered, source in ((["video"], 0.8, "nested"), (list(NAMES), 0.9, "pattern"))
        for one in json.loads((run_dir / "run.json").read_text())["criteria"]
    ]  # fmt: skip
    document["coverage"] = {"level": 0.9, "num_calibration": 30, "subsets": rows}
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    text = written(run_dir)
    assert "held 90 % of the test scores with video + audio + flow and are 30 % of the scale wide" in text
    assert "with fewer streams they held 80 % and are" in text
    assert '<th scope="row">video *</th><td>80</td>' in text
    rows[0]["covered"] = "most"
    (run_dir / "evaluation.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="covered"):
        written(run_dir)


def explained(run_dir, **changes):
    (run_dir / "explain").mkdir(exist_ok=True)
    figures = [{"name": "coverage", "words": "Nine in ten <hold>."}, {"name": "../../secret", "words": "No."}]
    document = {"format_version": 1, "split": "test", "figures": figures,
                "contributions": {"streams": {"video": {"share": 0.25}, "audio": {"share": 0.75}}},
                "not_applicable": {"attention": "ridge has no fusion slots"}, "notes": ["a note"]}  # fmt: skip
    (run_dir / "explain" / "explain.json").write_text(json.dumps(document | changes))


def test_what_was_explained_is_shown_with_its_sentences(run_dir):
    explained(run_dir)
    image = b"\x89PNG\r\n\x1a\n" + bytes(8) + (300).to_bytes(4, "big") + (150).to_bytes(4, "big")
    (run_dir / "explain" / "coverage.png").write_bytes(image)
    (run_dir.parent / "secret.png").write_bytes(image)
    text = written(run_dir)
    assert "Nine in ten &lt;hold&gt;." in text
    assert 'width="192" height="96"' in text
    assert "No attention: ridge has no fusion slots." in text
    assert "audio (75 %) and video (25 %) of the sum of what streams add" in text
    assert text.count("data:image/png") == 1 + 7  # and a scatter for each subset


@pytest.mark.parametrize("changes", [{"format_version": 9}, {"figures": "all"}, {"contributions": {"streams": 3}}])
def test_an_altered_explanation_is_refused(run_dir, changes):
    explained(run_dir, **changes)
    with pytest.raises(ArtifactError):
        written(run_dir)
