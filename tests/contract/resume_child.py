"""Train a run in a child process as often as asked; started by test_resume.py, which kills the children.

Importing everything takes seconds, so it is done once and every training is a fork of this process. One training is one
process: SIGKILL ends all of it, in the middle of whatever it does.
"""

import os
import sys
from pathlib import Path

from limssr.core.config import BackboneConfig, ModelConfig
from limssr.core.recipes import load_recipe
from limssr.core.types import Criterion, Modality
from limssr.runs.train import train_run
from limssr.systems.build import build_model


def main() -> None:
    """A line with a run folder starts a training and is answered with its process id; the next line asks for its end.

    The end is answered with the exit status. Until it is asked for, the process id belongs to that training, even if it
    has ended.
    """
    config = load_recipe(sys.argv[1])
    # Loads the modules that are loaded when they are needed.
    build_model(ModelConfig(backbone=BackboneConfig(name="tiny")), [Modality("a", 1)], [Criterion("b")], seed=0)
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            train_run(config, Path(line.strip()), device="cpu", resume="auto")
            os._exit(0)
        answer(child)
        sys.stdin.readline()
        answer(os.waitpid(child, 0)[1])


def answer(number: int) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
