"""Any measure by any one or two columns, and the calls behind a figure."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tracker.reports.engine.frames import frame
from tracker.reports.engine.query_rollups import figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

COLUMNS = ("model", "provider", "operation", "user", "environment", "platform", "deployment")
_SUMMED = frozenset({"model", "provider", "operation", "environment"})
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
"""How a call without a value is called; it stands for NULL."""
MOST_CALLS = 500


def explore(reader: Reader, filters: Filters, rows: str, columns: str | None = None) -> pd.DataFrame:
    """Every measure by `row_name` and `column_name` (of `COLUMNS`; empty without `columns`). Raises `DatabaseError`."""
    by = (rows, columns) if columns else (rows,)
    if _SUMMED.issuperset(by):
        answer = figures(reader, "usage", filters, by=by)
        answer = answer.assign(row_name=answer[rows], column_name=answer[columns or rows])
    else:
        answer = frame(reader, "explore", {**filters.parameters(), "rows_by": rows, "columns_by": columns or ""})
    return _named(answer, columns)


def reads_rows(rows: str, columns: str | None) -> bool:
    """Whether this question has to be asked of the rows themselves, which takes longer the more there are."""
    return not _SUMMED.issuperset((rows, columns or rows))


def _named(answer: pd.DataFrame, columns: str | None) -> pd.DataFrame:
    return answer.assign(
        row_name=answer["row_name"].fillna(UNKNOWN).astype(str),
        column_name=answer["column_name"].fillna(UNKNOWN).astype(str) if columns else "",
        cost_usd=answer["cost_usd"].astype(float),
    )


def calls_behind(reader: Reader, filters: Filters, chosen: Mapping[str, str], count: int = MOST_CALLS) -> pd.DataFrame:
    """The newest calls whose columns are `chosen` (one or two of `COLUMNS`; `unknown` is NULL)."""
    (rows, row), (columns, column) = [*chosen.items(), ("", UNKNOWN), ("", UNKNOWN)][:2]
    given = {
        "rows_by": rows,
        "row_name": None if row == UNKNOWN else row,
        "columns_by": columns,
        "column_name": None if column == UNKNOWN else column,
        "count": count,
    }
    return frame(reader, "calls_behind", {**filters.parameters(), **given})
