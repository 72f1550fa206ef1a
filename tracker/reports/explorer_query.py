"""The explorer's queries: all measures by one or two columns, and the calls of one of its cells."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tracker.reports.engine.query_rollups import query_frame, query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

COLUMNS = ("model", "provider", "operation", "user", "environment", "platform", "deployment")
_ROLLUP_COLUMNS = frozenset({"model", "provider", "operation", "environment"})
MEASURES = (
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
    "calls",
    "failed_calls",
)
UNKNOWN = "unknown"
"""The label of NULL."""
MAX_CALLS = 500


def explore(reader: Reader, filters: Filters, rows: str, columns: str | None = None) -> pd.DataFrame:
    """All measures by `row_name` and `column_name`, the values of `rows` and `columns` (two of `COLUMNS`).

    `column_name` is empty without `columns`. Raises `DatabaseError`.
    """
    if not needs_row_scan(rows, columns):
        frame = query_rollups(reader, "usage", filters, by=(rows, columns) if columns else (rows,))
        frame = frame.assign(row_name=frame[rows], column_name=frame[columns or rows])
    else:
        frame = query_frame(reader, "explore", {**filters.parameters(), "rows_by": rows, "columns_by": columns or ""})
    return _with_labels(frame, columns)


def needs_row_scan(rows: str, columns: str | None) -> bool:
    """Whether the rollups lack one of the columns, so that the query reads all rows of the range."""
    return not _ROLLUP_COLUMNS.issuperset((rows, columns or rows))


def _with_labels(frame: pd.DataFrame, columns: str | None) -> pd.DataFrame:
    return frame.assign(
        row_name=frame["row_name"].fillna(UNKNOWN).astype(str),
        column_name=frame["column_name"].fillna(UNKNOWN).astype(str) if columns else "",
        cost_usd=frame["cost_usd"].astype(float),
    )


def matching_calls(reader: Reader, filters: Filters, chosen: Mapping[str, str], count: int = MAX_CALLS) -> pd.DataFrame:
    """The newest calls with the values in `chosen` (of one or two of `COLUMNS`; `unknown` is NULL)."""
    (rows, row_name), (columns, column_name) = [*chosen.items(), ("", UNKNOWN), ("", UNKNOWN)][:2]
    parameters = {
        "rows_by": rows,
        "row_name": None if row_name == UNKNOWN else row_name,
        "columns_by": columns,
        "column_name": None if column_name == UNKNOWN else column_name,
        "count": count,
    }
    return query_frame(reader, "matching_calls", {**filters.parameters(), **parameters})
