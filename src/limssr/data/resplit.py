"""Divide a store or a manifest anew, by whole groups; what was there stays as it is."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limssr.core.errors import InputError
from limssr.core.files import check_new, write_atomically
from limssr.core.types import SPLITS, Sample
from limssr.data.importers.table.manifest import JSON_LINES, Rows, read_table, text_cell
from limssr.data.splits import parse_shares, split_samples, split_words
from limssr.data.store.reader import FeatureStore
from limssr.data.store.writer import StoreWriter
from limssr.data.validate import duplicate_id


@dataclass(frozen=True)
class Divided:
    """What was written.

    Attributes:
        out: The new store or manifest.
        splits: Split -> samples.
        decisions: What was decided, a sentence each.
    """

    out: Path
    splits: dict[str, int]
    decisions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"out": str(self.out), "splits": self.splits, "decisions": list(self.decisions)}


def split_data(
    source: Path | str,
    shares: str,
    *,
    out: Path | str | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Divided:
    """Write a copy of a store or a manifest with new splits.

    Args:
        source: The store or the manifest; its own splits are not looked at.
        shares: See `limssr.data.splits.parse_shares`.
        out: What to write, in the same form; None: beside the source, with "-split" in its name.
        seed: Another seed, another division.
        progress: Called as (done, total) after every sample of a store.

    Raises:
        InputError: Shares that are none, fewer groups than splits, nothing at the source, or `out` exists.
        ArtifactError: The store is damaged.
    """
    source = Path(source)
    parse_shares(shares)
    if not source.exists():
        raise InputError(f"Expected a store or a manifest at {source}, found nothing: give a path that exists.")
    target = Path(out) if out is not None else source.with_name(f"{source.stem}-split{source.suffix}")
    check_new(target, "store" if source.is_dir() else "manifest")
    if source.is_dir():
        return _split_store(source, target, shares, seed, progress)
    return _split_manifest(source, target, shares, seed)


def _split_store(path: Path, out: Path, shares: str, seed: int, progress: Callable[[int, int], None] | None) -> Divided:
    store = FeatureStore.open(path)
    store.check()
    wanted = parse_shares(shares)
    # Streams are mapped, not loaded: a sample is read when it is written.
    divided = split_samples(store.samples(), wanted, seed=seed)
    provenance = {
        "importer": "split",
        "split": {"shares": shares, "seed": seed},
        "parent": {"fingerprint": store.fingerprint, "provenance": store.info.provenance},
    }
    if store.info.availability is not None:
        provenance["availability"] = dict(store.info.availability)
    with StoreWriter(
        out,
        name=store.info.name,
        modalities=store.modalities,
        criteria=store.criteria,
        segment_s=store.info.segment_s,
        provenance=provenance,
        derived_scales=store.info.derived_scales,
        splits_required=[split for split, share in wanted.items() if share],
    ) as writer:
        for done, sample in enumerate(divided, start=1):
            writer.add(sample)
            if progress:
                progress(done, len(divided))
        copies = writer.observed.copies_across_splits()
    return _report(out, divided, shares, seed, copies)


def _split_manifest(path: Path, out: Path, shares: str, seed: int) -> Divided:
    if out.resolve().parent != path.resolve().parent:
        raise InputError(
            f"Expected the new manifest in the folder of the old one ({path.parent}), to which its paths are relative, "
            f"found {out}: write it there."
        )
    found = read_table(path)
    lacking = [column for column in ("id",) if column not in found.columns]
    if lacking or not found.rows:
        raise InputError(f"{path}: expected samples with a column 'id', found none: give a manifest.")
    samples = [Sample(text_cell(row, "id"), {}, group=text_cell(row, "group")) for row in found.rows]
    ids = [sample.id for sample in samples]
    if len(set(ids)) < len(ids):
        raise duplicate_id(next(name for name in ids if ids.count(name) > 1))
    divided = split_samples(samples, parse_shares(shares), seed=seed)
    for row, sample in zip(found.rows, divided, strict=True):
        row["split"] = sample.split
    columns = found.columns if "split" in found.columns else [*found.columns[:1], "split", *found.columns[1:]]
    write_atomically(out, _encoded(Rows(columns, found.rows, found.lines), out.suffix.lower()))
    return _report(out, divided, shares, seed)


def _encoded(table: Rows, suffix: str) -> bytes:
    if suffix in JSON_LINES:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.rows).encode()
    if suffix not in (".csv", ".tsv"):
        raise InputError(
            f"Expected to write a manifest that ends in .csv, .tsv or .jsonl, found {suffix!r}: use --out."
        )
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, table.columns, restval="", lineterminator="\n", delimiter="\t" if suffix == ".tsv" else ","
    )
    writer.writeheader()
    writer.writerows(table.rows)
    return text.getvalue().encode()


def _report(out: Path, samples: list[Sample], shares: str, seed: int, more: Sequence[str] = ()) -> Divided:
    counts = {str(split): sum(sample.split == split for sample in samples) for split in SPLITS}
    return Divided(out, counts, (split_words(samples, parse_shares(shares), seed), *more))
