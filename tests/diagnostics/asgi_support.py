"""Asking an ASGI app without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What came back; `body` is raw."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def aget(
    app: Any,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/api/debug/token-tracking",
    client: str = "127.0.0.1",
    body: bytes = b"",
    raw_headers: list[tuple[bytes, bytes]] | None = None,
) -> Answer:
    """One request; a Host header of the loopback goes along unless another is given."""
    given = {"host": "127.0.0.1:8501", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in given.items()]
        + (raw_headers or []),
        "client": (client, 50000),
        "server": ("127.0.0.1", 8501),
    }
    sent: list[Mapping[str, Any]] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Mapping[str, Any]:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head = sent[0]
    return Answer(
        head["status"],
        {name.decode(): text.decode() for name, text in head["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


def get(app: Any, headers: Mapping[str, str] | None = None, **given: Any) -> Answer:
    """`aget` in an event loop of its own."""
    return asyncio.run(aget(app, headers, **given))
