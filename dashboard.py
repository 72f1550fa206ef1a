"""The dashboard's server: the pages, two JSON routes, and what is made ready before the first answer.

streamlit run dashboard.py
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tracker.diagnostics.debug_api import DebugApp
from tracker.diagnostics.here import here
from tracker.diagnostics.masking import MaskSecrets
from tracker.errors import TrackerError
from tracker.reports import source
from tracker.reports.health import HealthCheck

log = logging.getLogger("tracker.dashboard")
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

check_health = HealthCheck(lambda: source.reader().check())


async def health(_: Request) -> JSONResponse:
    """200 if the database answers and the required columns exist, else 503."""
    found = await check_health()
    return JSONResponse(found.as_dict(), found.status_code, headers={"Cache-Control": "no-store"})


async def unknown(request: Request) -> JSONResponse:
    """A JSON 404: without it an unknown path under /api would answer with the page and 200."""
    return JSONResponse({"error": "not found", "path": request.url.path}, 404)


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    """Find the database and import what the pages need, so that the first reader doesn't wait for it."""
    _mask_logs()
    await asyncio.to_thread(_make_ready)
    # Streamlit collects all generations after every rerun; what was imported until here needn't be looked at again.
    gc.collect()
    gc.freeze()
    yield {}
    # The server ends by the signal itself, so nothing registered with atexit would run.
    await asyncio.to_thread(source.leave)


def _mask_logs() -> None:
    """Streamlit logs an uncaught exception by itself; its text may quote a URL."""
    for name in ("tracker.dashboard", "streamlit.error_util"):
        logging.getLogger(name).addFilter(MaskSecrets())


def _make_ready() -> None:
    for name in (
        "pandas",
        "pyarrow",
        "tracker.reports.connections",
        "tracker.reports.performance",
        "tracker.reports.usage",
    ):
        importlib.import_module(name)
    try:
        source.reader().check()
    except TrackerError as error:  # the pages say so and go on by themselves once it is mended
        log.warning("The dashboard starts without a usable database. %s", error)


def on_script_error(error: Exception) -> bool:
    """Show what went wrong as a sentence with a reference; the traceback stays in the log."""
    from _problems import show_any

    show_any(error)
    return True


app = st.App(
    "pages/shell.py",
    routes=[
        Route("/api/health", health),
        Route("/api/debug/token-tracking", DebugApp(here, source.settings)),
        Route("/api", unknown, methods=_METHODS),
        Route("/api/{path:path}", unknown, methods=_METHODS),
    ],
    lifespan=lifespan,
    on_script_error=on_script_error,
)
