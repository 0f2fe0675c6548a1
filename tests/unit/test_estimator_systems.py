"""`LimssrRegressor(system=...)`: any system of the table, chosen by name."""

import numpy as np
import pytest

from limssr import LimssrRegressor
from limssr.core.errors import InputError

RANDOM = np.random.default_rng(2)
SCORES = RANDOM.uniform(0, 10, 24)
SAMPLES = [
    {
        "video": (RANDOM.normal(size=(5, 3)) + score).astype("float32"),
        **({"audio": (RANDOM.normal(size=(5, 2)) - score).astype("float32")} if number % 3 else {}),
    }
    for number, score in enumerate(SCORES)
]


@pytest.mark.parametrize("system", ["attention", "late-fusion", "mlp-mixer", "statistics"])
def test_any_system_trains_scores_and_is_saved(system, tmp_path):
    model = LimssrRegressor(system=system, epochs=3, batch_size=8, learning_rate=1e-2).fit(SAMPLES, SCORES)
    assert model.config_.model.system == system
    assert model.get_params()["system"] == system
    found = model.predict(SAMPLES)
    assert np.isfinite(found).all()
    model.save_pretrained(tmp_path / "saved")
    again = LimssrRegressor.from_pretrained(tmp_path / "saved")
    assert again.system == system
    np.testing.assert_array_equal(again.predict(SAMPLES), found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"system": "atention"}, "did you mean 'attention'"),
        ({"system": "ridge"}, "a regression and no run of its own"),
        ({"system": "attention", "head": "statistics"}, r"that attention reads, found head"),
        ({"system": "late-fusion", "backbone": "smollm2-135m", "num_layers": 2}, "found backbone, num_layers"),
        ({"system": 3}, "Unknown system '3'"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        LimssrRegressor(**arguments).fit(SAMPLES, SCORES)


def test_without_a_word_it_is_limssr():
    assert LimssrRegressor().get_params()["system"] == "limssr"
