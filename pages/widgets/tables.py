"""The table that all pages use: no index, the columns of its configuration, and as high as its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

_ROW_HEIGHT_PX = 34


def table(
    data: pd.DataFrame,
    config: dict[str, Any],
    *,
    alt: str,
    order: Sequence[str] | None = None,
    placeholder: str = "",
    max_rows: int | None = None,
) -> None:
    """Draw a read-only table. With `max_rows`, a longer table scrolls. `alt` describes it for screen readers."""
    st.dataframe(
        data,
        column_config=config,
        column_order=list(config) if order is None else list(order),
        hide_index=True,
        row_height=_ROW_HEIGHT_PX,
        height=table_height(data, max_rows),
        placeholder=placeholder,
        alt=alt,
    )


def selectable_table(
    data: pd.DataFrame,
    config: dict[str, Any],
    *,
    alt: str,
    key: str,
    max_rows: int,
    placeholder: str = "",
    selected: int | None = None,
) -> int | None:
    """Draw a table in which the user can select a row. Returns the position of the selected row.

    `selected` is the row that is selected when a table with a new `key` is drawn.
    """
    event: Any = st.dataframe(
        data,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW_HEIGHT_PX,
        height=table_height(data, max_rows),
        placeholder=placeholder,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if selected is None else {"selection": {"rows": [selected]}},
        alt=alt,
    )
    rows: list[int] = event["selection"]["rows"]
    return rows[0] if rows and rows[0] < len(data) else None


def table_height(data: pd.DataFrame, max_rows: int | None) -> Any:
    """The height in pixels of `max_rows` rows and the header, or *content* for a shorter table."""
    return "content" if max_rows is None or len(data) <= max_rows else (max_rows + 1) * _ROW_HEIGHT_PX


def right_aligned(label: str, help_text: str | None = None, width: int | None = None) -> Any:
    """The configuration of a column of formatted numbers."""
    return st.column_config.TextColumn(label, help=help_text, alignment="right", width=width)
