"""What is explained: an opened run with the samples of a split, or with samples from elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limssr.core.config import RunConfig
from limssr.core.errors import InputError, unknown_name
from limssr.core.types import Criterion, Sample, Split
from limssr.evaluation.conformal import Errors
from limssr.evaluation.scorer import ModelScorer
from limssr.media.recognise import is_recordings
from limssr.model.limssr import LimssrModel
from limssr.runs.data import load_split
from limssr.runs.evaluate import check_same_content, own_store
from limssr.runs.folder import RunRecord, check_has_model, read_run
from limssr.runs.load import Loaded, load_scorer
from limssr.runs.prediction.predict import open_source
from limssr.runs.reliability.calibration import errors_in

MAX_SINGLE = 20
"""Samples from elsewhere that are explained one by one, where none are named."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A run, opened to be explained.

    Attributes:
        run: Its folder.
        found: What scores.
        config: Of the run.
        system: Name of what scores.
        split: Of the samples.
        samples: Judged ones, made incomplete as in the run.
        baseline_C: The mean of the training scores, in the data set's unit.
        errors: On calibration samples; None where the run has none.
        segment_s: Length of a segment in seconds; None where unknown.
        training: The training samples, as the run saw them.
        record: The run's files.
    """

    run: Path
    found: Loaded
    config: RunConfig
    system: str
    split: Split
    samples: tuple[Sample, ...]
    baseline_C: np.ndarray
    errors: Errors | None
    segment_s: float | None
    training: tuple[Sample, ...]
    record: RunRecord

    @property
    def names(self) -> tuple[str, ...]:
        """The M streams."""
        return tuple(one.name for one in self.found.modalities)

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """The C criteria."""
        return self.found.criteria

    @property
    def network(self) -> LimssrModel | None:
        """The network, where it is LIMSSR itself; None for other systems."""
        scorer = self.found.scorer
        if isinstance(scorer, ModelScorer) and isinstance(scorer.model, LimssrModel):
            return scorer.model
        return None


def open_subject(
    run: Path, *, split: Split, member: str | None = None, store: Path | None = None, device: str = "auto"
) -> Subject:
    """Open a finished run and read the samples of a split.

    Args:
        run: A run folder.
        split: "train", "val" or "test".
        member: A reference of the run, or a member of a mixture; None: the run itself.
        store: Another store with the run's streams and criteria, taken as it is; None: the run's own.
        device: See `limssr.core.runtime.choose_device`.

    Raises:
        InputError: No such member, its store has changed, or no sample in the split.
        ArtifactError: The run folder or the store is damaged, unfinished or of a newer format.
    """
    record = read_run(run)
    check_has_model(run, record.document)
    found = load_scorer(run, member=member, device=device)
    is_own = store is None
    chosen = own_store(run, record) if store is None else store
    if is_own:
        check_same_content(run, record, chosen)
    opened, samples = load_split(found, record.config, split, store=chosen, incomplete=is_own)
    _, training = load_split(found, record.config, "train", store=chosen, incomplete=is_own)
    return Subject(
        run=run,
        found=found,
        config=record.config,
        system=member or str(record.document.get("system") or "limssr"),
        split=split,
        samples=tuple(sample for sample in samples if sample.streams),
        baseline_C=_mean_scores(training),
        errors=errors_in(found.folder, found.modalities, found.criteria),
        segment_s=opened.info.segment_s,
        training=tuple(training),
        record=record,
    )


def _mean_scores(samples: Sequence[Sample]) -> np.ndarray:
    return np.nanmean(np.stack([sample.scores for sample in samples]), axis=0)


def chosen_samples(subject: Subject, ids: Sequence[str]) -> tuple[Sample, ...]:
    """The samples with these ids.

    Raises:
        InputError: The split has no such sample.
    """
    known = {sample.id: sample for sample in subject.samples}
    for name in ids:
        if name not in known:
            told = str(unknown_name(f"sample of split '{subject.split}'", name, list(known)))
            raise InputError(f"{told} --split names another split, --source samples from elsewhere.")
    return tuple(known[name] for name in dict.fromkeys(ids))


def samples_from(
    subject: Subject, source: Path, ids: Sequence[str], say: Callable[[str], None]
) -> tuple[tuple[Sample, ...], float | None]:
    """Samples from a manifest, a store or recordings, and the length of their segments in seconds.

    Raises:
        InputError: The source does not fit the model, or has no such sample.
    """
    if source.exists() and is_recordings(source):
        from limssr.media.samples import read_recordings
        from limssr.runs.prediction.recordings import extraction_of

        record = extraction_of(subject.run)
        read = read_recordings(source, record, subject.found.modalities)
        for name, reason in read.failures.items():
            say(f"{name} cannot be read: {reason}")
        samples = list(read.samples)
    else:
        from limssr.data.importers.table.reading import Reading

        reading = Reading.from_dict(dict(subject.found.reading))
        opened = open_source(source, subject.found.modalities, say=say, reading=reading)
        samples = opened.block(0, opened.num_samples)
    known = {sample.id: sample for sample in samples if sample.streams}
    for name in ids:
        if name not in known:
            raise unknown_name(f"sample of {source}", name, list(known))
    if not ids and len(known) > MAX_SINGLE:
        say(f"the first {MAX_SINGLE} of {len(known)} samples of {source} are explained; name others with --samples")
    wanted = list(dict.fromkeys(ids)) or list(known)[:MAX_SINGLE]
    if not wanted:
        raise InputError(f"Expected a sample with a stream that the model knows in {source}, found none.")
    return tuple(known[name] for name in wanted), subject.segment_s
