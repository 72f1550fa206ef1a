"""The charts of the Connections page: the slots of the server, and the sessions by state."""

from __future__ import annotations

import pandas as pd

from pages.widgets.chart_component import mount
from pages.widgets.chart_figures import figure, identity, plain, series_color

_HEIGHT = 235
# Idle sessions are the most and need no attention; open transactions without work do.
_STATE_COLORS = {
    "active": series_color(0),
    "idle": "var(--scale-2)",
    "idle in transaction": series_color(1),
    "idle in transaction (aborted)": series_color(7),
}


def part_bar(parts: list[tuple[str, int, float]], *, maximum: int, label: str, alt: str) -> None:
    """One bar of `maximum`: the name, the value and the opacity of each part."""
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [value],
            "y": ["0"],
            "marker": {"color": series_color(0), "opacity": opacity},
            "customdata": [[name, value]],
            "hoverinfo": "none",
            "name": plain(name),
            "uid": identity(name),
        }
        for name, value, opacity in parts
    ]
    layout = {
        "hovermode": "closest",
        "dragmode": False,
        "bargap": 0,
        "margin": {"l": 8, "r": 20, "t": 26, "b": 4},
        "xaxis": {"range": [0, maximum], "nticks": 6, "showgrid": False},
        "yaxis": {"type": "category", "showticklabels": False, "showgrid": False},
    }
    # The text changes with the values; a key of it would mount the chart again.
    mount(figure(data, layout, height=76), alt=alt, key="chart_parts", label=label)


def state_areas(frame: pd.DataFrame, states: list[str], *, label: str, clock: str, alt: str) -> None:
    """Stacked areas over time, one for each state; needs the columns at (wall clock), state and connections."""
    wide = frame.groupby(["at", "state"])["connections"].sum().unstack().fillna(0.0)
    times = pd.DatetimeIndex(wide.index)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "all",
            "x": [at.isoformat() for at in times],
            "y": [float(y) for y in wide[state]],
            "line": {"shape": "hv", "width": 0, "color": color},
            "fillcolor": color,
            "name": plain(state),
            "meta": state,
            "uid": identity(state),
            "showlegend": True,
            "hoverinfo": "none",
        }
        for state, color in ((state, _STATE_COLORS.get(state, series_color(4))) for state in states if state in wide)
    ]
    layout = {
        "hovermode": "x",
        "dragmode": "zoom",
        "xaxis": {"type": "date", "tickformat": clock, "nticks": 6, "showgrid": False, "fixedrange": False},
    }
    mount(
        figure(data, layout, height=_HEIGHT),
        alt=alt,
        titles=list(times.strftime("%H:%M:%S")),
        label=label,
        stacked=True,
        value_axis="yaxis",
    )
