"""The dashboard's server: the pages, the JSON routes, OTLP's way in, and what is made ready before the first answer.

streamlit run dashboard.py
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
from collections.abc import AsyncIterator, Callable, Iterator
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

from tracker.auth.http_responses import pages_csp
from tracker.auth.middleware import Door
from tracker.background_tasks import background_tasks
from tracker.database.connect import Connection
from tracker.diagnostics.dashboard_report import here
from tracker.diagnostics.debug_api import DebugApp
from tracker.errors import TrackerError
from tracker.maintenance import check_budgets, price_new_calls
from tracker.otlp.app import TracesApp
from tracker.otlp.storing.late_rows import compare_late_rows
from tracker.otlp.storing.retrieved_responses import remove_retrieved
from tracker.redaction import MaskSecrets
from tracker.reports.database_health import HealthCheck
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")

# Streamlit takes the script's directory off the path while a page runs; the pages are imported as `pages.…`.
sys.path.insert(0, str(Path(__file__).parent))

from pages.support.auth import base_path, policy  # noqa: E402
from pages.support.auth_page import draw  # noqa: E402
from pages.support.static_files import CompressedFiles  # noqa: E402
from pages.widgets.chart_component import register  # noqa: E402

check_health = HealthCheck(current_reader.check)


async def health(_: Request) -> JSONResponse:
    """200 if the database answers and the required columns exist, else 503."""
    found = await check_health()
    return JSONResponse(found.as_dict(), found.status_code, headers={"Cache-Control": "no-store"})


@contextmanager
def _lend() -> Iterator[tuple[Connection, str | None]]:
    """One of the readers' connections for what comes in by OTLP: the dashboard holds no more for it."""
    reader = current_reader.reader()
    with reader.borrow() as connection:
        yield connection, reader.table().schema


class Unknown:
    """A JSON 404: without it an unknown path under /api would answer with the page and 200.

    An ASGI app and not a function, to which Starlette would hand no method that it wasn't told of.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse({"error": "not found", "path": scope["path"]}, 404)
        await answer(scope, receive, send)


class MethodNotAllowed:
    """A JSON 405 for a path that answers other methods."""

    def __init__(self, *methods: str) -> None:
        self._allowed = ", ".join(methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse({"error": "method not allowed"}, 405, headers={"Allow": self._allowed})
        await answer(scope, receive, send)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Find the database and import what the pages need, so that the first reader doesn't wait for it."""
    _mask_logs()
    await asyncio.to_thread(_make_ready)
    # Streamlit collects all generations after every rerun; what was imported until here needn't be looked at again.
    gc.collect()
    gc.freeze()
    task = asyncio.create_task(_every_minute())
    yield {}
    task.cancel()
    # The server ends by the signal itself, so nothing registered with atexit would run.
    await asyncio.to_thread(current_reader.leave)


async def _every_minute() -> None:
    """Drop calls that were reported twice, price new calls and check budgets: recorders have no time for these."""
    while True:
        for name, work in _MINUTE_TASKS.items():
            await asyncio.to_thread(background_tasks.run, name, work)
        await asyncio.sleep(60)


_MINUTE_TASKS: dict[str, Callable[[], object]] = {
    "compare_late_rows": compare_late_rows,
    "remove_retrieved": remove_retrieved,
    "price_new_calls": price_new_calls.price_new_calls,
    "check_budgets": check_budgets.check_budgets,
}


def _mask_logs() -> None:
    """Streamlit logs an uncaught exception by itself; its text may quote a URL."""
    for name in ("tracker.dashboard", "streamlit.error_util"):
        logging.getLogger(name).addFilter(MaskSecrets())


def _make_ready() -> None:
    for name in (
        "pandas",
        "plotly.graph_objects",
        "pyarrow",
        "tracker.reports.delivery_lag",
        "tracker.reports.explorer_query",
        "tracker.reports.ledger_report",
        "tracker.reports.recording_quality",
        "tracker.reports.connections.sampler",
        "tracker.reports.unread_spans",
        "tracker.reports.anomalies",
        "tracker.reports.usage_totals",
    ):
        importlib.import_module(name)
    register(Runtime.instance().bidi_component_registry)
    try:
        current_reader.reader().check()
    except TrackerError as error:  # the pages say so and go on by themselves once it is mended
        log.warning("The dashboard starts without a usable database. %s", error)


def _inline_scripts() -> list[str]:
    """The hashes of the scripts that stand in Streamlit's own page: the policy lets those run, and no other."""
    page = Path(st.__file__).parent / "static" / "index.html"
    found = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]


def on_script_error(error: Exception) -> bool:
    """Show what went wrong as a sentence with a reference; the traceback stays in the log."""
    from pages.widgets.error_box import show_any

    show_any(error)
    return True


_otlp = TracesApp(_lend, current_reader.settings)
app = st.App(
    "pages/shell.py",
    routes=[
        Route("/api/health", health),
        Route("/api/health", MethodNotAllowed("GET", "HEAD")),
        Route("/api/debug/token-tracking", DebugApp(here, current_reader.settings)),
        Route("/v1/traces", _otlp),
        Route("/v1/metrics", _otlp),
        Route("/v1/logs", _otlp),
        Route("/api", Unknown()),
        Route("/api/{path:path}", Unknown()),
    ],
    middleware=[
        Middleware(Door, policy=policy, draw=draw, csp=pages_csp(_inline_scripts()), base=base_path),
        Middleware(CompressedFiles, base=base_path),
    ],
    lifespan=lifespan,
    on_script_error=on_script_error,
)
