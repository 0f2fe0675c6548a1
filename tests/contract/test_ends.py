"""A process that has done its work ends with 0: nothing of a library below is still at work when Python ends."""

import subprocess
import sys

SCRIPT = """
import sys
from limssr.data.simulate import simulate_store
simulate_store(sys.argv[1], 60, seed=7, num_segments=(4, 9))
"""


def test_a_script_that_writes_and_reads_a_store_ends_well(tmp_path):
    """Threads of Arrow that held a file ended two of three such processes with SIGABRT, so two are tried."""
    for number in range(2):
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / f"store{number}")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
