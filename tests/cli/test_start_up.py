"""What a command loads before it works: scoring needs neither training nor what only training and reports need."""

import subprocess
import sys
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parents[1] / "fixtures" / "before_rooms"
PREDICT = """
import sys
from limssr.cli import main
code = main(sys.argv[1:])
loaded = {name for name in sys.modules}
# pandas is not named: pyarrow loads it by itself wherever it is installed.
unwanted = {"peft", "sklearn", "matplotlib", "scipy.stats", "torchvision", "limssr.training",
            "limssr.studies", "limssr.report.run_page", "limssr.media.encoders", "limssr.estimator"} & loaded
assert code == 0 and not unwanted, (code, unwanted)
print("transformers" in loaded)
"""


@pytest.mark.parametrize(("run", "needs_transformers"), [("limssr-run", True), ("attention-run", False)])
def test_scoring_loads_nothing_that_it_does_not_need(run, needs_transformers, tmp_path):
    words = ["predict", str(FIXTURE / run), str(FIXTURE / "store"), "--out", str(tmp_path / "scores.csv")]
    done = subprocess.run([sys.executable, "-c", PREDICT, *words], capture_output=True, text=True, check=False)
    if "drawn from the seed" in done.stderr:
        pytest.skip("this kind of processor draws other random weights for the backbone tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(needs_transformers)


def test_scoring_with_a_regression_loads_no_scikit_learn_and_the_package_itself_next_to_nothing():
    program = (
        "import sys, limssr\n"
        "assert not {'torch', 'numpy', 'pyarrow', 'pydantic', 'rich'} & set(sys.modules), 'import limssr'\n"
        "import limssr.systems.pooled, limssr.runs.load\n"
        "assert not {'sklearn', 'transformers', 'peft', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
