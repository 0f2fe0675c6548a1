"""From the words of a verb to a run's configuration: recipe, changes, and what is fitted to the store and backbone.

Whatever is fitted is said in one line on stderr; what the caller asks for with `--set` is never changed.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limssr.core.config import RunConfig
from limssr.core.config_data import ValidationConfig
from limssr.core.errors import InputError
from limssr.core.reading.documents import read_json
from limssr.core.reading.model_folder import outside_of
from limssr.core.reading.regular import exists
from limssr.core.recipes import load_recipe, parse_variants, recipe_path, store_behind
from limssr.data.store.remote import address_of, is_address

LAYERS = "model.backbone.num_layers"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the options of a verb change in a recipe.

    Attributes:
        settings: `--set`, "key=value".
        variant: `--variant`, "group=name".
        backbone: `--backbone`.
        store: `--store`.
        seed: `--seed`.
    """

    settings: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    backbone: str | None = None
    store: Path | None = None
    seed: int | None = None

    def overrides(self) -> list[str]:
        """All changes as "key=value"."""
        return [*self.settings, *shortcut_overrides(backbone=self.backbone, store=self.store, seed=self.seed)]

    def named(self) -> set[str]:
        """Keys that the caller gives a value."""
        return {override.partition("=")[0] for override in self.overrides()}


def read_config(recipe: str, changes: Changes, *, system: str | None = None) -> RunConfig:
    """`fitted_config`, with what was decided about borrowed parts of the recipe said on stderr."""
    config, notes = fitted_config(recipe, changes, system=system)
    for note in notes:
        _say(note.removesuffix("."))
    return config


def fitted_config(recipe: str, changes: Changes, *, system: str | None = None) -> tuple[RunConfig, list[str]]:
    """The configuration of a verb's run.

    A recipe without a name takes the name of its store. A recipe's number of layers is limited to those of a backbone
    that the caller chooses. A store without a validation split lends it a share of its training samples. What the
    recipe says about the data set that it was written for is not borrowed for another (`limssr.studies.borrowed`).

    Args:
        recipe: A path, or the name of a recipe that comes with limssr.
        changes: The verb's options.
        system: A comparison system to train in place of limssr.

    Returns:
        The configuration, and a sentence for everything that was decided about borrowed parts.

    Raises:
        InputError: What is wrong with the recipe, the changes or the store.
    """
    from limssr.studies.borrowed import BORROWED, without_borrowed
    from limssr.studies.systems import load_system_recipe

    path, variants = recipe_path(recipe), parse_variants(changes.variant)
    found = load_recipe(path, changes.overrides(), variants)
    fitted = [*_limited_layers(found, changes), *_from_store(found, changes, recipe)]
    config = load_system_recipe(path, [*fitted, *changes.overrides()], variants, system=system)
    if config.data.stream_dims is not None and not exists(Path(config.data.store).expanduser() / "store.json"):
        return config, []  # described without data
    return without_borrowed(config, {key: store_behind(path, key) for key in BORROWED}, changes.named())


def default_folder(recipe: str, changes: Changes, config: RunConfig) -> str:
    """The folder of a run or study for which none is given: of the recipe's name, or of the store's folder."""
    found = load_recipe(recipe_path(recipe), changes.overrides(), parse_variants(changes.variant))
    if "name" in found.model_fields_set:
        return folder_name(config.name)
    system = "" if config.model.system == found.model.system else f"-{config.model.system}"
    return f"{folder_name(Path(config.data.store).expanduser().resolve().name)}{system}"


def shortcut_overrides(*, backbone: str | None, store: Path | None, seed: int | None) -> list[str]:
    """Options that stand for a key of the recipe -> overrides of it."""
    keys = {
        "model.backbone.name": backbone,
        "data.store": None if store is None else _told(store),
        "seed": seed,
    }
    # JSON is YAML: quoted, a path such as 2024-01 stays text.
    return [f"{key}={json.dumps(value)}" for key, value in keys.items() if value is not None]


def folder_name(name: str) -> str:
    """The name of a run as the name of a folder; a slash leads into a folder, as in paper/fs1000."""
    parts = [re.sub(r"[^\w.+=-]+", "-", part).strip("-.") for part in name.split("/")]
    return "/".join(part for part in parts if part) or "run"


def limited_layers(backbone: str, num_layers: int | None) -> int | None:
    """The number of layers a recipe asks for, or those of the backbone where it has fewer."""
    available = _layers_of(backbone)
    return num_layers if num_layers is None or available is None else min(num_layers, available)


def _limited_layers(config: RunConfig, changes: Changes) -> list[str]:
    backbone = config.model.backbone
    kept = limited_layers(backbone.name, backbone.num_layers)
    if kept == backbone.num_layers or LAYERS in changes.named() or "model.backbone.name" not in changes.named():
        return []
    _say(f"the recipe keeps {backbone.num_layers} layers, {backbone.name} has {kept}: all {kept} are kept")
    return [f"{LAYERS}={kept}"]


def _layers_of(backbone: str) -> int | None:
    """Layers of a known backbone or of one in a local folder; None where only loading it would tell."""
    from limssr.model.backbone.families import KNOWN

    if backbone in KNOWN:
        return KNOWN[backbone].settings["num_hidden_layers"]
    try:
        settings = read_json(outside_of(Path(backbone) / "config.json"))
    except InputError:
        return None
    found = settings.get("num_hidden_layers") if isinstance(settings, Mapping) else None
    return found if isinstance(found, int) else None


def _from_store(config: RunConfig, changes: Changes, recipe: str) -> list[str]:
    """What the store decides where the recipe does not."""
    if not config.data.store:
        if config.data.stream_dims is not None:
            return []  # described without data
        raise InputError(
            f"{recipe}: expected a feature store, found none: give its folder with --store STORE "
            "(`limssr data import table MANIFEST STORE` makes one of own data)."
        )
    if config.data.stream_dims is not None and not exists(Path(config.data.store).expanduser() / "store.json"):
        return []  # as well; training looks for it again
    unnamed = "name" not in config.model_fields_set
    if not unnamed and (config.train.selection != "val" or config.data.validation is not None):
        return []
    from limssr.data.store.reader import FeatureStore

    store = FeatureStore.open(config.data.store)
    fitted = [f"name={json.dumps(store.info.name)}"] if unnamed and store.info.name else []
    asked = any(key.startswith("data.validation") for key in changes.named())
    if config.train.selection == "val" and config.data.validation is None and not asked and not store.ids("val"):
        share = ValidationConfig().share
        _say(f"{store.path} has no validation split: {share:.0%} of the training samples choose the epoch")
        fitted.append(f"data.validation={json.dumps({'share': share})}")
    return fitted


def _say(text: str) -> None:
    sys.stderr.write(f"limssr: note: {text}.\n")


def _told(store: Path) -> str:
    """A store as it was given; a path has folded the slashes of an address."""
    return address_of(store) if is_address(store) else str(store)
