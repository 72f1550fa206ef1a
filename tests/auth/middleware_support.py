"""A door before an app that notes who got through, asked without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker import settings
from tracker.auth.access_policy import Policy, decide
from tracker.auth.middleware import Door, View

HERE = "127.0.0.1:8501"
ELSEWHERE = {"client": "192.0.2.7", "host": "tokens.example.com"}


class Answer(NamedTuple):
    """What came back; `view` is what the door's own page showed, where there was one."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    through: bool
    view: View | None


class House:
    """The door under settings, with an app behind it that answers 200."""

    def __init__(self, env: Mapping[str, str] | None = None, *, base: str = "", **more: Any) -> None:
        given = {"login": False, "bound_to": "127.0.0.1", **more}
        self.policy: Policy = decide(settings.load(env or {}, strict=False), **given)
        self.through: list[Mapping[str, Any]] = []
        self.views: list[View] = []
        self.door = Door(self._app, lambda: self.policy, self._draw, "default-src 'self'", lambda: base)

    def _draw(self, view: View, accepted: str) -> tuple[bytes, str]:
        self.views.append(view)
        return b"<!doctype html>", "default-src 'none'"

    async def _app(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.through.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        kind = b"application/json" if scope["path"].startswith("/api") else b"text/html"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"data"})

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None, **given: Any) -> Answer:
        return asyncio.run(self.aget(path, headers, **given))

    async def aget(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        client: str = "127.0.0.1",
        host: str = HERE,
        body: bytes = b"",
        query: str = "",
    ) -> Answer:
        before, views = len(self.through), len(self.views)
        scope = self.scope(path, headers, client=client, host=host) | {
            "type": "http",
            "method": method,
            "query_string": query.encode(),
        }
        sent: list[Mapping[str, Any]] = []
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Mapping[str, Any]:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        await self.door(scope, receive, send)
        return Answer(
            sent[0]["status"],
            {name.decode(): text.decode() for name, text in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
            len(self.through) > before,
            self.views[-1] if len(self.views) > views else None,
        )

    def scope(
        self, path: str, headers: Mapping[str, str] | None, *, client: str = "127.0.0.1", host: str = HERE
    ) -> dict[str, Any]:
        given = {"host": host, "accept": "text/html", **(headers or {})}
        return {
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in given.items()],
            "client": (client, 50000),
        }

    async def websocket(self, headers: Mapping[str, str] | None = None, *, wait: Any = None, **given: Any) -> list[str]:
        """The types of what the door and the app sent on a websocket; `wait` runs while it is open."""
        scope = self.scope("/_stcore/stream", headers, **given) | {"type": "websocket"}
        sent: list[str] = []
        messages: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        messages.put_nowait({"type": "websocket.connect"})

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message["type"])

        running = asyncio.ensure_future(self.door(scope, messages.get, send))
        if wait is not None:
            await asyncio.sleep(0.02)
            await wait()
        else:
            messages.put_nowait({"type": "websocket.disconnect"})
        await asyncio.wait_for(running, 5)
        return sent

    def sign_in(self, password: str, next_place: str = "/", **given: Any) -> Answer:
        from urllib.parse import urlencode

        body = urlencode({"password": password, "next": next_place}).encode()
        return self.get("/auth/login", method="POST", body=body, **given)
