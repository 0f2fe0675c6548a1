"""Stages of a training: how epochs are divided, what rests, which epochs can be chosen."""

import pytest
import torch

from limssr.core.config import RunConfig, TrainConfig
from limssr.core.errors import InputError
from limssr.core.progress import SilentReporter
from limssr.nn.contract import WHOLE, Stage, place_of, stage_epochs
from limssr.systems.build import build_model
from limssr.systems.saving import state_to_save
from limssr.training.loop import fit
from limssr.training.selection import chosen_epoch, out_of_patience

PARTS, FUSION = Stage("parts", 3.0, ("parts.",)), Stage("fusion", 1.0, ("fusion.", "head."))


@pytest.mark.parametrize(
    ("stages", "epochs", "expected"),
    [
        ((WHOLE,), 7, (7,)),
        ((PARTS, FUSION), 8, (6, 2)),
        ((PARTS, FUSION), 2, (1, 1)),
        ((Stage("a", 0.001), Stage("b", 1.0), Stage("c", 0.001)), 10, (1, 8, 1)),
        ((Stage("a", 100.0), Stage("b", 1.0), Stage("c", 1.0)), 4, (2, 1, 1)),
    ],
)
def test_epochs_are_divided_by_share_with_one_at_least(stages, epochs, expected):
    assert stage_epochs(stages, epochs) == expected


def test_an_epoch_knows_its_stage_and_its_place_in_it():
    places = [place_of((PARTS, FUSION), epoch, 8) for epoch in range(8)]
    assert [place.stage.name for place in places] == ["parts"] * 6 + ["fusion"] * 2
    assert [place.epoch for place in places] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert [place.epochs for place in places] == [6] * 6 + [2] * 2
    assert [place.is_last for place in places] == [False] * 6 + [True] * 2


def test_fewer_epochs_than_stages_are_refused():
    with pytest.raises(InputError, match="parts, fusion"):
        place_of((PARTS, FUSION), 0, 1)


def test_a_stage_moves_what_its_beginnings_name():
    assert PARTS.moves("parts.0.weight")
    assert not PARTS.moves("head.weight")
    assert WHOLE.moves("anything")


def test_only_epochs_of_the_last_stage_are_chosen_or_run_out_of_patience():
    early = [{"epoch": n, "val_loss": None, "can_be_chosen": False} for n in range(4)]
    late = [{"epoch": 4, "val_loss": 0.5, "can_be_chosen": True}, {"epoch": 5, "val_loss": 0.7, "can_be_chosen": True}]
    train = TrainConfig(patience=2)
    assert chosen_epoch(early, train) == 3
    judged = [{**record, "stage": "parts", "val_loss": loss} for record, loss in zip(early, (3, 1, 2, 2), strict=True)]
    assert chosen_epoch(judged, train) == 1
    assert chosen_epoch(early + late, train) == 4
    assert not out_of_patience(early, train)
    assert not out_of_patience(early + late, train)
    assert out_of_patience([*early, *late, {"epoch": 6, "val_loss": 0.6, "can_be_chosen": True}], train)


class Watches(SilentReporter):
    """Keeps what the members and the rest were after every epoch."""

    def __init__(self, model):
        self.model, self.members, self.rest = model, [], []

    def epoch(self, *_, **__):
        state = {name: tensor.clone() for name, tensor in state_to_save(self.model).items()}
        trained = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        self.members.append({name: state[name] for name in trained if name.startswith("head.members.")})
        self.rest.append({name: state[name] for name in trained if not name.startswith("head.members.")})


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("average", [None, 0.9])
def test_the_ensemble_is_trained_first_and_then_rests(store, average):
    config = RunConfig.model_validate(
        {
            "model": {
                "backbone": {"name": "tiny"},
                "head": "statistics",
                "output": "standardized",
                "statistics": {"first": 0.5},
            },
            "train": {"epochs": 4, "warmup_epochs": 0, "selection": "last", "weight_decay": 0.1, "average": average},
        }
    )
    model = build_model(config.model, store.modalities, store.criteria, seed=0)
    watches = Watches(model)
    result = fit(model, store.samples("train"), [], config=config, reporter=watches)
    members, rest = watches.members, watches.rest
    assert not same(members[0], members[1])
    assert same(members[2], members[3])  # neither a gradient nor weight decay
    assert same(rest[0], rest[1])
    assert not same(rest[1], rest[2])
    assert not same(rest[2], rest[3])
    assert [record["stage"] for record in result.history] == ["ensemble"] * 2 + ["language model"] * 2


def test_the_ensemble_may_rest_at_its_best_epoch(store):
    config = RunConfig.model_validate(
        {
            "model": {
                "backbone": {"name": "tiny"},
                "head": "statistics",
                "output": "standardized",
                "statistics": {"first": 0.8, "keeps": "best"},
            },
            "train": {"epochs": 10, "warmup_epochs": 0, "learning_rate": 0.02, "batch_size": 16},
        }
    )
    model = build_model(config.model, store.modalities, store.criteria, seed=0)
    watches = Watches(model)
    result = fit(model, store.samples("train"), store.samples("val"), config=config, reporter=watches)
    losses = [record["val_loss"] for record in result.history]
    best = min(range(8), key=losses.__getitem__)
    assert best != 7, "nothing to see: the last epoch is the best"
    assert same(watches.members[8], watches.members[best])
    assert not same(watches.members[8], watches.members[7])
    assert result.best_epoch >= 8
    unjudged = config.model_copy(update={"train": config.train.model_copy(update={"selection": "last"})})
    with pytest.raises(InputError, match="keeps its best epoch"):
        fit(model, store.samples("train"), [], config=unjudged)


def test_validation_that_a_system_cannot_score_is_refused_before_training(store):
    first, *others = (modality.name for modality in store.modalities)
    settings = {"model": {"system": "gdlt", "hidden": 8, "options": {"stream": first}}, "train": {"epochs": 1}}
    config = RunConfig.model_validate(settings)
    blind = [sample.restricted_to(tuple(others)) for sample in store.samples("val")]
    model = build_model(config.model, store.modalities, store.criteria, seed=0)
    with pytest.raises(InputError, match="validation sample that can be scored"):
        fit(model, store.samples("train"), blind, config=config)
