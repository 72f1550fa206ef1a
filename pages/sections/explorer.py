"""The Explorer's controls, chart, table, and the calls behind a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.call_details import card_of
from pages.sections.overview import arrived
from pages.support import query_params
from pages.support.formats import count, exact, plain, usd
from pages.support.i18n import _, plural
from pages.widgets.charts import bars
from pages.widgets.filter_pills import column_label
from tracker.reports import Reader, usage_totals
from tracker.reports.explorer_query import COLUMNS, MEASURES

_ROW = 34
_MOST_ROWS = 200
_MOST_COLUMNS = 8
_NONE = ""


def measure_label(measure: str) -> str:
    """A measure's name for people."""
    words = {
        "total_tokens": _("tokens"),
        "input_tokens": _("input tokens"),
        "output_tokens": _("output tokens"),
        "cache_read_input_tokens": _("cached tokens"),
        "reasoning_output_tokens": _("reasoning tokens"),
        "cost_usd": _("cost"),
        "calls": _("calls"),
        "failed_calls": _("failed calls"),
    }
    return words[measure]


def capital(text: str) -> str:
    """The text as it begins a title or a table's column."""
    return text[:1].upper() + text[1:]


def controls() -> None:
    """Rows, columns and the measure; what they say is in the link from here on."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="explorer_controls"):
        rows = _pick("rows", _("Rows"), list(COLUMNS), column_label, COLUMNS[0])
        others = [_NONE, *(column for column in COLUMNS if column != rows)]
        _pick("columns", _("Columns"), others, lambda name: column_label(name) if name else _("none"), _NONE)
        _pick("measure", _("Measure"), list(MEASURES), measure_label, MEASURES[0])


def _pick(name: str, label: str, options: list[str], words: Callable[[str], str], default: str) -> str:
    query_params.prepare(f"explore_{name}", name, lambda text: text if text in options else default)
    if st.session_state[f"explore_{name}"] not in options:
        st.session_state[f"explore_{name}"] = default
    chosen = st.selectbox(label, options, format_func=words, key=f"explore_{name}", persist_state="session", width=170)
    query_params.put(name, None if chosen in {None, default} else chosen)
    return chosen or default


def asked() -> tuple[str, str | None, str]:
    """Rows, columns and measure as the link says."""
    rows, columns, measure = query_params.text("rows"), query_params.text("columns"), query_params.text("measure")
    rows = rows if rows in COLUMNS else COLUMNS[0]
    columns = columns if columns in COLUMNS and columns != rows else None
    return rows, columns, measure if measure in MEASURES else MEASURES[0]


def pivot(found: pd.DataFrame, measure: str) -> pd.DataFrame:
    """What is on screen: a line a row, a column a column, the largest first, and the sum of each line."""
    wide = found.groupby(["row_name", "column_name"])[measure].sum(min_count=1).unstack()
    order = wide.sum().sort_values(ascending=False, kind="stable").index
    wide = wide[order].assign(total=found.groupby("row_name")[measure].sum(min_count=1))
    return wide.sort_values("total", ascending=False, kind="stable")


def chart(found: pd.DataFrame, measure: str, rows: str, columns: str | None, key: str) -> dict[str, str] | None:
    """Bars; the row and column of the one that was clicked."""
    if found[measure].isna().all():
        st.caption(_("No call in this range has a price."))
        return None
    clicked = bars(
        found,
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


def table(wide: pd.DataFrame, measure: str, rows: str, key: str) -> str | None:
    """The same as a table; the row that was selected."""
    shown = wide.head(_MOST_ROWS)
    names = [name for name in shown.columns if name not in {"total", ""}][:_MOST_COLUMNS]
    text = usd if measure == "cost_usd" else count
    data = pd.DataFrame({"row": shown.index, "total": shown["total"].to_numpy()})
    for number, name in enumerate(names):
        data[f"column {number}"] = [
            "" if value != value else text(value)
            for value in shown[name].astype(float)  # NaN: no such calls
        ]
    largest = float(data["total"].fillna(0).max())
    config: dict[str, Any] = {
        "row": st.column_config.TextColumn(capital(column_label(rows)), pinned=True, width=150),
        "total": st.column_config.ProgressColumn(
            capital(measure_label(measure)),
            format="dollar" if measure == "cost_usd" else "compact",
            min_value=0,
            max_value=largest or 1.0,
            color="blue",
            width=150,
        ),
        **{
            f"column {number}": st.column_config.TextColumn(_plain_label(name), alignment="right")
            for number, name in enumerate(names)
        },
    }
    if data["total"].isna().any():  # a bar without a price would be an empty cell
        data["total"] = [usd(value) for value in data["total"]]
        config["total"] = st.column_config.TextColumn(capital(measure_label(measure)), alignment="right", width=150)
    chosen = st.dataframe(
        data,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content" if len(data) <= 11 else 12 * _ROW,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        alt=_("{measure} by {rows}").format(measure=measure_label(measure), rows=column_label(rows)),
    )
    if len(wide) > _MOST_ROWS:
        st.caption(_("The largest {n} of {all}; the download has them all.").format(n=_MOST_ROWS, all=exact(len(wide))))
    picked = chosen["selection"]["rows"]
    return str(data["row"].iloc[picked[0]]) if picked and picked[0] < len(data) else None


def _plain_label(name: str) -> str:
    """A database's string as a column's label, which shows no Markdown."""
    return name[:60]


def calls_table(data: pd.DataFrame, timezone: str, most: int, key: str) -> str | None:
    """The calls behind a figure; the id of the selected one."""
    text = plural("{n} call", "{n} calls", len(data)).format(n=exact(len(data)))
    st.caption(_("The newest {n} calls").format(n=exact(most)) if len(data) >= most else text)
    shown = data.assign(
        at=pd.to_datetime(data["created_at"], utc=True).dt.tz_convert(timezone),
        cost=[usd(cost) for cost in data["cost_usd"]],
        result=[_("ok") if ok else _("failed") for ok in data["success"]],
        arrived=[arrived(delivery) for delivery in data["delivery"]],
    )
    config: dict[str, Any] = {
        "at": st.column_config.DatetimeColumn(_("When"), format=_("D MMM YYYY, HH:mm:ss"), width=150),
        "model": st.column_config.TextColumn(_("Model"), width=140),
        "operation": st.column_config.TextColumn(_("Operation"), width=140),
        "user_id": st.column_config.TextColumn(_("User"), width=120),
        "total_tokens": st.column_config.NumberColumn(_("Tokens"), format="localized"),
        "cost": st.column_config.TextColumn(_("Cost"), alignment="right"),
        "processing_time": st.column_config.NumberColumn(_("Took"), format="%d ms"),
        "result": st.column_config.TextColumn(_("Result")),
        "arrived": st.column_config.TextColumn(_("Arrived")),
    }
    chosen = st.dataframe(
        shown,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content" if len(data) <= 11 else 12 * _ROW,
        placeholder="",
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        alt=_("The calls behind the figure"),
    )
    picked = chosen["selection"]["rows"]
    return str(data["id"].iloc[picked[0]]) if picked and picked[0] < len(data) else None


def one_call(reader: Reader, record_id: str) -> None:
    """One call's whole record."""
    try:
        row = usage_totals.record(reader, record_id)
    except ValueError:
        row = None
    if row is None:
        st.caption(_("There is no record with that id any more."))
        return
    card_of(row)
    st.json(_json(row), expanded=True)


def _json(row: Mapping[str, object]) -> dict[str, object]:
    return {name: plain(value) for name, value in row.items() if value is not None}
