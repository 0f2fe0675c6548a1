"""The table that names one array file a stream and sample: CSV (comma, semicolon or tab), a spreadsheet or JSON lines.

Columns: `id`, `split` (train, val, test; optional), `group` (optional), `score:NAME`, `stream:NAME` (a path relative to
the manifest, or absolute), `text:NAME` (words, or a path to a file of words). An empty cell of a stream says that the
stream is absent, an empty score cell that the criterion was not judged; so do the words that tables write there (NA,
NaN, null, None). For samples that are to be scored only `id` and a stream or a text are needed.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from limssr.core.errors import InputError, nearest_name
from limssr.core.quoting import listed, quoted, shortened
from limssr.core.reading.documents import parse_json
from limssr.core.reading.regular import Outside, read_text
from limssr.data.groups import is_missing
from limssr.data.importers.table.spreadsheets import OTHER_SHEETS, read_sheet
from limssr.data.importers.table.text import DECIMAL_COMMA, read_score
from limssr.data.words.names import MAX_CELL

PLAIN_COLUMNS = ("id", "split", "group")
SCORE_PREFIX = "score:"
STREAM_PREFIX = "stream:"
TEXT_PREFIX = "text:"
PREFIXES = ("score", "stream", "text", "media", "sensor")
"""What stands before a colon, also in tables of recordings."""
TEXTS = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
MANIFESTS = (*TEXTS, ".xlsx", *JSON_LINES)
MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 2_000
# A cell may hold the words of a long performance; the module's own limit is a fifteenth of a text's.
csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_CELL))

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest whose columns are known to be right.

    Attributes:
        path: Of the file; stream paths are relative to its folder.
        streams: Names of the `stream:` columns, in their order.
        criteria: Names of the `score:` columns, in their order.
        rows: One mapping column -> cell a sample; JSON lines may leave keys out.
        lines: Line number of each row, for messages.
        has_split: Whether it has the column `split`.
        remarks: How it was read, where that is not what the name of the file says.
        texts: Names of the `text:` columns, in their order.
    """

    path: Path
    streams: tuple[str, ...]
    criteria: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]
    lines: tuple[int, ...]
    has_split: bool = True
    remarks: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"{self.path}, line {self.lines[row]}"


@dataclass(frozen=True)
class Rows:
    """A table of cells.

    Attributes:
        columns: Names, in their order.
        rows: One mapping column -> cell a row.
        lines: Line number of each row.
        remarks: How it was read.
    """

    columns: list[str]
    rows: list[dict[str, Cell]]
    lines: list[int]
    remarks: tuple[str, ...] = ()


def load_manifest(path: Path | str, *, use: Literal["import", "predict"]) -> Manifest:
    """Read a manifest and check its columns.

    Args:
        path: .csv, .tsv, .txt, .xlsx, .jsonl or .ndjson.
        use: "import" needs at least one score as well.

    Raises:
        InputError: Not such a file, unknown, repeated or missing columns, or no rows.
    """
    path = Path(path)
    found = read_table(path)
    columns = found.columns
    _check_columns(path, columns, use)
    if not found.rows:
        raise InputError(f"{path}: expected at least one sample, found only column names: add rows.")
    return Manifest(
        path=path,
        streams=_named(columns, STREAM_PREFIX),
        criteria=_named(columns, SCORE_PREFIX),
        rows=tuple(found.rows),
        lines=tuple(found.lines),
        has_split="split" in columns,
        remarks=found.remarks,
        texts=_named(columns, TEXT_PREFIX),
    )


def read_rows(path: Path) -> tuple[list[str], list[dict[str, Cell]], list[int]]:
    """Read a table of text cells.

    Args:
        path: .csv, .tsv, .txt, .xlsx, .jsonl or .ndjson.

    Returns:
        Names of the columns, one mapping column -> cell a row, and the line of each row.

    Raises:
        InputError: Not such a file, or not a rectangular table.
    """
    found = read_table(path)
    return found.columns, found.rows, found.lines


def read_table(path: Path) -> Rows:
    """As `read_rows`, with what was decided: what separates the cells, how decimals are written, columns renamed.

    Raises:
        InputError: Not such a file, or not a rectangular table.
    """
    found = _read_table(path)
    names = {column: _spelled(column) for column in found.columns}
    renamed = {column: name for column, name in names.items() if column != name and name not in found.columns}
    if not renamed or len(set(renamed.values())) < len(renamed):
        return found
    told = ", ".join(f"'{shortened(column)}' as '{shortened(name)}'" for column, name in renamed.items())
    return replace(
        found,
        columns=[renamed.get(column, column) for column in found.columns],
        rows=[{renamed.get(column, column): cell for column, cell in row.items()} for row in found.rows],
        remarks=(*found.remarks, f"columns read: {told}"),
    )


def _spelled(column: str) -> str:
    """A column's name as manifests write it, where it differs by capitals and blanks alone; names of data stay."""
    head, colon, name = column.partition(":")
    plain, word = column.strip().lower(), head.strip().lower()
    if colon and word in PREFIXES and name.strip():
        return f"{word}:{name.strip()}"
    return plain if plain in PLAIN_COLUMNS else column


def _read_table(path: Path) -> Rows:
    suffix = path.suffix.lower()
    if suffix not in MANIFESTS:
        more = "save the sheet as .xlsx or .csv" if suffix in OTHER_SHEETS else "save the table in one of these forms"
        raise InputError(f"Expected a manifest of kind {', '.join(MANIFESTS)}, found '{path.name}': {more}.")
    outside = Outside(path=path, what="a manifest in UTF-8", remedy="check the path, or save the table again")
    if suffix == ".xlsx":
        rows = list(enumerate(read_sheet(outside), start=1))
        return _table(path, rows, "")
    text = read_text(outside, limit=MAX_BYTES)
    if suffix in JSON_LINES:
        return Rows(*_json_lines(path, text))
    first = next((line for line in text.split("\n") if line.strip()), "")
    separator = "\t" if suffix == ".tsv" else max(",;\t", key=first.count)
    return _table(path, _cells(path, text, separator), separator)


def text_cell(row: dict[str, Cell], column: str) -> str:
    """A cell as text without surrounding blanks; "" where it is empty, not there, or a word that means missing."""
    value = row.get(column)
    if column == "id":  # a sample may be called NA
        return "" if value is None else str(value).strip()
    return "" if is_missing(value) else str(value).strip()


def score_cell(row: dict[str, Cell], criterion: str, *, where: str) -> float:
    """A score; NaN where it was not judged.

    Raises:
        InputError: Not a number.
    """
    text = text_cell(row, SCORE_PREFIX + criterion)
    if not text:
        return math.nan
    try:
        return read_score(text)
    except ValueError as error:
        hint = " (write decimals with a point)" if DECIMAL_COMMA.fullmatch(text) else ""
        raise InputError(
            f"{where}: expected a number or nothing in column '{SCORE_PREFIX}{shortened(criterion)}', "
            f"found {quoted(text)}: correct it{hint}."
        ) from error


def _cells(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        long = "field limit" in str(error)
        remedy = "write long texts into files and name those" if long else "correct it"
        raise InputError(f"{path}, line {reader.line_num}: expected a table, found {error}: {remedy}.") from error


def _table(path: Path, lines: Sequence[tuple[int, list[str]]], separator: str) -> Rows:
    filled = [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)]
    if not filled:
        return Rows([], [], [])
    columns = [cell.strip() for cell in filled[0][1]]
    for number, cells in filled[1:]:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}, line {number}: expected {len(columns)} cells as in the first line, found "
                f"{len(cells)}: make the table rectangular (quote cells that hold the separator)."
            )
    # Spreadsheets often end in columns that hold nothing.
    told = [at for at, name in enumerate(columns) if name or any(cells[at].strip() for _, cells in filled[1:])]
    columns = [columns[at] for at in told]
    rows: list[dict[str, Cell]] = [
        dict(zip(columns, (cells[at] for at in told), strict=True)) for _, cells in filled[1:]
    ]
    remarks = ["manifest: cells separated by semicolons"] if separator == ";" else []
    if separator != "," and _use_points(rows):
        remarks.append("manifest: scores with decimal commas read as decimal points")
    return Rows(columns, rows, [number for number, _ in filled[1:]], tuple(remarks))


def _use_points(rows: Sequence[dict[str, Cell]]) -> bool:
    """Write 31.5 for 31,5 in the columns of scores; whether there was anything to do."""
    found = False
    for row in rows:
        for column, cell in row.items():
            if column.startswith(SCORE_PREFIX) and DECIMAL_COMMA.fullmatch(str(cell).strip()):
                row[column] = str(cell).replace(",", ".")
                found = True
    return found


def _json_lines(path: Path, text: str) -> tuple[list[str], list[dict[str, Cell]], list[int]]:
    columns: dict[str, None] = {}
    rows: list[dict[str, Cell]] = []
    lines: list[int] = []
    outside = Outside(path=path, what="one JSON object", remedy="correct it")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, outside, pairs=_unique_keys)
        except InputError:
            # Once more, to name the line: that costs nothing where all is well.
            row = parse_json(line, replace(outside, where=f"{path}, line {number}"), pairs=_unique_keys)
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}: correct it.")
        for column, value in row.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float | None):
                raise InputError(
                    f"{path}, line {number}, key '{shortened(column)}': expected text, a number or null, "
                    f"found {quoted(value)}: correct it."
                )
        columns.update(dict.fromkeys(row))
        rows.append(row)
        lines.append(number)
    return list(columns), rows, lines


def _unique_keys(pairs: list[tuple[str, Cell]]) -> dict[str, Cell]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key that occurs twice")
    return row


def unknown_column(path: Path, column: str, known: Sequence[str]) -> InputError:
    """The error for a column that no manifest has.

    Args:
        path: Of the manifest.
        column: Its name.
        known: The names and forms of names that there are.
    """
    close = nearest_name(column, known, cutoff=0.6)
    hint = f"did you mean '{close}'? If not, remove the column" if close else "rename the column, or remove it"
    found = f"Unknown column '{shortened(column)}'" if column else "A column without a name has cells"
    return InputError(
        f"{path}: {found}. Expected one of: {listed(known)}; {hint}: remarks, dates and the like have no place in a "
        "manifest."
    )


def _check_columns(path: Path, columns: Sequence[str], use: str) -> None:
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"{path}: expected at most {MAX_COLUMNS:,} columns, found {len(columns):,}: keep fewer.")
    known = [*PLAIN_COLUMNS, f"{SCORE_PREFIX}NAME", f"{STREAM_PREFIX}NAME", f"{TEXT_PREFIX}NAME"]
    prefixes = (SCORE_PREFIX, STREAM_PREFIX, TEXT_PREFIX)
    counts = Counter(columns)
    for column in columns:
        prefix, colon, name = column.partition(":")
        if column not in PLAIN_COLUMNS and not (colon and f"{prefix}:" in prefixes and name):
            raise unknown_column(path, column, known)
        if counts[column] > 1:
            raise InputError(
                f"{path}: expected every column once, found '{shortened(column)}' repeated: remove or rename one."
            )
    both = set(_named(columns, STREAM_PREFIX)) & set(_named(columns, TEXT_PREFIX))
    if both:
        raise InputError(
            f"{path}: expected streams of different names, found '{STREAM_PREFIX}{min(both)}' and "
            f"'{TEXT_PREFIX}{min(both)}': rename one."
        )
    streams = _named(columns, STREAM_PREFIX) or _named(columns, TEXT_PREFIX)
    needed = {"id": "id" in columns, f"{STREAM_PREFIX}NAME' or '{TEXT_PREFIX}NAME": bool(streams)}
    if use == "import":
        needed[f"{SCORE_PREFIX}NAME"] = bool(_named(columns, SCORE_PREFIX))
    for column, there in needed.items():
        if not there:
            raise InputError(
                f"{path}: expected a column '{column}', found {listed(columns, empty='an empty file')}: add it."
            )


def _named(columns: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(column.removeprefix(prefix) for column in columns if column.startswith(prefix))
