"""A recipe that was written for one data set, used on another: what of it is about the data, and is not borrowed.

How much is hidden, how much is read of a performance and what the prompt calls it belong to a data set. A recipe that
is pointed at another store would hide half of what a naturally incomplete store still has, and speak of pianists to
skaters.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from limssr.core.config import PromptConfig, RunConfig
from limssr.data.store.reader import FeatureStore

SUBJECT = "model.prompt.subject"
AVAILABILITY = "missing.availability"
LENGTH = "data.num_segments"
BORROWED = (SUBJECT, AVAILABILITY, LENGTH)
"""Keys that are about the data a recipe was written for."""


def without_borrowed(
    config: RunConfig, written_for: Mapping[str, str], by_hand: Collection[str]
) -> tuple[RunConfig, list[str]]:
    """The recipe without what is about its own data set, and a sentence for everything that was decided.

    Args:
        config: The recipe, with the store that it is to be used on.
        written_for: Each of `BORROWED`, and the store that the part of the recipe which gives it was written for; "":
            none.
        by_hand: Keys that the caller gives a value: what they say holds.

    Returns:
        The recipe, and the sentences; it is unchanged, without any, on the store that it was written for.
    """
    foreign = {key: store for key, store in written_for.items() if store and not _is_set(key, by_hand)}
    if not config.data.store or all(_same_folder(store, config.data.store) for store in foreign.values()):
        return config, []
    store = FeatureStore.open(Path(config.data.store))
    names = (store.info.name, store.path.name)
    foreign = {key: of for key, of in foreign.items() if Path(of).name not in names}
    changed, notes = config, []
    if SUBJECT in foreign and config.model.prompt.subject != (plain := PromptConfig().subject):
        prompt = config.model.prompt.model_copy(update={"subject": plain})
        changed = changed.model_copy(update={"model": config.model.model_copy(update={"prompt": prompt})})
        notes.append(
            f'The prompt says "{plain}", as "{config.model.prompt.subject}" in the recipe is about {foreign[SUBJECT]} '
            f"(--set {SUBJECT}=... says what yours are)."
        )
    hidden = config.missing.availability
    if AVAILABILITY in foreign and hidden is not None and hidden.rate > 0:
        lacking, total = _lacking(store, config.data.modalities)
        if lacking:
            missing = config.missing.model_copy(update={"availability": None})
            changed = changed.model_copy(update={"missing": missing})
            notes.append(
                f"Nothing more is hidden: {lacking} of {total} training performances of {store.info.name} already lack "
                f"a stream, and the recipe's rate of {hidden.rate:g} was for {foreign[AVAILABILITY]} "
                f"(--set {AVAILABILITY}.rate=... hides more)."
            )
        else:
            notes.append(
                f"{hidden.rate:.0%} of the streams in {' and '.join(hidden.splits)} are hidden, as the recipe says "
                f"(--set {AVAILABILITY}=null hides none)."
            )
    length = config.data.num_segments
    if LENGTH in foreign and length is not None and (longer := _longer(store, length)):
        notes.append(
            f"{longer} of {store.index.num_rows} performances are longer than {length} segments and cropped to them, "
            f"as the recipe says for {foreign[LENGTH]} (--set {LENGTH}=null reads them whole)."
        )
    return changed, notes


def _same_folder(one: str, other: str) -> bool:
    return Path(one).name == Path(other).name


def _is_set(key: str, by_hand: Collection[str]) -> bool:
    """Whether a key, one inside it or one around it was given by hand."""
    return any(name == key or name.startswith(f"{key}.") or key.startswith(f"{name}.") for name in by_hand)


def _lacking(store: FeatureStore, names: Sequence[str] | None) -> tuple[int, int]:
    """Training samples that lack one of the streams in use, and all of them."""
    rows = store.index.filter(pc.field("split") == "train")
    used = names or [modality.name for modality in store.modalities]
    absent = [
        np.asarray(rows.column(f"valid:{name}").is_null()) for name in used if f"valid:{name}" in rows.column_names
    ]
    return int(np.any(absent, axis=0).sum()) if absent else 0, rows.num_rows


def _longer(store: FeatureStore, length: int) -> int:
    return int((np.asarray(store.index.column("num_segments")) > length).sum())
