"""Opens the Explorer with what the reader clicked on the Overview: a bar, a row, a cell of the heat map, a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.widgets.tables import selectable_table
from pages.widgets.time_range import user_timezone
from pages.widgets.time_span import format_instants
from tracker.reports.explorer.explorer_measures import MEASURES
from tracker.reports.explorer.explorer_query import COLUMNS, DIMENSIONS, UNKNOWN
from tracker.reports.explorer.time_dimensions import CALENDAR_DIMENSIONS, value_of

_OPENED = "explorer_opened"


def open_explorer(
    *,
    rows: str | None = None,
    columns: str | None = None,
    measure: str = MEASURES[0],
    changed: dict[str, str] | None = None,
    **selection: str | None,
) -> None:
    """Open the Explorer with the range and the filters of this page, and with a selection.

    Without `rows`, its dimensions stay. `changed` are other values of the range or the filters.
    """
    # A new number resets the selections of this page's tables, which would open the Explorer again.
    st.session_state[_OPENED] = _times_opened() + 1
    # The address omits defaults: the Explorer would remove them, which adds an entry to the browser's history.
    chosen: dict[str, str | None] = {**selection, "measure": None if measure == MEASURES[0] else measure}
    if rows is not None:
        chosen |= {"rows": None if rows == DIMENSIONS[0] else rows, "columns": columns}
    query_params.switch_page("explorer.py", {**chosen, **(changed or {})})


def open_bar(clicked: dict[str, Any], bucket: str, measure: str) -> None:
    """Open the Explorer with the calls of a bar of a time chart: its time bucket and, if it has one, its series."""
    column = clicked["column"] if clicked["column"] in COLUMNS else None
    series = clicked["series"] if column else None
    if bucket in CALENDAR_DIMENSIONS:
        start = clicked["start"].astimezone(ZoneInfo(user_timezone()))
        open_explorer(rows=bucket, columns=column, measure=measure, row=value_of(bucket, start), column=series)
    else:
        span = format_instants(clicked["start"], clicked["end"])
        open_explorer(changed={"range": span}, rows=column or COLUMNS[0], measure=measure, row=series)


def open_heat_cell(clicked: dict[str, Any]) -> None:
    """Open the Explorer with the calls of a weekday and an hour of the day."""
    clock = {"weekday": str(clicked["weekday"]), "hour_of_day": str(clicked["hour"])}
    open_explorer(changed=clock, measure="calls")


def explorer_table(
    data: pd.DataFrame, config: dict[str, Any], *, alt: str, key: str, dimension: str, names: Sequence[Any]
) -> None:
    """Draw a table whose rows open the Explorer with the calls of the selected value of a dimension."""
    selected = selectable_table(data, config, alt=alt, key=table_key(key), max_rows=len(data))
    if selected is not None:
        name = names[selected]
        open_explorer(rows=dimension, row=UNKNOWN if pd.isna(name) else str(name))


def table_key(key: str) -> str:
    """The key of a table whose rows open the Explorer."""
    return f"{key}_{_times_opened()}"


def _times_opened() -> int:
    return int(st.session_state.get(_OPENED, 0))
