"""Scoring divided among tasks that know nothing of one another: parts of a source, and the one file made of them.

A source is scored in blocks of `BLOCK` samples, and what is computed in a block depends on that block alone. A part is
some whole blocks in a row, so that its scores are the same bits in whatever part they stand, and the joined file is the
same bytes as one that was written in one go. A part says what it was made from; parts that do not belong together are
not joined, and one that is there already is not made again.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from limssr.core.errors import ArtifactError, InputError
from limssr.core.files import sha256_of, write_table
from limssr.core.reading.records import own_file
from limssr.core.reading.tables import read_parquet

BLOCK = 256
"""Samples that are scored together: enough for full batches of similar lengths, few enough to hold in memory."""
FORM = re.compile(r"(\d{1,6})/(\d{1,6})")
KEY = b"limssr.part"


@dataclass(frozen=True)
class Shard:
    """One of several parts of a source.

    Attributes:
        number: From 1.
        of: How many parts there are.
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> "Shard":
        """From "3/8".

        Raises:
            InputError: Another form, or a number that does not exist.
        """
        found = FORM.fullmatch(text)
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise InputError(f"Expected a part as I/N, such as 3/8, with I from 1 to N, found {text!r}.")
        return shard

    def blocks(self, num_samples: int, block: int) -> tuple[int, int]:
        """The first sample of the part and the one behind its last; the same where the part is empty."""
        num_blocks = -(-num_samples // block)
        first, behind = ((n * num_blocks // self.of) * block for n in (self.number - 1, self.number))
        return min(first, num_samples), min(behind, num_samples)

    def path(self, out: Path) -> Path:
        """Where the part of the file `out` stands: scores.csv.3-of-8.parquet."""
        return out.with_name(f"{out.name}.{self.number}-of-{self.of}.parquet")


def identity(model_folder: Path, source: Path, fingerprint: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a part was made from; two parts of equal identities belong together.

    Args:
        model_folder: Everything in it that is saved of a model.
        source: What is scored.
        fingerprint: Of its content.
        settings: All options that change scores.
    """
    total = hashlib.sha256()
    for path in sorted(one for one in model_folder.rglob("*") if one.is_file()):
        total.update(f"{path.relative_to(model_folder).as_posix()}\n{sha256_of(path)}\n".encode())
    return {"model": total.hexdigest(), "source": source.name, "content": fingerprint, "settings": dict(settings)}


def write_part(table: pa.Table, path: Path, made_from: Mapping[str, Any], rows: tuple[int, int]) -> None:
    """Write a part, all of it or nothing."""
    told = json.dumps({"made_from": dict(made_from), "rows": list(rows)}, sort_keys=True)
    write_table(path, table.replace_schema_metadata({KEY: told.encode()}))


def is_written(path: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether a part stands there already.

    Raises:
        InputError: One that was made from something else does.
    """
    if not path.exists():
        return False
    _, told = _read_part(path)
    if told["made_from"] != dict(made_from):
        raise InputError(
            f"Expected the part at {path} to be of this model, source and options, found one of "
            f"{_difference(told['made_from'], made_from)}: remove it, or write to another file."
        )
    return True


def joined(out: Path, number: int) -> pa.Table:
    """All parts of a file, in order.

    Args:
        out: The file that they are parts of.
        number: How many there are.

    Raises:
        InputError: A part is missing, or was made from something else than the first.
        ArtifactError: A part is damaged.
    """
    paths = [Shard(n, number).path(out) for n in range(1, number + 1)]
    missing = [path.name for path in paths if not path.exists()]
    if missing or not paths:
        raise InputError(
            f"Expected {number} parts beside {out}, found {number - len(missing)}: {', '.join(missing[:3])} "
            f"{'is' if len(missing) == 1 else 'and others are' if len(missing) > 3 else 'are'} missing; make it with "
            f"--shard I/{number}."
        )
    tables, behind, first = [], 0, None
    for path in paths:
        table, told = _read_part(path)
        first = first or told["made_from"]
        if told["made_from"] != first or told["rows"][0] != behind or told["rows"][1] - behind != table.num_rows:
            raise InputError(
                f"Expected parts of one file, found {path.name} of {_difference(told['made_from'], first)}: make all "
                "of them with the same command but for its --shard."
            )
        behind = told["rows"][1]
        tables.append(table.replace_schema_metadata(None))
    return pa.concat_tables(tables).combine_chunks()


def _read_part(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = read_parquet(own_file(path))
    try:
        told = json.loads((table.schema.metadata or {})[KEY])
        if not isinstance(told["made_from"], dict) or [type(row) for row in told["rows"]] != [int, int]:
            raise TypeError
    except (KeyError, ValueError, TypeError):
        raise ArtifactError(f"Expected a part that predict --shard wrote at {path}, found another file.") from None
    return table, told


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    words = {"model": "another model", "source": "another source", "content": "another content of the source"}
    return " and ".join(words.get(name, "other options") for name in names) or "another place in it"
