"""ASGI middleware that adds `pages/browser.js` to Streamlit's page, and serves it.

The script comes from the dashboard's origin, so the Content-Security-Policy allows it without a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

SCRIPT_PATH = "/browser.js"
STREAMLIT_TITLE, TITLE = b"<title>Streamlit</title>", b"<title>Token Tracker</title>"
_HEAD = b"<head>"
_SCRIPT_FILE = Path(__file__).parents[1] / "browser.js"
# Streamlit compresses its page, and a compressed page can't be changed. A 304 would keep a page without the script.
_REQUEST_CONDITIONS = {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}
_REPLACED = {b"content-length", b"etag", b"last-modified", b"accept-ranges", b"cache-control"}


class BrowserScript:
    """The middleware; `base` returns the path prefix of all routes."""

    def __init__(self, app: App, base: Callable[[], str] = str) -> None:
        self._app = app
        self._base = base
        self._script = _SCRIPT_FILE.read_bytes()
        self._version = hashlib.sha256(self._script).hexdigest()[:16]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
        elif scope["path"] == self._base() + SCRIPT_PATH:
            await self._send_script(scope, send)
        elif _is_file(scope["path"]):
            await self._app(scope, receive, send)
        else:
            headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _REQUEST_CONDITIONS]
            page = _PageResponse(send, self._tag(), is_head=scope["method"] == "HEAD")
            await self._app({**scope, "headers": headers}, receive, page.send)

    def _tag(self) -> bytes:
        address = f"{self._base()}{SCRIPT_PATH}?v={self._version}"
        return f'<script src="{escape(address)}"></script>'.encode()

    async def _send_script(self, scope: Any, send: Send) -> None:
        headers = [
            (b"content-type", b"text/javascript; charset=utf-8"),
            (b"content-length", str(len(self._script)).encode()),
            (b"cache-control", b"public, immutable, max-age=31536000"),  # the address contains the version
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self._script})


def _is_file(path: str) -> bool:
    """Whether a path is a file other than Streamlit's page."""
    return PurePosixPath(path).suffix not in {"", ".html"}


class _PageResponse:
    """Sends a response; Streamlit's page with the script and the product's title, and not stored by the browser.

    A stored page would be shown by the Back button after the sign-out.
    """

    def __init__(self, send: Send, tag: bytes, *, is_head: bool) -> None:
        self._send = send
        self._tag = tag
        self._is_head = is_head
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start)

    async def _send_page(self, start: Message) -> None:
        body = self._body.replace(_HEAD, _HEAD + self._tag, 1).replace(STREAMLIT_TITLE, TITLE, 1)
        headers = [(name, value) for name, value in start["headers"] if name.lower() not in _REPLACED]
        headers.append((b"cache-control", b"no-store"))
        if not self._is_head:
            headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else body})


def _is_html(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start["headers"]}
    return bool(start["status"] == 200 and headers.get(b"content-type", b"").startswith(b"text/html"))
