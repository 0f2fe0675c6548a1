"""What a launcher such as torchrun says to each of the processes that it starts, and what of it is refused."""

import os

from limssr.core.errors import InputError, LimssrError

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets for every process."""
NOT_HONOURED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker",
}
"""Settings of `accelerate launch` that ask for another computation than ours."""


class LostProcess(LimssrError):
    """Another process of the team has ended in the middle of the work."""


class ToldByFirst(LimssrError):
    """All processes end with this error, and the first one says so."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def launched_size() -> int:
    """How many processes a launcher has started together with this one, itself included.

    Raises:
        InputError: It says no number.
    """
    text = os.environ.get("WORLD_SIZE") or "1"
    if not text.isdecimal() or len(text) > 6:
        raise InputError(f"Expected WORLD_SIZE to be a number of processes, found {text!r}: unset it.")
    return max(1, int(text))


def follows() -> bool:
    """Whether this is a launched process that is not the first: it prints no answers and no progress."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1") and os.environ.get("RANK", "0") != "0"


def check_launcher() -> None:
    """Refuse what a launcher asks for and a training does not do.

    Raises:
        InputError: A variable is missing, or names another computation.
    """
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"Expected a launcher that sets {', '.join(missing)} beside WORLD_SIZE={os.environ['WORLD_SIZE']}, found "
            "none of it: use torchrun, accelerate launch, or limssr train --processes N."
        )
    for name, words in NOT_HONOURED.items():
        if os.environ.get(name, "").lower() in ("true", "1"):
            raise InputError(
                f"Expected several processes that each hold the whole model, found {words} asked for ({name}): choose "
                "plain distributed training in `accelerate config`; model.backbone.memory_gb saves memory."
            )
    _check_own("ACCELERATE_DYNAMO_BACKEND", ("", "no"), "nothing is compiled")
    _check_own("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", ("", "1"), "use train.accumulate of the recipe")
    _check_own("ACCELERATE_MIXED_PRECISION", ("", "no"), "use train.precision of the recipe")


def _check_own(name: str, allowed: tuple[str, ...], advice: str) -> None:
    found = os.environ.get(name, "").lower()
    if found not in allowed:
        raise InputError(f"Expected {name} to be unset, found {found!r} from the launcher: {advice}.")
