"""The paper's thirteen tasks and our three additions, under three protocols, against the published hyper-parameters."""

import pytest

from limssr.core.config import RunConfig
from limssr.core.errors import InputError
from limssr.core.recipes import load_recipe, recipe_path, recipe_variants
from limssr.studies.paper.describe import describe

PROTOCOLS = ("honest", "paper", "published")
# Epochs, weights of task, consistency and slots, dropout, final learning rate, seed: of the published recipes.
PUBLISHED = {
    ("fs1000", "TES"): (160, 10, 1, 1, 0.15, 0.1, 42),
    ("fs1000", "PCS"): (100, 1, 1, 1, 0.15, 0.1, 42),
    ("fs1000", "SS"): (130, 10, 1, 1, 0.15, 0.1, 42),
    ("fs1000", "TR"): (90, 10, 10, 1, 0.15, 0.1, 42),
    ("fs1000", "PE"): (130, 1, 1, 1, 0.15, 0.1, 42),
    ("fs1000", "CO"): (200, 10, 10, 1, 0.15, 0.1, 42),
    ("fs1000", "IN"): (290, 1, 1, 0.5, 0.15, 0.1, 42),
    ("fisv", "TES"): (270, 10, 1, 1, 0.15, 0.1, 42),
    ("fisv", "PCS"): (140, 10, 1, 1, 0.15, 0.1, 42),
    ("rg", "Ball"): (80, 10, 1, 1, 0.35, 0.1, 6),
    ("rg", "Clubs"): (410, 10, 1, 2, 0.35, 0.1, 113),
    ("rg", "Hoop"): (100, 10, 2, 1, 0.3, 0.01, 42),
    ("rg", "Ribbon"): (270, 10, 1, 1, 0.35, 0.1, 42),
}
NUM_SEGMENTS = {"fs1000": 95, "fisv": 124, "rg": 68}
VIDEO_WIDTH = {"fs1000": 768, "fisv": 1024, "rg": 1024}
TASKS = [*PUBLISHED, ("fs1000", "all"), ("fisv", "all"), ("rg", "all")]


def load(dataset: str, task: str, protocol: str) -> RunConfig:
    return load_recipe(recipe_path(f"paper/{dataset}"), (), {"task": task, "protocol": protocol})


def numbers(config: RunConfig) -> tuple[float, ...]:
    loss, train = config.loss, config.train
    common = (loss.task, loss.consistency, loss.slots, config.model.dropout)
    return (train.epochs, *common, train.final_learning_rate, config.seed)


@pytest.mark.parametrize("dataset", NUM_SEGMENTS)
def test_a_recipe_offers_its_tasks_and_the_protocols_and_is_honest_by_default(dataset):
    offered = recipe_variants(recipe_path(f"paper/{dataset}"))
    assert offered == {"task": tuple(task for name, task in TASKS if name == dataset), "protocol": PROTOCOLS}
    assert load_recipe(recipe_path(f"paper/{dataset}")) == load(dataset, offered["task"][0], "honest")


@pytest.mark.parametrize(("dataset", "task"), PUBLISHED)
def test_hyper_parameters_of_a_task(dataset, task):
    published, honest, paper = (load(dataset, task, protocol) for protocol in ("published", "honest", "paper"))
    assert numbers(published) == PUBLISHED[dataset, task]
    epochs = 100 if task == "Clubs" else PUBLISHED[dataset, task][0]
    assert numbers(honest) == (epochs, *PUBLISHED[dataset, task][1:-1], 42), "no seed that was looked for"
    text_dropout = 0.35 if dataset == "rg" else 0.15
    assert numbers(paper) == (epochs, 10, 1, 1, text_dropout, 0.1, 42)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("dataset", "task"), TASKS)
def test_what_all_tasks_share(dataset, task, protocol):
    config = load(dataset, task, protocol)
    data, train = config.data, config.train
    assert config.name == f"{dataset}-{task}-{protocol}"
    assert (data.store, data.num_segments) == (f"stores/{dataset}", NUM_SEGMENTS[dataset])
    assert data.stream_dims == {"video": VIDEO_WIDTH[dataset], "audio": 768, "flow": 1024}
    assert data.modalities == ("video", "audio", "flow")
    every = tuple(name for one, name in PUBLISHED if one == dataset)
    assert data.criteria == (every if task == "all" else (task,))
    assert (train.batch_size, train.learning_rate, train.weight_decay, train.clip_norm) == (8, 2e-4, 1e-4, 1.0)
    assert (train.warmup_epochs, train.warmup_start) == (5, 0.2)
    lora = config.model.lora
    assert lora is not None
    assert (lora.rank, lora.alpha, lora.dropout) == (16, 32, 0.1)
    assert (config.model.backbone.name, config.model.num_fusion_tokens) == ("qwen3-0.6b", 4)


def test_protocols_differ_in_what_they_say_they_do():
    found = {}
    for protocol in PROTOCOLS:
        config = load("fs1000", "PCS", protocol)
        data, missing, model = config.data, config.missing, config.model
        found[protocol] = {
            "available": missing.availability and (missing.availability.rate, missing.availability.splits),
            "dropout": missing.dropout,
            "padding": data.padding,
            "validation": data.validation and data.validation.share,
            "selection": config.train.selection,
            "rows": model.train_embeddings,
            "prompt": model.prompt.variant,
            "gate": model.gate_layers,
            "output": model.output,
            "regularizer": config.loss.regularizer,
        }
    half = (0.5, ("train", "val"))
    names = list(found["honest"])
    assert found == {
        protocol: dict(zip(names, values, strict=True))
        for protocol, values in {
            "honest": (half, "per_sample", "masked", 0.15, "val", "used", "clean", 1, "sigmoid", "slot_triplet"),
            "paper": (half, "none", "masked", None, "last", "all", "published", 2, "linear", "eq17"),
            "published": (
                None,
                "per_batch",
                "attended",
                None,
                "test",
                "all",
                "published",
                1,
                "sigmoid",
                "slot_triplet",
            ),
        }.items()
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dataset", NUM_SEGMENTS)
def test_every_recipe_is_described_without_weights_data_or_tokenizer(dataset, protocol):
    # Two layers: the layers are alike, and what is asked here is whether everything fits together.
    config = load_recipe(
        recipe_path(f"paper/{dataset}"), ["model.backbone.num_layers=2"], {"task": "all", "protocol": protocol}
    )
    sizes, num_criteria = describe(config), len(config.data.criteria or ())
    one = describe(config.model_copy(update={"data": config.data.model_copy(update={"criteria": ("one",)})}))
    rows = 2 * (num_criteria - 1) * (512 + 1)
    assert sizes.around_backbone - one.around_backbone == rows, "each of two heads has a row a criterion"
    prompt = sizes.prompt_tokens["video+audio+flow"]
    assert sizes.sequence_length["video+audio+flow"] == prompt + 3 * (NUM_SEGMENTS[dataset] + 2) + 4


def test_seven_criteria_asked_of_fisv_are_refused():
    with pytest.raises(InputError, match="Expected one of: TES, PCS, all"):
        load("fisv", "PE", "honest")
