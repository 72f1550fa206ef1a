"""The chart component: mounts a Plotly figure and returns the user's actions on it.

The JavaScript in `pages/components/chart` is served from the dashboard's own origin, as is the `plotly.min.js` of the
installed plotly package. Inline JavaScript would be a blob, which the Content-Security-Policy refuses.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import plotly
import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest
from streamlit.runtime import Runtime

from pages.support.currency.display_currency import currency_decimals, currency_sign
from pages.support.formats import duration_units
from pages.support.i18n import _, language

_PAGES = Path(__file__).parent.parent
_PLOTLY = Path(plotly.__file__).parent


@cache
def manifests() -> tuple[tuple[ComponentManifest, Path], ...]:
    """The components of the dashboard with the directories that contain their files.

    An installed package has no pyproject.toml. The declaration there has the same name, as a test checks.
    """
    own = [ComponentConfig("chart", "components/chart")]
    bundle = [ComponentConfig("bundle", "package_data")]
    return (
        (ComponentManifest("token-usage-tracker", "1", own), _PAGES),
        (ComponentManifest("plotly", plotly.__version__, bundle), _PLOTLY),
    )


def register(manager: BidiComponentManager) -> None:
    """Register the components with Streamlit, which finds only those of installed packages by itself."""
    for manifest, root in manifests():
        if manager.get_component_asset_root(f"{manifest.name}.{manifest.components[0].name}") is None:
            manager.register_from_manifest(manifest, root)


@cache
def _component() -> Any:
    manifest, _root = manifests()[0]
    name = f"{manifest.name}.{manifest.components[0].name}"
    return st.components.v2.component(name, js="chart.js", css="chart.css", isolate_styles=False)


def mount(figure: str, *, alt: str, key: str | None = None, **options: Any) -> Any:
    """Draw the figure (JSON); the result has `click`, `range` and `reset`, each None unless it happened just now.

    Options: `titles` (the hover title of each bucket: hover then lists all series), `label` and `unit` of the values,
    `stacked`, `value_axis` (the axis whose ticks the component sets), `least` (values up to it are drawn as zero),
    `can_click`, `can_drag`, `can_reset`, `marks` (the texts of deployments at positions of the x axis), `selected` (the
    row and the column whose points keep their color; None as the column means all columns of the row).
    """
    register(Runtime.instance().bidi_component_registry)  # tests run a page without dashboard.py, which registers too
    defaults: dict[str, Any] = {
        "titles": None,
        "label": "",
        "unit": "count",
        "stacked": False,
        "value_axis": None,
        "least": 0.0,
        "can_click": False,
        "can_drag": False,
        "can_reset": False,
        "marks": None,
        "selected": None,
    }
    words = {
        "png": _("Download the chart as PNG"),
        "legend": _("Click: only this one. Ctrl and click: hide or show it."),
        "keys": _("Arrow keys read the values. The custom range does the same as a drag."),
        "total": _("Total"),
        "none": _("No calls"),
    }
    data = {
        **defaults,
        **options,
        "figure": figure,
        "alt": alt,
        "language": language(),
        "currency_sign": currency_sign(),
        "currency_decimals": currency_decimals(),
        "duration_units": duration_units(),
        "plotly": plotly.__version__,
        "words": words,
    }
    return _component()(
        key=key or f"chart_{alt}",
        data=data,
        on_click_change=_ignore,
        on_range_change=_ignore,
        on_reset_change=_ignore,
    )


def _ignore() -> None:
    """Streamlit returns only the events that have a callback; the pages read the result instead."""
