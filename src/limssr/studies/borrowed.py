"""A recipe that was written for one data set, used on another: what of it is about the data, and is not borrowed.

How much is hidden and what the prompt calls the performances belong to a data set. A recipe that is pointed at another
store would hide half of what a naturally incomplete store still has, and speak of pianists to skaters.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from limssr.core.config import PromptConfig, RunConfig
from limssr.data.store.reader import FeatureStore


def without_borrowed(config: RunConfig, written_for: str, overrides: Sequence[str]) -> tuple[RunConfig, list[str]]:
    """The recipe without what is about its own data set, and a sentence for everything that was decided.

    Args:
        config: The recipe, with the store that it is to be used on.
        written_for: The store that the recipe itself names; "": none.
        overrides: KEY=VALUE as given by hand: what they say holds.

    Returns:
        The recipe, and the sentences; it is unchanged, without any, on the store that it was written for.
    """
    if not written_for or not config.data.store or Path(written_for).name == Path(config.data.store).name:
        return config, []
    store = FeatureStore.open(Path(config.data.store))
    if Path(written_for).name in (store.info.name, store.path.name):
        return config, []
    by_hand = {override.partition("=")[0].strip() for override in overrides}
    changed, notes = config, []
    subject, plain = config.model.prompt.subject, PromptConfig().subject
    if subject != plain and not _is_set("model.prompt.subject", by_hand):
        prompt = config.model.prompt.model_copy(update={"subject": plain})
        changed = changed.model_copy(update={"model": config.model.model_copy(update={"prompt": prompt})})
        notes.append(
            f'The prompt says "{plain}", as "{subject}" in the recipe is about {written_for} '
            "(--set model.prompt.subject=... says what yours are)."
        )
    hidden = config.missing.availability
    if hidden is not None and hidden.rate > 0 and not _is_set("missing.availability", by_hand):
        lacking, total = _lacking(store, config.data.modalities)
        if lacking:
            missing = config.missing.model_copy(update={"availability": None})
            changed = changed.model_copy(update={"missing": missing})
            notes.append(
                f"Nothing more is hidden: {lacking} of {total} training performances of {store.info.name} already lack "
                f"a stream, and the recipe's rate of {hidden.rate:g} was for {written_for} "
                "(--set missing.availability.rate=... hides more)."
            )
        else:
            notes.append(
                f"{hidden.rate:.0%} of the streams in {' and '.join(hidden.splits)} are hidden, as the recipe says "
                "(--set missing.availability=null hides none)."
            )
    return changed, notes


def _is_set(key: str, by_hand: set[str]) -> bool:
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
