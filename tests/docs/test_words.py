"""The prose of code and pages is plain, and the check that keeps it so finds what it should."""

import pytest

import check_words


def test_code_and_pages_are_in_plain_words():
    files = check_words.checked_files()
    assert len(files) > 200
    assert [line for path in files for line in check_words.problems(path, path.name)] == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("These streams are\ngone for good.\n", 2),
        ("Fine.\n\nThe weights cannot be had here.\n", 3),
        ("# What the numbers\n# mean: a table with its footnote.\n", 2),
        ("    A model that stands\n    beside the other one.\n", 1),
        ("x = 1  # TF32 is a way of some devices\n", 1),
        ("The reporter hears\n# of every epoch\n", 1),
    ],
)
def test_a_riddle_is_found_with_its_line_also_across_lines(tmp_path, text, line):
    path = tmp_path / "page.md"
    path.write_text(text)
    found = list(check_words.problems(path, "page.md"))
    assert len(found) == 1
    assert found[0].startswith(f"page.md:{line}: ")


def test_plain_words_pass(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("For good reasons, the rest of the samples is available at a handy place beside the store.\n")
    assert list(check_words.problems(path, "page.md")) == []
    assert check_words.main([str(path)]) == 0
