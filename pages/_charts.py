"""Charts as Vega-Lite, which draws in 2 ms of server time what Plotly needs 14 for; colours come from the theme."""

from __future__ import annotations

from typing import Any

import _colors
import pandas as pd
import streamlit as st

_TIME_LABEL = {
    "minute": "%a %d %b %Y, %H:%M",
    "hour": "%a %d %b %Y, %H:00",
    "day": "%a %d %b %Y",
    "week": "week of %d %b %Y",
    "month": "%B %Y",
}
_AXIS_FORMAT = {"minute": "%H:%M", "hour": "%a %H:%M", "day": "%d %b", "week": "%d %b", "month": "%b %Y"}
_STEP = {"minute": "1min", "hour": "1h", "day": "1D", "week": "7D", "month": "31D"}


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
) -> None:
    """Bars over all `buckets`, stacked by `name`; needs the columns at (wall clock), name and `value`.

    `names` stand in the legend, largest first: charts side by side that share it keep their height.
    """
    known = _colors.domain(names)
    data = frame.assign(name=[_colors.fold(name, known) for name in frame["name"]])
    data = data.groupby(["at", "name"])[value].sum().reset_index()
    folded = {_colors.fold(name, known) for name in names}
    present = [name for name in known if name in folded]
    step = pd.Timedelta(_STEP[bucket])
    data = _with_labels(data, bucket).assign(
        until=(data["at"] + 0.86 * step).dt.tz_localize("UTC"),  # a gap between the bars
        order=data["name"].map(known.index),
        running=data["at"] + step > now,
    )
    data.loc[data["running"], "when"] += ", so far"
    spec: dict[str, Any] = {
        "mark": {"type": "bar", "orient": "vertical"},
        "encoding": {
            "x": _time_axis("at", bucket, buckets),
            "x2": {"field": "until"},
            "y": {"field": value, "type": "quantitative", "stack": "zero", "axis": _number_axis(number)},
            "color": _color([_key(name) for name in known], [_key(name) for name in present]),
            "order": {"field": "order", "type": "quantitative"},
            "opacity": {"field": "running", "type": "nominal", "scale": _FADED, "legend": None},
            "tooltip": [
                {"field": "when", "title": "When"},
                {"field": "name", "title": "Model"},
                {"field": value, "type": "quantitative", "title": label, "format": _exact(number)},
            ],
        },
    }
    draw(data.assign(key=data["name"].map(_key)), spec, height=215 + 9 * (len(present) + 1), alt=alt)


def lines(
    frame: pd.DataFrame, value: str, *, buckets: pd.DatetimeIndex, bucket: str, number: str, label: str, alt: str
) -> None:
    """Lines over time, one for each `name`; needs the columns at (wall clock), name and `value`."""
    present = [_key(name) for name in sorted(frame["name"].unique())]
    spec: dict[str, Any] = {
        "mark": {
            "type": "line",
            "strokeWidth": 2,
            "interpolate": "monotone",
            "point": {"size": 24, "filled": True},
        },
        "encoding": {
            "x": _time_axis("at", bucket, buckets),
            "y": {
                "field": value,
                "type": "quantitative",
                "axis": _number_axis(number),
                "scale": _from_zero(frame[value]),
            },
            "color": {"field": "key", "type": "nominal", "sort": present, "legend": _LEGEND, "title": None},
            "tooltip": [
                {"field": "when", "title": "When"},
                {"field": "name", "title": "Environment"},
                {"field": value, "type": "quantitative", "title": label, "format": _exact(number)},
            ],
        },
    }
    draw(_with_labels(frame, bucket).assign(key=frame["name"].map(_key)), spec, alt=alt)


# The bucket that is still running is paler: its bar is not lower, only not finished.
_FADED = {"type": "ordinal", "domain": [False, True], "range": [1, 0.45]}
_LEGEND: dict[str, Any] = {
    "orient": "bottom",
    "direction": "horizontal",
    "title": None,
    "labelExpr": "slice(datum.label, 1)",
    "symbolType": "circle",
    "symbolSize": 60,
    "columns": 2,
    "labelLimit": 150,
    "columnPadding": 16,
    "rowPadding": 4,
    "offset": 2,
}


def _key(name: str) -> str:
    """A name as a key for Vega, which looks names up in plain objects: there `constructor` is already something."""
    return f":{name}"


def draw(data: pd.DataFrame, spec: dict[str, Any], *, alt: str, height: int = 250) -> None:
    """Show a Vega-Lite chart in the theme's colours, as wide as its place."""
    config = {"view": {"stroke": None}, "axis": {"labelFlush": False}}
    st.vega_lite_chart(
        data,
        {**spec, "config": config, "padding": {"left": 2, "right": 8, "top": 2, "bottom": 2}},
        height=height,
        alt=alt,
    )


def _with_labels(frame: pd.DataFrame, bucket: str) -> pd.DataFrame:
    """The frame with a text for tooltips, and its wall clock as if that were UTC: so the browser's own zone, which
    may be another, moves nothing."""
    return frame.assign(when=frame["at"].dt.strftime(_TIME_LABEL[bucket]), at=frame["at"].dt.tz_localize("UTC"))


def _time_axis(field: str, bucket: str, buckets: pd.DatetimeIndex) -> dict[str, Any]:
    last = buckets[-1] + pd.Timedelta(_STEP[bucket])
    span = [_vega_time(moment) for moment in (buckets[0], last)]
    axis = {
        "format": _AXIS_FORMAT[bucket],
        "title": None,
        "grid": False,
        "labelOverlap": "greedy",
        "tickCount": 8,
    }
    return {"field": field, "type": "temporal", "scale": {"type": "utc", "domain": span}, "axis": axis}


def _vega_time(moment: pd.Timestamp) -> dict[str, Any]:
    clock = {"year": moment.year, "month": moment.month, "date": moment.day}
    return {**clock, "hours": moment.hour, "minutes": moment.minute, "utc": True}


def _number_axis(number: str) -> dict[str, Any]:
    # Vega's SI prefix for 10⁹ is G; tokens and dollars are counted in B.
    expression = {
        "usd": "datum.value < 10 ? format(datum.value, '$.2f') : replace(format(datum.value, '$~s'), 'G', 'B')",
        "ms": "format(datum.value, ',') + ' ms'",
    }.get(number, "replace(format(datum.value, '~s'), 'G', 'B')")
    return {
        "title": None,
        "labelExpr": expression,
        "tickCount": 4,
        "domain": False,
        "ticks": False,
        "labelPadding": 8,
    }


def _from_zero(values: pd.Series) -> dict[str, Any]:
    """Begin at zero; where nothing but zeros are shown, they lie at the bottom."""
    return {"zero": True} if values.max() > 0 else {"domain": [0, 1]}


def _exact(number: str) -> str:
    return {"usd": "$,.4f", "ms": ",.1f"}.get(number, ",.0f")


def _color(known: list[str], present: list[str]) -> dict[str, Any]:
    legend = {**_LEGEND, "values": present}
    return {"field": "key", "type": "nominal", "scale": {"domain": known}, "legend": legend, "title": None}
