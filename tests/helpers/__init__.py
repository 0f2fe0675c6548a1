"""Parts that tests of several folders import; pyproject.toml puts `tests` on the path."""
