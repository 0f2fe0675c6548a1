"""The reference page of recipe keys says what the configuration says."""

import recipe_keys_page
from limssr.core.recipe_keys import recipe_keys


def test_the_page_is_up_to_date():
    assert recipe_keys_page.PAGE.read_text(encoding="utf-8") == recipe_keys_page.page(), (
        "run: python tools/recipe_keys_page.py"
    )


def test_every_key_has_one_row():
    rows = [line.split("|")[1].strip(" `") for line in recipe_keys_page.page().splitlines() if line.startswith("| `")]
    sections = {key.key for key in recipe_keys() if key.group and "." not in key.key}
    assert sorted(rows) == sorted(key.key for key in recipe_keys() if key.key not in sections)
