"""What the routes of a server share."""

from collections.abc import Mapping
from dataclasses import dataclass

from limssr.serve.arrays import Bounds
from limssr.serve.engine import Engine
from limssr.serve.measures import Measures
from limssr.serve.served import Served
from limssr.serve.settings import ServeSettings


@dataclass(frozen=True, kw_only=True)
class State:
    """What the routes share."""

    settings: ServeSettings
    runs: Mapping[str, Served]
    engine: Engine
    measures: Measures
    bounds: Bounds
