"""The recipes that come with limssr, found in a checkout and in an installed wheel alike."""

from pathlib import Path

from limssr.errors import InputError

_PACKAGE = Path(__file__).parent
# In a wheel the recipes lie inside the package, in a checkout at the top of the repository.
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parents[1] / "recipes")


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with limssr: "demo", "paper/fs1000", ...

    A file whose name begins with an underscore is the base of others and no recipe by itself.
    """
    folder = _folder()
    files = [path for path in folder.rglob("*.yaml") if not path.name.startswith("_")]
    return tuple(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files))


def recipe_path(name: str) -> Path:
    """A recipe's file.

    Args:
        name: A path that ends in .yaml or .yml, taken as it is, or a name from `recipe_names`.

    Raises:
        InputError: Neither.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name in recipe_names():
        return _folder() / f"{name}.yaml"
    known = ", ".join(recipe_names())
    raise InputError(f"Expected a recipe: a path that ends in .yaml, or one of {known}. Found {name!r}.")


def _folder() -> Path:
    for folder in _FOLDERS:
        if folder.is_dir():
            return folder
    raise InputError(f"Expected the recipes of limssr in {_FOLDERS[0]}; the installation is damaged, install it again.")
