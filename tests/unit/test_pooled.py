import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from limssr.core.config import EvalConfig
from limssr.core.errors import ArtifactError, InputError
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import subsets
from limssr.evaluation.evaluate import evaluate
from limssr.systems.pooled import PooledModel, pool_statistics
from limssr.systems.regressions import MIN_TRAINING_SAMPLES, PooledRegressor, as_arrays

NAMES = ("a", "b", "c")
MODALITIES = tuple(Modality(name, 2) for name in NAMES)
CRITERIA = (Criterion("x", 0.0, 10.0), Criterion("y", -100.0, 100.0))


def world(num_samples=80, *, seed=0, owned=None, groups=False, hidden_criterion=0.0):
    """Stream m shows the latent value in its mean, with noise; y is a multiple of x."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(num_samples):
        latent = rng.normal()
        streams = {}
        for name in NAMES:
            offset = latent + 0.3 * rng.normal()
            streams[name] = (offset + 0.2 * rng.normal(size=(int(rng.integers(3, 9)), 2))).astype(np.float32)
        kept = NAMES if owned is None else owned(n, rng)
        scores = np.array([5 + latent, 20 * latent + rng.normal()])
        if rng.random() < hidden_criterion:
            scores[1] = np.nan
        group = f"g{n % 9}" if groups else ""
        found.append(Sample(f"s{n}", {name: streams[name] for name in kept}, scores, group))
    return found


def half_missing(n, rng):
    kept = tuple(name for name in NAMES if rng.random() < 0.5)
    return kept or (NAMES[n % 3],)


def regressor(kind, strategy, **options):
    return PooledRegressor(kind, strategy, modalities=MODALITIES, criteria=CRITERIA, num_jobs=1, **options)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr("limssr.systems.regressions.NUM_TREES", 20)
    monkeypatch.setattr("limssr.systems.regressions.NUM_ROUNDS", 60)


def test_statistics_by_hand_without_invalid_segments():
    stream_TD = np.array([[1.0, 10.0], [np.nan, np.nan], [3.0, 20.0]], dtype=np.float32)
    np.testing.assert_allclose(pool_statistics(stream_TD), [2, 15, 1, 5, 1, 10, 3, 20])


@pytest.mark.parametrize("kind", ["ridge", "extra_trees", "gradient_boosting"])
@pytest.mark.parametrize("strategy", ["per_subset", "impute", "repeat"])
@pytest.mark.parametrize("groups", [False, True])
def test_every_strategy_learns_from_incomplete_data_for_every_subset(kind, strategy, groups):
    model = regressor(kind, strategy).fit(world(150, owned=half_missing, groups=groups, hidden_criterion=0.3))
    test = world(60, seed=1)
    truth = np.stack([sample.scores for sample in test])
    for streams in subsets(NAMES):
        prediction = model.score([sample.restricted_to(streams) for sample in test])
        for column in range(2):
            assert np.corrcoef(truth[:, column], prediction[:, column])[0, 1] > 0.7, (streams, column)
        assert model.why_no_prediction(streams) is None


@pytest.mark.parametrize("kind", ["extra_trees", "gradient_boosting"])
def test_same_seed_same_predictions_whatever_the_order_of_scoring(kind):
    train, test = world(owned=half_missing), world(12, seed=1, owned=half_missing)
    first = regressor(kind, "repeat", seed=3).fit(train).score(test)
    again = regressor(kind, "repeat", seed=3).fit(train).score(test[::-1])[::-1]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, regressor(kind, "repeat", seed=4).fit(train).score(test))


def test_boosting_has_a_model_for_every_criterion():
    """What is learned of one criterion does not depend on the other."""
    train, test = world(60), world(8, seed=1)
    alone = [Sample(s.id, s.streams, np.array([s.scores[0], np.nan])) for s in train]
    both, one = (regressor("gradient_boosting", "impute").fit(some).score(test) for some in (train, alone))
    np.testing.assert_array_equal(both[:, 0], one[:, 0])
    assert np.isnan(one[:, 1]).all()


def test_per_subset_uses_only_samples_that_own_the_subset():
    """Samples without stream b carry wrong scores: the model for b must not know of them."""
    honest = world(60, seed=0)
    liars = [Sample(f"l{s.id}", {"a": s.streams["a"]}, -s.scores) for s in world(60, seed=5)]
    test = [sample.restricted_to(("b",)) for sample in world(20, seed=1)]
    alone = regressor("ridge", "per_subset").fit(honest).score(test)
    np.testing.assert_array_equal(regressor("ridge", "per_subset").fit(honest + liars).score(test), alone)


def test_too_few_training_samples_give_nan_and_a_reason():
    owned = lambda n, rng: ("a", "b") if n < MIN_TRAINING_SAMPLES - 1 else ("a",)  # noqa: E731
    model = regressor("ridge", "per_subset").fit(world(40, owned=owned))
    test = world(4, seed=1)
    assert np.isfinite(model.score([sample.restricted_to(("a",)) for sample in test])).all()
    assert np.isnan(model.score([sample.restricted_to(("a", "b")) for sample in test])).all()
    assert model.why_no_prediction(("a", "b")) == "9 training samples own these streams, at least 10 needed"
    assert model.why_no_prediction(("c",)) == "no training sample owns c"
    assert model.why_no_prediction(("a",)) is None


@pytest.mark.parametrize("strategy", ["per_subset", "impute", "repeat"])
def test_a_stream_that_no_training_sample_owns_is_left_out(strategy):
    model = regressor("ridge", strategy).fit(world(owned=lambda *_: ("a", "b")))
    test = world(10, seed=1)
    known = model.score([sample.restricted_to(("a",)) for sample in test])
    np.testing.assert_array_equal(model.score([sample.restricted_to(("a", "c")) for sample in test]), known)
    assert np.isfinite(known).all()
    assert np.isnan(model.score([sample.restricted_to(("c",)) for sample in test])).all()
    assert model.why_no_prediction(("a", "c")) is None
    assert model.why_no_prediction(("c",)) == "no training sample owns c"
    left_out = evaluate(model, test, ("a", "b", "c"), model.criteria, config=EvalConfig(bootstrap=0)).average.left_out
    assert left_out == {("c",): (), ("a", "b"): ("a", "b", "c"), ("a", "c"): ("a",), ("b", "c"): ("b",)}


def test_a_criterion_that_nobody_judged_is_nan():
    train = [Sample(s.id, s.streams, np.array([s.scores[0], np.nan])) for s in world()]
    prediction = regressor("ridge", "impute").fit(train).score(world(5, seed=1))
    assert np.isfinite(prediction[:, 0]).all()
    assert np.isnan(prediction[:, 1]).all()


def test_absent_streams_are_filled_with_the_training_mean_of_their_owners():
    train = world(owned=half_missing)
    model = regressor("ridge", "impute").fit(train)
    owners = [pool_statistics(sample.streams["b"]) for sample in train if "b" in sample.streams]
    np.testing.assert_allclose(model.training_means["b"], np.mean(owners, axis=0))


def test_an_all_nan_stream_counts_as_absent():
    train, test = world(owned=half_missing), world(6, seed=1)
    model = regressor("ridge", "repeat").fit(train)
    without = [sample.restricted_to(("a", "c")) for sample in test]
    hollow = [Sample(s.id, {**s.streams, "b": np.full_like(s.streams["b"], np.nan)}) for s in test]
    np.testing.assert_array_equal(model.score(hollow), model.score(without))


def test_nothing_to_fit_and_nothing_fitted():
    with pytest.raises(InputError, match="training samples"):
        regressor("ridge", "impute").fit([])
    with pytest.raises(InputError, match="fit"):
        regressor("ridge", "impute").score(world(3))


@pytest.mark.parametrize("kind", ["ridge", "extra_trees", "gradient_boosting"])
@pytest.mark.parametrize("strategy", ["per_subset", "impute", "repeat"])
def test_saved_and_loaded_it_gives_the_same_scores_and_reasons(kind, strategy, tmp_path):
    fitted = regressor(kind, strategy).fit(world(40, owned=lambda n, _: ("a", "b") if n < 30 else ("b",))).model
    fitted.save(tmp_path)
    loaded = PooledModel.load(tmp_path)
    test = [sample.restricted_to(streams) for sample in world(5, seed=1) for streams in subsets(NAMES)]
    np.testing.assert_allclose(loaded.score(test), fitted.score(test), rtol=1e-12)
    assert np.isfinite(fitted.score(test)).any()
    for streams in subsets(NAMES):
        assert loaded.why_no_prediction(streams) == fitted.why_no_prediction(streams)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("ridge", 1), ("ridge", 2), ("extra_trees", 1), ("extra_trees", 2), ("gradient_boosting", 1)],
)
def test_the_arrays_score_as_scikit_learn_does(kind, columns):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 12)).astype(np.float32).astype(np.float64), rng.normal(size=(60, columns))
    # Values that stand exactly on thresholds go left in both.
    features[:30, :6] = np.round(features[:30, :6])
    fresh = regressor(kind, "impute")._new_regression(60, None)
    fresh.fit(features, targets[:, 0] if columns == 1 else targets)
    ours = as_arrays(fresh, columns)
    ours.check(12, columns)
    test = np.concatenate([features, rng.normal(size=(600, 12)), np.round(rng.normal(size=(60, 12)))])
    np.testing.assert_allclose(ours.predict(test), fresh.predict(test).reshape(-1, columns), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("damage", ["bit", "loop", "outside", "cut"])
def test_a_saved_regression_that_was_altered_is_refused(damage, tmp_path):
    regressor("extra_trees", "impute").fit(world(20)).model.save(tmp_path)
    arrays, settings = tmp_path / "pooled.safetensors", tmp_path / "pooled.json"
    content = bytearray(arrays.read_bytes())
    if damage == "bit":
        content[-5] ^= 1
    elif damage == "cut":
        content = content[:-100]
    else:
        held = safetensors.numpy.load(bytes(content))
        inner = int(np.flatnonzero(held["0.feature"] >= 0)[3])
        held["0.left"][inner] = inner if damage == "loop" else 10**6
        content = bytearray(safetensors.numpy.save(held))
        document = json.loads(settings.read_text())
        settings.write_text(json.dumps({**document, "arrays_sha256": hashlib.sha256(content).hexdigest()}))
    arrays.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"altered or damaged|cannot be read"):
        PooledModel.load(tmp_path)
