"""The parts that all figures share: the JSON of a figure, time axes, and the colors of series.

A color is `var(--name)`, which the component replaces by the theme's value: `var(--series-3)` is the fourth categorical
color, `var(--scale-3)` the fourth sequential one. The template of all figures is in chart.js.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io

from pages.support.i18n import _

STEPS = {"minute": "1min", "hour": "1h", "day": "1D", "week": "7D"}
"""The length of a bucket; months differ."""
PALE, SOLID = 0.45, 1.0
_LONGEST_NAME = 32
# Minutes, hours, days and months between two ticks; the first step that leaves few enough ticks is used.
_TICK_STEPS = {
    "minute": (1, 5, 10, 15, 30, 60),
    "hour": (1, 3, 6, 12, 24),
    "day": (1, 2, 7, 14, 28),
    "week": (1, 2, 4, 8, 13),
    "month": (1, 2, 3, 6, 12, 24, 60, 120),
}
_MOST_TICKS = 10


def figure(data: list[dict[str, Any]], layout: dict[str, Any], *, height: int, revision: str = "constant") -> str:
    """The JSON of a figure of one dict; zoom stays as long as `revision` does. The component adds the template."""
    return _validated(json.dumps({"data": data, "layout": {"height": height, "uirevision": revision, **layout}}))


@lru_cache(maxsize=200)
def _validated(text: str) -> str:
    """The figure after Plotly's validation, which takes 5 ms: once for the same data, for all readers."""
    return str(plotly.io.to_json(go.Figure(json.loads(text)), validate=False, remove_uids=False))


def warm_up() -> None:
    """Let Plotly import and create its classes of all traces now."""
    figure([{"type": kind, "marker": {}} for kind in ("bar", "scatter")] + [{"type": "heatmap"}], {}, height=10)


def plain(name: str) -> str:
    """A name as text: Plotly reads HTML tags in every string."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return escape(short, quote=False) or " "


def identity(name: str) -> str:
    """A series' uid, the same in every figure; Plotly puts it into CSS selectors, so it is no name."""
    return "s" + sha256(name.encode("utf-8", "replace")).hexdigest()[:16]


def series_color(slot: int) -> str:
    """The theme's categorical color of a slot."""
    return f"var(--series-{slot})"


def scale_colors() -> list[list[Any]]:
    """The theme's sequential colors as a color scale."""
    return [[step / 9, f"var(--scale-{step})"] for step in range(10)]


def time_axis(buckets: pd.DatetimeIndex, bucket: str) -> dict[str, Any]:
    """An axis over the numbers of the buckets, so that each label is below the middle of its bar."""
    ticks = tick_numbers(buckets, bucket)
    long = bucket == "hour" and len(buckets) > 26
    form = _axis_format("long_hour" if long else bucket)
    return {
        "type": "linear",
        "range": [-0.5, len(buckets) - 0.5],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [plain(buckets[number].strftime(form)) for number in ticks],
        "showgrid": False,
        "fixedrange": False,
    }


def tick_numbers(buckets: pd.DatetimeIndex, bucket: str) -> list[int]:
    """The numbers of the buckets that have a tick: those of round times."""
    for step in _TICK_STEPS[bucket]:
        numbers = [number for number, at in enumerate(buckets) if _position(at, bucket) % step == 0]
        if len(numbers) <= _MOST_TICKS:
            return numbers or [0]
    return list(range(0, len(buckets), -(-len(buckets) // _MOST_TICKS)))


def _position(at: pd.Timestamp, bucket: str) -> int:
    if bucket == "minute":
        return int(at.hour * 60 + at.minute)
    if bucket == "hour":
        return int(at.hour)
    if bucket == "month":
        return int(at.year * 12 + at.month - 1)
    days = (at.normalize() - pd.Timestamp("1970-01-05")).days  # a Monday
    return days // 7 if bucket == "week" else days


def bucket_titles(buckets: pd.DatetimeIndex, bucket: str, notes: Sequence[str] = ()) -> list[str]:
    """The hover title of each bucket, followed by its note."""
    titles = list(buckets.strftime(_time_label(bucket)))
    return [f"{title}{note}" for title, note in zip(titles, notes, strict=True)] if notes else titles


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
        "hour": "%H:%M",
        "long_hour": _("%a %H:%M"),
        "day": _("%d %b"),
        "week": _("%d %b"),
        "month": _("%b %Y"),
    }
    return formats[bucket]
