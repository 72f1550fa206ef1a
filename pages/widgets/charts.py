"""The charts of the pages as Plotly figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from pages.support import colors as _colors
from pages.support.formats import milliseconds, weekdays
from pages.support.i18n import _
from pages.widgets import chart_range
from pages.widgets.chart_component import mount
from pages.widgets.chart_figures import (
    PALE,
    SOLID,
    bucket_titles,
    figure,
    identity,
    plain,
    scale_colors,
    series_color,
    time_axis,
)
from pages.widgets.deployment_marks import Marks, mark_options, mark_shapes

_MOST_BARS = 14
_TIME_HEIGHT = 235
Edges = tuple[datetime, datetime]
OnClick = Callable[[dict[str, Any]], None]
"""Receives a clicked bar: `column` (of the names), `series` (the name; None for all of them), and `start` and `end` as
UTC times. Receives a clicked cell of the heat map: `weekday` (0 is Monday) and `hour`.
"""


def stacked(
    frame: pd.DataFrame,
    value: str,
    *,
    names: list[str],
    buckets: pd.DatetimeIndex,
    bucket: str,
    number: str,
    label: str,
    now: pd.Timestamp,
    alt: str,
    colors: str = "model",
    edges: Edges | None = None,
    on_click: OnClick | None = None,
    marks: Marks | None = None,
) -> None:
    """Bars over all `buckets`, stacked by `name`; needs the columns at (wall clock), name and `value`.

    `names` get their colors, largest first. `colors` is the column of the names. `edges` are the start and the end of
    the range: buckets that it cuts are pale. `on_click` is called once for each click. `marks` are deployments.
    """
    slots = _colors.assign(names, colors)
    sums = _sum_by_bucket(frame, value, slots, buckets)
    present = [name for name in [*slots, _colors.OTHER] if max(sums.get(name, [0.0])) > 0]
    notes = chart_range.bucket_notes(buckets, bucket, now, edges)
    opacity = [PALE if note else SOLID for note in notes]
    data = [
        {
            "type": "bar",
            "x": list(range(len(buckets))),
            "y": sums[name],
            "marker": {"color": series_color(slots.get(name, _colors.OTHER_SLOT)), "opacity": opacity},
            **_series(name),
        }
        for name in present
    ]
    layout = {
        "xaxis": time_axis(buckets, bucket),
        "hovermode": "x",
        "dragmode": "zoom",
        **mark_shapes(marks, buckets, bucket),
    }
    result = mount(
        figure(data, layout, height=_TIME_HEIGHT, revision=chart_range.revision(bucket)),
        alt=alt,
        titles=bucket_titles(buckets, bucket, notes),
        label=label,
        unit=number,
        stacked=True,
        value_axis="yaxis",
        can_click=on_click is not None,
        can_drag=True,
        can_reset=chart_range.is_zoomed(),
        marks=mark_options(marks, buckets, bucket),
    )
    chart_range.apply(result, buckets, bucket)
    clicked = _clicked(result, len(buckets))
    if on_click and clicked:
        series = {identity(name): name for name in slots}.get(clicked[0])
        start, end = chart_range.bucket_span(buckets, bucket, clicked[1], edges)
        on_click({"column": colors, "series": series, "start": start, "end": end})


def _sum_by_bucket(
    frame: pd.DataFrame, value: str, slots: dict[str, int], buckets: pd.DatetimeIndex
) -> dict[str, list[float]]:
    """The sums of each name in each bucket, for few rows faster than pandas' groupby; names without a slot together."""
    sums: dict[str, list[float]] = {}
    positions = buckets.get_indexer(pd.DatetimeIndex(frame["at"])).tolist()
    amounts = np.nan_to_num(frame[value].to_numpy(dtype=float)).tolist()
    for name, position, amount in zip(frame["name"], positions, amounts, strict=True):
        group = name if name in slots else _colors.OTHER
        if position >= 0:
            sums.setdefault(group, [0.0] * len(buckets))[position] += amount
    return sums


def _clicked(result: Any, count: int) -> tuple[str, int] | None:
    """The uid of the clicked trace and the number of the point, if the browser sent one that exists."""
    match result.click:
        case {"series": str(uid), "index": int(index)} if 0 <= index < count:
            return uid, index
    return None


def lines(
    frame: pd.DataFrame,
    value: str,
    *,
    buckets: pd.DatetimeIndex,
    bucket: str,
    number: str,
    label: str,
    alt: str,
    marks: Marks | None = None,
) -> None:
    """Lines over time, one for each `name`; needs the columns at (wall clock), name and `value`.

    `marks` are deployments.
    """
    slots = _colors.assign(sorted(frame["name"].unique()), "environment")
    wide = frame.groupby(["at", "name"])[value].max().unstack().reindex(buckets)
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": list(range(len(buckets))),
            "y": [None if pd.isna(y) else float(y) for y in wide[name]],
            "connectgaps": True,
            "line": {"color": series_color(slots.get(name, _colors.OTHER_SLOT)), "width": 2},
            "marker": {"color": series_color(slots.get(name, _colors.OTHER_SLOT)), "size": 5},
            **_series(name),
        }
        for name in sorted(wide.columns)
        if wide[name].notna().any()
    ]
    layout = {
        "xaxis": time_axis(buckets, bucket),
        "hovermode": "x",
        "dragmode": "zoom",
        **mark_shapes(marks, buckets, bucket),
    }
    result = mount(
        figure(data, layout, height=_TIME_HEIGHT, revision=chart_range.revision(bucket)),
        alt=alt,
        titles=bucket_titles(buckets, bucket),
        label=label,
        unit=number,
        value_axis="yaxis",
        least=1.0 if number == "ms" else 0.0,  # thousandths of a millisecond are noise, which would fill the chart
        can_drag=True,
        can_reset=chart_range.is_zoomed(),
        marks=mark_options(marks, buckets, bucket),
    )
    chart_range.apply(result, buckets, bucket)


def _series(name: str, text: str | None = None) -> dict[str, Any]:
    label = _("others") if name == _colors.OTHER else text or name
    return {"name": plain(label), "meta": label, "uid": identity(name), "showlegend": True, "hoverinfo": "none"}


def bars(
    frame: pd.DataFrame,
    value: str,
    *,
    number: str,
    labels: tuple[str, str, str],
    colors: str,
    order: tuple[list[str], list[str]],
    column_text: Callable[[str], str],
    row_text: Callable[[str], str] = str,
    stacked: bool,
    key: str,
    alt: str,
    selected: list[str | None] | None = None,
) -> tuple[str, str] | None:
    """Horizontal bars, one for each row_name, split by column_name; returns the row and the column of a click.

    `labels` are those of rows, columns and the value; `colors` names the column whose values have the colors. `order`
    contains the rows and the columns, the first ones first; `column_text` and `row_text` are their texts. Values that
    can't be added are not `stacked`.
    """
    rows = order[0][:_MOST_BARS]
    by = "column_name" if labels[1] else "row_name"
    names = order[1] if labels[1] else order[0]
    slots = _colors.assign(names, colors)
    positions = {name: str(position) for position, name in enumerate(rows)}
    ranks = {name: position for position, name in enumerate(names)}
    data = frame[frame["row_name"].isin(rows) & (frame[value] > 0)]
    data = data.assign(order=[ranks[name] for name in data[by]]).sort_values("order", kind="stable")
    groups: dict[str, list[tuple[str, str, float]]] = {}
    for row, column, by_name, amount in data[["row_name", "column_name", by, value]].values:
        if not stacked and by_name not in slots:
            continue  # values of several columns can't be added to one of the others
        group = by_name if by_name in slots else _colors.OTHER
        groups.setdefault(group, []).append((row, column, float(amount)))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "y": [positions[row] for row, _column, _amount in points],
            "x": [amount for _row, _column, amount in points],
            "customdata": [
                [f"{row_text(row)} · {column_text(column)}" if labels[1] else row_text(row), amount, row, column]
                for row, column, amount in points
            ],
            "marker": {"color": series_color(slots.get(name, _colors.OTHER_SLOT)), "line": {"width": 0}},
            **_series(name, column_text(name) if labels[1] else row_text(name)),
            "showlegend": bool(labels[1]),
        }
        for name, points in groups.items()
    ]
    layout = {
        "hovermode": "closest",
        "hoverdistance": 20,
        "dragmode": False,
        "bargap": 0.25,
        "barmode": "stack" if stacked else "group",
        "xaxis": {"side": "bottom"},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(positions.values()),
            "range": [len(rows) - 0.5, -0.5],
            "tickmode": "array",
            "tickvals": list(positions.values()),
            "ticktext": [plain(name if len(name) <= 22 else f"{name[:21]}…") for name in map(row_text, rows)],
            "showgrid": False,
        },
    }
    result = mount(
        figure(traces, layout, height=max(120, 30 * len(rows) + 60)),
        alt=alt,
        key=key,
        label=labels[2],
        unit=number,
        stacked=stacked,
        value_axis="xaxis",
        can_click=True,
        selected=selected,
    )
    match result.click:
        case [str(row), str(column)]:
            return row, column
    return None


def heat(frame: pd.DataFrame, value: str, *, label: str, alt: str, on_click: OnClick | None = None) -> None:
    """Hours of the day by weekdays; needs the columns weekday (0 is Monday), hour and `value`.

    `on_click` is called once for each click.
    """
    days = weekdays()
    wide = frame.groupby(["weekday", "hour"])[value].sum().unstack()
    wide = wide.reindex(index=range(7), columns=range(24)).fillna(0.0)
    cells = [[float(cell) for cell in row] for row in wide.to_numpy()]
    hours = [str(hour) for hour in range(24)]
    points = [(hour, day) for day in range(7) for hour in range(24)]
    data = [
        {
            "type": "heatmap",
            "x": hours,
            "y": [str(day) for day in range(7)],
            "z": cells,
            "zmin": 0,
            "zmax": highest_shade(wide.to_numpy()),
            "colorscale": scale_colors(),
            "showscale": False,
            "xgap": 2,
            "ygap": 2,
            "hoverinfo": "skip",
        },
        {
            # Invisible points with the hover text of each cell: Plotly delivers no click on a heat map itself.
            "type": "scatter",
            "mode": "markers",
            "x": [str(hour) for hour, _day in points],
            "y": [str(day) for _hour, day in points],
            "marker": {"size": 16, "opacity": 0, "symbol": "square", "color": "var(--st-text-color)"},
            "customdata": [[f"{days[day]}, {hour:02}:00", cells[day][hour]] for hour, day in points],
            "hoverinfo": "none",
            "name": plain(label),
            "showlegend": False,
        },
    ]
    layout = {
        "hovermode": "closest",
        "hoverdistance": 20,
        "dragmode": False,
        "xaxis": {"type": "category", "tickvals": ["0", "6", "12", "18", "23"], "showgrid": False},
        "yaxis": {
            "type": "category",
            "range": [6.5, -0.5],
            "tickvals": [str(day) for day in range(7)],
            "ticktext": [plain(day) for day in days],
            "showgrid": False,
        },
    }
    result = mount(figure(data, layout, height=232), alt=alt, label=label, can_click=on_click is not None)
    if on_click and (clicked := _clicked(result, len(points))):
        hour, day = points[clicked[1]]
        on_click({"weekday": day, "hour": hour})


def highest_shade(values: np.ndarray[Any, Any]) -> float:
    """The value of the darkest color: one outlier must not make all other cells pale."""
    filled = values[values > 0]
    if not len(filled):
        return 1.0
    lower, upper = np.percentile(filled, [25, 75])
    return float(min(filled.max(), max(upper + 1.5 * (upper - lower), upper)))


def duration_histogram(times_ms: list[float], *, alt: str) -> None:
    """How many records took how long, on a logarithmic axis of milliseconds."""
    times = np.array(times_ms)
    low, high = max(float(times.min()), 0.001), max(float(times.max()), 0.002)
    edges = np.geomspace(low, high * 1.001, 25)
    counts, _edges = np.histogram(np.clip(times, low, None), edges)
    logs = np.log10(edges)
    data = [
        {
            "type": "bar",
            "x": [float(x) for x in (logs[:-1] + logs[1:]) / 2],
            "width": [float(width) for width in np.diff(logs)],
            "y": [int(count) for count in counts],
            "marker": {"color": series_color(0), "line": {"width": 1, "color": "var(--st-background-color)"}},
            "customdata": [
                [f"{milliseconds(start)} – {milliseconds(end)}", int(count)]
                for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
            "hoverinfo": "none",
            "name": plain(_("Records")),
        }
    ]
    ticks = duration_ticks(low, high)
    layout = {
        "hovermode": "x",
        "dragmode": "zoom",
        "xaxis": {
            "type": "linear",
            "range": [float(logs[0]), float(logs[-1])],
            "tickmode": "array",
            "tickvals": [float(np.log10(tick)) for tick in ticks],
            "ticktext": [milliseconds(tick) for tick in ticks],
            "title": {"text": _("Duration")},
            "showgrid": False,
            "fixedrange": False,
        },
        "yaxis": {"title": {"text": _("Records")}},
    }
    mount(figure(data, layout, height=220), alt=alt, label=_("Records"), value_axis="yaxis")


def duration_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten within the range; only the powers where these are many."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 8:
            break
    return ticks or [low]
