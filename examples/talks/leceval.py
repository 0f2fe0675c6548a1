"""Lecture slides with their spoken words (LecEval, arXiv 2505.02078) as a manifest: words in cells, pictures as arrays.

python examples/talks/leceval.py FOLDER OUT

FOLDER holds slides.jsonl (id, group, split, transcript, slide, ratings) and the pictures that it names. OUT gets
manifest.csv and one array a picture: EfficientNet-lite0 features of the whole slide, [1, 1280].
Afterwards: limssr data import table OUT/manifest.csv OUT/store --scale content_relevance=1:5 ...
"""

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from limssr.media.clock import make_segments
from limssr.media.decode import Picture
from limssr.media.encoders.table import load_encoder

HIGHEST = 5.0
"""One mean of three ratings lies above the scale of 1 to 5, because a rater wrote 6."""


def main(folder: Path, out: Path) -> None:
    """Write the manifest and the arrays."""
    (out / "slides").mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (folder / "slides.jsonl").read_text(encoding="utf-8").splitlines()]
    criteria = list(rows[0]["ratings"])
    encoder, moment = load_encoder("image"), make_segments(0.5)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        scores = [f"score:{name}" for name in criteria]
        writer.writerow(["id", "split", "group", *scores, "text:transcript", "stream:slide"])
        for row in rows:
            array = out / "slides" / f"{row['id']}.npy"
            if not array.exists():
                bgr_HWC = cv2.imread(str(folder / row["slide"]))
                if bgr_HWC is None:
                    raise SystemExit(f"Expected a picture at {folder / row['slide']}, found nothing that can be read.")
                session = encoder.session(moment)
                session.add(Picture(time_ns=0, rgb_HWC=np.ascontiguousarray(bgr_HWC[..., ::-1])))
                np.save(array, session.segments(moment, 1))
            means = [min(HIGHEST, float(np.mean(row["ratings"][name]))) for name in criteria]
            cells = [row["id"], row["split"], row["group"], *(f"{mean:.4f}" for mean in means)]
            writer.writerow([*cells, row["transcript"], f"slides/{array.name}"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
