"""Write docs/reference/recipe-keys.md from the fields of the configuration; the gate checks that it is up to date.

python tools/recipe_keys_page.py
"""

import json
import os
from pathlib import Path

from limssr.core.recipe_keys import RecipeKey, recipe_keys

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "recipe-keys.md"
HEAD = """# Recipe keys

Every key of a recipe with its default, what it may be and what it means. `limssr config [KEY]` shows the same in a
terminal, and `--set KEY=VALUE` changes a key for one run. Where a group may be `null`, its keys have their defaults
once the group is given.

<!-- written by: python tools/recipe_keys_page.py -->
"""


def page() -> str:
    """The whole page: a table for each group at the top, keys in the order of the configuration."""
    groups: dict[str, list[RecipeKey]] = {"": []}
    for key in recipe_keys():
        head, dot, _ = key.key.partition(".")
        groups.setdefault(head if dot or key.group else "", []).append(key)
    return HEAD + "".join(_section(name, keys) for name, keys in groups.items())


def _section(name: str, keys: list[RecipeKey]) -> str:
    lines = [f"\n## `{name}`\n" if name else "\n## The run\n"]
    if name:
        lines.append(f"{keys[0].meaning}\n")
        keys = keys[1:]
    lines += ["| key | default | may be | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = "" if key.group and key.default is not None else f"`{json.dumps(key.default, ensure_ascii=False)}`"
        cells = (f"`{key.key}`", default, key.kind, key.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    partial = PAGE.with_name(f".{PAGE.name}.partial")
    partial.write_text(page(), encoding="utf-8")
    os.replace(partial, PAGE)
