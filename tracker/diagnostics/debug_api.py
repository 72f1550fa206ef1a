"""The debug report as an ASGI app: it runs where the problem is, with the core install alone.

`tracker.diagnostics.debug_api:app` drops into a Vercel Python function, mounts in FastAPI, or runs under any server.
docs/debugging.md has a file for each. Who may read it: `tracker.auth.route_access`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from tracker.auth.attempt_limiter import MAX_REFUSALS, REFUSAL_WINDOW_S, SlidingWindow
from tracker.auth.route_access import is_authorized
from tracker.diagnostics import report as report_module
from tracker.diagnostics.report import Report
from tracker.settings import Settings, load

log = logging.getLogger("tracker.diagnostics")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# A report is made by one thread at a time and serves everybody who asks meanwhile and for this long.
CACHE_S = 2.0
ANSWER_S = 9.8
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_LATE = "The report wasn't ready in time; it goes on. Ask again."
_UNAUTHORIZED = (
    "Send the value of TRACKER_DEBUG_TOKEN as Authorization: Bearer …. If it is not set, only requests from this"
    " machine are accepted, and none on a deployed platform."
)


def _settings() -> Settings:
    return load(strict=False)


class DebugApp:
    """The route. `build` makes a report (in a thread); `settings` are read anew for each request.

    200 when healthy, 503 when not, 401 by the token rule, 405 for anything but GET and HEAD, 429 after too many wrong
    tokens. Without a token set, no user's id is in the answer.
    """

    def __init__(
        self,
        build: Callable[[], Report] = report_module.build,
        settings: Callable[[], Settings] = _settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._shared = _Shared(build, clock)
        self._refused = SlidingWindow(MAX_REFUSALS, REFUSAL_WINDOW_S, clock)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await self._answer(scope, send)

    async def _answer(self, scope: Mapping[str, Any], send: Send) -> None:
        head = scope["method"] == "HEAD"
        if scope["method"] not in {"GET", "HEAD"}:
            await _send(send, 405, {"error": "method not allowed", "remedy": "Use GET."}, (b"allow", b"GET, HEAD"))
            return
        settings = self._settings()
        if not is_authorized(scope, settings):
            await self._refuse(send, head=head)
            return
        found = await self._shared.get(ANSWER_S)
        if isinstance(found, str):
            await _send(send, 503, {"healthy": False, "error": found}, head=head)
            return
        answer = found.as_dict(users=bool(settings.debug_token))
        await _send(send, 200 if found.healthy else 503, answer, head=head)

    async def _refuse(self, send: Send, *, head: bool) -> None:
        """401; after many of them 429, so that nobody can try tokens fast. The right token passes all the same."""
        if wait_s := self._refused.wait_s():
            answer = {"error": "too many requests", "remedy": "Wait a minute."}
            await _send(send, 429, answer, (b"retry-after", str(int(wait_s) + 1).encode()), head=head)
            return
        self._refused.add()
        answer = {"error": "unauthorized", "remedy": _UNAUTHORIZED}
        await _send(send, 401, answer, (b"www-authenticate", b"Bearer"), head=head)


class _Shared:
    """One report at a time, however many ask and in however many event loops (a function may make one a call)."""

    def __init__(self, build: Callable[[], Report], clock: Callable[[], float]) -> None:
        self._build = build
        self._clock = clock
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._last: tuple[float, Report] | None = None
        self._trouble = _LATE

    async def get(self, timeout_s: float) -> Report | str:
        """The present report or one from a moment ago; or the sentence that says why there is none."""
        with self._lock:
            if self._last and self._clock() - self._last[0] < CACHE_S:
                return self._last[1]
            if self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._make, args=(self._done,), name="tracker-report", daemon=True).start()
            done = self._done
        end = time.monotonic() + timeout_s
        while not done.is_set() and time.monotonic() < end:
            await asyncio.sleep(0.01)  # no thread of the loop's few is held for those who wait
        if not done.is_set():
            return _LATE
        return self._last[1] if self._last else self._trouble

    def _make(self, done: threading.Event) -> None:
        try:
            found = self._build()
            self._last = (self._clock(), found)
        except Exception as error:  # noqa: BLE001  whatever it is: an answer, and no traceback
            self._last = None
            self._trouble = f"The report couldn't be made: {type(error).__name__}. Please report it as a bug."
            log.error("The debug report couldn't be made: %s.", type(error).__name__)  # noqa: TRY400  no driver's text
        finally:
            with self._lock:
                self._done = None
            done.set()


async def _live(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _send(
    send: Send, status: int, answer: Mapping[str, Any], *more: tuple[bytes, bytes], head: bool = False
) -> None:
    body = json.dumps(answer, ensure_ascii=True, default=str).encode()
    headers = [*_HEADERS, (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


app = DebugApp()
