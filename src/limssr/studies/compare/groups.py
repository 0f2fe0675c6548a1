"""The units that are resampled for intervals: single performances or whole groups of them."""

from dataclasses import dataclass
from pathlib import Path

from limssr.core.errors import InputError, LimssrError
from limssr.evaluation.uncertainty import Resampled, units_of
from limssr.report.banners import Banner
from limssr.studies.compare.costs import store_of
from limssr.studies.compare.rows import Entry

FEW_GROUPS = 30
"""With fewer the interval over groups is rough itself."""


@dataclass(frozen=True)
class Groups:
    """How the compared samples are grouped in their store.

    Attributes:
        of_sample: Number of each sample's group; a sample without a group is one by itself.
        reason: Why it is not known; "" where it is.
    """

    of_sample: tuple[int, ...] = ()
    reason: str = ""

    @property
    def num_groups(self) -> int:
        """Different groups."""
        return len(set(self.of_sample))

    @property
    def share(self) -> bool:
        """Whether any two samples are of one group."""
        return self.num_groups < len(self.of_sample)


def groups_of(entry: Entry, store: Path | None = None) -> Groups:
    """The groups of the compared samples, from the run's predictions or, of an older run, from its store."""
    ids = entry.answers.ids
    if entry.answers.groups_N:
        return Groups(units_of(entry.answers.groups_N, ids))
    try:
        opened = store_of(entry, store)
        return Groups(units_of([opened.sample(sample_id).group for sample_id in ids], ids))
    except LimssrError as error:
        return Groups(reason=str(error))


def drawn_groups(groups: Groups, resampled: Resampled) -> tuple[int, ...] | None:
    """What `limssr.evaluation.resampling.Resamples` draws.

    Raises:
        InputError: Groups are asked for and there are none, or they are not known.
    """
    if resampled == "samples" or (resampled == "auto" and not groups.share):
        return None
    if groups.reason:
        raise InputError(f"Expected the store of the runs to read its groups, found {groups.reason}.")
    if not groups.share:
        raise InputError(
            "Expected performances that share groups (a column `group` of the store), found that each is by itself: "
            "leave out --resample groups."
        )
    return groups.of_sample


def banners_of_groups(groups: Groups, resampled: Resampled) -> tuple[Banner, ...]:
    """What a reader of intervals must know; nothing where performances are independent as far as the store says."""
    if groups.reason and resampled == "auto":
        text = (
            f"{groups.reason.rstrip('.')}. Intervals and p values take each performance for independent of the others."
        )
        return (Banner("note", "Whether performances share groups is not known", text),)
    if not groups.share:
        return ()
    count = f"{len(groups.of_sample)} performances are of {groups.num_groups} groups"
    if resampled == "samples":
        text = (
            f"The {count}, and those of one group are alike. Intervals and p values here take performances one by one: "
            "they hold for more performances of these groups, and are too narrow for "
            "other groups (leave --resample samples out)."
        )
        return (Banner("warning", "Performances share groups", text),)
    few = (
        " These are few, so that intervals and p values are rough themselves." if groups.num_groups < FEW_GROUPS else ""
    )
    text = f"The {count}; intervals and p values take whole groups, as performances of one group are alike.{few}"
    return (Banner("note", "Whole groups are drawn", text),)
