"""Systems that a person brings: registered in a process, or by an installed package."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from helpers.odd_stores import odd_samples
from limssr.core.config import ModelConfig
from limssr.core.errors import InputError
from limssr.core.lazy import LazyTable, PlugIns, Where
from limssr.core.types import Batch, Criterion, Modality, ScoreOutput
from limssr.runs.auto.candidates import Setting, Watch, candidate_of
from limssr.runs.auto.settings import AutoSettings, auto_config
from limssr.systems.build import build_model
from limssr.systems.system import ComparisonSystem
from limssr.systems.table import SYSTEMS, register_system
from limssr.testing import CRITERIA, MODALITIES, SystemCheckError, check_system

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-system"


class Means(ComparisonSystem):
    """A line through the mean of each stream."""

    def __init__(self, config, modalities, criteria):
        super().__init__(config, modalities, criteria)
        self.lines = torch.nn.ModuleList(torch.nn.Linear(one.dim, len(criteria)) for one in modalities)

    def means(self, batch: Batch):
        scaled = self.input_scaler(batch)
        for index, (modality, line) in enumerate(zip(self.modalities, self.lines, strict=True)):
            valid_BT = batch.valid_BMT[:, index]
            yield index, line((scaled[modality.name] * valid_BT[..., None]).sum(1) / valid_BT.sum(1).clamp(1)[:, None])

    def forward(self, batch: Batch) -> ScoreOutput:
        return self.scored(sum(found_BC * batch.present_BM[:, [index]] for index, found_BC in self.means(batch)))


class ReadsTheBatch(Means):
    def forward(self, batch: Batch) -> ScoreOutput:
        logits_BC = sum(found_BC * batch.present_BM[:, [index]] for index, found_BC in self.means(batch))
        return self.scored(logits_BC - logits_BC.mean(dim=0))


class ReadsPadding(Means):
    def means(self, batch: Batch):
        for index, (modality, line) in enumerate(zip(self.modalities, self.lines, strict=True)):
            yield index, line(batch.features[modality.name].nan_to_num(posinf=0.0).mean(1))


@pytest.fixture
def registered():
    register_system("mine", Means, title="means")
    yield "mine"
    SYSTEMS._added.pop("mine")


def test_a_class_is_enough(registered):
    assert SYSTEMS[registered].title == "means"
    assert SYSTEMS[registered].family == "own"
    assert SYSTEMS[registered].summary == "A line through the mean of each stream"
    assert registered in SYSTEMS
    assert registered in list(SYSTEMS)
    assert registered not in SYSTEMS.built_in
    model = build_model(ModelConfig(system=registered), MODALITIES, CRITERIA, seed=0)
    assert isinstance(model, Means)


def test_auto_judges_it_by_its_name(registered):
    assert AutoSettings.of(auto_config("store", candidates=["ridge", registered])).candidates == ("ridge", registered)
    widths = {"s0": 3, "s1": 2}
    setting = Setting(
        modalities=tuple(Modality(name, width) for name, width in widths.items()),
        criteria=(Criterion("score", 0.0, 10.0),),
        backbone="tiny",
        num_layers=1,
        seed=1,
        device=torch.device("cpu"),
    )
    assert isinstance(candidate_of(registered).fit(odd_samples(12, list(widths.values())), setting, 1, Watch()), Means)


def test_what_keeps_the_contract_passes(registered):
    assert "saving and loading change no bit" in check_system(registered, num_streams=(1, 2))


@pytest.mark.parametrize(
    ("broken", "told"), [(ReadsTheBatch, "other samples of a batch"), (ReadsPadding, "behind an absent stream")]
)
def test_what_breaks_the_contract_is_told_how(broken, told):
    with pytest.raises(SystemCheckError, match=told):
        check_system(broken, num_streams=(2,))


@pytest.mark.parametrize(
    ("name", "system", "told"),
    [
        ("limssr", Means, "not taken"),
        ("two words", Means, "letters, digits"),
        ("../x", Means, "letters, digits"),
        ("mine", torch.nn.Linear, "derived from limssr's Network"),
        ("mine", "package.module:Class", "derived from limssr's Network"),
    ],
)
def test_what_is_no_system_is_refused(name, system, told):
    with pytest.raises(InputError, match=told):
        register_system(name, system)
    assert name in ("limssr",) or name not in SYSTEMS


def test_a_wrong_field_is_named():
    with pytest.raises(InputError, match="did you mean 'summary'"):
        register_system("mine", Means, sumary="x")


def test_a_name_nobody_registered_says_what_to_do():
    with pytest.raises(InputError, match="has to be installed, or registered first"):
        build_model(ModelConfig(system="mine"), MODALITIES, CRITERIA, seed=0)


def table_with(monkeypatch, *entries):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    return LazyTable({"own": Where("math", "pi")}, PlugIns(group="g", made=lambda name, found: (name, found)))


def test_an_entry_point_is_loaded_when_it_is_read(monkeypatch):
    table = table_with(monkeypatch, EntryPoint("e", "math:e", "g"), EntryPoint("gone", "no_such_module:x", "g"))
    assert list(table) == ["own", "e", "gone"]
    assert table["e"][0] == "e"
    with pytest.raises(InputError, match="No module named 'no_such_module'"):
        table["gone"]


def test_an_entry_point_replaces_nothing(monkeypatch):
    table = table_with(monkeypatch, EntryPoint("own", "math:e", "g"))
    with pytest.warns(UserWarning, match="the name own is taken"):
        assert list(table) == ["own"]
    assert table["own"] == pytest.approx(3.14159, abs=1e-5)


def test_the_example_is_found_when_it_is_installed(tmp_path):
    """As pip would leave it: the module, and metadata that names the entry point."""
    shutil.copytree(EXAMPLE / "src" / "own_system", tmp_path / "own_system")
    info = tmp_path / "own_system-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-system\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[limssr.systems]\ngated-mean = own_system:GATED_MEAN\n")
    code = "from limssr.testing import check_system; print(*check_system('gated-mean', num_streams=(2,)), sep='\\n')"
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "saving and loading change no bit" in done.stdout


class NeverLearns(Means):
    """Every step leads away from the scores: the gradient has the wrong sign."""

    def forward(self, batch: Batch) -> ScoreOutput:
        logits_BC = sum(found_BC * batch.present_BM[:, [index]] for index, found_BC in self.means(batch))
        return self.scored(2 * logits_BC.detach() - logits_BC)


@pytest.mark.parametrize("num_streams", [(1,), (2,)])
def test_what_does_not_learn_is_told_with_any_number_of_streams(num_streams):
    with pytest.raises(SystemCheckError):
        check_system(NeverLearns, num_streams=num_streams)


def test_what_was_not_checked_is_not_said():
    assert "saving and loading change no bit" not in check_system(Means, num_streams=(1,))
