"""An app behind AuthMiddleware, called without a server. It records the requests that pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker import settings
from tracker.auth.access_policy import Policy, resolve_policy
from tracker.auth.middleware import AuthMiddleware, AuthView
from tracker.auth.route_rules import RouteRules, route_rules

LOCAL_HOST = "127.0.0.1:8501"
PAGE_NAMES = ("connections", "explorer", "overview")
REMOTE_CLIENT = {"client": "192.0.2.7", "host": "tokens.example.com"}


class AuthResponse(NamedTuple):
    """A response; `view` is the view of the auth page, if the middleware sent it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    passed: bool
    view: AuthView | None


class ProtectedApp:
    """AuthMiddleware with the policy of these settings, and an app behind it that responds with 200."""

    def __init__(
        self, env: Mapping[str, str] | None = None, *, base: str = "", rules: RouteRules | None = None, **options: Any
    ) -> None:
        options = {"login": False, "bound_to": "127.0.0.1", **options}
        self.policy: Policy = resolve_policy(settings.load(env or {}, strict=False), **options)
        self.passed: list[Mapping[str, Any]] = []
        self.views: list[AuthView] = []
        self.middleware = AuthMiddleware(
            self._app,
            lambda: self.policy,
            self._render,
            "default-src 'self'",
            rules or route_rules(PAGE_NAMES),
            lambda: base,
        )

    def _render(self, view: AuthView, accept_language: str) -> tuple[bytes, str]:
        self.views.append(view)
        return b"<!doctype html>", "default-src 'none'"

    async def _app(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        self.passed.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        kind = b"application/json" if scope["path"].startswith("/api") else b"text/html"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"data"})

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None, **options: Any) -> AuthResponse:
        return asyncio.run(self.aget(path, headers, **options))

    async def aget(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        client: str = "127.0.0.1",
        host: str = LOCAL_HOST,
        body: bytes = b"",
        query: str = "",
    ) -> AuthResponse:
        before, views = len(self.passed), len(self.views)
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

        await self.middleware(scope, receive, send)
        return AuthResponse(
            sent[0]["status"],
            {name.decode(): text.decode() for name, text in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]),
            len(self.passed) > before,
            self.views[-1] if len(self.views) > views else None,
        )

    def scope(
        self, path: str, headers: Mapping[str, str] | None, *, client: str = "127.0.0.1", host: str = LOCAL_HOST
    ) -> dict[str, Any]:
        fields = {"host": host, "accept": "text/html", **(headers or {})}
        return {
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in fields.items()],
            "client": (client, 50000),
        }

    async def websocket(
        self, headers: Mapping[str, str] | None = None, *, wait: Any = None, **options: Any
    ) -> list[str]:
        """The types of the messages sent on a WebSocket; `wait` runs while it is open."""
        scope = self.scope("/_stcore/stream", headers, **options) | {"type": "websocket"}
        sent: list[str] = []
        messages: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        messages.put_nowait({"type": "websocket.connect"})

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message["type"])

        running = asyncio.ensure_future(self.middleware(scope, messages.get, send))
        if wait is not None:
            await asyncio.sleep(0.02)
            await wait()
        else:
            messages.put_nowait({"type": "websocket.disconnect"})
        await asyncio.wait_for(running, 5)
        return sent

    def sign_in(self, password: str, next_path: str = "/", **options: Any) -> AuthResponse:
        from urllib.parse import urlencode

        body = urlencode({"password": password, "next": next_path}).encode()
        return self.get("/auth/login", method="POST", body=body, **options)
