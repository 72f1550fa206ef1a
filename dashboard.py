"""The dashboard's ASGI app: pages, JSON routes, OTLP routes, auth middleware, and startup.

`token-tracker dashboard` starts it from any directory, `streamlit run dashboard.py` in a clone.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import importlib
import logging
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from streamlit.runtime import Runtime

from tracker.api.access import ApiGate
from tracker.api.metrics_app import MetricsApp
from tracker.api.openapi import OpenApiApp
from tracker.api.usage_app import UsageApi
from tracker.auth.http_responses import pages_csp
from tracker.auth.middleware import AuthMiddleware
from tracker.auth.route_rules import route_rules
from tracker.background_tasks import PeriodicWorker
from tracker.database.connect import Connection
from tracker.diagnostics.dashboard_report import build_dashboard_report
from tracker.diagnostics.debug_api import DebugApp
from tracker.digest.send import send_due_digest
from tracker.errors import TrackerError
from tracker.maintenance import check_budgets, price_new_calls
from tracker.metrics.collector import MetricsCollector
from tracker.otlp.app import TracesApp
from tracker.otlp.storing.late_rows import compare_late_rows
from tracker.otlp.storing.retrieved_responses import remove_retrieved
from tracker.redaction import RedactSecrets
from tracker.reports.ai_calls.export_app import EXPORT_PATH, CallsExportApp
from tracker.reports.database_health import HealthCheck
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")

# Streamlit removes the script's directory from sys.path while a page runs, but the pages import `pages.…`.
sys.path.insert(0, str(Path(__file__).parent))

from pages.support.auth import base_path, current_policy, signed_links  # noqa: E402
from pages.support.auth_page import render  # noqa: E402
from pages.support.desktop_browser import open_when_ready  # noqa: E402
from pages.support.page_html import BrowserScript  # noqa: E402
from pages.support.static_files import CompressedFiles  # noqa: E402
from pages.widgets.chart_component import register  # noqa: E402
from pages.widgets.chart_figures import warm_up  # noqa: E402

check_health = HealthCheck(current_reader.check)


async def health(_: Request) -> JSONResponse:
    """200 if the database responds and the required columns exist, else 503."""
    result = await check_health()
    return JSONResponse(result.as_dict(), result.status_code, headers={"Cache-Control": "no-store"})


@contextmanager
def _borrow_connection() -> Iterator[tuple[Connection, str | None]]:
    """A connection of the reader's pool and the table's schema, so that OTLP requests open no extra connections."""
    reader = current_reader.reader()
    with reader.borrow() as connection:
        yield connection, reader.table().schema


class AsgiRoute:
    """An ASGI app for a route: Starlette would call a method with a request instead."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class MethodNotAllowed:
    """A JSON 405 for the other methods of a path."""

    def __init__(self, *methods: str) -> None:
        self._allowed = ", ".join(methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = JSONResponse({"error": "method not allowed"}, 405, headers={"Allow": self._allowed})
        await response(scope, receive, send)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Import the pages' modules and connect to the database before the first request; then run periodic jobs."""
    _redact_logs()
    await asyncio.to_thread(_prepare)
    # Streamlit runs a full garbage collection after every rerun. Frozen objects are excluded from it.
    gc.collect()
    gc.freeze()
    worker = PeriodicWorker("tracker-minute-jobs", _MINUTE_JOBS, lambda _: 60.0, jitter=0.1)
    worker.wake()
    if Path(sys.argv[0]).resolve() == Path(__file__).resolve():  # `streamlit run`, not another ASGI server
        open_when_ready()
    yield {}
    await asyncio.to_thread(worker.stop, 1.0)
    # A signal ends the server, so atexit handlers don't run.
    await asyncio.to_thread(current_reader.shut_down)


_metrics = MetricsCollector(current_reader.reader)
# Recorders don't spend time on these jobs.
_MINUTE_JOBS: dict[str, Callable[[], object]] = {
    "compare_late_rows": compare_late_rows,
    "remove_retrieved": remove_retrieved,
    "price_new_calls": price_new_calls.price_new_calls,
    "check_budgets": check_budgets.check_budgets,
    "send_digest": send_due_digest,
    "read_metrics": _metrics.read_slow_values,
}


def _redact_logs() -> None:
    """Redact secrets in log records. Streamlit logs uncaught exceptions, and their text may contain a URL."""
    for name in ("tracker.dashboard", "streamlit.error_util"):
        logging.getLogger(name).addFilter(RedactSecrets())


def _prepare() -> None:
    for name in (
        "pandas",
        "pages.sections.ai_session_view",
        "pages.sections.call_details",
        "pages.sections.connections",
        "pages.sections.environment",
        "pages.sections.explorer",
        "pages.sections.overview",
        "pages.sections.performance",
        "pages.sections.pricing.budget_form",
        "pages.sections.pricing.change_table",
        "pages.sections.pricing.price_actions",
        "pages.sections.pricing.price_table",
        "pages.sections.recordings",
        "pages.widgets.charts",
        "pyarrow",
        "tracker.reports.ai_calls.call_log",
        "tracker.reports.delivery_lag",
        "tracker.reports.explorer.explorer_query",
        "tracker.reports.ledger_report",
        "tracker.reports.priced_models",
        "tracker.reports.recording_quality",
        "tracker.reports.connections.sampler",
        "tracker.reports.unread_spans",
        "tracker.reports.anomalies",
        "tracker.reports.usage_totals",
    ):
        importlib.import_module(name)
    warm_up()
    register(Runtime.instance().bidi_component_registry)
    try:
        current_reader.reader().check()
    except TrackerError as error:  # the pages show the error, and recover when the database works
        log.warning("The dashboard starts without a usable database. %s", error)


def _inline_script_hashes() -> list[str]:
    """The SHA-256 hashes of the inline scripts in Streamlit's page. The Content-Security-Policy allows only these."""
    page = Path(st.__file__).parent / "static" / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]


def page_names() -> list[str]:
    """The names of the pages, which are their paths too."""
    files = (Path(__file__).parent / "pages").glob("*.py")
    return [file.stem for file in files if file.stem not in {"__init__", "shell"}]


def on_script_error(error: Exception) -> bool:
    """Show an error box with a reference number. The traceback goes to the log only."""
    from pages.widgets.error_box import show_error

    show_error(error)
    return True


_api_gate = ApiGate(current_reader.settings)
_usage_api = UsageApi(current_reader.reader, _api_gate)
_otlp = TracesApp(_borrow_connection, current_reader.settings)
app = st.App(
    "pages/shell.py",
    routes=[
        Route("/api/health", health),
        Route("/api/health", MethodNotAllowed("GET", "HEAD")),
        Route("/api/debug/token-tracking", DebugApp(build_dashboard_report, current_reader.settings)),
        Route("/metrics", MetricsApp(_metrics, _api_gate)),
        Route("/api/usage", AsgiRoute(_usage_api.usage)),
        Route("/api/usage/records", AsgiRoute(_usage_api.records)),
        Route("/api/openapi.json", OpenApiApp(_api_gate)),
        Route("/v1/traces", _otlp),
        Route("/v1/metrics", _otlp),
        Route("/v1/logs", _otlp),
        Route(base_path() + EXPORT_PATH, CallsExportApp(current_reader.reader, signed_links)),
    ],
    middleware=[
        Middleware(
            AuthMiddleware,
            policy=current_policy,
            render=render,
            csp=pages_csp(_inline_script_hashes()),
            rules=route_rules(page_names()),
            base=base_path,
        ),
        Middleware(CompressedFiles, base=base_path),
        Middleware(BrowserScript, base=base_path),
    ],
    lifespan=lifespan,
    on_script_error=on_script_error,
)
