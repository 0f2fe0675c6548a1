"""`limssr config`: every key of a recipe, what it may be and what it means."""

import json
import textwrap
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer

if TYPE_CHECKING:
    from limssr.core.recipe_keys import RecipeKey

WIDTH = 78


@dataclass(frozen=True)
class Config:
    """List the keys of a recipe with type, default and meaning."""

    key: Annotated[Position[str | None], conf.arg(metavar="[KEY]")] = None
    """A key (train.epochs), a group of keys (train), or the last word of keys (epochs); without it all keys."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """List."""
        from limssr.core.recipe_keys import keys_under

        keys = keys_under(self.key)
        return Answer({"keys": [asdict(key) for key in keys]}, tuple("\n".join(_lines(key)) for key in keys))


def _lines(key: "RecipeKey") -> list[str]:
    default = "" if key.group else f": {json.dumps(key.default, ensure_ascii=False)}"
    head = f"{key.key}{default}   ({key.kind})"
    meaning = textwrap.wrap(key.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return [*textwrap.wrap(head, WIDTH, subsequent_indent="    "), *meaning]
