"""limssr: score a long performance from several time-aligned streams, some of which may be missing."""

from typing import TYPE_CHECKING, Any

from limssr.core.version import __version__

if TYPE_CHECKING:
    from limssr.estimator import LimssrRegressor

__all__ = ["LimssrRegressor", "__version__"]


def __getattr__(name: str) -> Any:
    # The estimator brings torch along; `import limssr` alone stays light.
    if name == "LimssrRegressor":
        from limssr.estimator import LimssrRegressor

        return LimssrRegressor
    raise AttributeError(f"module 'limssr' has no attribute {name!r}")
