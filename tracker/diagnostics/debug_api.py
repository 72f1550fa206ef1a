"""The debug report as an ASGI app; it needs only the core install.

`tracker.diagnostics.debug_api:app` runs in a Vercel Python function, mounted in FastAPI, or under any ASGI server;
docs/debugging.md has a file for each. `tracker.auth.route_access` decides who may read it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from tracker.auth.attempt_limiter import MAX_REFUSALS, REFUSAL_WINDOW_S, SlidingWindow
from tracker.auth.route_access import is_authorized
from tracker.diagnostics import report as report_module
from tracker.diagnostics.report import Report
from tracker.settings import Settings, load
from tracker.single_flight import SingleFlight, wait_for

log = logging.getLogger("tracker.diagnostics")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

CACHE_S = 2.0
RESPONSE_TIMEOUT_S = 9.8
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_NOT_READY = "The report is not ready yet. Try again."
_UNAUTHORIZED = (
    "Send the value of TRACKER_DEBUG_TOKEN as Authorization: Bearer …. If it is not set, only requests from this"
    " machine are accepted, and none on a deployed platform."
)


def _settings() -> Settings:
    return load(strict=False)


class DebugApp:
    """The route's ASGI app. `build` runs in a thread; `settings` is called for each request.

    Status codes: 200 healthy, 503 not healthy, 401 without the right token, 405 for methods other than GET and HEAD,
    429 after too many wrong tokens. If no token is configured, the response contains no user ids.
    """

    def __init__(
        self,
        build: Callable[[], Report] = report_module.build_report,
        settings: Callable[[], Settings] = _settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._reports: SingleFlight[Report | str] = SingleFlight(
            "tracker-report",
            lambda: _build_report(build),
            lambda report: 0.0 if isinstance(report, str) else CACHE_S,
            clock,
        )
        self._refusals = SlidingWindow(MAX_REFUSALS, REFUSAL_WINDOW_S, clock)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await self._respond(scope, send)

    async def _respond(self, scope: Mapping[str, Any], send: Send) -> None:
        head = scope["method"] == "HEAD"
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(send, 405, {"error": "method not allowed", "remedy": "Use GET."}, (b"allow", b"GET, HEAD"))
            return
        settings = self._settings()
        if not is_authorized(scope, settings):
            await self._refuse(send, head=head)
            return
        report = await wait_for(self._reports.request(), RESPONSE_TIMEOUT_S) or _NOT_READY
        if isinstance(report, str):
            await _send(send, 503, {"healthy": False, "error": report}, head=head)
            return
        content = report.as_dict(users=bool(settings.debug_token))
        await _send(send, 200 if report.healthy else 503, content, head=head)

    async def _refuse(self, send: Send, *, head: bool) -> None:
        """Respond 401, or 429 after many refusals, to slow down guessing. The right token is always accepted."""
        if wait_s := self._refusals.wait_s():
            content = {"error": "too many requests", "remedy": "Wait a minute."}
            await _send(send, 429, content, (b"retry-after", str(int(wait_s) + 1).encode()), head=head)
            return
        self._refusals.add()
        content = {"error": "unauthorized", "remedy": _UNAUTHORIZED}
        await _send(send, 401, content, (b"www-authenticate", b"Bearer"), head=head)


def _build_report(build: Callable[[], Report]) -> Report | str:
    """The report, or an error message without a traceback."""
    try:
        return build()
    except Exception as error:  # noqa: BLE001
        log.error("The debug report can't be built: %s.", type(error).__name__)  # noqa: TRY400  no text of the driver
        return f"The report can't be built: {type(error).__name__}. Please report this as a bug."


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def _send(
    send: Send, status: int, content: Mapping[str, Any], *extra_headers: tuple[bytes, bytes], head: bool = False
) -> None:
    body = json.dumps(content, ensure_ascii=True, default=str).encode()
    headers = [*_HEADERS, (b"content-length", str(len(body)).encode()), *extra_headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


app = DebugApp()
