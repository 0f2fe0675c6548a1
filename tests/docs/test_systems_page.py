"""The page of systems says what the systems declare."""

import systems_page


def test_the_table_is_what_the_systems_declare():
    page = systems_page.PAGE.read_text(encoding="utf-8")
    assert page == systems_page.written(page), "run: python tools/systems_page.py"
