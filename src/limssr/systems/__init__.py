"""Systems to compare with: one file a system, one contract (`contract.py`), one table of names (`table.py`).

References that are not networks (regression on pooled statistics) are in `limssr.systems.regressions`.
"""

from limssr.systems.contract import ComparisonSystem, System, SystemOptions
from limssr.systems.table import SYSTEMS

__all__ = ["SYSTEMS", "ComparisonSystem", "System", "SystemOptions"]
