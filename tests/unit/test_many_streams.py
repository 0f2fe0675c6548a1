"""Beyond six streams nothing has one entry for each of the 2^M - 1 subsets: prompts, regressions, counts."""

import itertools

import numpy as np
import pytest

from limssr.core.config import BackboneConfig, ModelConfig, PromptConfig, RunConfig
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.missing import chosen_subsets
from limssr.model.backbone.load import load_backbone
from limssr.model.prompt import prompt_text
from limssr.model.prompt_ids import PromptsOfWords, patterns, prompt_ids, renumbered, tokens_of
from limssr.studies.paper.describe import describe
from limssr.systems.build import build_model
from limssr.systems.pooled import PooledModel
from limssr.systems.regressions import PooledRegressor

MANY = tuple(f"sensor {number}" if number % 3 else f"s{number}" for number in range(15))


@pytest.fixture(scope="module")
def encode():
    return load_backbone(BackboneConfig(name="tiny"), seed=0).encode


@pytest.mark.parametrize("num", [7, 8])
@pytest.mark.parametrize(
    "config", [PromptConfig(), PromptConfig(subject="a dive  from  10 m"), PromptConfig(variant="published")]
)
def test_prompts_of_words_are_the_prompts(encode, config, num):
    names = MANY[:num]
    found = prompt_ids(config, names, encode)
    assert isinstance(found, PromptsOfWords)
    assert len(found) == 2**num - 1
    whole = {pattern: encode(prompt_text(config, names, pattern)) for pattern in patterns(names)}
    assert dict(found) == whole
    assert tokens_of(found) == {token for ids in whole.values() for token in ids}
    shifted = renumbered(found, {token: token + 1 for token in tokens_of(found)})
    assert [token - 1 for token in shifted[(True,) * num]] == whole[(True,) * num]


@pytest.mark.parametrize("num", [15, 40])
def test_words_grow_in_proportion_to_the_streams(encode, num):
    names = [f"s{number}" for number in range(num)]
    found = prompt_ids(PromptConfig(), names, encode)
    assert len(found.ids_of_word) < 6 * num + 30
    random = np.random.default_rng(0)
    for _ in range(200):
        pattern = tuple((random.random(num) < random.random()).tolist())
        if any(pattern):
            assert found[pattern] == encode(prompt_text(PromptConfig(), names, pattern))
    with pytest.raises(KeyError):
        found[(False,) * num]


def modalities(num):
    return [Modality(name, 2) for name in MANY[:num]]


def make_samples(num_samples, num_streams, *, lacking=0.3):
    random = np.random.default_rng(5)
    names, samples = MANY[:num_streams], []
    for number in range(num_samples):
        score = random.uniform(0, 10)
        owned = [name for name in names if random.random() >= lacking] or [names[0]]
        streams = {name: (random.normal(size=(3, 2)) + score).astype(np.float32) for name in owned}
        samples.append(Sample(f"p{number}", streams, np.array([score]), None, "train"))
    return samples


@pytest.mark.parametrize("system", ["limssr", "bidirectional", "attention"])
def test_a_network_of_fifteen_streams_is_built_and_scores(system):
    backbone = BackboneConfig(name="tiny", num_layers=1)
    hidden = {} if system == "limssr" else {"hidden": 16}
    config = ModelConfig(system=system, backbone=backbone, num_missing_tokens=1, **hidden)
    model = build_model(config, modalities(15), [Criterion("total", 0.0, 10.0)], seed=0)
    from limssr.evaluation.scorer import ModelScorer

    samples = make_samples(6, 15, lacking=0.5)
    model.measure(samples)
    assert np.isfinite(ModelScorer(model, batch_size=3).score(samples)).all()


@pytest.mark.parametrize("system", ["limssr", "attention"])
def test_costs_are_counted_for_the_chosen_subsets(system):
    model = {"system": system, "backbone": {"name": "tiny", "num_layers": 1}, "num_missing_tokens": 1}
    config = RunConfig.model_validate({"model": model | ({"hidden": 16} if system == "attention" else {})})
    found = describe(config, modalities(8))
    assert list(found.macs_by_subset) == ["+".join(one) for one in chosen_subsets(MANY[:8])]
    assert len(found.macs_by_subset) < 40
    few = describe(config, modalities(3))
    assert len(few.macs_by_subset) == 7


@pytest.mark.parametrize("strategy", ["per_subset", "repeat"])
def test_regressions_grow_in_proportion_and_score_every_pattern(strategy, tmp_path):
    train = make_samples(30, 12)
    regressor = PooledRegressor("ridge", strategy, modalities=modalities(12), criteria=[Criterion("total", 0.0, 10.0)])
    model = regressor.fit(train).model
    assert len(model.parts) + len(model.gaps) <= len(chosen_subsets(MANY[:12]))
    new = make_samples(40, 12, lacking=0.5)
    scores = model.score(new)
    assert np.isfinite(scores).all()  # patterns that were never chosen are read by a subset that was
    assert np.corrcoef(scores[:, 0], [sample.scores[0] for sample in new])[0, 1] > 0.9
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(PooledModel.load(tmp_path / "saved").score(new), scores)


def test_a_pattern_is_read_by_the_regression_that_reads_most_of_it():
    train = make_samples(30, 8, lacking=0.0)
    criteria = [Criterion("total", 0.0, 10.0)]
    model = PooledRegressor("ridge", "per_subset", modalities=modalities(8), criteria=criteria).fit(train).model
    every = [one for size in range(1, 9) for one in itertools.combinations(MANY[:8], size)]
    for streams in every:
        assert model.why_no_prediction(streams) is None
        used = model.key(streams)
        assert set(used) <= set(streams)
        assert (used == streams) == (streams in model.parts)
        assert all(len(key) <= len(used) for key in model.parts if set(key) <= set(streams))
    sample = train[0].restricted_to(every[-20])
    same = train[0].restricted_to(model.key(every[-20]))
    np.testing.assert_array_equal(model.score([sample]), model.score([same]))


def test_all_subsets_are_fitted_where_they_are_asked_for():
    train = make_samples(12, 7, lacking=0.0)
    options = {"modalities": modalities(7), "criteria": [Criterion("total", 0.0, 10.0)]}
    assert len(PooledRegressor("ridge", "per_subset", rule="all", **options).fit(train).model.parts) == 127
    assert len(PooledRegressor("ridge", "per_subset", **options).fit(train).model.parts) == len(
        chosen_subsets(MANY[:7])
    )
