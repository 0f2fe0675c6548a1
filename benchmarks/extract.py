"""Seconds of processor time that a second of a recording takes: the decoder alone, each encoder, all default ones.

    python benchmarks/extract.py RECORDING [ENCODER ...]

Processor time on one thread, so that what else the machine does matters little. Below 1 is faster than real time on
one core; `limssr extract --processes 2` reads two recordings at a time.
"""

import argparse
import sys
import time
from pathlib import Path

from limssr.media.clock import PRESETS
from limssr.media.decode import Reader
from limssr.media.encoders.table import DEFAULT, load_encoder
from limssr.media.work import Job, encode_file


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("encoders", nargs="*", default=list(DEFAULT))
    options = parser.parse_args()
    begun = time.process_time()
    reader = Reader(options.recording, pictures_hz=1e-6)
    for _ in reader:
        pass
    length_s = reader.end_ns / 1e9
    rows = {"decoder alone": time.process_time() - begun}
    for name in options.encoders:
        load_encoder(name)
    for names in (*([name] for name in options.encoders), options.encoders):
        begun = time.process_time()
        encode_file(Job(path=options.recording, encoders=tuple(names), segments=PRESETS["rg"]))
        label = names[0] if len(names) == 1 else f"all {len(names)}"
        rows[f"{label} and the decoder"] = time.process_time() - begun
    for label, seconds in rows.items():
        sys.stdout.write(f"{label:28s} {seconds / length_s:6.3f} s a second of recording\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
