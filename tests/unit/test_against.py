"""Several runs next to each other."""

import numpy as np
import pytest

from limssr.core.errors import InputError
from limssr.explain.against import Cloud, clouds_of_runs
from limssr.explain.figures.against import draw_against


def test_slope_and_correlation_of_known_clouds():
    truth = np.linspace(0.0, 1.0, 50)
    found = Cloud(run="a", streams="video", truth_N=truth, predicted_N=0.4 * truth + 0.3).to_dict()
    assert found["slope"] == pytest.approx(0.4)
    assert found["pearson"] == pytest.approx(1.0)
    flat = Cloud(run="a", streams="video", truth_N=truth, predicted_N=np.full(50, 0.5)).to_dict()
    assert flat["slope"] == pytest.approx(0.0)
    assert flat["pearson"] is None


def test_runs_on_one_store_are_drawn_and_others_refused(scored_run):
    good, poor = scored_run("good", noise=0.5), scored_run("poor", noise=8.0, seed=2)
    clouds = clouds_of_runs(good, [poor])
    assert len(clouds) == 2 * 7
    full = {one.run: one.to_dict() for one in clouds if one.streams == "video+audio+flow"}
    assert full["good (attention)"]["pearson"] > full["poor (attention)"]["pearson"]
    drawn = draw_against(clouds)
    assert drawn.png.startswith(b"\x89PNG")
    assert "good (attention) r " in drawn.words
    other = scored_run("other", record={"store": {"path": "x", "fingerprint": "another"}})
    with pytest.raises(InputError, match="2 stores"):
        clouds_of_runs(good, [other])
