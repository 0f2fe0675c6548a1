"""A process knows how long it runs, its own start included."""

import subprocess
import sys
import time


def test_what_came_before_the_first_line_counts():
    code = "import time; time.sleep(0.4); from limssr.core.started import running_s; print(running_s())"
    begun = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.4 <= float(told.stdout) <= time.perf_counter() - begun + 0.05
