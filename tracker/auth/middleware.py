"""The dashboard's door: an ASGI middleware that every page, file and websocket comes through.

`tracker.auth.access_policy` decides which requests pass. With `st.login` the pages check the sign-in themselves, since
Streamlit's own session must run for it; everything else is checked here. The debug report and the traces follow the
token's rule.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, quote

from tracker.auth.access_policy import Policy
from tracker.auth.attempt_limiter import Attempts
from tracker.auth.client_address import headers, peer
from tracker.auth.http_responses import Receive, Send, read_form, redirect, send_body, send_json, with_headers
from tracker.auth.login_websockets import Watch
from tracker.auth.logins import COOKIE, LIFETIME_S

log = logging.getLogger("tracker.auth")
Scope = Mapping[str, Any]
App = Callable[[Any, Receive, Send], Awaitable[None]]

LONGEST_FORM = 8192
_CHECKED_AT_ONCE = 2
_KEPT = ("/_stcore/metrics", "/_stcore/agent/")


@dataclass(frozen=True, slots=True)
class View:
    """What the door's own page shows: the form, or why there is none."""

    kind: Literal["sign_in", "wrong", "wait", "closed", "broken"]
    base: str
    next: str = "/"
    wait_s: int = 0
    problem: str = ""


Draw = Callable[[View, str], tuple[bytes, str]]
"""The page of a view for a reader's Accept-Language, and its Content-Security-Policy."""


class Door:
    """The middleware. `policy` is asked anew for each request; `draw` makes the door's own page."""

    def __init__(
        self, app: App, policy: Callable[[], Policy], draw: Draw, csp: str, base: Callable[[], str] = str
    ) -> None:
        self._app = app
        self._policy = policy
        self._draw = draw
        self._csp = csp
        self._base = base
        self._attempts = Attempts()
        self._checking = asyncio.Semaphore(_CHECKED_AT_ONCE)
        self._watch = Watch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, with_headers(send, self._csp))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy = self._policy()
        if policy.misnamed(scope) or policy.foreign(scope) or not policy.lets_in(scope):
            await send({"type": "websocket.close", "code": 1008})
            return
        session, sessions = policy.session(scope), policy.sessions
        if session is None or sessions is None:
            await self._app(scope, receive, send)
            return
        with self._watch.open(session.id, sessions.seconds_left(session), receive, send) as (receive_on, send_on):
            await self._app(scope, receive_on, send_on)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy, path = self._policy(), self._path(scope)
        head = scope["method"] == "HEAD"
        if path == "/_stcore/health":
            await self._app(scope, receive, send)
            return
        own_route = _is_own_route(scope["path"])
        if foreign := policy.foreign(scope):
            await send_json(send, 403, "refused", foreign, head=head)
            return
        # A token is no other page's to send; and who comes by a proxy is shown how to set up a door.
        named_by_right = "authorization" in headers(scope) if own_route else policy.kind == "local"
        if not named_by_right and (misnamed := policy.misnamed(scope)):
            await send_json(send, 421, "refused", misnamed, head=head)
            return
        if own_route or (policy.lets_in(scope) and not (policy.kind == "login" and path.startswith(_KEPT))):
            await self._pass(policy, path, scope, receive, send)
        elif policy.kind == "password":
            await self._ask(policy, path, scope, receive, send)
        else:
            await self._refuse(policy, scope, send)

    async def _pass(self, policy: Policy, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if policy.kind == "password" and path == "/auth/logout":
            await self._sign_out(policy, scope, send)
        elif policy.kind == "password" and path == "/auth/login":
            await redirect(send, self._base() + "/")
        else:
            await self._app(scope, receive, send)

    # --- the password ------------------------------------------------------------------------------------------

    async def _ask(self, policy: Policy, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path == "/auth/login" and scope["method"] == "POST":
            await self._sign_in(policy, scope, receive, send)
        elif not _wants_page(scope):
            await send_json(send, 401, "unauthorized", "Sign in to the dashboard.", head=scope["method"] == "HEAD")
        else:
            home = path in {"/auth/login", "/auth/logout"}
            await self._show(
                View("sign_in", self._base(), self._base() + "/" if home else _place(scope)), 401, scope, send
            )

    async def _sign_in(self, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        form = await read_form(receive, LONGEST_FORM)
        if form is None:
            await send_json(send, 413, "too large", "Send the form of the sign-in page.", head=False)
            return
        fields = parse_qs(form.decode("utf-8", "replace"), keep_blank_values=True)
        password, place = fields.get("password", [""])[0], _own_place(fields.get("next", [""])[0], self._base())
        who = peer(scope)
        if wait_s := self._attempts.wait_s(who):
            view = View("wait", self._base(), place, wait_s=int(wait_s) + 1)
            await self._show(view, 429, scope, send, (("retry-after", str(view.wait_s)),))
            return
        self._attempts.count(who)
        if await self._is_right(policy, password) and policy.sessions:
            self._attempts.take_back(who)
            await redirect(send, place, (("set-cookie", self._cookie(policy.sessions.start(), LIFETIME_S, scope)),))
            return
        log.warning("A wrong password was given at the dashboard's door.")
        await self._show(View("wrong", self._base(), place), 401, scope, send)

    async def _is_right(self, policy: Policy, password: str) -> bool:
        """Few at once: each takes 32 MiB and a core for a tenth of a second."""
        async with self._checking:
            return policy.password is not None and await asyncio.to_thread(policy.password.matches, password)

    async def _sign_out(self, policy: Policy, scope: Scope, send: Send) -> None:
        found = headers(scope)
        # Another site's link may lead here, and signs nobody out.
        session = policy.session(scope) if found.get("sec-fetch-site") != "cross-site" else None
        if session is None or policy.sessions is None:
            await redirect(send, self._base() + "/")
            return
        policy.sessions.end(session)
        self._watch.end(session.id)
        await redirect(send, self._base() + "/", (("set-cookie", self._cookie("", 0, scope)),))

    def _cookie(self, value: str, max_age_s: int, scope: Scope) -> str:
        by_https = scope.get("scheme") == "https" or headers(scope).get("x-forwarded-proto") == "https"
        place = self._base() or "/"
        return (
            f"{COOKIE}={value}; Path={place}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
            f"{'; Secure' if by_https else ''}"
        )

    # --- no door ------------------------------------------------------------------------------------------------

    async def _refuse(self, policy: Policy, scope: Scope, send: Send) -> None:
        if _wants_page(scope):
            kind: Literal["broken", "closed"] = "broken" if policy.kind == "broken" else "closed"
            await self._show(View(kind, self._base(), problem=policy.problem), 403, scope, send)
            return
        remedy = policy.problem or "Set up a sign-in for the dashboard; docs/deploy.md says how."
        await send_json(send, 403, "closed", remedy, head=scope["method"] == "HEAD")

    async def _show(
        self, view: View, status: int, scope: Scope, send: Send, more: tuple[tuple[str, str], ...] = ()
    ) -> None:
        page, csp = self._draw(view, headers(scope).get("accept-language", ""))
        fields = (("content-security-policy", csp), *more)
        await send_body(send, status, page, "text/html; charset=utf-8", head=scope["method"] == "HEAD", more=fields)

    def _path(self, scope: Scope) -> str:
        """The path under the server's base path, where it has one."""
        path, base = str(scope["path"]), self._base()
        return path[len(base) :] if base and path.startswith(base + "/") else path


def _is_own_route(path: str) -> bool:
    """Whether the path is a JSON route or an OTLP route: they answer nothing without a token, or are public."""
    return path in {"/api", "/v1/traces", "/v1/metrics", "/v1/logs"} or path.startswith("/api/")


def _wants_page(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD", "POST"} and "text/html" in headers(scope).get("accept", "")


def _place(scope: Scope) -> str:
    """Where a request wanted to go, to go there after the sign-in."""
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(str(scope["path"]), safe="/~!$&'()*+,;=:@") + (f"?{query}" if query else "")


def _own_place(text: str, base: str) -> str:
    """A place of ours out of a form; anything that a browser could take for another site is the home page."""
    plain = all("!" <= char <= "~" for char in text)
    inside = text.startswith("/") and not text.startswith("//") and "\\" not in text and plain
    return text if inside and text.startswith(base + "/") and "/auth/" not in text.partition("?")[0] else base + "/"
