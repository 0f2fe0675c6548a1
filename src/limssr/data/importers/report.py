"""The report that every importer returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limssr.core.types import SPLITS
from limssr.data.store.reader import FeatureStore


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What was read, and what was decided on the way.

    Attributes:
        store: The new folder.
        num_samples: Samples written.
        splits: Split -> samples.
        streams: Stream -> samples that own it.
        criteria: Criterion -> [low, high] of its scale.
        fingerprint: Of the store.
        decisions: What was decided for the user, a sentence each (headers found, scales derived, columns put in order).
        details: More counts, as plain JSON values.
    """

    store: Path
    num_samples: int
    splits: Mapping[str, int]
    streams: Mapping[str, int]
    criteria: Mapping[str, tuple[float, float]]
    fingerprint: str
    decisions: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """The decisions, under their older name."""
        return self.decisions

    @classmethod
    def of(
        cls, store: Path | str, *, decisions: Sequence[str] = (), details: Mapping[str, Any] | None = None
    ) -> "ImportReport":
        """The report on a store that has just been written."""
        written = FeatureStore.open(store)
        return cls(
            store=Path(store),
            num_samples=len(written),
            splits={split: len(written.ids(split)) for split in SPLITS},
            streams={
                modality.name: len(written) - written.index.column(f"valid:{modality.name}").null_count
                for modality in written.modalities
            },
            criteria={criterion.name: (criterion.low, criterion.high) for criterion in written.criteria},
            fingerprint=written.fingerprint,
            decisions=tuple(decisions),
            details=dict(details or {}),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "store": str(self.store),
            "num_samples": self.num_samples,
            "splits": dict(self.splits),
            "streams": dict(self.streams),
            "criteria": {name: list(scale) for name, scale in self.criteria.items()},
            "fingerprint": self.fingerprint,
            "decisions": list(self.decisions),
            "notes": list(self.decisions),
            "details": dict(self.details),
        }
