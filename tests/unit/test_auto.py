"""`limssr auto`: what is judged, how it is summed, and that its run is a run like any other."""

import itertools
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from limssr.cli.text import evaluation_lines
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.store.writer import StoreWriter
from limssr.estimator import LimssrRegressor
from limssr.explain.run import Wish, explain_run
from limssr.runs.auto import candidates, search, seeds
from limssr.runs.auto.auto import train_auto
from limssr.runs.auto.candidates import CANDIDATES, Candidate, OutOfTime, Setting, Watch, candidate_of
from limssr.runs.auto.choice import choose, paired
from limssr.runs.auto.folds import Clock, Folds, Judged, judge_all
from limssr.runs.auto.judge import ALL, Shown, interval, judge
from limssr.runs.auto.seeds import judge_more_seeds
from limssr.runs.auto.settings import AutoSettings, auto_config
from limssr.runs.auto.stack import learn_weights, out_of_fold_sum, pruned
from limssr.runs.evaluate import evaluate_run
from limssr.runs.folder import read_run
from limssr.runs.live.prefixes import measure_prefixes
from limssr.runs.prediction.predict import predict

MODALITIES = (Modality("video", 3), Modality("audio", 2))
CRITERIA = (Criterion("score", 0.0, 10.0),)
JUDGED = ("constant", "ridge", "extra-trees", "limssr-paper", "attention-mean")


def make_samples(num_samples: int = 60, *, seed: int = 0) -> list[Sample]:
    """Video knows the score well, audio a little; groups of three, the last fifth is the test split."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(num_samples):
        score, length = rng.uniform(1, 9), int(rng.integers(5, 9))
        streams = {
            "video": (rng.normal(size=(length, 3)) + score).astype(np.float32),
            "audio": (rng.normal(size=(length, 2)) + 0.4 * score).astype(np.float32),
        }
        split = "test" if number >= 0.8 * num_samples else "val" if number >= 0.65 * num_samples else "train"
        if split != "test" and number % 3 == 0:
            del streams["video" if number % 2 else "audio"]
        found.append(Sample(f"p{number}", streams, np.array([score]), f"g{number // 3}", split))
    return found


@pytest.fixture(scope="module")
def shown():
    samples = [one for one in make_samples(120) if one.split != "test"]
    return Shown.of(samples, ["video", "audio"], seed=0)


class TestJudge:
    def test_a_perfect_prediction_has_correlation_one_in_every_cell(self, shown):
        score = judge(shown, shown.truth_RC, seed=0)
        assert score.full == pytest.approx(np.tanh(np.arctanh(0.999)))
        assert score.incomplete == pytest.approx(score.full)
        assert interval(score.draws_D)[0] > 0.99

    def test_each_sample_counts_once_and_cells_hold_what_is_owned(self, shown):
        assert shown.weight_R.sum() == pytest.approx(len(shown.samples))
        assert all(len(shown.samples[shown.rows[row][0]].streams) == 2 for row in shown.cells[ALL])

    def test_a_paired_difference_is_surer_than_the_two_scores(self, shown):
        rng = np.random.default_rng(0)
        noisy = shown.truth_RC + rng.normal(size=shown.truth_RC.shape) * 2
        one, two = judge(shown, noisy, seed=0), judge(shown, noisy + 0.2 * rng.normal(size=noisy.shape), seed=0)
        low, high = paired(one, two)["ci"]
        assert high - low < 0.5 * (interval(one.draws_D)[1] - interval(one.draws_D)[0])

    def test_folds_keep_groups_together_and_repeat_for_few_samples(self, shown):
        folds = Folds.of(shown, seed=0)
        assert len(folds.fold_RR) == 3
        for fold_R in folds.fold_RR:
            of_group = {}
            for row, (n, _) in enumerate(shown.rows):
                assert of_group.setdefault(shown.groups[n], fold_R[row]) == fold_R[row]


def test_means_of_folds_are_no_sign_of_a_bad_model():
    """Few groups, apart in score: a model that only draws towards its training mean is at zero, not far below."""
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            f"p{n}",
            {"video": rng.normal(size=(3, 3)).astype(np.float32)},
            np.array([n % 5 + rng.normal()]),
            f"g{n % 5}",
        )
        for n in range(60)
    ]
    shown = Shown.of(samples, ["video"], seed=0)
    folds = Folds.of(shown, seed=0)
    weak = [base + 0.01 * rng.normal(size=base.shape) for base in folds.base_RRC]
    judged = Judged(
        name="ridge", predicted=weak, seconds=1, fold_s=1, sample_s=0, warnings=[], histories=[], num_parameters=0
    )
    assert judge(shown, weak[0], seed=0).value < -0.5
    assert abs(choose(shown, [judged], folds, seed=0).scores["ridge"].value) < 0.25


class TestStack:
    def centred(self, shown, noises):
        rng = np.random.default_rng(1)
        target = (shown.truth_RC - shown.truth_RC.mean()) / shown.truth_RC.std()
        return np.stack([target + noise * rng.normal(size=target.shape) for noise in noises]), target

    def test_the_better_member_has_the_larger_weight_and_none_is_negative(self, shown):
        members, target = self.centred(shown, [0.3, 1.5])
        weights = learn_weights(shown, members, target, np.arange(len(shown.rows)))
        assert weights.common[0] > 1.5 * weights.common[1] >= 0
        assert set(weights.by_pattern) == {("video",), ("audio",), ("video", "audio")}

    def test_a_sum_of_equals_is_better_than_each_also_out_of_fold(self, shown):
        members, target = self.centred(shown, [1.0, 1.0, 1.0])
        summed = out_of_fold_sum(shown, members, target, Folds.of(shown, seed=0).fold_RR[0])
        best = max(judge(shown, member, seed=0).value for member in members)
        assert judge(shown, summed, seed=0).value > best + 0.02

    def test_few_samples_have_nearly_equal_weights(self):
        few = Shown.of([one for one in make_samples(20) if one.split != "test"], ["video", "audio"], seed=0)
        members, target = self.centred(few, [0.8, 1.5])
        weights = learn_weights(few, members, target, np.arange(len(few.rows)))
        assert 0.5 < weights.common[1] / weights.common[0] < 1.0

    def test_noise_is_pruned(self, shown):
        members, target = self.centred(shown, [0.2, 0.3, 300.0])
        weights = learn_weights(shown, members, target, np.arange(len(shown.rows)))
        assert pruned(["good", "fair", "noise"], weights) == ["good", "fair"]


class TestSettings:
    def test_the_language_model_can_be_left_out_by_one_word(self):
        found = AutoSettings.of(auto_config("store", without=["language-model"]))
        assert "limssr" not in found.candidates
        assert "convolutions" in found.candidates

    def test_any_system_of_the_table_can_be_judged_before_what_reads_with_a_language_model(self):
        asked = ["limssr", "gcnet", "ridge", "momke", "attention"]
        found = AutoSettings.of(auto_config("store", candidates=asked))
        assert found.candidates == ("ridge", "attention", "gcnet", "momke", "limssr")
        assert "GCNet" in candidate_of("gcnet").summary
        assert not set(AutoSettings.of(auto_config("store")).candidates) - set(CANDIDATES)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"candidates": ["rigde"]}, "ridge"),
            ({"candidates": ["gcnte"]}, "gcnet"),
            ({"minutes": -1.0}, "minutes"),
            ({"candidates": ["constant"]}, "candidate that learns"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options, message):
        with pytest.raises(InputError, match=message):
            AutoSettings.of(auto_config("store", **options))

    def test_a_watch_ends_what_would_not_be_done_in_time(self):
        watch = Watch(allowed_s=10.0)
        watch.began -= 2.0
        watch.epoch({"epoch": 0, "seconds": 0.1}, total=20, best_epoch=None)
        with pytest.raises(OutOfTime):
            watch.epoch({"epoch": 1, "seconds": 2.0}, total=20, best_epoch=None)


def test_a_fold_that_takes_many_times_the_first_is_waited_for(shown, monkeypatch):
    allowed = []

    def learn(samples, setting, seed, watch):
        allowed.append(watch.allowed_s)
        return CANDIDATES["constant"].fit(samples, setting, seed, watch)

    monkeypatch.setitem(CANDIDATES, "slow", Candidate(summary="a quick first fold", fit=learn, cost="trained"))
    setting = Setting(
        modalities=MODALITIES, criteria=CRITERIA, backbone="tiny", num_layers=1, seed=0, device=torch.device("cpu")
    )
    clock, folds = Clock(total_s=6000.0), Folds.of(shown, seed=0)
    judge_all(["slow"], shown, folds, setting, clock=clock, test_rows=1, reporter=SilentReporter())
    assert len(allowed) == 5
    assert all(second >= first for first, second in itertools.pairwise(allowed))
    assert allowed[0] > 900.0


def test_networks_are_judged_by_the_mean_of_their_seeds_while_there_is_time(shown, monkeypatch):
    learned = []

    def learn(samples, setting, seed, watch):
        learned.append(seed)
        return CANDIDATES["ridge"].fit(samples, setting, seed, watch)

    monkeypatch.setitem(CANDIDATES, "net", Candidate(summary="counts its seeds", fit=learn, cost="trained"))
    setting = Setting(
        modalities=MODALITIES, criteria=CRITERIA, backbone="tiny", num_layers=1, seed=7, device=torch.device("cpu")
    )
    folds = Folds.of(shown, seed=0)
    told = {"shown": shown, "folds": folds, "setting": setting}
    judged, _ = judge_all(["net", "ridge"], clock=Clock(total_s=600.0), test_rows=1, reporter=SilentReporter(), **told)
    found = judge_more_seeds(judged, clock=Clock(total_s=600.0), reporter=SilentReporter(), **told)
    assert [(one.name, one.num_seeds) for one in found] == [("net", 3), ("ridge", 1)]
    assert sorted(learned) == sorted([7, 8, 9] * 5)
    np.testing.assert_allclose(found[0].predicted[0], judged[0].predicted[0], rtol=1e-6)  # each seed is the same ridge
    short = Clock(total_s=5.5 * judged[0].fold_s)  # all folds would fit, the final training would not
    assert judge_more_seeds(judged, clock=short, reporter=SilentReporter(), **told)[0].num_seeds == 1
    assert short.learning_s == 0.0


class _Heard(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto")
    with StoreWriter(folder / "store", name="toy", modalities=MODALITIES, criteria=CRITERIA, provenance={}) as writer:
        for sample in make_samples():
            writer.add(sample)
    heard = _Heard()
    backbone = {"backbone": {"name": "tiny", "num_layers": 1}}
    config = auto_config(folder / "store", minutes=20, candidates=JUDGED, tree={"model": backbone})
    with pytest.MonkeyPatch.context() as patch:
        for module in (search, seeds):
            patch.setattr(module, "MOST_SEEDS", 2)
        patch.setattr(candidates, "READING_EPOCHS", (2, 2))
        return train_auto(config, folder / "run", reporter=heard), heard.notes


def test_the_estimator_searches_with_a_preset_and_comes_back_from_disk(tmp_path, monkeypatch):
    for name in set(CANDIDATES) - {"constant", "ridge", "extra-trees"}:
        monkeypatch.delitem(CANDIDATES, name)
    samples = [one for one in make_samples(45) if one.split != "test"]
    arrays, scores = [dict(one.streams) for one in samples], [one.scores[0] for one in samples]
    model = LimssrRegressor(preset="auto").fit(arrays, scores, groups=[one.group for one in samples])
    assert np.corrcoef(model.predict(arrays), scores)[0, 1] > 0.8
    model.save_pretrained(tmp_path / "saved")
    again = LimssrRegressor.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict(arrays), model.predict(arrays))


class TestRun:
    def test_says_in_six_lines_what_it_saw_and_will_do(self, run):
        firsts = [line.split()[0] for line in run[1][:6]]
        assert firsts == ["samples", "streams", "lengths", "patterns", "scores", "plan"]

    def test_numbers_of_what_it_learned_from_are_marked(self, run, tmp_path):
        """Training and validation are both learned from here: neither may be shown as if it were held out."""
        flattered = {split: evaluate_run(run[0], split=split).to_dict() for split in ("train", "val", "test")}
        assert [flattered[split]["learned_from"] for split in flattered] == [True, True, False]
        told = [any("learned from these" in str(line) for line in evaluation_lines(one)) for one in flattered.values()]
        assert told == [True, True, False]
        with pytest.raises(InputError, match="learned from its validation split"):
            measure_prefixes(run[0])
        assert not (run[0] / "prefixes.parquet").exists()
        assert evaluate_run(run[0], split="val", store=run[0].parent / "store").learned_from
        copy = shutil.copytree(run[0], tmp_path / "run")
        assert any("learned from these" in note for note in explain_run(copy, Wish(split="val"))["notes"])

    def test_the_document_has_what_scripts_ask_for(self, run):
        document = read_run(run[0]).document["auto"]
        rows = {row["member"]: row for row in document["leaderboard"]}
        assert set(rows) == {*JUDGED, "sum"}
        assert rows["ridge"]["full"]["spearman"] > 0.8
        assert rows["constant"]["full"]["spearman"] == 0.0
        low, high = rows["ridge"]["incomplete"]["ci"]
        assert low < rows["ridge"]["incomplete"]["spearman"] < high
        assert set(document["language_model_adds"]) == {"spearman", "ci"}
        assert document["coverage"]["num_samples"] == 48
        assert document["seconds"]["searched"] > 0
        assert document["weights"]["common"]
        assert isinstance(document["warnings"], list)

    def test_is_evaluated_and_predicts_like_any_run(self, run):
        folder, _ = run
        evaluation = evaluate_run(folder)
        assert evaluation.full["spearman"].value > 0.8
        table = predict(folder, folder.parent / "store", split="test")
        alone = predict(folder, folder.parent / "store", split="test", member="ridge")
        assert table.num_rows == alone.num_rows == 12
        assert (folder / "report.html").exists()
        with pytest.raises(InputError, match="ridge"):
            predict(folder, folder.parent / "store", member="rigde")

    def test_keeps_every_out_of_fold_prediction_of_training_and_validation(self, run):
        rows = pq.read_table(run[0] / "out_of_fold.parquet").to_pylist()
        assert {row["member"] for row in rows} >= {"ridge", "auto"}
        assert {row["id"] for row in rows} == {one.id for one in make_samples() if one.split != "test"}
        assert all(np.isfinite(row["prediction"]) for row in rows if row["member"] == "ridge")

    def test_every_candidate_is_named_in_the_table(self):
        assert next(iter(CANDIDATES)) == "constant"
        assert {"ridge", "convolutions", "extra-trees", "ensemble", "limssr", "limssr-random"} <= set(CANDIDATES)
