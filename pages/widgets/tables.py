"""The table that all pages use: no index, the columns of its configuration, and as high as its rows.

The cells of a table are drawn on a canvas, which cuts long text without an ellipsis and formats numbers by the locale
of the browser. So a column has a function for the text of its cells. Sorting and the opened cell use the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import pandas as pd
import streamlit as st

from pages.support.formats import exact
from pages.support.i18n import _

_ROW_HEIGHT_PX = 34
_CELL_PADDING_PX, _FONT_SIZE_PX = 17, 12.25
_WIDTHS = {
    **dict.fromkeys("iIjl.,:;'|! ", 0.26),
    **dict.fromkeys("frt-()[]/", 0.34),
    **dict.fromkeys("mMwW%@…", 0.83),
}


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table: its configuration, and the text of a cell, or the texts of all cells.

    A cell of a column of numbers without a value has only the placeholder of the table. If its text is another one,
    such as *unpriced*, the column contains the texts, with `text_config`.
    """

    config: Any
    text: Callable[[Any], str] | Sequence[str] | None = None
    text_config: Any = None


def text_column(
    label: str, width: int | None = None, help_text: str | None = None, *, pinned: bool = False
) -> TableColumn:
    """A column of texts. With a width, longer texts end with an ellipsis."""
    config = st.column_config.TextColumn(label, width=width, help=help_text, pinned=pinned or None)
    return TableColumn(config, None if width is None else lambda value: shorten(value, width))


def number_column(
    label: str,
    text: Callable[[Any], str] | Sequence[str] = exact,
    width: int | None = None,
    help_text: str | None = None,
) -> TableColumn:
    """A column of right-aligned numbers, whose texts come from a function of `pages.support.formats`."""
    return TableColumn(
        st.column_config.NumberColumn(label, width=width, help=help_text),
        text,
        st.column_config.TextColumn(label, width=width, help=help_text, alignment="right"),
    )


def percent_bar_column(label: str, width: int | None = None, largest: float = 100.0) -> TableColumn:
    """A column of bars with percentages. The values are those of `percent_number`."""
    config = st.column_config.ProgressColumn(
        label, format="%g%%", min_value=0, max_value=largest, color="blue", width=width
    )
    return TableColumn(config)


def count_bar_column(label: str, largest: int, width: int | None = None) -> TableColumn:
    """A column of bars with small counts."""
    config = st.column_config.ProgressColumn(
        label, format="%d", min_value=0, max_value=max(largest, 1), color="blue", width=width
    )
    return TableColumn(config)


def trend_column(label: str, width: int | None = None) -> TableColumn:
    """A column of small charts, each of a list of numbers."""
    return TableColumn(st.column_config.AreaChartColumn(label, y_min=0, width=width))


def time_column(label: str, width: int | None = None) -> TableColumn:
    """A column of times with seconds."""
    return TableColumn(st.column_config.DatetimeColumn(label, format=_("D MMM YYYY, HH:mm:ss"), width=width))


def short_time_column(label: str, width: int | None = None) -> TableColumn:
    """A column of times without the year, for a column that a phone shows next to others."""
    return TableColumn(st.column_config.DatetimeColumn(label, format=_("D MMM, HH:mm:ss"), width=width))


def right_aligned(label: str, help_text: str | None = None, width: int | None = None) -> TableColumn:
    """A column of texts with units, which are not sorted as numbers."""
    return TableColumn(st.column_config.TextColumn(label, help=help_text, alignment="right", width=width))


def table(
    data: pd.DataFrame,
    columns: Mapping[str, Any],
    *,
    alt: str,
    placeholder: str = "",
    max_rows: int | None = None,
) -> None:
    """Draw a read-only table. With `max_rows`, a longer table scrolls. `alt` describes it for screen readers.

    `columns` are those of this module; a column of `st.column_config` keeps the text of Streamlit.
    """
    styler, config = styled(data, columns, placeholder)
    st.dataframe(
        styler,
        column_config=config,
        hide_index=True,
        row_height=_ROW_HEIGHT_PX,
        height=table_height(data, max_rows),
        placeholder=placeholder,
        alt=alt,
    )


def selectable_table(
    data: pd.DataFrame,
    columns: Mapping[str, Any],
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
    styler, config = styled(data, columns, placeholder)
    event: Any = st.dataframe(
        styler,
        column_config=config,
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


def styled(data: pd.DataFrame, columns: Mapping[str, Any], placeholder: str) -> tuple[Any, dict[str, Any]]:
    """The columns of the table with the texts of their cells, as a pandas Styler, and their configurations."""
    visible = data[list(columns)].reset_index(drop=True)
    config: dict[str, Any] = {}
    functions: dict[Any, Any] = {}
    style_rows: list[tuple[int, str, str]] = []
    for name, given in columns.items():
        column = given if isinstance(given, TableColumn) else TableColumn(given)
        config[name] = column.config
        if column.text is None:
            continue
        texts = list(map(column.text, visible[name])) if callable(column.text) else list(column.text)
        missing = visible[name].isna()
        if column.text_config and any(text != placeholder for text in compress(texts, missing)):
            visible[name], config[name] = texts, column.text_config
        elif callable(column.text):
            functions[name] = column.text
        else:
            style_rows += [(row, name, text) for row, text in enumerate(texts)]
    style = visible.style.format(na_rep=placeholder)
    if functions:
        style = style.format(functions, subset=list(functions))
    for row, name, text in style_rows:
        style = style.format(partial(_given, text), subset=([row], [name]))
    return style, config


def _given(text: str, _value: object) -> str:
    return text


def shorten(value: Any, width: int) -> str:
    """A text in one line that fits into a column of this width in pixels, with an ellipsis if it is longer."""
    if value is None or value != value:  # NaN
        return ""
    text = " ".join(str(value).split())
    room = (width - _CELL_PADDING_PX) / _FONT_SIZE_PX
    if sum(map(_em, text)) <= room:
        return text
    room -= _em("…")
    for length, character in enumerate(text):
        room -= _em(character)
        if room < 0:
            return f"{text[:length].rstrip()}…"
    return text


def _em(character: str) -> float:
    """The width of a character of Source Sans, the font of the tables, relative to its size."""
    if character in _WIDTHS:
        return _WIDTHS[character]
    if ord(character) >= 0x1100 and not 0x2000 <= ord(character) < 0x2200:  # Hangul, Han, and other wide scripts
        return 1.0
    return 0.62 if character.isupper() else 0.52
