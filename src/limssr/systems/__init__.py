"""Networks and regressions: one file a system, one table of names (`table.py`), one declaration (`system.py`).

References that are not networks (regression on pooled statistics) are in `limssr.systems.regressions`.
"""
