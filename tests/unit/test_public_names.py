import subprocess
import sys

import pytest

import limssr


@pytest.mark.parametrize("name", limssr.__all__)
def test_a_public_name_is_there(name):
    assert getattr(limssr, name) is not None
    assert name in dir(limssr)


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="no attribute 'Scorer'"):
        limssr.Scorer  # noqa: B018


def test_the_package_alone_loads_nothing_heavy():
    code = "import sys, limssr; print([m for m in ('torch', 'numpy', 'transformers', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
