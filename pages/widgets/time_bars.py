"""The chart of the Explorer over time: bars of sums, lines of values that can't be added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from pages.support import colors as _colors
from pages.support.formats import weekdays
from pages.support.i18n import _
from pages.support.property_labels import property_value_label
from pages.widgets.chart_component import mount
from pages.widgets.chart_figures import SOLID, bucket_titles, figure, identity, plain, series_color, time_axis
from pages.widgets.deployment_marks import Marks, mark_options, mark_shapes
from tracker.property_names import key_of

_HEIGHT = 320
MAX_BUCKETS = 750
_FREQUENCIES = {"hour": "h", "day": "D", "week": "7D", "month": "MS"}


def time_bars(
    frame: pd.DataFrame,
    value: str,
    *,
    dimension: str,
    number: str,
    labels: tuple[str, str, str],
    colors: str,
    columns: list[str],
    column_text: Callable[[str], str],
    stacked: bool,
    key: str,
    alt: str,
    selected: list[str | None] | None = None,
    marks: Marks | None = None,
) -> tuple[str, str] | None:
    """The values by `row_name` (of a time dimension) in order of time; returns the row and the column of a click.

    `labels` are those of rows, columns and the value. `columns` are the values of column_name, the largest first, and
    `column_text` is the text of one of them. `marks` are deployments, for a dimension of calendar periods.
    """
    rows, titles, axis, buckets = _positions(frame["row_name"], dimension)
    slots = _colors.assign(columns, colors) if labels[1] else {}
    positions = {row: position for position, row in enumerate(rows)}
    groups: dict[str, list[list[Any]]] = {}
    for row, column, amount in frame[["row_name", "column_name", value]].dropna().values:
        group = column if column in slots or not labels[1] else _colors.OTHER
        # Values of several columns can't be added to one of the others.
        if row in positions and (stacked or group != _colors.OTHER):
            title = titles[positions[row]]
            custom = [f"{title} · {column_text(column)}" if labels[1] else title, float(amount), row, column]
            groups.setdefault(group, []).append([positions[row], custom])
    order = [name for name in [*slots, _colors.OTHER] if name in groups] if labels[1] else list(groups)
    traces = [
        _trace(
            name,
            column_text(name),
            sorted(groups[name]),
            slots.get(name, _colors.OTHER_SLOT if labels[1] else 0),
            as_bars=stacked,
        )
        for name in order
    ]
    for trace in traces:
        trace["showlegend"] = bool(labels[1])
    layout = {"hovermode": "closest", "hoverdistance": 30, "dragmode": False, "xaxis": axis}
    mark_texts = None
    if buckets is not None:
        layout |= mark_shapes(marks, buckets, dimension)
        mark_texts = mark_options(marks, buckets, dimension)
    result = mount(
        figure(traces, layout, height=_HEIGHT),
        alt=alt,
        key=key,
        label=labels[2],
        unit=number,
        stacked=stacked,
        value_axis="yaxis",
        can_click=True,
        selected=selected,
        marks=mark_texts,
    )
    match result.click:
        case [str(row), str(column)]:
            return row, column
    return None


def _trace(name: str, text: str, points: list[list[Any]], slot: int, *, as_bars: bool) -> dict[str, Any]:
    label = _("others") if name == _colors.OTHER else text
    color = series_color(slot)
    form: dict[str, Any] = {"type": "bar", "marker": {"color": color, "opacity": SOLID}}
    if not as_bars:
        form = {
            "type": "scatter",
            "mode": "lines+markers",
            "line": {"color": color, "width": 2},
            "marker": {"color": color, "size": 7},
        }
    return {
        **form,
        "x": [position for position, _custom in points],
        "y": [custom[1] for _position, custom in points],
        "customdata": [custom for _position, custom in points],
        "name": plain(label),
        "meta": label,
        "uid": identity(name),
        "hoverinfo": "none",
    }


def _positions(
    names: pd.Series[str], dimension: str
) -> tuple[list[str], list[str], dict[str, Any], pd.DatetimeIndex | None]:
    """The rows in order of time, also those without calls, their titles, the axis, and their starts if they have."""
    if dimension not in _FREQUENCIES:
        rows = [str(number) for number in range(7 if dimension == "weekday" else 24)]
        titles = [value_label(dimension, row) for row in rows]
        axis = {"type": "linear", "range": [-0.5, len(rows) - 0.5], "tickmode": "array", "showgrid": False}
        return rows, titles, {**axis, "tickvals": list(range(len(rows))), "ticktext": titles}, None
    times = _times(names)
    buckets = pd.date_range(times.min(), times.max(), freq=_FREQUENCIES[dimension])[-MAX_BUCKETS:]
    form = {"hour": "%Y-%m-%dT%H", "month": "%Y-%m"}.get(dimension, "%Y-%m-%d")
    axis = {**time_axis(buckets, dimension), "fixedrange": True}
    return list(buckets.strftime(form)), bucket_titles(buckets, dimension), axis, buckets


def _times(names: pd.Series[str]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([f"{name}:00" if "T" in name else name for name in names])


def value_label(dimension: str, value: str) -> str:
    """The label of a value of a dimension: a time in the user's language, other text unchanged."""
    if key_of(dimension) is not None:
        return property_value_label(value)
    if dimension == "weekday" and value in map(str, range(7)):
        return weekdays()[int(value)]
    if dimension == "hour_of_day" and value in map(str, range(24)):
        return f"{int(value):02}:00"
    if dimension in _FREQUENCIES:
        try:
            return bucket_titles(_times(pd.Series([value])), dimension)[0]
        except ValueError:
            return value  # typed into the address bar
    return value
