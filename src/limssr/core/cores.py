"""How many cores a process may use, and its share of them."""

import os


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(processes: int) -> int:
    """Threads of one of several processes: its share of OMP_NUM_THREADS, or of the cores that this process may use."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (int(allowed) if allowed.isdecimal() else num_cores()) // processes)
