"""ASGI middleware that compresses each static file once and no other response.

Streamlit leaves its bundles uncompressed and compresses components at each request. Responses with data stay
uncompressed: their compressed length would reveal something about their content.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_COMPONENTS = "/_stcore/bidi-components/"
_COMPRESSIBLE = (b"text/javascript", b"application/javascript", b"text/css", b"image/svg+xml", b"application/wasm")
_MOST_FILES = 1000
_REQUEST_CONDITIONS = {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}
_REPLACED = {b"content-length", b"content-encoding", b"accept-ranges", b"etag", b"last-modified", b"vary"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A compressed file and its headers."""

    body: bytes
    headers: Headers
    etag: bytes


class CompressedFiles:
    """The middleware; `base` returns the path prefix of all routes."""

    def __init__(self, app: App, base: Callable[[], str] = str) -> None:
        self._app = app
        self._base = base
        self._files: dict[str, StaticFile] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"])
        path = scope["path"].removeprefix(self._base())
        is_static = scope["method"] == "GET" and path.startswith(("/static/", _COMPONENTS)) and b"range" not in given
        if is_static and b"gzip" in given.get(b"accept-encoding", b""):
            await self._send_file(path, scope, receive, send)
        else:
            await self._app(_without(scope, {b"accept-encoding"}), receive, send)

    async def _send_file(self, path: str, scope: Any, receive: Receive, send: Send) -> None:
        file = self._files.get(path)
        if file is None:
            async with self._locks[path]:
                file = self._files.get(path) or await self._read(path, scope, receive, send)
            self._locks.pop(path, None)
        if file is None:  # sent as it is
            return
        headers = file.headers
        if path.startswith(_COMPONENTS):
            # A component's file is checked at each visit, unless its version is part of its address.
            versioned = scope.get("query_string", b"").startswith(b"v=")
            cached = b"public, immutable, max-age=31536000" if versioned else b"no-cache"
            headers = [(name, value) for name, value in headers if name != b"cache-control"]
            headers.append((b"cache-control", cached))
        if dict(scope["headers"]).get(b"if-none-match") == file.etag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        length = (b"content-length", str(len(file.body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": file.body})

    async def _read(self, path: str, scope: Any, receive: Receive, send: Send) -> StaticFile | None:
        """The file, compressed and kept; what can't be compressed is sent at once."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._app(_without(scope, _REQUEST_CONDITIONS), receive, collect)
        headers: Headers = [(name.lower(), value) for name, value in messages[0]["headers"]]
        content_type = dict(headers).get(b"content-type", b"")
        if messages[0]["status"] != 200 or not content_type.startswith(_COMPRESSIBLE):
            for message in messages:
                await send(message)
            return None
        body = b"".join(message.get("body", b"") for message in messages[1:])
        compressed = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
        etag = b'W/"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
        kept = [(name, value) for name, value in headers if name not in _REPLACED]
        kept += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"), (b"etag", etag)]
        file = StaticFile(compressed, kept, etag)
        if len(self._files) < _MOST_FILES:
            self._files[path] = file
        return file


def _without(scope: Any, names: set[bytes]) -> Any:
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() not in names]}
