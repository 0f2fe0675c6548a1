"""Further seeds of trained candidates: their mean is judged by the same folds, as their mean will be the member."""

import time
from dataclasses import replace

import numpy as np

from limssr.core.progress import Reporter
from limssr.runs.auto.candidates import OutOfTime, Setting, Watch, candidate_of
from limssr.runs.auto.folds import REFIT_SHARE, Clock, Folds, Judged, hold_out
from limssr.runs.auto.judge import Shown

MOST_SEEDS = 3
"""Of a trained candidate that are averaged, where time is left."""


def judge_more_seeds(
    judged: list[Judged], shown: Shown, folds: Folds, setting: Setting, *, clock: Clock, reporter: Reporter
) -> list[Judged]:
    """Judge the mean of up to `MOST_SEEDS` seeds of each trained candidate, as far as time reaches.

    One seed of a network is worse than the mean of several, which the final model has: judged by one, networks would
    count for too little.

    Args:
        judged: The candidates, each by one seed.
        shown: What is judged.
        folds: How.
        setting: What candidates share.
        clock: Its reserve is raised by the final training of each further seed.
        reporter: Is told of every seed.

    Returns:
        The same candidates in the same order.
    """
    found = {one.name: one for one in judged}
    trained = [one.name for one in judged if candidate_of(one.name).cost != "solved"]
    for seed in range(setting.seed + 1, setting.seed + MOST_SEEDS):
        for name in list(trained):
            one = found[name]
            more_s = REFIT_SHARE * one.fold_s
            if clock.left_s < len(np.unique(folds.fold_RR[0])) * one.fold_s + more_s:
                continue
            clock.learning_s += more_s
            try:
                found[name] = _with_seed(one, shown, folds, replace(setting, seed=seed), clock=clock, reporter=reporter)
            except OutOfTime:
                reporter.finish()
                clock.learning_s -= more_s
                trained.remove(name)
    return list(found.values())


def _with_seed(
    one: Judged, shown: Shown, folds: Folds, setting: Setting, *, clock: Clock, reporter: Reporter
) -> Judged:
    """A candidate with the mean of its seeds so far and another one."""
    began, watch = time.monotonic(), Watch()
    fold_R = folds.fold_RR[0]
    held = np.unique(fold_R)
    predicted_RC = np.full(shown.truth_RC.shape, np.nan)
    reporter.start(f"{one.name}, seed {setting.seed}", len(held), unit="fold")
    for done, fold in enumerate(held):
        watch.allowed_s = clock.left_s / (len(held) - done)
        if clock.left_s < one.fold_s:
            raise OutOfTime("it would take longer than the budget has left")
        chosen_R = fold_R == fold
        predicted_RC[chosen_R] = hold_out(candidate_of(one.name), shown, chosen_R, setting, watch).predicted_RC
        reporter.advance(f"{one.name}, seed {setting.seed}")
    reporter.finish()
    seconds = time.monotonic() - began
    reporter.note(f"  {one.name}: one more seed (now {one.num_seeds + 1}), {seconds:.0f} s")
    mean_RC = (one.num_seeds * one.predicted[0] + predicted_RC) / (one.num_seeds + 1)
    return replace(
        one,
        predicted=[mean_RC],
        seconds=one.seconds + seconds,
        sample_s=one.sample_s * (one.num_seeds + 1) / one.num_seeds,
        num_seeds=one.num_seeds + 1,
    )
