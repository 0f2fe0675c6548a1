"""Runs become rows, rows become numbers: what is refused, what is marked, and that nothing is made from nothing."""

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from limssr.core.errors import InputError, LimssrError
from limssr.core.reading.records import EvaluationDocument, read_document
from limssr.report.text import decimals_of
from limssr.studies.ablation.ablate import differences_of
from limssr.studies.compare.numbers import INCOMPLETE
from limssr.studies.compare.rows import read_rows, split_label
from limssr.studies.compare.run import CompareOptions, compare_runs
from limssr.studies.compare.tables import stream_codes
from limssr.studies.compare.write import scores_csv, to_document, to_latex, to_text, write_comparison

FULL = "video+audio+flow"


def labels(*runs, **options):
    return [row.label for row in read_rows([str(run) for run in runs], **options).rows]


def compared(*runs, **options):
    return compare_runs(CompareOptions(runs=tuple(str(run) for run in runs), **{"num_resamples": 200, **options}))


def refused(*runs, **options):
    with pytest.raises(LimssrError) as refusal:
        read_rows([str(run) for run in runs], **options)
    assert refusal.value.exit_code == 2
    return str(refusal.value)


def test_seeds_of_one_setting_are_one_row_and_references_are_rows(scored_run):
    runs = [scored_run(f"seed{seed}", seed=seed, references={"ridge": 3.0}) for seed in (1, 2)]
    other = scored_run("wider", set=("model.hidden=32",), references={"extra-trees-complete": 3.0})
    found = read_rows([str(run) for run in (*runs, other)])
    assert [row.label for row in found.rows] == [
        "attention (seed1)",
        "attention (wider)",
        "ridge",
        "extra-trees-complete",
    ]
    assert [row.seeds for row in found.rows] == [(1, 2), (42,), (1, 2), (42,)]
    assert [row.first.trained_on for row in found.rows] == ["available"] * 3 + ["complete"]
    assert labels(*runs, other, references="without") == ["attention (seed1)", "attention (wider)"]


def test_what_is_the_same_twice_is_counted_once(scored_run):
    runs = [scored_run(f"h{width}", set=(f"model.hidden={width}",), references={"ridge": 3.0}) for width in (16, 32)]
    found = read_rows([str(run) for run in runs])
    assert [row.label for row in found.rows] == ["attention (h16)", "attention (h32)", "ridge"]
    assert "counted once" in found.notes[0]


def test_labels_by_hand_keep_equal_runs_apart(scored_run):
    first, second = scored_run("first"), scored_run("second", noise=2.0)
    message = refused(first, second)
    assert "seed 42" in message
    assert "LABEL=RUN" in message
    assert labels(f"old={first}", f"new={second}") == ["old", "new"]
    wider = scored_run("k=2", set=("model.hidden=32",))
    assert split_label(str(wider)) == ("", wider)
    assert "model.hidden" in refused(f"x={first}", f"x={wider}")


def test_what_cannot_be_compared_is_refused(scored_run):
    first = scored_run("first")
    assert "3 in " in refused(first, scored_run("fewer", seed=2, samples=lambda samples: samples[3:]))
    assert "difficulty" in refused(first, scored_run("criteria", seed=2, criteria=["execution"]))
    assert "same streams" in refused(first, scored_run("streams", seed=2, streams=["video", "audio"]))
    message = refused(first, scored_run("masked", seed=2, samples=without_flow))
    assert "own other streams" in message
    assert "4 of 12" in message
    scales = [{"name": "execution", "low": 0, "high": 1}, {"name": "difficulty", "low": 0, "high": 60}]
    assert "one scale of execution" in refused(first, scored_run("scale", seed=2, record={"criteria": scales}))
    assert "twice" in refused(first, first)
    assert "--resume" in refused(first, scored_run("half", seed=2, record={"status": "running"}))
    assert "at least two" in refused(first)
    assert "no run.json" in refused(first, first.parent / "nowhere")


def without_flow(samples):
    return [sample.restricted_to(("video", "audio")) if n < 4 else sample for n, sample in enumerate(samples)]


def test_other_scores_of_the_same_samples_are_refused(scored_run):
    def shifted(samples):
        return [type(one)(one.id, one.streams, one.scores + (n == 5), one.group, one.split)
                for n, one in enumerate(samples)]  # fmt: skip

    assert "same scores" in refused(scored_run("first"), scored_run("second", seed=2, samples=shifted))


def test_the_order_of_streams_and_criteria_does_not_matter(scored_run):
    first = scored_run("first", seed=1)
    second = scored_run("second", seed=2, streams=["flow", "video", "audio"], criteria=["difficulty", "execution"])
    found = read_rows([f"a={first}", f"b={second}"])
    one, other = (row.first.answers for row in found.rows)
    assert one.subsets == other.subsets
    np.testing.assert_array_equal(one.truth_NC, other.truth_NC)


def test_numbers_are_those_of_the_evaluation_averaged_over_seeds(scored_run):
    runs = [scored_run(f"seed{seed}", seed=seed, references={"ridge": 3.0}) for seed in (1, 2)]
    found = compared(*runs)
    documents = [read_document(run / "evaluation.json", EvaluationDocument, newest_version=1) for run in runs]
    for part, key in ((INCOMPLETE, "average_incomplete"), (FULL, "full")):
        for metric in ("spearman", "mse"):
            values = [document[key][metric] for document in documents]
            number = found.scores.numbers["attention", part, metric]
            assert number.value == pytest.approx(np.mean(values))
            assert number.sd == pytest.approx(np.std(values, ddof=1))
            assert number.low <= number.value <= number.high


@pytest.mark.parametrize("interval", ["jackknife", "percentile"])
@pytest.mark.parametrize("resample", ["auto", "samples"])
def test_every_verb_has_the_same_interval_for_the_same_pair(scored_run, interval, resample):
    """What evaluate wrote of each run, what compare (and sweep, which calls it) shows, and what ablate computes."""

    def without_some(samples):
        return [one.restricted_to(("video", "audio")) if n < 2 else one for n, one in enumerate(samples)]

    settings = (f"evaluation.interval={interval}", f"evaluation.resample={resample}")
    good, bad = (scored_run(f"noise{noise}", noise=noise, system=system, samples=without_some, set=settings,
                            bootstrap=2000)
                 for noise, system in ((20.0, "attention"), (60.0, "statistics")))  # fmt: skip
    found = compared(good, bad, num_resamples=2000)
    for label, run in (("attention", good), ("statistics", bad)):
        document = read_document(run / "evaluation.json", EvaluationDocument, newest_version=1)
        assert document["resample"] == ("groups" if resample == "auto" else "samples")
        parts = {INCOMPLETE: document["average_incomplete"]}
        parts |= {"+".join(subset["streams"]): subset for subset in document["subsets"]}
        for part, written in parts.items():
            number = found.scores.numbers[label, part, "spearman"]
            assert [number.low, number.high] == pytest.approx(written["spearman_ci"], abs=1e-9)
            assert number.plain == pytest.approx(written["spearman_plain"])
    ablated = differences_of({42: bad}, {42: good})
    for part, name in ((INCOMPLETE, "average_incomplete"), (FULL, "full")):
        one, other = found.differences["statistics", part, "spearman"], ablated[name]
        assert (one.value, one.low, one.high, one.p_value) == pytest.approx(
            (other.value, other.low, other.high, other.p_value), abs=1e-12
        )
    opposite = compared(good, bad, against="statistics", num_resamples=2000)
    assert opposite.differences["attention", FULL, "spearman"].value == -one.value


def test_an_interval_leaves_zero_out_exactly_where_p_is_small(scored_run):
    run = scored_run("run", noise=30.0, references={"ridge": 40.0, "extra-trees": 90.0})
    found = compared(run)
    for one in found.differences.values():
        assert (one.p_value < 0.05) == (one.low > 0 or one.high < 0)


def test_no_number_is_made_from_nothing(scored_run):
    seeing = scored_run("seeing", references={"ridge": 3.0})
    blind = scored_run("blind", system="statistics", blind=("flow",), constant=("audio",))
    found = compared(seeing, blind)
    number = found.scores.numbers["statistics", INCOMPLETE, "spearman"]
    assert math.isnan(number.value)
    assert number.num_seeds == 0
    assert (number.num_partial, number.num_subsets) == (4, 6)
    there = [found.scores.numbers["statistics", part, "spearman"].value
             for part in ("video", "video+audio", "video+flow", "audio+flow")]  # fmt: skip
    assert number.partial == pytest.approx(np.tanh(np.mean(np.arctanh(there))))
    assert found.scores.numbers["statistics", "flow", "mse"].reason == "it was never shown that"
    assert found.scores.numbers["statistics", "audio", "spearman"].reason == "constant prediction"
    assert found.scores.numbers["statistics", "audio", "mse"].is_defined
    difference = found.differences["statistics", INCOMPLETE, "spearman"]
    assert math.isnan(difference.value)
    assert math.isnan(difference.adjusted_p)
    assert "statistics has no number" in difference.reason
    assert found.differences["statistics", FULL, "spearman"].value == pytest.approx(
        found.scores.numbers["statistics", FULL, "spearman"].value
        - found.scores.numbers["attention", FULL, "spearman"].value
    )
    assert found.ranking.left_out == {"statistics": "no number in 4 of 14 blocks"}
    text = to_text(found)
    assert "over 4 of 6" in text
    assert "n/a, statistics, flow: it was never shown that." in text


def test_one_seed_without_a_number_leaves_the_row_without(scored_run):
    seeing = scored_run("one", seed=1)
    runs = [
        scored_run("two", seed=1, system="statistics"),
        scored_run("three", seed=2, system="statistics", blind=(FULL,)),
    ]
    number = compared(seeing, *runs).scores.numbers["statistics", FULL, "spearman"]
    assert math.isnan(number.value)
    assert number.reason == "it was never shown that"


def test_subsets_that_the_test_split_cannot_judge_are_left_out_for_all(scored_run):
    def mostly_without(samples):
        return [one.restricted_to(("video", "audio")) if n > 1 else one for n, one in enumerate(samples)]

    found = compared(
        *(scored_run(name, seed=3, system=name, samples=mostly_without) for name in ("attention", "statistics"))
    )
    number = found.scores.numbers["attention", INCOMPLETE, "spearman"]
    assert number.is_defined
    assert number.num_subsets == 3
    assert found.scores.numbers["attention", FULL, "spearman"].reason == "fewer than 3 samples"
    assert found.scores.num_samples[FULL] == 2
    assert found.ranking.test.num_blocks == 6


def test_subsets_that_nobody_answers_are_left_out_for_all(scored_run):
    runs = [scored_run(name, system=name, blind=("flow",)) for name in ("attention", "statistics")]
    found = compared(*runs)
    number = found.scores.numbers["attention", INCOMPLETE, "spearman"]
    assert number.is_defined
    assert number.num_subsets == 5
    assert not found.scores.numbers["attention", "flow", "spearman"].is_defined
    assert found.scores.unanswered == ("flow",)
    assert any("flow: no system has a prediction" in banner.text for banner in found.banners)
    assert found.ranking.test.num_blocks == 12


def test_the_best_comes_first_where_that_is_asked_for(scored_run):
    runs = [
        scored_run("blind", system="gain", noise=1.0, blind=("flow",)),
        scored_run("blinder", system="corrkd", noise=30.0, blind=("flow", "audio")),
        scored_run("poor", noise=30.0),
        scored_run("good", system="statistics", noise=1.0),
    ]
    as_given, best_first = compared(*runs), compared(*runs, order="score")
    assert [row.label for row in as_given.rows] == ["gain", "corrkd", "attention", "statistics"]
    assert [row.label for row in best_first.rows] == ["statistics", "attention", "gain", "corrkd"]
    assert as_given.against.label == best_first.against.label == "gain"
    for label in ("gain", "corrkd", "attention", "statistics"):
        ordered, given = (found.scores.numbers[label, FULL, "mse"].value for found in (best_first, as_given))
        assert ordered == given
    lines = [line for line in scores_csv(best_first).splitlines() if not line.startswith("#")]
    assert lines[1].startswith("statistics,")


def test_ranks_are_over_subsets_and_criteria(scored_run):
    noises = {"attention": 1.0, "statistics": 30.0}
    runs = [scored_run(name, system=name, noise=noise) for name, noise in noises.items()]
    runs.append(scored_run("third", set=("model.hidden=16",), noise=300.0))
    found = compared(*runs)
    assert found.ranking.test.num_blocks == 14
    best, middle, worst = (found.ranking.test.average_ranks[found.ranking.labels.index(label)]
                           for label in ("attention (attention)", "statistics", "attention (third)"))  # fmt: skip
    assert best < middle < worst


def test_what_must_be_known_is_marked(scored_run):
    other_data = {"num_samples": {"train": 40, "val": 4, "test": 12}}
    runs = [
        scored_run("plain", references={"extra-trees-complete": 1.0}),
        scored_run("flattered", system="statistics", record={"selection": "test"}),
        scored_run("fewer", set=("model.hidden=16",), record=other_data),
        scored_run("complete", set=("model.hidden=32",), record={"trained_on": "complete"}),
    ]
    found = compared(*runs, against="attention (plain)")
    assert found.marks == {
        "attention (plain)": (),
        "statistics": ("test",),
        "attention (fewer)": ("data",),
        "attention (complete)": ("complete",),
        "extra-trees-complete": ("complete",),
    }
    assert set(found.ranking.left_out) == {"attention (complete)", "extra-trees-complete"}
    text = to_text(found)
    assert "statistics ‡" in text
    assert "! ‡ The epoch was chosen on the test split. statistics" in text
    assert found.banners[0].kind == "warning"
    assert "Epochs were chosen in different ways" in text


def test_the_chosen_row_is_named_or_found(scored_run):
    runs = [scored_run(f"h{width}", set=(f"model.hidden={width}",), references={"ridge": 3.0}) for width in (16, 32)]
    assert compared(*runs, against="ridge").against.label == "ridge"
    with pytest.raises(InputError, match="found 2 called 'attention'"):
        compared(*runs, against="attention")
    with pytest.raises(InputError, match="ridge"):
        compared(*runs, against="rigde")
    with pytest.raises(InputError, match="at least 100"):
        compared(*runs, num_resamples=10)


def test_costs_come_from_the_run_and_the_store(scored_run, tmp_path):
    runs = [scored_run(f"seed{seed}", seed=seed, references={"ridge": 3.0}) for seed in (1, 2)]
    found = compared(*runs)
    cost = found.costs["attention"]
    assert found.sample.num_segments is not None
    assert 4 <= found.sample.num_segments <= 9
    assert cost.training_s == pytest.approx(101.5)
    assert cost.macs > cost.total > 0
    ridge = found.costs["ridge"]
    assert (ridge.macs, ridge.training_s) == (None, 2.0)
    assert "no network" in ridge.reasons["macs"]
    record = {"store": {"path": str(tmp_path / "nowhere"), "name": "moved", "fingerprint": "f"}}
    moved = compared(scored_run("moved", record=record, references={"ridge": 3.0})).costs["attention"]
    assert (moved.macs, moved.trained, moved.total) == (None, 10, 20)
    assert "--store" in moved.reasons["macs"]


def test_too_few_resamples_for_holm_are_pointed_out(scored_run):
    run = scored_run("run", references={"ridge": 3.0, "extra-trees": 4.0, "extra-trees-imputed": 5.0})
    few, more = ({"num_resamples": number, "interval": "percentile"} for number in (100, 200))
    assert "Too few resamples" in [banner.title for banner in compared(run, **few).banners]
    assert "Too few resamples" not in [banner.title for banner in compared(run, **more).banners]
    assert "Too few resamples" not in [banner.title for banner in compared(run, num_resamples=100).banners]


def test_every_form_holds_the_same_numbers_and_loads_nothing(scored_run, tmp_path):
    run = scored_run("run", references={"ridge": 30.0, "extra-trees": 60.0})
    found = compared(run)
    files = write_comparison(found, tmp_path / "out", command="limssr compare run")
    assert sorted(file.name for file in files) == sorted(
        [
            "compare.html",
            "compare.json",
            "compare.tex",
            "compare.txt",
            "critical-difference.svg",
            "scores.csv",
            "systems.csv",
        ]
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(file.name for file in files)
    value = found.scores.numbers["ridge", FULL, "spearman"].value
    page = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert f"{value:.3f}".replace("-", "−") in page
    assert not re.findall(r"(?:src|href|srcset)=\"https?:", page)
    assert page.count("data:image/svg+xml") == 2
    assert f"{value:.3f}" in to_text(found)
    assert f"{value:.3f}".replace("-", "$-$") in to_latex(found)
    rows = [line for line in (tmp_path / "out" / "scores.csv").read_text().splitlines() if not line.startswith("#")]
    read = {(row["system"], row["part"]): row for row in csv.DictReader(io.StringIO("\n".join(rows)))}
    assert float(read["ridge", FULL]["spearman_value"]) == pytest.approx(value, abs=1e-5)
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert document["rows"][1]["numbers"][FULL]["spearman"]["value"] == pytest.approx(value)
    assert to_document(found)["rows"][0]["numbers"][FULL]["mse"]["difference"] is None


def test_short_names_of_streams_and_decimals():
    assert stream_codes(["timing", "tempo", "pedal"]) == {"timing": "TI", "tempo": "TE", "pedal": "P"}
    assert stream_codes(["flow", "flow2"]) == {"flow": "FLOW", "flow2": "FLOW2"}
    assert [decimals_of([value]) for value in (0.0084, 12.0, 0.5, math.nan)] == [5, 2, 3, 3]


def test_subsets_that_differ_by_a_stream_nobody_learned_from_are_counted_once(scored_run):
    """Video and audio alone are left: with flow they are the same questions, and both together is what is full."""
    unseen = {"owned_streams": {"train": {"video": 20, "video+audio": 24}}}
    runs = [scored_run(name, noise=noise, system=name, record=unseen) for name, noise in (("gain", 1.0), ("pcd", 3.0))]
    found = compared(*runs)
    assert found.scores.same_as == {
        "flow": "",
        "video+audio": FULL,
        "video+flow": "video",
        "audio+flow": "audio",
    }
    average = found.scores.numbers["gain", INCOMPLETE, "mse"]
    each = [found.scores.numbers["gain", name, "mse"].value for name in ("video", "audio")]
    assert average.value == pytest.approx(np.mean(each))
    assert average.num_subsets == 2
    assert found.ranking.test.num_blocks == 3 * len(found.scores.criteria)
    assert any("audio+flow is audio" in banner.text for banner in found.banners)
    expected = differences_of({42: runs[1]}, {42: runs[0]})["average_incomplete"]
    assert found.differences["pcd", INCOMPLETE, "spearman"].value == pytest.approx(expected.value, abs=1e-9)
    somebody = scored_run("corrkd", system="corrkd")
    assert compared(*runs, somebody).scores.same_as == {}
