"""The Explorer page: a pivot of the usage, and the calls of a selected value."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.sections.call_details import call_dialog, open_call
from pages.sections.explorer import (
    calls_table,
    capitalize_first,
    chart,
    controls,
    download_table,
    measure_label,
    pivot,
    pivot_table,
    selected_dimensions,
    total_note,
)
from pages.sections.pivot_selection import apply_table_selection, select, selected_value
from pages.support import query_params
from pages.support.formats import escape_markdown
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from pages.widgets.deployment_marks import deployment_marks
from pages.widgets.downloads import download_buttons
from pages.widgets.empty_state import no_calls, range_sample_notice
from pages.widgets.filter_pills import column_label
from pages.widgets.layout import card, current_range, page_header, page_question, reads_calls_note
from pages.widgets.live_refresh import auto_refresh, loading_skeleton
from pages.widgets.time_bars import value_label
from pages.widgets.time_range import TimeRange
from tracker.reports import Filters, Reader
from tracker.reports.engine import current_reader
from tracker.reports.engine.query_rollups import reads_calls
from tracker.reports.explorer.explorer_measures import LATENCY
from tracker.reports.explorer.explorer_query import COLUMNS, MAX_CALLS, explore, matching_calls, needs_row_scan
from tracker.reports.explorer.time_dimensions import CALENDAR_DIMENSIONS

_REFRESH_S = 30


def main() -> None:
    page_header(_("Explorer"), current_reader.reader())
    controls(current_reader.reader())
    call_dialog(current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "explorer")


def draw_page() -> None:
    reader = current_reader.reader()
    range_ = current_range(reader)
    filters = range_.filters
    rows, columns, measure = selected_dimensions()
    if not filters.properties and reads_calls(filters, rows, columns):
        reads_calls_note(reader, filters)
    page_question(_("Click a bar or select a row to see its calls."))
    with loading_skeleton():
        data = pivot_data(reader, range_, rows, columns, latency=measure == LATENCY)
    if not len(data):
        no_calls(reader)
        return
    range_sample_notice(reader, range_)
    row_data, all_data = complete_totals(reader, range_, data, rows, columns, latency=measure == LATENCY)
    wide = pivot(data, measure, rows, columns, row_data)
    # A new key resets the selection of the chart.
    key = f"{rows}_{columns}_{measure}_{st.session_state.get('explore_generation', 0)}"
    apply_table_selection(key)
    left, right = st.columns([3, 2])
    with (
        left,
        card(
            capitalize_first(measure_label(measure)),
            _("by {rows}").format(rows=escape_markdown(column_label(rows))),
        ),
    ):
        marks = deployment_marks(reader, range_, rows) if rows in CALENDAR_DIMENSIONS else None
        selected = selected_value(columns)
        clicked = chart(data, wide, measure, rows, columns, f"explore_chart_{key}", marks, selected)
        total_note(data, wide, measure, rows, all_data)
    _store_click(clicked)
    with right, card(_("Table")):
        pivot_table(wide, measure, rows, columns, key)
        download_buttons(download_table(wide, measure, rows, columns), "explorer", "explore")
    if (row := query_params.get("row")) is not None:
        column = query_params.get("column")
        values = {rows: row, **({columns: column} if columns and column is not None else {})}
        calls_of_value(reader, filters, values)


def pivot_data(reader: Reader, range_: TimeRange, rows: str, columns: str | None, *, latency: bool) -> pd.DataFrame:
    """The sums by row and column. A query that can't use the rollups is cached for all users."""
    if not needs_row_scan(rows, columns, latency=latency) and not range_.filters.properties:
        return explore(reader, range_.filters, rows, columns, latency=latency)
    key = ("explore", generation(reader), range_.cache_key, rows, columns, latency)
    return cached(key, _REFRESH_S, lambda: explore(reader, range_.filters, rows, columns, latency=latency))


def complete_totals(
    reader: Reader, range_: TimeRange, data: pd.DataFrame, rows: str, columns: str | None, *, latency: bool
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """The sums by row alone, and sums in which each call counts once; None: those of `data` are right.

    A call with several tags counts in several rows or columns, and a query can leave out values.
    """
    if not data.attrs["overlaps"] and not data.attrs["is_cut"]:
        return None, None
    row_data = pivot_data(reader, range_, rows, None, latency=latency) if columns else None
    return row_data, pivot_data(reader, range_, COLUMNS[0], None, latency=latency)


def _store_click(clicked: dict[str, str] | None) -> None:
    """Write a new click in the chart to the address bar. A click that the widget still returns is not new."""
    if clicked != st.session_state.get("click_chart"):
        st.session_state["click_chart"] = clicked
        if clicked:
            select(clicked["row"], clicked.get("column"))


def calls_of_value(reader: Reader, filters: Filters, values: dict[str, str]) -> None:
    """Draw the calls of the selected row and column. A selected call opens its details in a dialog."""
    calls = matching_calls(reader, filters, values)
    with card(_("Calls of the selection")):
        with st.container(horizontal=True, vertical_alignment="center"):
            for column, value in values.items():
                st.text(f"{column_label(column)}: {value_label(column, value)}")
            st.space("stretch")
            if st.button(_("Close"), icon=":material/close:", key="close_calls"):
                st.session_state["explore_generation"] = st.session_state.get("explore_generation", 0) + 1
                query_params.set_and_rerun(row=None, column=None, call=None)
        selected = calls_table(calls, filters.timezone, MAX_CALLS)
        download_buttons(calls, "calls", "calls")
    open_call(selected)


main()
