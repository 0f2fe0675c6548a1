"""The solved networks by name, for building and loading; a row is imported on first use."""

from collections.abc import Callable, Sequence

from limssr.core.config import ModelConfig
from limssr.core.lazy import LazyTable, Where
from limssr.core.types import Criterion, Modality
from limssr.nn.contract import Network

Build = Callable[[ModelConfig, Sequence[Modality], Sequence[Criterion]], Network]
SOLVED: LazyTable[Build] = LazyTable(
    {
        "constant": Where("limssr.systems.solved.contract", "Constant"),
        "kernel-ridge": Where("limssr.systems.solved.kernel_ridge", "KernelRidge"),
        "forest": Where("limssr.systems.solved.forest", "Forest"),
    }
)
"""`model.system` in the config.json of a saved member; recipes do not name them."""
