from limssr.core.config import DataConfig, RunConfig, TrainConfig
from limssr.runs.checks import run_warnings


def test_eq17_and_short_warm_ups_are_warned_of(store_path, tmp_path):
    config = RunConfig(
        data=DataConfig(store=str(store_path)), train=TrainConfig(epochs=5), loss={"regularizer": "eq17"}
    )
    texts = " ".join(run_warnings(config))
    assert "collapse" in texts
    assert "warmup_epochs" in texts
    assert run_warnings(RunConfig()) == []
