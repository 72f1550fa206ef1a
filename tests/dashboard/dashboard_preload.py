"""What a dashboard imports before its first page. The fork server imports it once for all dashboards of the tests."""

from __future__ import annotations

import gc
import importlib
import pkgutil

from apptest_support import share_component_scan
from streamlit.components.v2 import manifest_scanner

import pages.sections
import pages.support
import pages.widgets
from pages.widgets.chart_figures import warm_up

for _name in (
    "pandas",
    "pyarrow",
    "streamlit.web.cli",
    "streamlit.web.server.starlette",
    "uvicorn",
    "tracker.auth.middleware",
    "tracker.diagnostics.dashboard_report",
    "tracker.diagnostics.debug_api",
    "tracker.maintenance.check_budgets",
    "tracker.maintenance.price_new_calls",
    "tracker.otlp.app",
):
    importlib.import_module(_name)
for _package in (pages.sections, pages.support, pages.widgets):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)
warm_up()
share_component_scan()
manifest_scanner.scan_component_manifests()
# A dashboard runs a full garbage collection after each rerun; the objects of this process are excluded from it.
gc.collect()
gc.freeze()
