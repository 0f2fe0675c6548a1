"""The solved networks by name, for building and loading."""

from collections.abc import Callable, Sequence

from limssr.core.config import ModelConfig
from limssr.core.types import Criterion, Modality
from limssr.systems.solved.contract import Constant, SolvedNetwork
from limssr.systems.solved.forest import Forest
from limssr.systems.solved.kernel_ridge import KernelRidge

Build = Callable[[ModelConfig, Sequence[Modality], Sequence[Criterion]], SolvedNetwork]
SOLVED: dict[str, Build] = {"constant": Constant, "kernel-ridge": KernelRidge, "forest": Forest}
"""`model.system` in the config.json of a saved member; recipes do not name them."""
