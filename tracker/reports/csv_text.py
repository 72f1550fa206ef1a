"""CSV that a spreadsheet shows as text: no cell is read as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

# A spreadsheet reads a cell with one of these prefixes as a formula; East Asian versions accept full-width forms too.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


BOM = b"\xef\xbb\xbf"
"""The byte order mark, without which Excel reads UTF-8 as the system's code page."""


def escape_formula(value: object) -> object:
    """The value; text that looks like a formula gets a leading apostrophe. Source: owasp.org, "CSV Injection"."""
    is_text = isinstance(value, str | dict | list)
    return f"'{value}" if is_text and str(value).lstrip(" ").startswith(_FORMULA_STARTS) else value


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows as CSV in UTF-8. Every text is quoted: with minimal quoting, a carriage return ends the row."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerows([escape_formula(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")
