"""The selection of the Explorer: one value of the pivot, the same in the chart, in the table, and in the address."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.support import query_params

_DRAWN = "explore_drawn_table"


@dataclass(frozen=True, slots=True)
class DrawnTable:
    """The table of the last run: its rows in order, and the selected one. Each number is another widget."""

    pivot: str
    number: int
    order: tuple[str, ...]
    row: str | None

    @property
    def key(self) -> str:
        return f"explore_table_{self.pivot}_{self.number}"


def select(row: str | None, column: str | None = None) -> None:
    """Write the selected row and column to the address; None closes the list of calls."""
    query_params.set("row", row)
    query_params.set("column", column)
    query_params.set("call", None)


def selected_value(columns: str | None) -> list[str | None] | None:
    """The selected row and column for the chart; a column of None means all columns of the row."""
    row = query_params.get("row")
    return None if row is None else [row, query_params.get("column") if columns else None]


def apply_table_selection(pivot: str) -> None:
    """Write a new selection in the table to the address, before the chart and the table are drawn again."""
    drawn: DrawnTable | None = st.session_state.get(_DRAWN)
    state = st.session_state.get(drawn.key) if drawn and drawn.pivot == pivot else None
    if drawn is None or state is None:
        return
    rows: list[int] = state["selection"]["rows"]
    row = drawn.order[rows[0]] if rows and rows[0] < len(drawn.order) else None
    if row != drawn.row:
        st.session_state[_DRAWN] = DrawnTable(pivot, drawn.number, drawn.order, row)
        select(row)


def next_table(pivot: str, order: tuple[str, ...]) -> DrawnTable:
    """The table to draw with the selected row of the address.

    A selection is the number of a row. If its row has another number now, or the chart changed the selection, the
    table is a new widget.
    """
    selected = query_params.get("row")
    row = selected if selected in order else None
    drawn: DrawnTable | None = st.session_state.get(_DRAWN)
    number = drawn.number if drawn else 0
    if drawn and (drawn.pivot != pivot or drawn.row != row or (row is not None and drawn.order != order)):
        number += 1
    st.session_state[_DRAWN] = table = DrawnTable(pivot, number, order, row)
    return table
