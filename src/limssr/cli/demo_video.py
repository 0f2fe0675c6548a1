"""`limssr demo --video`: from recordings to the score of a new one, on routines that are filmed by code.

film -> extract -> take streams away, on disk -> train -> score a new recording -> a page with pictures.
"""

import base64
import csv
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limssr.core.files import write_atomically
from limssr.core.progress import Reporter, SilentReporter

if TYPE_CHECKING:
    from limssr.media.routine import Routine

MISSING_RATE = 0.3
# Every so many recordings one has no sound (never one of the test split), and one is damaged.
SILENT_EVERY, DAMAGED_EVERY = 8, 20
NUM_PICTURES = 4
STYLE = (
    "body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "td,th{padding:.3rem .6rem;text-align:left;vertical-align:middle}td.n{text-align:right}"
    "img{height:90px;margin-right:2px;vertical-align:middle}tr.new{background:#eef6ee}"
)


@dataclass(frozen=True, kw_only=True)
class VideoDemoOptions:
    """How large the demonstration is.

    Attributes:
        num_recordings: Filmed for training, validation and test.
        length_s: Of each.
        encoders: Which read them; None: the default ones.
        backbone: The language model.
        epochs: To train.
        seed: Of routines and training.
        processes: Recordings that are read at a time.
        device: Where to train.
        overrides: "key=value" changes of the recipe.
    """

    num_recordings: int = 48
    length_s: float = 8.0
    encoders: tuple[str, ...] | None = None
    backbone: str = "smollm2-135m"
    epochs: int = 24
    seed: int = 42
    processes: int = 2
    device: str = "auto"
    overrides: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class VideoDemoResult:
    """What the demonstration leaves behind.

    Attributes:
        run: The run folder.
        page: The page with pictures beside scores.
        recording: The new recording.
        judged: Its score by the rule.
        predicted: Its score by the model.
        seconds: How long each part of scoring it took.
    """

    run: Path
    page: Path
    recording: Path
    judged: float
    predicted: float
    seconds: Mapping[str, Any]


def run_video_demo(out: Path, options: VideoDemoOptions, *, reporter: Reporter | None = None) -> VideoDemoResult:
    """Run it.

    Args:
        out: Folder to make.
        options: How large.
        reporter: Is told of the progress.

    Raises:
        InputError: A package is missing, or the folder exists.
    """
    from limssr.cli.demo import check_backbone
    from limssr.core.recipes import load_recipe, recipe_path
    from limssr.data.mask import mask_store
    from limssr.media.clock import parse_segments
    from limssr.media.encoders.table import check_needs, chosen
    from limssr.media.extract import ExtractOptions, extract
    from limssr.media.routine import film, make_routine
    from limssr.runs.prediction.recordings import predict_recordings
    from limssr.runs.train import train_run

    say = (reporter or SilentReporter()).note
    check_backbone(options.backbone)
    check_needs(chosen(options.encoders))
    recordings = out / "recordings"
    recordings.mkdir(parents=True)
    say(f"1/6 filming {options.num_recordings} routines of {options.length_s:g} s: {recordings}")
    routines = _film_all(recordings, options)
    say(f"2/6 reading them with every encoder: {out / 'store-complete'}")
    extraction = ExtractOptions(
        segments=parse_segments("rg"),
        encoders=options.encoders,
        scales={"total": (0.0, 40.0)},
        processes=options.processes,
    )
    extract(recordings / "recordings.csv", out / "store-complete", extraction)
    say(f"3/6 taking each training and validation stream away with probability {MISSING_RATE}: {out / 'store'}")
    mask_store(out / "store-complete", out / "store", rate=MISSING_RATE, seed=options.seed, splits=("train", "val"))
    say(f"4/6 training and evaluating: {out / 'run'}")
    changes = [f"data.store={out / 'store'}", f"model.backbone.name={options.backbone}", f"seed={options.seed}"]
    changes += ["name=video", f"train.epochs={options.epochs}"]
    config = load_recipe(recipe_path("own"), [*changes, *options.overrides])
    run = train_run(config, out / "run", device=options.device, reporter=reporter)
    new = film(
        make_routine(options.num_recordings, length_s=options.length_s, seed=options.seed), out / "new-routine.mp4"
    )
    judged = make_routine(options.num_recordings, length_s=options.length_s, seed=options.seed).score
    say(f"5/6 scoring a recording that nobody has seen: {new}")
    scored = predict_recordings(run, new, device=options.device)
    predicted = float(scored.table.column("total")[0].as_py())
    say(f"6/6 a page with pictures: {out / 'recordings.html'}")
    page = out / "recordings.html"
    rows = _test_rows(run, recordings, routines)
    write_atomically(page, _page([(new, judged, predicted), *rows]).encode())
    return VideoDemoResult(
        run=run, page=page, recording=new, judged=judged, predicted=predicted, seconds=scored.seconds
    )


def _film_all(folder: Path, options: VideoDemoOptions) -> "dict[str, Routine]":
    """Film, damage some, and write the table."""
    from limssr.media.routine import film, make_routine

    routines, rows = {}, []
    for number in range(options.num_recordings):
        name = f"routine-{number:03d}"
        routine = make_routine(number, length_s=options.length_s, seed=options.seed)
        path = film(routine, folder / f"{name}.mp4", sound=number % SILENT_EVERY != SILENT_EVERY - 1)
        if number % DAMAGED_EVERY == DAMAGED_EVERY - 1:
            _damage(path)
        split = ("train", "train", "train", "val", "test", "train")[number % 6]
        routines[name] = routine
        rows.append((name, split, f"{routine.score:g}", path.name))
    with (folder / "recordings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("id", "split", "score:total", "media:video"), *rows])
    return routines


def _damage(path: Path) -> None:
    """Overwrite a stretch in the middle, as a bad disk would."""
    content = bytearray(path.read_bytes())
    middle, length = len(content) // 2, len(content) // 10
    content[middle : middle + length] = np.random.default_rng(0).integers(0, 255, length, np.uint8).tobytes()
    path.write_bytes(content)


def _test_rows(run: Path, recordings: Path, routines: "Mapping[str, Routine]") -> list[tuple[Path, float, float]]:
    """(recording, judged, predicted) of the test split, by all of its streams."""
    from limssr.runs.prediction.predict import predict

    table = predict(run, Path(run).parent / "store", split="test")
    return [
        (recordings / f"{row['id']}.mp4", routines[row["id"]].score, float(row["total"])) for row in table.to_pylist()
    ]


def _page(rows: list[tuple[Path, float, float]]) -> str:
    """A page that stands by itself: pictures, the judge's score, the model's score; the new recording first."""
    lines = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Recordings and their scores</title>",
        f"<style>{STYLE}</style><h1>Recordings and their scores</h1>",
        "<p>The first row was filmed after training. The others are the test split, which training never saw. "
        "Scores lie between 0 and 40.</p>",
        "<table><tr><th>recording<th>pictures<th>judged<th>predicted</tr>",
    ]
    for number, (path, judged, predicted) in enumerate(rows):
        pictures = "".join(f"<img alt='' src='data:image/jpeg;base64,{text}'>" for text in _thumbnails(path))
        lines.append(
            f"<tr{' class=new' if number == 0 else ''}><td>{html.escape(path.stem)}<td>{pictures}"
            f"<td class=n>{judged:.1f}<td class=n>{predicted:.1f}</tr>"
        )
    return "\n".join([*lines, "</table></html>"]) + "\n"


def _thumbnails(path: Path) -> list[str]:
    from limssr.media.decode import Picture, Reader
    from limssr.media.extras import import_cv2

    cv2 = import_cv2()
    pictures = [
        piece.rgb_HWC
        for piece in Reader(path, pictures_hz=2, sound=False, longest_px=160)
        if isinstance(piece, Picture)
    ]
    chosen = [pictures[place] for place in np.linspace(0, len(pictures) - 1, NUM_PICTURES).astype(int)]
    encoded = [cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes() for picture in chosen]
    return [base64.b64encode(content).decode() for content in encoded]
