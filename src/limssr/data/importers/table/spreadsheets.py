"""Spreadsheets (.xlsx): cells as text, read by openpyxl (the extra limssr[excel])."""

import io
import zipfile
from datetime import date, datetime, time
from typing import Any

from limssr.core.errors import MissingExtraError, unknown_name
from limssr.core.reading.regular import Outside, read_bytes

MAX_FILE_BYTES = 2**26
MAX_UNPACKED_BYTES = 2**27
OTHER_SHEETS = (".xls", ".xlsb", ".ods", ".numbers")


def read_sheet(outside: Outside, sheet: str = "") -> list[list[str]]:
    """The rows of one sheet as texts, as they would stand in a text table with decimal points.

    Args:
        outside: The file.
        sheet: Name of the sheet; "" where the file has only one that holds something.

    Raises:
        MissingExtraError: openpyxl is not installed.
        InputError: No such file or sheet, no spreadsheet, several sheets, or a file that unpacks to too much.
    """
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError(
            f"{outside.path}: a spreadsheet is read through openpyxl, which is not installed: pip install "
            "'limssr[excel]', or save the sheet as .csv."
        ) from None
    content = read_bytes(outside, limit=MAX_FILE_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise outside.refused(
                f"a file that unpacks to {unpacked:,} bytes, where at most {MAX_UNPACKED_BYTES:,} are read"
            )
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        filled = {name: rows for name in book.sheetnames if (rows := _rows(book[name]))}
    except MemoryError:
        raise
    except Exception as error:  # zip, XML and openpyxl have errors of many kinds
        raise outside.unreadable(error) from None
    if sheet:
        if sheet not in book.sheetnames:
            raise unknown_name("sheet", sheet, book.sheetnames)
        return filled.get(sheet, [])
    if len(filled) > 1:
        raise outside.refused(
            f"{len(filled)} sheets that hold something ({', '.join(filled)}), where one is read: name one as "
            f"'{outside.path.name}::SHEET', or keep one"
        )
    return next(iter(filled.values()), [])


def _rows(sheet: Any) -> list[list[str]]:
    rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    while rows and not any(rows[-1]):
        rows.pop()
    width = max((max((n + 1 for n, cell in enumerate(row) if cell), default=0) for row in rows), default=0)
    return [row[:width] + [""] * (width - len(row)) for row in rows]


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell).strip()
