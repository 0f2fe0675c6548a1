"""How long this process runs already, its own start included."""

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()
LONGEST_S = 366 * 86_400.0


def running_s() -> float:
    """Seconds since the process began, to a hundredth; where the system does not say it, since this file was read."""
    fallback = time.perf_counter() - _IMPORTED
    try:
        # The 20th field after the name, which may hold blanks: when it began, in ticks since the machine did.
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return fallback
    return seconds if fallback <= seconds < LONGEST_S else fallback
