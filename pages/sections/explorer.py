"""The sections of the Explorer: controls, chart, pivot table, and the calls of a selected value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.call_details import call_columns, call_rows, calls_key
from pages.sections.pivot_selection import next_table
from pages.support import query_params
from pages.support.formats import count, exact, milliseconds, percentage, usd
from pages.support.i18n import _, plural
from pages.widgets.charts import bars
from pages.widgets.deployment_marks import Marks
from pages.widgets.empty_state import empty_section
from pages.widgets.filter_pills import column_label, known_properties
from pages.widgets.tables import selectable_table
from pages.widgets.time_bars import MAX_BUCKETS, time_bars, value_label
from tracker.property_names import dimension_of, key_of
from tracker.reports import Reader
from tracker.reports.explorer.explorer_measures import LATENCY, MEASURES, SUMS, measure_by, measure_total
from tracker.reports.explorer.explorer_query import DIMENSIONS, MAX_GROUPS
from tracker.reports.explorer.time_dimensions import CALENDAR_DIMENSIONS, TIME_DIMENSIONS, sort_key

_MAX_VISIBLE_ROWS = 11
_MAX_ROWS = 200
_MAX_COLUMNS = 8
_MAX_CELLS = 2_000_000
_NONE = ""
# The column of the totals. A value from the database contains no NUL, so no value has this name.
_TOTAL = "\0total"


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
        "error_rate": _("error rate"),
        "cost_per_call_usd": _("cost per call"),
        "cached_share": _("cached share of input"),
        "latency_p95_ms": _("latency p95"),
    }
    return labels[measure]


def measure_unit(measure: str) -> str:
    """The unit of a measure on a chart: usd, percent, ms or count."""
    units = {"cost_usd": "usd", "cost_per_call_usd": "usd", "error_rate": "percent", "cached_share": "percent"}
    return units.get(measure, "ms" if measure == LATENCY else "count")


def format_measure(value: float | None, measure: str) -> str:
    """A value of a measure as short text; a dash or *unpriced* if it is unknown."""
    missing = value is None or value != value  # NaN
    if measure_unit(measure) == "usd":
        return usd(value)
    if measure_unit(measure) == "percent":
        return percentage(None if missing else value)
    return milliseconds(value) if measure == LATENCY else "–" if missing else count(float(value or 0))


def capitalize_first(text: str) -> str:
    """The text with an upper-case first letter."""
    return text[:1].upper() + text[1:]


def header_label(dimension: str) -> str:
    """The label of a dimension as a title; the key of a property is unchanged."""
    label = column_label(dimension)
    return label if key_of(dimension) is not None else capitalize_first(label)


def controls(reader: Reader) -> None:
    """Draw the select boxes for rows, columns, and measure, and write their state to the address bar."""
    known = known_properties(reader)
    chosen = [name for parameter in ("rows", "columns") if is_dimension(name := query_params.get(parameter) or "")]
    dimensions = list(dict.fromkeys([*DIMENSIONS, *(dimension_of(entry.key) for entry in known.properties), *chosen]))
    marked = {dimension_of(entry.key) for entry in known.properties if entry.has_high_cardinality}

    def label(name: str) -> str:
        if not name:
            return _("none")
        return f"{column_label(name)} · {_('many values')}" if name in marked else column_label(name)

    with st.container(horizontal=True, vertical_alignment="bottom", key="explorer_controls"):
        rows = _select("rows", _("Rows"), dimensions, label, DIMENSIONS[0])
        others = [_NONE, *(column for column in dimensions if column != rows)]
        _select("columns", _("Columns"), others, label, _NONE)
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


def is_dimension(name: str) -> bool:
    """Whether the Explorer can group by this name: a column, a part of the time, or a property (`metadata.KEY`)."""
    return name in DIMENSIONS or key_of(name) is not None


def selected_dimensions() -> tuple[str, str | None, str]:
    """The selected rows, columns, and measure."""
    rows, columns, measure = query_params.get("rows"), query_params.get("columns"), query_params.get("measure")
    rows = rows if rows and is_dimension(rows) else DIMENSIONS[0]
    columns = columns if columns and is_dimension(columns) and columns != rows else None
    return rows, columns, measure if measure in MEASURES else MEASURES[0]


def pivot(
    data: pd.DataFrame, measure: str, rows: str, columns: str | None, row_data: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The measure by row and column with the total of each row: the largest first, times in their order.

    `row_data` are the sums by row alone, if a call counts in several columns. Of very many columns, the table has the
    largest ones.
    """
    row_totals = measure_by(data if row_data is None else row_data, measure, ["row_name"])
    column_totals = measure_by(data, measure, ["column_name"])
    names = _ordered(column_totals, columns)[: max(1, _MAX_CELLS // max(1, len(row_totals)))]
    kept = data if len(names) == len(column_totals) else data[data["column_name"].isin(names)]
    wide = measure_by(kept, measure, ["row_name", "column_name"]).unstack()
    order = _ordered(row_totals, rows)
    return wide.reindex(index=order, columns=names).assign(**{_TOTAL: row_totals})


def download_table(wide: pd.DataFrame, measure: str, rows: str, columns: str | None) -> pd.DataFrame:
    """The pivot for a file: the rows' values, the total under the measure's name, and one column for each value."""
    table = pd.DataFrame({rows: wide.index, measure: wide[_TOTAL].to_numpy()})
    for name in (name for name in wide.columns if columns and name != _TOTAL):
        label = str(name)
        while label in table:  # a value may be equal to a name that this function chose
            label += "_"
        table[label] = wide[name].to_numpy()
    return table


def _ordered(totals: pd.Series[float], dimension: str | None) -> list[str]:
    if dimension in TIME_DIMENSIONS:
        return sorted(totals.index, key=sort_key(dimension), reverse=dimension in CALENDAR_DIMENSIONS)
    return list(totals.sort_values(ascending=False, kind="stable").index)


def chart(
    data: pd.DataFrame,
    wide: pd.DataFrame,
    measure: str,
    rows: str,
    columns: str | None,
    key: str,
    marks: Marks | None = None,
    selected: list[str | None] | None = None,
) -> dict[str, str] | None:
    """Draw the bars, or lines over time with `marks`. Returns the row and column of the clicked value.

    All values except the `selected` row and column are paler.
    """
    cells = measure_by(data, measure, ["row_name", "column_name"]).rename("value").reset_index()
    if cells["value"].isna().all():
        empty_section(_no_value_text(measure))
        return None
    unit = measure_unit(measure)
    if unit == "percent":
        cells["value"] *= 100
    options: dict[str, Any] = {
        "number": unit,
        "labels": (column_label(rows), column_label(columns) if columns else "", measure_label(measure)),
        "colors": columns or rows,
        "row_text": lambda name: value_label(rows, name),
        "column_text": lambda name: value_label(columns or "", name),
        "stacked": measure in SUMS,
        "key": key,
        "selected": selected,
        "alt": _("{measure} by {rows}").format(measure=measure_label(measure), rows=column_label(rows)),
    }
    names = [name for name in wide.columns if name != _TOTAL]
    cells = cells[cells["row_name"].isin(wide.index) & cells["column_name"].isin(names)]
    if rows in TIME_DIMENSIONS:
        del options["row_text"]
        clicked = time_bars(cells, "value", dimension=rows, columns=names, marks=marks, **options)
    else:
        clicked = bars(cells, "value", order=(list(wide.index), names), **options)
    if clicked is None:
        return None
    return {"row": clicked[0], **({"column": clicked[1]} if columns else {})}


def _no_value_text(measure: str) -> str:
    return _("No call in this range has a duration.") if measure == LATENCY else _("No call in this range has a price.")


def total_note(
    data: pd.DataFrame, wide: pd.DataFrame, measure: str, rows: str, all_data: pd.DataFrame | None = None
) -> None:
    """Draw the total of `all_data`, in which each call counts once, and what a reader must know about the values."""
    names = [name for name in wide.columns if name != _TOTAL]
    total = format_measure(measure_total(data if all_data is None else all_data, measure), measure)
    texts = [_("Total: {value}").format(value=total.replace("$", "\\$"))]
    if data.attrs.get("overlaps"):
        texts.append(_("A call with several values counts under each of them: the sums overlap, the total does not."))
    if data.attrs.get("is_cut"):
        text = _("There are more than {n} different values. Those with the fewest tokens are in the total only.")
        texts.append(text.format(n=exact(MAX_GROUPS)))
    if len(names) < data["column_name"].nunique():
        texts.append(_("The table has the largest {n} columns.").format(n=exact(len(names))))
    if measure == LATENCY:
        texts.append(_("Percentiles come from a histogram and can be up to 9% too high or too low."))
    if measure == "cost_per_call_usd":
        texts.append(_("Calls without a price are not included."))
    if rows in CALENDAR_DIMENSIONS and data["row_name"].nunique() > MAX_BUCKETS:
        texts.append(_("The chart shows the newest {n}.").format(n=exact(MAX_BUCKETS)))
    st.caption(" · ".join(texts))


def pivot_table(wide: pd.DataFrame, measure: str, rows: str, columns: str | None, key: str) -> None:
    """Draw the pivot table with the selected row."""
    visible = wide.head(_MAX_ROWS)
    names = [name for name in visible.columns if columns and name != _TOTAL][:_MAX_COLUMNS]
    labels = [value_label(rows, str(name)) for name in visible.index]
    data = pd.DataFrame({"row": labels, "total": visible[_TOTAL].astype(float).to_numpy()})
    for number, name in enumerate(names):
        data[f"column {number}"] = [
            "" if value != value else format_measure(value, measure)
            for value in visible[name].astype(float)  # NaN: no such calls
        ]
    title = _("{measure} by {rows}").format(measure=measure_label(measure), rows=column_label(rows))
    config: dict[str, Any] = {
        "row": st.column_config.TextColumn(header_label(rows), pinned=True, width=150),
        "total": _total_column(data["total"], measure),
        **{
            f"column {number}": st.column_config.TextColumn(
                _short_label(value_label(columns or "", name)), alignment="right"
            )
            for number, name in enumerate(names)
        },
    }
    if _has_no_bar(data["total"]):
        data["total"] = [format_measure(value, measure) for value in data["total"]]
    drawn = next_table(key, tuple(map(str, visible.index)))
    row = None if drawn.row is None else drawn.order.index(drawn.row)
    selectable_table(data, config, alt=title, key=drawn.key, max_rows=_MAX_VISIBLE_ROWS, selected=row)
    if len(wide) > _MAX_ROWS:
        text = _("The largest {n} of {all}. The download contains all.")
        if rows in CALENDAR_DIMENSIONS:
            text = _("The newest {n} of {all}. The download contains all.")
        st.caption(text.format(n=_MAX_ROWS, all=exact(len(wide))))


def _has_no_bar(totals: pd.Series[float]) -> bool:
    """A progress column shows an unknown value, such as an unpriced cost, as an empty cell."""
    return bool(totals.isna().any())


def _total_column(totals: pd.Series[float], measure: str) -> Any:
    label = capitalize_first(measure_label(measure))
    if _has_no_bar(totals):
        return st.column_config.TextColumn(label, alignment="right", width=150)
    formats = {"usd": "dollar", "percent": "percent", "ms": "%.0f ms"}
    return st.column_config.ProgressColumn(
        label,
        format=formats.get(measure_unit(measure), "compact"),
        min_value=0,
        max_value=float(totals.max()) or 1.0,
        color="blue",
        width=150,
    )


def _short_label(name: str) -> str:
    """A value from the database as a short column label."""
    return name if len(name) <= 60 else f"{name[:59]}…"


def calls_table(data: pd.DataFrame, timezone: str, max_calls: int) -> str | None:
    """Draw the calls of a selected value. Returns the id of the selected call."""
    text = plural("{n} call", "{n} calls", len(data)).format(n=exact(len(data)))
    st.caption(_("The newest {n} calls").format(n=exact(max_calls)) if len(data) >= max_calls else text)
    table = call_rows(data, timezone)
    config = call_columns()
    alt = _("The calls of the selected value")
    selected = selectable_table(table, config, alt=alt, key=calls_key(data["id"]), max_rows=_MAX_VISIBLE_ROWS)
    return str(data["id"].iloc[selected]) if selected is not None else None
