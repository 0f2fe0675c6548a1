import math
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.validation import check_is_fitted

from limssr import estimator as estimator_module
from limssr.core.config import ModelConfig, RunConfig, TrainConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.data.splits import held_out_groups
from limssr.estimator import LimssrRegressor
from limssr.runs.prediction.predict import predict

FAST = RunConfig(
    model=ModelConfig(system="attention", hidden=16, input_scaling="standard", output="standardized"),
    train=TrainConfig(epochs=3, warmup_epochs=1, learning_rate=1e-2),
)


def fast(**changes):
    return LimssrRegressor(**{"config": FAST, "device": "cpu", **changes})


@pytest.fixture(scope="module")
def samples(world):
    return [dict(sample.streams) for sample in world.samples]


@pytest.fixture(scope="module")
def scores(world):
    return np.stack([sample.scores for sample in world.samples])


@pytest.fixture(scope="module")
def fitted(samples, scores):
    return fast().fit(samples, scores)


def test_the_constructor_stores_its_arguments_and_does_nothing_else(monkeypatch):
    monkeypatch.setattr(estimator_module, "build_model", lambda *_, **__: pytest.fail("worked"))
    names, ranges = ["b", "a"], [(0, 1)]
    regressor = LimssrRegressor(modalities=names, score_range=ranges, epochs=-3, device="nonsense")
    parameters = regressor.get_params()
    assert parameters["modalities"] is names
    assert parameters["score_range"] is ranges
    assert parameters["epochs"] == -3
    assert not [name for name in vars(regressor) if name.endswith("_")]


def test_clone_and_set_params():
    regressor = fast(epochs=7, verbose=0)
    copy = clone(regressor)
    assert copy.get_params() == regressor.get_params()
    assert copy.set_params(epochs=9).epochs == 9
    assert regressor.epochs == 7
    with pytest.raises(ValueError, match="epoch"):
        copy.set_params(epoch=1)


def test_before_fit_there_is_nothing_to_predict(samples, scores, tmp_path):
    regressor = fast()
    with pytest.raises(NotFittedError):
        regressor.predict(samples)
    with pytest.raises(NotFittedError):
        regressor.save_pretrained(tmp_path)
    with pytest.raises(NotFittedError):
        regressor.evaluate_subsets(samples, scores)
    with pytest.raises(NotFittedError):
        check_is_fitted(regressor)


def test_fitted_attributes(fitted, world):
    check_is_fitted(fitted)
    assert fitted.modalities_ == world.modalities
    assert [criterion.name for criterion in fitted.criteria_] == ["score-1", "score-2"]
    assert len(fitted.history_) == fitted.n_iter_ == 3
    assert 0 <= fitted.best_epoch_ < 3
    assert not hasattr(fitted, "n_features_in_")


def test_the_default_backbone_fits_and_predicts(samples, scores):
    regressor = LimssrRegressor(num_layers=1, epochs=2, device="cpu").fit(samples[:24], scores[:24, 0])
    predicted_N = regressor.predict(samples[24:30])
    assert predicted_N.shape == (6,)
    assert np.isfinite(predicted_N).all()
    assert regressor.model_.config.backbone.num_layers == 1


def test_shapes_follow_the_scores(fitted, samples, scores):
    assert fitted.predict(samples[:5]).shape == (5, 2)
    assert fitted.predict([]).shape == (0, 2)
    single = fast().fit(samples, scores[:, 0])
    assert single.predict(samples[:5]).shape == (5,)
    assert single.predict([]).shape == (0,)
    column = fast().fit(samples, scores[:, :1])
    assert column.predict(samples[:5]).shape == (5, 1)
    np.testing.assert_array_equal(column.predict(samples)[:, 0], single.predict(samples))


def test_three_ways_to_say_absent_are_one(fitted, samples):
    sample = samples[0]
    missing = {name: stream for name, stream in sample.items() if name != "audio"}
    none = {**sample, "audio": None}
    blank = {**sample, "audio": np.full_like(sample["audio"], np.nan)}
    predicted = fitted.predict([missing, none, blank, sample])
    np.testing.assert_array_equal(predicted[0], predicted[1])
    np.testing.assert_array_equal(predicted[0], predicted[2])
    assert not np.allclose(predicted[0], predicted[3])


def test_absent_streams_are_absent_in_training_too(samples, scores):
    incomplete = [{"audio": one["audio"], "video": None} if row % 2 else one for row, one in enumerate(samples)]
    regressor = fast(modalities=["flow", "audio", "video"]).fit(incomplete, scores)
    assert [modality.name for modality in regressor.modalities_] == ["flow", "audio", "video"]
    assert np.isfinite(regressor.predict(samples)).all()


def test_the_same_random_state_gives_the_same_bits(samples, scores):
    settings = {"num_layers": 1, "epochs": 1, "device": "cpu"}
    first = LimssrRegressor(random_state=3, **settings).fit(samples[:20], scores[:20])
    second = LimssrRegressor(random_state=3, **settings).fit(samples[:20], scores[:20])
    other = LimssrRegressor(random_state=4, **settings).fit(samples[:20], scores[:20])
    np.testing.assert_array_equal(first.predict(samples), second.predict(samples))
    assert not np.array_equal(first.predict(samples), other.predict(samples))


def test_random_state_none_takes_a_new_seed():
    seeds = {LimssrRegressor(random_state=None)._run_config().seed for _ in range(4)}
    assert len(seeds) > 1


def test_the_config_overrides_the_arguments(fitted):
    assert fitted.config_.model.system == "attention"
    assert fitted.config_.train.epochs == 3
    assert fitted.epochs == 30


def test_arguments_reach_the_configuration():
    regressor = LimssrRegressor(
        backbone="smollm2-135m",
        num_layers=4,
        epochs=5,
        batch_size=3,
        learning_rate=1e-4,
        dropout=0.3,
        modality_dropout="none",
        random_state=9,
    )
    config = regressor._run_config()
    assert (config.model.backbone.name, config.model.backbone.num_layers) == ("smollm2-135m", 4)
    assert (config.train.epochs, config.train.batch_size, config.train.learning_rate) == (5, 3, 1e-4)
    assert (config.model.dropout, config.missing.dropout, config.seed) == (0.3, "none", 9)


def test_saved_and_loaded_it_predicts_the_same_bits(fitted, samples, scores, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    loaded = LimssrRegressor.from_pretrained(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.predict(samples), fitted.predict(samples))
    assert loaded.get_params() == {**fitted.get_params(), "config": FAST}
    assert loaded.history_ == fitted.history_
    assert loaded.score(samples, scores) == fitted.score(samples, scores)
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors", ".parquet"}
    with pytest.raises(ArtifactError):
        LimssrRegressor.from_pretrained(tmp_path)


def test_a_saved_estimator_scores_a_store(samples, scores, store_path, tmp_path):
    fast(score_range=(0, 60)).fit(samples, scores).save_pretrained(tmp_path / "model")
    assert predict(tmp_path / "model", store_path).column_names == ["id", "streams", "score-1", "score-2"]


def test_score_is_r2(fitted, samples, scores):
    predicted = fitted.predict(samples)
    assert fitted.score(samples, scores) == pytest.approx(r2_score(scores, predicted))
    weights = np.linspace(1, 2, len(samples))
    expected = r2_score(scores, predicted, sample_weight=weights)
    assert fitted.score(samples, scores, sample_weight=weights) == pytest.approx(expected)
    holed = scores.copy()
    holed[::3, 0] = np.nan
    judged = ~np.isnan(holed[:, 0])
    expected = np.mean([r2_score(scores[judged, 0], predicted[judged, 0]), r2_score(scores[:, 1], predicted[:, 1])])
    assert fitted.score(samples, holed) == pytest.approx(expected)


def test_evaluate_subsets_covers_all_seven(fitted, samples, scores):
    evaluation = fitted.evaluate_subsets(samples, scores * 1.5, bootstrap=0)
    assert len(evaluation.subsets) == 7
    assert {subset.num_samples for subset in evaluation.subsets} == {len(samples)}
    assert math.isfinite(evaluation.average_incomplete["spearman"].value)


def test_unjudged_scores_are_left_out(samples, scores):
    holed = scores.copy()
    holed[::2, 0] = np.nan
    assert np.isfinite(fast().fit(samples, holed).predict(samples)).all()


def test_cross_validation_and_grid_search_work(samples, scores):
    values = cross_val_score(fast(), samples, scores[:, 0], cv=2)
    assert np.isfinite(values).all()
    search = GridSearchCV(fast(), {"validation_fraction": [0.0, 0.2]}, cv=2).fit(samples, scores[:, 0])
    assert search.best_params_["validation_fraction"] in (0.0, 0.2)


class TestValidation:
    def spy(self, monkeypatch):
        seen = {}
        original = estimator_module.fit

        def fit(model, train, val, **options):
            seen.update(train=train, val=val, config=options["config"])
            return original(model, train, val, **options)

        monkeypatch.setattr(estimator_module, "fit", fit)
        return seen

    def test_whole_groups_are_held_out(self, samples, scores, world, monkeypatch):
        seen = self.spy(monkeypatch)
        groups = [sample.group for sample in world.samples]
        fast().fit(samples, scores, groups=groups)
        by_side = [{groups[int(sample.id)] for sample in seen[side]} for side in ("train", "val")]
        assert not by_side[0] & by_side[1]
        assert len(seen["train"]) + len(seen["val"]) == len(samples)
        assert 0.1 < len(seen["val"]) / len(samples) < 0.3

    def test_a_fraction_of_zero_keeps_the_last_epoch(self, samples, scores, monkeypatch):
        seen = self.spy(monkeypatch)
        regressor = fast(validation_fraction=0).fit(samples, scores)
        assert seen["val"] == []
        assert seen["config"].train.selection == "last"
        assert regressor.best_epoch_ == 2

    def test_given_validation_is_used_and_nothing_is_held_out(self, samples, scores, monkeypatch):
        seen = self.spy(monkeypatch)
        fast().fit(samples[:40], scores[:40], validation=(samples[40:], scores[40:]))
        assert (len(seen["train"]), len(seen["val"])) == (40, 20)

    def test_one_group_always_stays(self):
        assert held_out_groups(["a", "a", "a"], 0.9, seed=0) == set()
        assert len(held_out_groups(["a", "b", "c"], 0.99, seed=0)) == 2
        assert held_out_groups(list("abcdef"), 0.5, seed=0) != held_out_groups(list("abcdef"), 0.5, seed=3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, y: (x, y[:-1]), "shape"),
            (lambda x, y: (x, y[:, :, None]), "shape"),
            (lambda x, y: ([], y[:0]), "shape"),
            (lambda x, y: (x, [["bad"]] * len(x)), "numeric"),
            (lambda x, y: (x, np.where(y == y.max(), np.inf, y)), "finite"),
            (lambda x, y: (x, np.stack([y[:, 0], np.full(len(y), np.nan)], axis=1)), "no score at all"),
            (lambda x, y: (x, np.stack([y[:, 0], np.full(len(y), 2.0)], axis=1)), "only 2"),
            (lambda x, y: ([*x[:-1], {}], y), "Sample '59'"),
            (lambda x, y: ([*x[:-1], x[0]["audio"]], y), "Sample 59: expected a mapping"),
            (lambda x, y: ([*x[:-1], {"audio": x[0]["audio"][:, :3]}], y), "width"),
            (lambda x, y: ([*x[:-1], {"audio": x[0]["audio"][0]}], y), "rank 2"),
            (lambda x, y: ([*x[:-1], {"audio": x[0]["audio"], "flow": x[0]["flow"][:2]}], y), "segments"),
            (lambda x, y: ([*x[:-1], {"audio": np.full_like(x[0]["audio"], np.inf)}], y), "finite"),
        ],
    )
    def test_bad_samples_and_scores(self, samples, scores, change, message):
        with pytest.raises(InputError, match=message):
            fast().fit(*change(samples, scores))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"modalities": ["video", "touch"]}, "touch"),
            ({"criteria": ["one"]}, "1 columns"),
            ({"score_range": (0, 1, 2)}, "score_range"),
            ({"score_range": (0, 1)}, "scale 0 to 1"),
            ({"validation_fraction": 1.0}, "validation_fraction"),
            ({"device": "tpu"}, "device"),
            ({"config": {"seed": 1}}, "RunConfig"),
            ({"config": None, "epochs": 0}, "epochs"),
            ({"config": None, "head": "papper"}, "head"),
            ({"config": None, "random_state": np.random.default_rng(0)}, "random_state"),
        ],
    )
    def test_bad_arguments_are_refused_at_fit(self, samples, scores, arguments, message):
        with pytest.raises(InputError, match=message):
            fast(**arguments).fit(samples, scores)

    def test_bad_groups(self, samples, scores):
        with pytest.raises(InputError, match="groups"):
            fast().fit(samples, scores, groups=["a"])

    def test_bad_samples_to_predict(self, fitted, samples):
        for sample, message in [({}, "absent"), ({"touch": samples[0]["audio"]}, "touch"), (None, "mapping")]:
            with pytest.raises(InputError, match=message):
                fitted.predict([sample])

    def test_other_numbers_of_criteria(self, fitted, samples, scores):
        with pytest.raises(InputError, match="2 scores"):
            fitted.score(samples, scores[:, 0])


def test_it_learns_what_there_is_to_learn(samples, scores):
    train = FAST.train.model_copy(update={"epochs": 30, "selection": "last"})
    regressor = fast(config=FAST.model_copy(update={"train": train}), validation_fraction=0).fit(samples, scores)
    assert regressor.score(samples, scores) > 0.5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"epochs": 0}, "LimssrRegressor: epochs: expected a whole number from 1 to 1,000,000, found 0"),
        ({"head": "mlp"}, "LimssrRegressor: head: expected paper | statistics, found 'mlp'"),
        ({"learning_rate": "fast"}, "LimssrRegressor: learning_rate: expected a number > 0, found 'fast'"),
        (
            {"num_layers": -1},
            "LimssrRegressor: num_layers: expected a whole number from 1 to 10,000, or null, found -1",
        ),
        ({"modality_dropout": "often"}, "LimssrRegressor: modality_dropout: expected none | per_sample | per_batch"),
    ],
)
def test_a_wrong_argument_is_named_as_the_caller_wrote_it(arguments, told):
    samples = [{"a": np.ones((2, 1))}, {"a": np.zeros((2, 1))}]
    with pytest.raises(InputError, match=re.escape(told)):
        LimssrRegressor(**arguments).fit(samples, [0.0, 1.0])


def test_intervals_grow_with_the_share_and_survive_saving(fitted, samples, scores, tmp_path):
    narrow, wide = fitted.predict(samples, interval=0.3), fitted.predict(samples, interval=0.7)
    np.testing.assert_array_equal(narrow.score, fitted.predict(samples))
    assert narrow.score.shape == narrow.low.shape == narrow.high.shape == (len(samples), 2)
    assert (wide.low < narrow.low).all()
    assert (narrow.low < narrow.score).all()
    assert (narrow.high < wide.high).all()
    assert np.mean((wide.low <= scores) & (scores <= wide.high)) > 0.5
    fitted.save_pretrained(tmp_path / "saved")
    again = LimssrRegressor.from_pretrained(tmp_path / "saved", device="cpu").predict(samples, interval=0.3)
    np.testing.assert_array_equal(again.high, narrow.high)


def test_intervals_have_the_shape_of_the_scores_and_need_held_out_samples(samples, scores):
    one = fast(epochs=1, validation_fraction=0.3).fit(samples, scores[:, 0])
    assert one.predict(samples[:3], interval=0.5).low.shape == (3,)
    without = fast(epochs=1, validation_fraction=0).fit(samples, scores)
    with pytest.raises(InputError, match="validation_fraction above 0"):
        without.predict(samples, interval=0.9)
    with pytest.raises(InputError, match="between 0 and 1"):
        one.predict(samples, interval=90)
