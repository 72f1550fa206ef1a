"""Explorer: show me exactly that."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from pages.sections.explorer import asked, calls_table, capital, chart, controls, measure_label, one_call, pivot, table
from pages.support import query_params
from pages.support.i18n import _
from pages.support.ttl_cache import shared as kept
from pages.widgets.downloads import downloads
from pages.widgets.empty_state import nothing
from pages.widgets.filter_pills import column_label
from pages.widgets.layout import card, head, question, shown
from pages.widgets.live_refresh import live, waiting
from pages.widgets.time_range import Range
from tracker.reports import Filters, Reader
from tracker.reports.engine import current_reader
from tracker.reports.explorer_query import MAX_CALLS, explore, matching_calls, needs_row_scan

_EVERY_S = 30
_SAME = datetime(2000, 1, 1, tzinfo=UTC)  # the range is in its name


def main() -> None:
    head(_("Explorer"), current_reader.reader())
    controls()
    live(draw, _EVERY_S, "explorer")


def draw() -> None:
    reader = current_reader.reader()
    shown_now = shown(reader)
    filters = shown_now.filters
    rows, columns, measure = asked()
    question(_("Show me exactly that: click a bar or select a row to see the calls behind it."))
    with waiting():
        found = explored(reader, shown_now, rows, columns)
    if not len(found):
        nothing(reader)
        return
    wide = pivot(found, measure)
    # A click stays a widget's selection until the question changes; then the widgets begin anew.
    key = f"{rows}_{columns}_{measure}_{st.session_state.get('explore_turn', 0)}"
    left, right = st.columns([3, 2])
    with (
        left,
        card(
            capital(measure_label(measure)),
            _("by {rows}").format(rows=column_label(rows)),
        ),
    ):
        clicked = chart(found, measure, rows, columns, f"explore_chart_{key}")
    with right, card(_("Table")):
        selected = table(wide, measure, rows, f"explore_table_{key}")
        downloads(wide.reset_index().rename(columns={"row_name": rows, "": measure}), "explorer", "explore")
    _note("click_chart", clicked)
    _note("click_table", {"row": selected} if selected is not None else None)
    if (row := query_params.text("row")) is not None:
        column = query_params.text("column")
        chosen = {rows: row, **({columns: column} if columns and column is not None else {})}
        behind(reader, filters, chosen)


def explored(reader: Reader, found: Range, rows: str, columns: str | None) -> pd.DataFrame:
    """The answer; what has to be read from the rows is asked for all readers together."""
    if not needs_row_scan(rows, columns):
        return explore(reader, found.filters, rows, columns)
    key = ("explore", id(reader), found.name, found.days, replace(found.filters, start=_SAME, end=_SAME), rows, columns)
    return kept(key, _EVERY_S, lambda: explore(reader, found.filters, rows, columns))


def _note(name: str, clicked: dict[str, str] | None) -> None:
    """Put a new click into the link; an old one that still stands says nothing new."""
    if clicked != st.session_state.get(name):
        st.session_state[name] = clicked
        if clicked:
            query_params.put("row", clicked["row"])
            query_params.put("column", clicked.get("column"))
            query_params.put("call", None)


def behind(reader: Reader, filters: Filters, chosen: dict[str, str]) -> None:
    """The calls behind a figure, and one of them whole."""
    found = matching_calls(reader, filters, chosen)
    left, right = st.columns([3, 2])
    with left, card(_("The calls behind it")):
        with st.container(horizontal=True, vertical_alignment="center"):
            for column, value in chosen.items():
                st.text(f"{column_label(column)}: {value}")
            st.space("stretch")
            if st.button(_("Close"), icon=":material/close:", key="close_calls"):
                st.session_state["explore_turn"] = st.session_state.get("explore_turn", 0) + 1
                query_params.change(row=None, column=None, call=None)
        picked = calls_table(found, filters.timezone, MAX_CALLS, f"calls_{'_'.join(chosen.values())}")
        downloads(found, "calls", "calls")
    if picked is not None:
        query_params.put("call", picked)
    with right, card(_("One call")):
        if (record_id := query_params.text("call")) is not None and _is_id(record_id):
            one_call(reader, record_id)
        else:
            st.caption(_("Select a call to see its whole record."))


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


main()
