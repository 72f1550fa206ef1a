"""Reads an Excel workbook's first sheet as CSV lines, so that its rows get the same ids as in a CSV file."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from tracker.errors import SettingError

# The reader keeps a whole sheet in memory: this much XML takes about half a gigabyte.
MAX_UNPACKED_BYTES = 256 * 2**20
_WORKBOOK = "xl/workbook.xml"
_SHEETS = "xl/worksheets/"


class WorkbookLines:
    """The rows of the first sheet, one line each, delimited by commas; blank rows are blank lines."""

    def __init__(self, path: Path) -> None:
        """Raises `SettingError` for a file that is not a workbook or too large, or if python-calamine is missing."""
        self._lines: Iterator[str] = _lines(_rows(path))

    def close(self) -> None:
        self._lines = iter(())

    def readline(self, _limit: int = -1, /) -> str:
        """The next row; the limit doesn't apply, since the size of the workbook is limited."""
        return next(self._lines, "")


def _rows(path: Path) -> Iterator[Sequence[Any]]:
    _check_archive(path)
    try:
        from python_calamine import CalamineError, load_workbook
    except ImportError:
        raise SettingError(
            f"{path} is an Excel workbook, which needs python-calamine: pip install python-calamine. Or save it as CSV."
        ) from None
    try:
        workbook = load_workbook(str(path))
        sheet = workbook.get_sheet_by_index(0)
    except (CalamineError, OSError, ValueError, IndexError) as error:
        raise SettingError(f"{path} can't be read as an Excel workbook ({_reason(error)}): save it as CSV.") from None
    return iter(sheet.iter_rows())


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
    # zipfile raises NotImplementedError for an archive that needs a newer ZIP version than it reads.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SettingError(f"{path} is a damaged ZIP archive or Excel workbook ({_reason(error)}).") from None
    if _WORKBOOK not in sizes or not any(name.startswith(_SHEETS) for name in sizes):
        raise SettingError(f"{path} is a ZIP archive, not an Excel workbook (.xlsx): unpack it and import its files.")
    if sum(sizes.values()) > MAX_UNPACKED_BYTES:
        raise SettingError(
            f"{path} has {sum(sizes.values()) // 2**20} MiB unpacked; import reads workbooks up to"
            f" {MAX_UNPACKED_BYTES // 2**20} MiB. Save it as CSV, which has no limit."
        )


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__


def _lines(rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        buffer = io.StringIO()
        # The header is quoted, so that a delimiter in its text doesn't split it.
        writer = csv.writer(buffer, quoting=csv.QUOTE_MINIMAL if number else csv.QUOTE_ALL, lineterminator="\n")
        texts = [_text(value) for value in row]
        writer.writerow(texts if any(texts) else [])
        yield buffer.getvalue()


def _text(value: Any) -> str:
    """A cell as a CSV export writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime):
        # Excel stores times as binary fractions of a day: digits below a millisecond are rounding errors.
        rounded = value + timedelta(microseconds=500)
        return rounded.replace(microsecond=rounded.microsecond // 1000 * 1000).isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
