"""Run folders that were altered: a comparison says which file, and makes nothing of the rest."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limssr.core.errors import ArtifactError, InputError
from limssr.studies.compare.predictions import read_answers
from limssr.studies.compare.rows import read_rows


@pytest.fixture
def runs(scored_run):
    return scored_run("first", references={"ridge": 3.0}), scored_run("second", system="statistics")


def read(runs):
    return read_rows([str(run) for run in runs])


def altered(run, change):
    document = json.loads((run / "run.json").read_text())
    change(document)
    (run / "run.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda document: document.pop("criteria"), "criteria"),
        (lambda document: document["criteria"][0].pop("low"), "criteria"),
        (lambda document: document.pop("modalities"), "modalities"),
        (lambda document: document.update(modalities=3), "modalities"),
        (lambda document: document["references"][0].pop("name"), "references"),
    ],
)
def test_a_run_that_is_not_described_is_damaged(runs, change, named):
    assert len(read(runs).rows) == 3
    altered(runs[0], change)
    with pytest.raises(ArtifactError, match=rf"Expected .*first/run\.json.*{named}|Expected {named} .*first/run\.json"):
        read(runs)


def test_a_run_without_a_status_is_not_finished(runs):
    altered(runs[1], lambda document: document.pop("status"))
    with pytest.raises(InputError, match=r"finished run in .*second, found one without a status"):
        read(runs)


@pytest.mark.parametrize("name", ["system", "split", "id", "criterion", "streams", "score", "prediction"])
def test_predictions_without_a_column_are_damaged(runs, name):
    path = runs[0] / "predictions.parquet"
    pq.write_table(pq.read_table(path).drop_columns([name]), path)
    with pytest.raises(ArtifactError, match=rf"first/predictions.parquet, found no column {name}"):
        read(runs)


def test_subsets_without_a_column_are_damaged(runs):
    path = runs[0] / "subsets.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["mse"]), path)
    with pytest.raises(ArtifactError, match=r"first/subsets.parquet, found no column mse"):
        read(runs)


@pytest.mark.parametrize(("name", "values"), [("id", None), ("prediction", "many")])
def test_predictions_of_another_kind_are_damaged(runs, name, values):
    path = runs[0] / "predictions.parquet"
    table = pq.read_table(path)
    column = pa.array([values] * len(table), pa.string())
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
    with pytest.raises(ArtifactError, match=r"first/predictions.parquet"):
        read(runs)


def test_a_repeated_prediction_is_damage_and_not_the_last_word(runs):
    path = runs[0] / "predictions.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(5, 1)]), path)
    one = table.slice(5, 1).to_pylist()[0]
    with pytest.raises(ArtifactError, match=r"first/predictions.parquet, found 1 repeated") as refusal:
        read_answers(runs[0])
    assert f"{one['criterion']} of {one['id']} from {one['streams']}:" in str(refusal.value)
