"""The packages that serving needs, looked for before anything of them is imported."""

import importlib.util

from limssr.core.errors import MissingExtraError

PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
    "websockets": "websockets",
}
"""Module -> the package that brings it."""
INSTALL = "pip install -c constraints.txt '.[serve]'"


def check_packages() -> None:
    """See that everything is installed.

    Raises:
        MissingExtraError: A package is missing; the message says what to install.
    """
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"Expected the packages {', '.join(PACKAGES.values())} for limssr serve, found that {', '.join(missing)} "
            f"is not installed: {INSTALL}"
        )
