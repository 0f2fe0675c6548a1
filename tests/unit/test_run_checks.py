import pytest

from limssr.core.config import RunConfig, TrainConfig
from limssr.core.config_data import DataConfig
from limssr.core.errors import InputError
from limssr.runs.checks import folder_status, run_warnings


def test_eq17_and_short_warm_ups_are_warned_of(store_path, tmp_path):
    config = RunConfig(
        data=DataConfig(store=str(store_path)), train=TrainConfig(epochs=5), loss={"regularizer": "eq17"}
    )
    texts = " ".join(run_warnings(config))
    assert "collapse" in texts
    assert "warmup_epochs" in texts
    assert run_warnings(RunConfig()) == []


@pytest.mark.parametrize(("resume", "told"), [("never", "add --resume"), ("cannot", "remove what is there")])
def test_a_folder_that_holds_something_is_refused_with_what_can_be_done(tmp_path, resume, told):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=told):
        folder_status(tmp_path, RunConfig(), resume)
