"""A study as commands, one a run, for whatever scheduler there is; the study itself takes up what they have done."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from limssr.runs.folder import write_config
from limssr.studies.plan import PlannedRun, check_runs, check_study, is_paused


def commands(
    runs: Sequence[PlannedRun], out: Path, *, device: str = "auto", until: Mapping[str, int] | None = None
) -> list[str]:
    """One command for each run that is not done; each may be started again after whatever ended it.

    Writes the recipe of each run into its folder, where its command finds it. Paths are as given, so that commands are
    run in the folder that this is run in.

    Args:
        runs: The plan.
        out: The study's folder.
        device: For all of them; they are checked on this machine.
        until: Key -> epochs after which its run pauses; None: none does.

    Raises:
        InputError: Something is wrong with a run; nothing has been written.
    """
    check_study(out, processes=1)
    until = until or {}
    waiting = [run for run in check_runs(runs, out, device=device) if not is_paused(out / run.key, until.get(run.key))]
    for run in waiting:
        folder = out / run.key
        if not (folder / "run.json").exists():  # else it goes on with what is written there, which is the same
            folder.mkdir(parents=True, exist_ok=True)
            write_config(folder, run.config)
    return [train_command(out / run.key, device, until.get(run.key)) for run in waiting]


def train_command(folder: Path, device: str = "auto", until: int | None = None) -> str:
    """Trains what the recipe in a run folder says, or goes on with it."""
    words = ["limssr", "train", str(folder / "config.yaml"), "--out", str(folder), "--resume"]
    words += ["--until", str(until)] if until is not None else []
    return shlex.join([*words, *(["--device", device] if device != "auto" else [])])
