"""Opens what has been trained for scoring: a run, one of its references, an estimator's folder, a model folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limssr.core.config_data import DataConfig
from limssr.core.errors import ArtifactError, InputError, unknown_name
from limssr.core.reading.fields import checked
from limssr.core.reading.records import EstimatorDocument, ReferenceDocument, own_file, read_document
from limssr.core.recipes import parse_config
from limssr.core.runtime import check_model_precision, choose_device
from limssr.core.types import Criterion, Modality, Sample
from limssr.data.arrays import as_streams, make_samples
from limssr.evaluation.scorer import ModelScorer, Scorer
from limssr.runs.folder import ESTIMATOR_FORMAT, FORMAT_VERSION, check_has_model, read_run
from limssr.systems.pooled import SETTINGS as POOLED_SETTINGS
from limssr.systems.pooled import PooledModel
from limssr.systems.saving import MEMBERS, Weights, load_pretrained

REFERENCES_FOLDER = "references"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Something trained that scores performances; `limssr.load` returns it.

    Attributes:
        name: Of the folder it came from.
        modalities: The M streams that it knows, in order.
        criteria: The C criteria that it predicts.
        scorer: Scores checked samples.
        folder: Where it was opened.
        reading: How the tables of the run's store were read, as its options say; empty where that is not known.
    """

    name: str
    modalities: tuple[Modality, ...]
    criteria: tuple[Criterion, ...]
    scorer: Scorer
    folder: Path
    reading: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, samples: Any, *, columns: Literal["by-name", "by-place"] = "by-name") -> np.ndarray:
        """Scores [N, C] in the data set's unit, a column a criterion; NaN where nothing can be said.

        Args:
            samples: N mappings from a stream's name to an array [T, D], as for `LimssrRegressor`; a stream that is
                None, all NaN or not a key does not exist.
            columns: "by-place" also takes arrays without names where the streams have names.

        Raises:
            InputError: A sample has an unknown stream, another width, or no stream at all.
        """
        unnamed = "by-place" if columns == "by-place" else "refuse"
        found = make_samples(as_streams(samples), None, self.modalities, self.criteria, unnamed=unnamed)
        return self.score(found) if found else np.empty((0, len(self.criteria)))

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """The same of checked samples, such as those of a `FeatureStore`."""
        return self.scorer.score(samples)


def load(path: str | Path, member: str | None = None, *, device: str = "auto") -> Loaded:
    """Open what has been trained, to score with it.

    Args:
        path: A run folder, one of the folders in its `references/`, a folder that `save_pretrained` wrote.
        member: Of a run folder: the name of a reference, such as "ridge"; None: the run itself.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        InputError: An unknown member or device.
        ArtifactError: Nothing trained in the folder, or it is damaged or of a newer format.
    """
    return load_scorer(Path(path).expanduser(), member=member, device=device)


def load_scorer(
    path: Path,
    *,
    member: str | None = None,
    device: str = "auto",
    weights: Weights = "trained",
    batch_size: int = 32,
) -> Loaded:
    """As `load`; with int8 weights and another number of samples at once where that is asked for.

    Raises:
        InputError: As for `load`; or int8 weights are asked of something that has no language model.
        ArtifactError: As for `load`.
    """
    folder = path if member is None else _member_folder(path, member)
    held, data = _model_folder(folder)
    if (held / POOLED_SETTINGS).is_file():
        if weights == "int8":
            raise InputError(f"Expected a run with a language model for int8 weights, found the regression {folder}.")
        pooled = PooledModel.load(held)
        return Loaded(
            name=folder.name,
            modalities=pooled.modalities,
            criteria=pooled.criteria,
            scorer=pooled,
            folder=folder,
            reading=_reading_of(folder),
        )
    choice = choose_device(device)
    model = load_pretrained(held)
    check_model_precision(model.config, choice.device)
    if weights == "int8":
        from limssr.model.int8 import check_int8, use_int8  # brings transformers along, which few systems need

        check_int8(model, choice.device)
        use_int8(model)
    scorer = ModelScorer(
        model.to(choice.device),
        batch_size=batch_size,
        device=choice.device,
        num_segments=data.num_segments,
        padding=data.padding,
    )
    return Loaded(
        name=folder.name,
        modalities=model.modalities,
        criteria=model.criteria,
        scorer=scorer,
        folder=folder,
        reading=_reading_of(folder),
    )


def _reading_of(folder: Path) -> Mapping[str, Any]:
    """How the tables of a run's store were read; nothing where the folder is neither a run nor beside one."""
    run = next(
        (one for one in (folder, folder.parent.parent, folder.parent.parent.parent) if (one / "run.json").exists()),
        None,
    )
    store = None if run is None else read_run(run).document.get("store")
    return (store or {}).get("reading") or {}


def _member_folder(run: Path, member: str) -> Path:
    read_run(run)
    places = [run / REFERENCES_FOLDER, run / "model" / MEMBERS]  # the latter of a mixture, as `limssr auto` makes it
    found = {path.name: path for place in places if place.is_dir() for path in sorted(place.iterdir()) if path.is_dir()}
    if member not in found:
        raise unknown_name(f"member of {run}", member, list(found))
    return found[member]


def _model_folder(folder: Path) -> tuple[Path, DataConfig]:
    """Where the weights are, and how performances are cropped and padded for them."""
    if (folder / "run.json").exists():
        record = read_run(folder)
        check_has_model(folder, record.document)
        return folder / "model", record.config.data
    if (folder / "reference.json").exists():
        return _reference_model(folder)
    if (folder / "estimator.json").exists():
        document = read_document(folder / "estimator.json", EstimatorDocument, newest_version=ESTIMATOR_FORMAT)
        return folder, parse_config(document["config"], where=str(folder / "estimator.json")).data
    return folder, DataConfig()


def _reference_model(folder: Path) -> tuple[Path, DataConfig]:
    document = read_document(folder / "reference.json", ReferenceDocument, newest_version=FORMAT_VERSION)
    if not (folder / "model").is_dir():
        raise ArtifactError(
            f"Expected a trained model in {folder / 'model'}, found none: an older limssr did not save regressions; "
            "train the run again in a new folder to have it."
        )
    run = folder.parent.parent
    if document.get("data") is not None:
        return folder / "model", checked(DataConfig, document["data"], own_file(folder / "reference.json"))
    return folder / "model", read_run(run).config.data if (run / "run.json").exists() else DataConfig()
