"""Charts as Vega-Lite, which draws in 2 ms of server time what Plotly needs 14 for; colours come from the theme."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import colors as _colors
from pages.support.i18n import _, language

# A scale looks its names up in a plain object, where "constructor" is found without being there.
_GUARD = "\u2060"
_MOST_BARS = 14
_STEP = {"minute": "1min", "hour": "1h", "day": "1D", "week": "7D", "month": "31D"}


def _time_label(bucket: str) -> str:
    labels = {
        "minute": _("%a %d %b %Y, %H:%M"),
        "hour": _("%a %d %b %Y, %H:00"),
        "day": _("%a %d %b %Y"),
        "week": _("week of %d %b %Y"),
        "month": _("%B %Y"),
    }
    return labels[bucket]


def _axis_format(bucket: str) -> str:
    formats = {
        "minute": "%H:%M",
        "hour": _("%a %H:%M"),
        "day": _("%d %b"),
        "week": _("%d %b"),
        "month": _("%b %Y"),
    }
    return formats[bucket]


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
    name_label: str = "",
    colors: str = "model",
) -> None:
    """Bars over all `buckets`, stacked by `name`; needs the columns at (wall clock), name and `value`.

    `names` get their colours, largest first; charts side by side that share it keep their height. `colors` is
    what the names are names of.
    """
    known = _colors.domain(names, colors)
    data = frame.assign(name=[_colors.fold(name, known) for name in frame["name"]])
    data = data.groupby(["at", "name"])[value].sum().reset_index()
    data = data[data[value] > 0]
    drawn = set(data["name"])
    present = [name for name in known if name in drawn]
    step = pd.Timedelta(_STEP[bucket])
    data = _with_labels(data, bucket).assign(
        until=(data["at"] + 0.86 * step).dt.tz_localize("UTC"),  # a gap between the bars
        order=data["name"].map(known.index),
        running=data["at"] + step > now,
        name=[_safe(name) for name in data["name"]],
    )
    data["when"] = [f"{when}{_(', so far')}" if on else when for when, on in data[["when", "running"]].values]
    spec: dict[str, Any] = {
        "mark": {"type": "bar", "orient": "vertical"},
        "encoding": {
            "x": _time_axis("at", bucket, buckets),
            "x2": {"field": "until"},
            "y": {
                "field": value,
                "type": "quantitative",
                "stack": "zero",
                "axis": _number_axis(number),
                "scale": _from_zero(data[value]),
            },
            "color": _color("name", known, present),
            "order": {"field": "order", "type": "quantitative"},
            "opacity": {"field": "running", "type": "nominal", "scale": _FADED, "legend": None},
            "tooltip": [
                {"field": "when", "title": _("When")},
                {"field": "name", "title": name_label or _("Model")},
                {"field": value, "type": "quantitative", "title": label, "format": _exact(number)},
            ],
        },
    }
    legend_rows = len({_colors.fold(name, known) for name in names})
    draw(data, spec, height=215 + 9 * (legend_rows + 1), alt=alt)


def lines(
    frame: pd.DataFrame,
    value: str,
    *,
    buckets: pd.DatetimeIndex,
    bucket: str,
    number: str,
    label: str,
    alt: str,
    name_label: str = "",
) -> None:
    """Lines over time, one for each `name`; needs the columns at (wall clock), name and `value`."""
    frame = frame.assign(name=[_safe(name) for name in frame["name"]])
    present = sorted(frame["name"].unique())
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
                # Thousandths of a millisecond are noise, which would fill the chart.
                "scale": _from_zero(frame[value], 1.0 if number == "ms" else 0.0),
            },
            "color": {
                "field": "name",
                "type": "nominal",
                "scale": {"domain": present},
                "legend": _LEGEND,
                "title": None,
            },
            "tooltip": [
                {"field": "when", "title": _("When")},
                {"field": "name", "title": name_label or _("Environment")},
                {"field": value, "type": "quantitative", "title": label, "format": _exact(number)},
            ],
        },
    }
    draw(_with_labels(frame, bucket), spec, alt=alt)


def bars(
    frame: pd.DataFrame,
    value: str,
    *,
    number: str,
    labels: tuple[str, str, str],
    colors: str,
    key: str,
    alt: str,
) -> tuple[str, str] | None:
    """Lying bars, one a row_name, told apart by column_name; the row and the column that were clicked.

    `labels` are those of rows, columns and the value; `colors` names the column whose values have the colours.
    """
    sums = frame.groupby("row_name")[value].sum().sort_values(ascending=False, kind="stable")
    rows = list(sums.index[:_MOST_BARS])
    by = "column_name" if labels[1] else "row_name"
    names = list(frame.groupby(by)[value].sum().sort_values(ascending=False, kind="stable").index)
    known = _colors.domain(names, colors)
    data = frame[frame["row_name"].isin(rows) & (frame[value] > 0)]
    data = data.assign(
        row=[_safe(name) for name in data["row_name"]],
        color=[_safe(_colors.fold(name, known)) for name in data[by]],
        order=[names.index(name) for name in data[by]],
    )[["row_name", "column_name", "row", "color", "order", value]]
    drawn = set(data["color"])
    present = [name for name in known if _safe(name) in drawn]
    color = _color("color", known, present)
    if not labels[1]:
        color["legend"] = None
    columns = [{"field": "column_name", "title": labels[1]}] if labels[1] else []
    spec: dict[str, Any] = {
        "params": [{"name": "click", "select": {"type": "point", "fields": ["row_name", "column_name"]}}],
        "mark": {"type": "bar", "cornerRadiusEnd": 2, "cursor": "pointer"},
        "encoding": {
            "y": {
                "field": "row",
                "type": "nominal",
                "scale": {"domain": [_safe(name) for name in rows], "paddingInner": 0.25},
                "axis": {**_PLAIN, "labelLimit": 150},
            },
            "x": {
                "field": value,
                "type": "quantitative",
                "stack": "zero",
                "axis": _number_axis(number),
                "scale": _from_zero(data[value]),
            },
            "color": color,
            "order": {"field": "order", "type": "quantitative"},
            "opacity": {"condition": {"param": "click", "value": 1}, "value": 0.35},
            "tooltip": [
                {"field": "row_name", "title": labels[0]},
                *columns,
                {"field": value, "type": "quantitative", "title": labels[2], "format": _exact(number)},
            ],
        },
    }
    event = draw(data, spec, height=max(120, 30 * len(rows) + 40 + 12 * len(present)), alt=alt, key=key)
    picked = event["selection"].get("click") or []
    return (str(picked[0]["row_name"]), str(picked[0]["column_name"])) if picked else None


def heat(frame: pd.DataFrame, value: str, *, label: str, alt: str) -> None:
    """Hours of the day by weekdays; needs the columns weekday (0 is Monday), hour and `value`."""
    days = weekdays()
    data = frame.assign(day=[days[number] for number in frame["weekday"]])
    spec: dict[str, Any] = {
        "mark": {"type": "rect", "cornerRadius": 2},
        "encoding": {
            "x": {
                "field": "hour",
                "type": "ordinal",
                "scale": {"domain": list(range(24)), "paddingInner": 0.12},
                "axis": {**_PLAIN, "labelAngle": 0, "values": [0, 6, 12, 18, 23]},
            },
            "y": {
                "field": "day",
                "type": "ordinal",
                "scale": {"domain": days, "paddingInner": 0.12},
                "axis": _PLAIN,
            },
            "color": {
                "field": value,
                "type": "quantitative",
                "scale": {"zero": True, **({} if frame[value].max() > 0 else {"domain": [0, 1]})},
                "legend": None,
            },
            "tooltip": [
                {"field": "day", "title": _("Weekday")},
                {"field": "hour", "title": _("Hour")},
                {"field": value, "type": "quantitative", "title": label, "format": ",.0f"},
            ],
        },
    }
    draw(data, spec, alt=alt, height=222)


def weekdays() -> list[str]:
    """Monday to Sunday, short."""
    return [_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun")]


_PLAIN: dict[str, Any] = {"title": None, "domain": False, "ticks": False, "labelPadding": 6}
# The bucket that is still running is paler: its bar is not lower, only not finished.
_FADED = {"type": "ordinal", "domain": [False, True], "range": [1, 0.45]}
_LEGEND: dict[str, Any] = {
    "orient": "bottom",
    "direction": "horizontal",
    "title": None,
    "symbolType": "circle",
    "symbolSize": 60,
    # On a phone, where long names stand beside the bars, there is no room for two columns.
    "columns": {"expr": "width < 220 ? 1 : 2"},
    "labelLimit": {"expr": "width < 220 ? max(width - 20, 70) : clamp(width / 2 - 40, 70, 220)"},
    "columnPadding": 16,
    "rowPadding": 4,
    "offset": 2,
}


def draw(data: pd.DataFrame, spec: dict[str, Any], *, alt: str, height: int = 250, key: str | None = None) -> Any:
    """Show a Vega-Lite chart in the theme's colours, as wide as its place; with a `key`, what was clicked."""
    # Streamlit's own grey of labels is too pale on white; the page's text colour is right in both themes.
    label = {"labelColor": "currentColor", "labelOpacity": 0.78}
    config = {"view": {"stroke": None}, "axis": {"labelFlush": False, **label}, "legend": label}
    whole = {**spec, "config": config, "padding": {"left": 2, "right": 8, "top": 2, "bottom": 2}}
    if key is None:
        return st.vega_lite_chart(data, whole, height=height, alt=alt)
    return st.vega_lite_chart(data, whole, height=height, alt=alt, key=key, on_select="rerun", selection_mode="click")


def _safe(name: str) -> str:
    """A name that no scale takes for something else."""
    return _GUARD + name


def _with_labels(frame: pd.DataFrame, bucket: str) -> pd.DataFrame:
    """The frame with a text for tooltips, and its wall clock as if that were UTC: so the browser's own zone, which
    may be another, moves nothing."""
    return frame.assign(when=frame["at"].dt.strftime(_time_label(bucket)), at=frame["at"].dt.tz_localize("UTC"))


def _time_axis(field: str, bucket: str, buckets: pd.DatetimeIndex) -> dict[str, Any]:
    last = buckets[-1] + pd.Timedelta(_STEP[bucket])
    span = [_vega_time(moment) for moment in (buckets[0], last)]
    months = _months_apart(last - buckets[0])
    axis = {
        "format": _axis_format("month" if months else bucket),
        "title": None,
        "grid": False,
        "labelOverlap": "greedy",
        "tickCount": {"interval": "month", "step": months} if months else 8,
    }
    return {"field": field, "type": "temporal", "scale": {"type": "utc", "domain": span}, "axis": axis}


def _months_apart(span: pd.Timedelta) -> int | None:
    """How many months lie between two ticks of a range of months; None where days or years mark it better."""
    months = span.days / 30.5
    return next((step for step in (1, 2, 3, 6) if 4 < months <= 7 * step), None)


def _vega_time(moment: pd.Timestamp) -> dict[str, Any]:
    clock = {"year": moment.year, "month": moment.month, "date": moment.day}
    return {**clock, "hours": moment.hour, "minutes": moment.minute, "utc": True}


def _number_axis(number: str) -> dict[str, Any]:
    # Vega's SI prefix for 10⁹ is G; tokens and dollars are counted in B.
    short = "replace(replace(format(datum.value, '~s'), 'G', 'B'), regexp('([kMBT])$'), ' $1')"
    if language() == "ko":
        short = (
            "datum.value >= 1e8 ? format(datum.value / 1e8, ',.4~r') + '억'"
            " : datum.value >= 1e4 ? format(datum.value / 1e4, ',.4~r') + '만' : format(datum.value, ',.4~r')"
        )
    unit = "US$" if language() == "ko" else "$"
    # Cents, and more decimals only between them: with two throughout, small ticks would all read $0.00.
    cents = "format(datum.value, abs(datum.value * 100 - round(datum.value * 100)) < 1e-6 ? '.2f' : '.3~r')"
    expression = {
        "usd": f"'{unit}' + (datum.value > 0 && datum.value < 10 ? {cents} : {short})",
        "ms": "format(datum.value, ',') + ' ms'",
    }.get(number, short)
    whole = {"tickMinStep": 1} if number == "count" else {}
    return {**_PLAIN, "labelExpr": expression, "tickCount": 4, "labelPadding": 8, **whole}


def _from_zero(values: pd.Series, least: float = 0.0) -> dict[str, Any]:
    """Begin at zero; where nothing above `least` is shown, it lies at the bottom."""
    return {"zero": True} if len(values) and values.max() > least else {"domain": [0, 1]}


def _exact(number: str) -> str:
    return {"usd": "$,.4f", "ms": ",.1f"}.get(number, ",.0f")


def _color(field: str, known: list[str], present: list[str]) -> dict[str, Any]:
    other = json.dumps(_safe(_colors.OTHER))
    legend = {
        **_LEGEND,
        "values": [_safe(name) for name in present],
        "labelExpr": f"datum.label === {other} ? {json.dumps(_('others'))} : datum.label",
    }
    domain = [_safe(name) for name in known]
    return {"field": field, "type": "nominal", "scale": {"domain": domain}, "legend": legend, "title": None}
