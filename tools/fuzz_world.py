"""The good files that `tools/fuzz.py` damages: one of every kind that a verb reads."""

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NUM_SAMPLES, WIDTHS = 18, (5, 3, 2)
SPLITS = ("train", "train", "val", "test", "test", "train")
SAID = ("hello there", "now we turn", "a quiet end")
RECIPE = """name: fuzz
seed: 3
data: {store: STORE}
model: {backbone: {name: BACKBONE}, num_fusion_tokens: 2, prompt: {subject: a dance}, lora: {rank: 2}}
loss: {task: 10, margin: 1.0}
train: {epochs: 1, learning_rate: 0.001, warmup_epochs: 0}
evaluation: {bootstrap: 10, batch_size: 16}
variants: {size: {small: {model: {dropout: 0.1}}, large: {model: {dropout: 0.2}}}}
choose: {size: small}
"""
VERBS = (
    "data import table {w}/table/new.csv {w}/store --scale total=0:10",
    "train {w}/recipes/recipe.yaml --out {w}/run",
    "auto {w}/store --candidates constant,ridge,extra-trees --minutes 2 --out {w}/auto",
    "extract {w}/sensors/new.csv {w}/sounds --encoders sound --segments 1 --scale total=0:10",
    "auto {w}/sounds --candidates constant,ridge --minutes 2 --out {w}/heard",
)
"""Make what only the program itself can write."""

Call = Callable[[list[str]], tuple[int, str]]


def build(world: Path, call: Call) -> None:
    """Write one good file of every kind.

    Args:
        world: A folder.
        call: Runs a verb; its exit code, and all that it said.
    """
    from helpers.backbones import write_backbone

    draw = np.random.default_rng(5)
    write_backbone(world / "backbone", "llama")
    _write_table(world / "table", draw)
    _write_words(world / "words", draw)
    _write_sensors(world / "sensors", draw)
    _write_recipes(world)
    _write_published(world / "published")
    for words in VERBS:
        code, said = call(words.format(w=world).split())
        assert code == 0, said
    shutil.copytree(world / "run", world / "explained")
    code, said = call(["explain", str(world / "explained")])
    assert code == 0, said
    _write_foreign(world / "foreign", world / "table", call)


def _rows(columns: str, cells: Callable[[int], str]) -> str:
    draw = np.random.default_rng(6)
    rows = [f"id,split,group,score:total,{columns}"]
    for number in range(NUM_SAMPLES):
        split, score = SPLITS[number % len(SPLITS)], round(float(draw.uniform(0, 10)), 2)
        rows.append(f"s{number},{split},g{number},{score},{cells(number)}")
    return "\n".join(rows) + "\n"


def _write_table(folder: Path, draw: np.random.Generator) -> None:
    """Performances as files of arrays, in the four formats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    streams, lines = folder / "streams", []
    streams.mkdir(parents=True)
    names: list[list[str]] = []
    for number in range(NUM_SAMPLES):
        length = int(draw.integers(3, 7))
        video, audio, flow = (draw.normal(size=(length, width)).astype(np.float32) for width in WIDTHS)
        names.append(
            [f"streams/v{number}.npy", f"streams/a{number}.{('npz', 'csv')[number % 2]}", f"streams/f{number}.parquet"]
        )
        np.save(folder / names[-1][0], video)
        if number % 2:
            np.savetxt(folder / names[-1][1], audio, delimiter=",")
        else:
            np.savez_compressed(folder / names[-1][1], audio=audio)
        pq.write_table(pa.table({f"f{at}": flow[:, at] for at in range(flow.shape[1])}), folder / names[-1][2])
        row: dict[str, Any] = {"id": f"s{number}", "split": SPLITS[number % len(SPLITS)], "score:total": number / 2}
        row |= {"stream:audio": None, "stream:video": names[-1][0], "stream:flow": names[-1][2]}
        lines.append(json.dumps(row))
    (folder / "new.csv").write_text(
        _rows("stream:video,stream:audio,stream:flow", lambda number: ",".join(names[number]))
    )
    (folder / "new.jsonl").write_text("\n".join(lines) + "\n")


def _write_words(folder: Path, draw: np.random.Generator) -> None:
    """Transcripts in every format beside a stream of numbers."""
    (folder / "said").mkdir(parents=True)
    times = [(f"00:00:0{at}.000", f"00:00:0{at}.900", said) for at, said in enumerate(SAID)]
    timed = [{"start": float(at), "end": at + 0.9, "word": said} for at, said in enumerate(SAID)]
    contents = {
        "txt": " ".join(SAID),
        "srt": "".join(f"{at + 1}\n{a} --> {b}\n{said}\n\n".replace(".", ",") for at, (a, b, said) in enumerate(times)),
        "vtt": "WEBVTT\n\n" + "".join(f"{a} --> {b}\n{said}\n\n" for a, b, said in times),
        "json": json.dumps(timed),
        "csv": "start,end,word\n" + "".join(f"{one['start']},{one['end']},{one['word']}\n" for one in timed),
    }
    kinds = list(contents)
    for number in range(NUM_SAMPLES):
        kind = kinds[number % len(kinds)]
        (folder / "said" / f"{number}.{kind}").write_text(contents[kind])
        np.save(folder / f"{number}.npy", draw.normal(size=(4, 2)).astype(np.float32))
    (folder / "new.csv").write_text(
        _rows("text:said,stream:video", lambda number: f"said/{number}.{kinds[number % len(kinds)]},{number}.npy")
    )


def _write_sensors(folder: Path, draw: np.random.Generator) -> None:
    """Recordings of sound, and tables of sensors with a column of times."""
    (folder / "files").mkdir(parents=True)
    for number in range(NUM_SAMPLES):
        with wave.open(str(folder / "files" / f"{number}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8_000)
            sound.writeframes((draw.normal(size=16_000) * 3_000).astype("<i2").tobytes())
        values = draw.normal(size=(50, 2))
        lines = [f"{at / 20},{x:.4f},{y:.4f}" for at, (x, y) in enumerate(values)]
        (folder / "files" / f"{number}.csv").write_text("time_s,x,y\n" + "\n".join(lines) + "\n")
    (folder / "new.csv").write_text(
        _rows("media:sound,sensor:wrist", lambda number: f"files/{number}.wav,files/{number}.csv")
    )


def _write_recipes(world: Path) -> None:
    (world / "recipes").mkdir()
    recipe = RECIPE.replace("STORE", str(world / "store")).replace("BACKBONE", str(world / "backbone"))
    (world / "recipes" / "recipe.yaml").write_text(recipe)
    (world / "recipes" / "based.yaml").write_text(
        "base: recipe.yaml\nname: 'x-{size}'\ndata: {stream_dims: {video: 5, audio: 3, flow: 2}, criteria: [total]}\n"
        "model: {system: gcnet}\n"
    )


def _write_published(folder: Path) -> None:
    """Checkpoints in both forms of `torch.save`."""
    import torch

    folder.mkdir()
    state = {"w1": torch.ones(1), "feature_to_llm.v.0.weight": torch.randn(32, 4, 1)}
    torch.save(state, folder / "a.pt")
    torch.save(state, folder / "b.pkl", _use_new_zipfile_serialization=False)


def _write_foreign(folder: Path, table: Path, call: Call) -> None:
    """Predictions of another program, and a manifest as a spreadsheet."""
    from openpyxl import Workbook

    shutil.copytree(table, folder)
    for name in ("new.csv", "new.jsonl"):
        (folder / name).unlink()
    rows = [line.split(",") for line in (table / "new.csv").read_text().splitlines()]
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in rows:
        sheet.append(row)
    book.save(folder / "new.xlsx")
    told = [
        "id,subset,total",
        *(f"{row[0]},video+audio+flow,5.{at}" for at, row in enumerate(rows[1:]) if row[1] == "test"),
    ]
    (folder / "told.csv").write_text("\n".join(told) + "\n")
