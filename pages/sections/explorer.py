"""The sections of the Explorer: controls, chart, pivot table, and the calls of a selected value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.call_details import call_card
from pages.sections.overview import delivery_label
from pages.support import query_params
from pages.support.formats import count, exact, to_json_value, usd
from pages.support.i18n import _, plural
from pages.widgets.charts import bars
from pages.widgets.filter_pills import column_label
from pages.widgets.tables import selectable_table
from tracker.reports import Reader, usage_totals
from tracker.reports.explorer_query import COLUMNS, MEASURES

_MAX_VISIBLE_ROWS = 11
_MAX_ROWS = 200
_MAX_COLUMNS = 8
_NONE = ""


def measure_label(measure: str) -> str:
    """The label of a measure."""
    labels = {
        "total_tokens": _("tokens"),
        "input_tokens": _("input tokens"),
        "output_tokens": _("output tokens"),
        "cache_read_input_tokens": _("cached tokens"),
        "reasoning_output_tokens": _("reasoning tokens"),
        "cost_usd": _("cost"),
        "calls": _("calls"),
        "failed_calls": _("failed calls"),
    }
    return labels[measure]


def capitalize_first(text: str) -> str:
    """The text with an upper-case first letter."""
    return text[:1].upper() + text[1:]


def controls() -> None:
    """Draw the select boxes for rows, columns, and measure, and write their state to the address bar."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="explorer_controls"):
        rows = _select("rows", _("Rows"), list(COLUMNS), column_label, COLUMNS[0])
        others = [_NONE, *(column for column in COLUMNS if column != rows)]
        _select("columns", _("Columns"), others, lambda name: column_label(name) if name else _("none"), _NONE)
        _select("measure", _("Measure"), list(MEASURES), measure_label, MEASURES[0])


def _select(name: str, label: str, options: list[str], format_func: Callable[[str], str], default: str) -> str:
    query_params.init_widget(f"explore_{name}", name, lambda text: text if text in options else default)
    if st.session_state[f"explore_{name}"] not in options:
        st.session_state[f"explore_{name}"] = default
    selected = st.selectbox(
        label, options, format_func=format_func, key=f"explore_{name}", persist_state="session", width=170
    )
    query_params.set(name, None if selected in {None, default} else selected)
    return selected or default


def selected_dimensions() -> tuple[str, str | None, str]:
    """The selected rows, columns, and measure."""
    rows, columns, measure = query_params.get("rows"), query_params.get("columns"), query_params.get("measure")
    rows = rows if rows in COLUMNS else COLUMNS[0]
    columns = columns if columns in COLUMNS and columns != rows else None
    return rows, columns, measure if measure in MEASURES else MEASURES[0]


def pivot(data: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The measure by row and column with a total of each row, the largest first."""
    wide = data.groupby(["row_name", "column_name"])[measure].sum(min_count=1).unstack()
    order = wide.sum().sort_values(ascending=False, kind="stable").index
    wide = wide[order].assign(total=data.groupby("row_name")[measure].sum(min_count=1))
    return wide.sort_values("total", ascending=False, kind="stable")


def bar_chart(data: pd.DataFrame, measure: str, rows: str, columns: str | None, key: str) -> dict[str, str] | None:
    """Draw the bars. Returns the row and column of the clicked bar."""
    if data[measure].isna().all():
        st.caption(_("No call in this range has a price."))
        return None
    clicked = bars(
        data,
        measure,
        number="usd" if measure == "cost_usd" else "count",
        labels=(column_label(rows), column_label(columns) if columns else "", measure_label(measure)),
        colors=columns or rows,
        key=key,
        alt=_("{measure} by {rows}").format(measure=measure_label(measure), rows=column_label(rows)),
    )
    if clicked is None:
        return None
    return {"row": clicked[0], **({"column": clicked[1]} if columns else {})}


def pivot_table(wide: pd.DataFrame, measure: str, rows: str, key: str) -> str | None:
    """Draw the pivot table. Returns the selected row."""
    visible = wide.head(_MAX_ROWS)
    names = [name for name in visible.columns if name not in {"total", ""}][:_MAX_COLUMNS]
    format_value = usd if measure == "cost_usd" else count
    data = pd.DataFrame({"row": visible.index, "total": visible["total"].to_numpy()})
    for number, name in enumerate(names):
        data[f"column {number}"] = [
            "" if value != value else format_value(value)
            for value in visible[name].astype(float)  # NaN: no such calls
        ]
    largest = float(data["total"].fillna(0).max())
    config: dict[str, Any] = {
        "row": st.column_config.TextColumn(capitalize_first(column_label(rows)), pinned=True, width=150),
        "total": st.column_config.ProgressColumn(
            capitalize_first(measure_label(measure)),
            format="dollar" if measure == "cost_usd" else "compact",
            min_value=0,
            max_value=largest or 1.0,
            color="blue",
            width=150,
        ),
        **{
            f"column {number}": st.column_config.TextColumn(_short_label(name), alignment="right")
            for number, name in enumerate(names)
        },
    }
    if data["total"].isna().any():  # a progress column shows an unpriced cost as an empty cell
        data["total"] = [usd(value) for value in data["total"]]
        config["total"] = st.column_config.TextColumn(
            capitalize_first(measure_label(measure)), alignment="right", width=150
        )
    title = _("{measure} by {rows}").format(measure=measure_label(measure), rows=column_label(rows))
    selected = selectable_table(data, config, alt=title, key=key, max_rows=_MAX_VISIBLE_ROWS)
    if len(wide) > _MAX_ROWS:
        st.caption(_("The largest {n} of {all}. The download contains all.").format(n=_MAX_ROWS, all=exact(len(wide))))
    return str(data["row"].iloc[selected]) if selected is not None else None


def _short_label(name: str) -> str:
    """A value from the database as a short column label."""
    return name[:60]


def calls_table(data: pd.DataFrame, timezone: str, max_calls: int, key: str) -> str | None:
    """Draw the calls of a selected value. Returns the id of the selected call."""
    text = plural("{n} call", "{n} calls", len(data)).format(n=exact(len(data)))
    st.caption(_("The newest {n} calls").format(n=exact(max_calls)) if len(data) >= max_calls else text)
    table = data.assign(
        at=pd.to_datetime(data["created_at"], utc=True).dt.tz_convert(timezone),
        cost=[usd(cost) for cost in data["cost_usd"]],
        result=[_("ok") if ok else _("failed") for ok in data["success"]],
        arrived=[delivery_label(delivery) for delivery in data["delivery"]],
    )
    config: dict[str, Any] = {
        "at": st.column_config.DatetimeColumn(_("When"), format=_("D MMM YYYY, HH:mm:ss"), width=150),
        "model": st.column_config.TextColumn(_("Model"), width=140),
        "operation": st.column_config.TextColumn(_("Operation"), width=140),
        "user_id": st.column_config.TextColumn(_("User"), width=120),
        "total_tokens": st.column_config.NumberColumn(_("Tokens"), format="localized"),
        "cost": st.column_config.TextColumn(_("Cost"), alignment="right"),
        "processing_time": st.column_config.NumberColumn(_("Duration"), format="%d ms"),
        "result": st.column_config.TextColumn(_("Result")),
        "arrived": st.column_config.TextColumn(_("Delivery")),
    }
    alt = _("The calls of the selected value")
    selected = selectable_table(table, config, alt=alt, key=key, max_rows=_MAX_VISIBLE_ROWS)
    return str(data["id"].iloc[selected]) if selected is not None else None


def call_record(reader: Reader, record_id: str) -> None:
    """Draw all columns of one call."""
    try:
        row = usage_totals.record(reader, record_id)
    except ValueError:
        row = None
    if row is None:
        st.caption(_("This record no longer exists."))
        return
    call_card(row)
    st.json(_to_json(row), expanded=True)


def _to_json(row: Mapping[str, object]) -> dict[str, object]:
    return {name: to_json_value(value) for name, value in row.items() if value is not None}
