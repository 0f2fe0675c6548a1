"""Checks and warnings before a run begins."""

from pathlib import Path
from typing import Literal

from limssr.core.config import RunConfig
from limssr.core.differences import differences
from limssr.core.errors import InputError, unknown_name
from limssr.core.locks import LOCK_NAME
from limssr.core.progress import Reporter
from limssr.data.missing import never_owned
from limssr.nn.contract import Network
from limssr.runs.data import RunData, validation_of
from limssr.runs.folder import read_run
from limssr.systems.catalogue import target_words
from limssr.systems.references import REFERENCES
from limssr.systems.saving import state_to_save


def check_references(config: RunConfig, data: RunData) -> None:
    """Refuse references that this run cannot have.

    Raises:
        InputError: An unknown or repeated name; a reference that equals the run itself; one that needs
            complete training samples where the store has lost the hidden streams.
    """
    names = config.evaluation.references
    for name in names:
        if name not in REFERENCES:
            raise unknown_name("reference", name, list(REFERENCES))
        if names.count(name) > 1:
            raise InputError(f"evaluation.references: found {name!r} twice: give every name once.")
        if REFERENCES[name].trained_on == "complete" and data.complete_train is None:
            raise InputError(
                f"evaluation.references: {name} is trained on the samples before streams are hidden, which takes "
                "missing.availability in the recipe and a complete store; leave it out."
            )
    if config.model.system != "limssr" and "random-backbone" in names:
        raise InputError(
            f"evaluation.references: random-backbone needs model.system limssr, found {config.model.system}."
        )
    if config.model.system in names:
        raise InputError(f"evaluation.references: {config.model.system} is the system of the run; leave it out.")
    if "random-backbone" in names and config.model.backbone.init == "random":
        raise InputError(
            "evaluation.references: random-backbone equals a run with backbone.init: random; leave it out."
        )


def run_warnings(config: RunConfig) -> list[str]:
    """What is allowed but should be known before it is trained."""
    train, warnings = config.train, []
    if train.selection == "test":
        warnings.append(
            "train.selection: test chooses the epoch on the test split, so the result on that split is flattered; "
            "it exists only to repeat published tables, and the report says so"
        )
    if train.epochs <= train.warmup_epochs:
        warnings.append(
            f"train.epochs ({train.epochs}) is not above train.warmup_epochs ({train.warmup_epochs}), so the learning "
            "rate never reaches its full value"
        )
    if config.loss.regularizer == "eq17" and config.loss.slots > 0:
        warnings.append(
            "loss.regularizer: eq17 cannot prevent collapse: identical and orthogonal slots score the same, and with "
            "two fusion tokens its gradient is zero; slot_triplet can"
        )
    if "random-backbone" in config.evaluation.references and config.model.backbone.name == "tiny":
        warnings.append("the backbone tiny has random weights itself, so random-backbone will equal the run")
    return warnings


def say_what_to_know(config: RunConfig, data: RunData, reporter: Reporter) -> None:
    """Tell what was decided about the data, and what is allowed but unwise."""
    if text := _validation_words(config, data):
        reporter.note(text)
    if text := left_out_words(data):
        reporter.note(text)
    if text := unseen_words(data):
        reporter.warn(text)
    if text := target_words(config.model.system, config.missing.training):
        reporter.note(text)
    for text in run_warnings(config):
        reporter.warn(text)


def _validation_words(config: RunConfig, data: RunData) -> str:
    """How validation came about where it is not simply the store's; empty where it is, or where there is none."""
    held, asked, num_held = validation_of(config, data.store), config.data.validation, len(data.splits["val"])
    if held is not None and asked is None:
        why = "test split is one of several folds" if config.data.test else "store has no validation split"
        return (
            f"validation: {num_held} of the training samples were held out by whole groups, for the {why} "
            f"(data.validation: {{share: {held.share:g}, seed: {held.seed}}})"
        )
    if asked is not None and asked.folds is None and config.data.test is None and data.store.ids("val"):
        return (
            f"validation: the store's own split was joined with training, and {num_held} samples of both were held out "
            "by whole groups (data.validation)"
        )
    return ""


Resume = Literal["never", "auto", "cannot"]
"""Whether a run that was begun is gone on with; "cannot": there is no option for it."""


def folder_status(out: Path, config: RunConfig, resume: Resume) -> Literal["new", "running", "done"]:
    """How far the run in a folder is.

    Raises:
        InputError: A file, or a folder that holds something and is not to be resumed, or a run of other settings.
        ArtifactError: The run folder is damaged, or of a newer format.
    """
    if not out.exists():
        return "new"
    if not out.is_dir():
        raise InputError(f"Expected a folder for the run, found a file at {out}: choose another path.")
    held = {path.name for path in out.iterdir()} - {LOCK_NAME}
    if not held:
        return "new"
    if resume != "auto":
        how = "add --resume to go on with the run in it" if resume == "never" else "remove what is there"
        raise InputError(
            f"Expected a run folder that does not exist, found files in {out}: choose another path, or {how}."
        )
    if held == {"config.yaml"}:
        return "new"  # stopped between the first two files
    record = read_run(out)
    differing = [one.key for one in differences(record.config.model_dump(mode="json"), config.model_dump(mode="json"))]
    if differing:
        raise InputError(
            f"Expected the configuration of the run in {out}, found other values of {', '.join(differing)}: resume "
            f"with {out / 'config.yaml'}, or start a new run in another folder."
        )
    return record.document.get("status", "running")


def check_same_store(out: Path, data: RunData) -> None:
    """Refuse to go on with a run whose store has changed meanwhile.

    Raises:
        InputError: Another content than the run began with.
    """
    if not (out / "run.json").exists():
        return
    recorded = read_run(out).document["store"]["fingerprint"]
    if recorded != data.store.fingerprint:
        raise InputError(
            f"Expected the store that the run in {out} began with (fingerprint {recorded[:12]}), found another content "
            f"in {data.store.path} ({data.store.fingerprint[:12]}): restore it, or start a new run in another folder."
        )


def checkpoint_bytes(model: Network, config: RunConfig) -> int:
    """Two checkpoints at once while one replaces the other, the weights that may be chosen, and the saved model."""
    state = sum(tensor.numel() * tensor.element_size() for tensor in state_to_save(model).values())
    trained = sum(parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad)
    copies = 2 if config.train.average else 1
    candidates = 2 if config.train.selection == "test" else 1
    return 2 * (copies * state + 2 * trained) + (candidates * copies + 1) * state


def left_out_words(data: RunData) -> str:
    """The samples that a run leaves out, as a sentence; empty where there are none."""
    counts = ", ".join(f"{split} {count}" for split, count in data.left_out.items() if count)
    named = ", ".join(criterion.name for criterion in data.criteria)
    return f"left out for want of a score of {named}: {counts}" if counts else ""


def unseen_words(data: RunData) -> str:
    """Streams that no training sample owns though others do, as a sentence; empty where there are none."""
    every = [sample for samples in data.splits.values() for sample in samples]
    nowhere = never_owned(data.names, every)
    unseen = [name for name in never_owned(data.names, data.splits["train"]) if name not in nowhere]
    if not unseen:
        return ""
    return (
        f"no training sample owns {', '.join(unseen)}: nothing can be learnt of it, so scoring leaves it out, and what "
        "has nothing else is not scored"
    )
