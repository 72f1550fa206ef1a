"""ASGI middleware that checks every request and WebSocket of the dashboard against the access policy.

`tracker.auth.route_rules` states the rule of each route, and `tracker.auth.access_policy` decides which requests pass.
With `st.login` the pages check the login, because that needs Streamlit's session. The debug report and the OTLP routes
check their token (`tracker.auth.route_access`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, quote

from tracker.auth.access_policy import CROSS_SITE_REFUSED, Policy, host_refused
from tracker.auth.attempt_limiter import LoginAttempts
from tracker.auth.client_address import peer_address, request_headers
from tracker.auth.http_responses import Receive, Send, read_form, redirect, send_body, send_json, with_headers
from tracker.auth.login_websockets import LoginWebSockets
from tracker.auth.logins import COOKIE, LIFETIME_S
from tracker.auth.route_rules import RouteRules, Rule

log = logging.getLogger("tracker.auth")
Scope = Mapping[str, Any]
App = Callable[[Any, Receive, Send], Awaitable[None]]

MAX_FORM_BYTES = 8192
_MAX_PARALLEL_CHECKS = 2
_SIGN_IN = "Sign in to the dashboard."


@dataclass(frozen=True, slots=True)
class AuthView:
    """The content of the auth page: the sign-in form, or why there is none."""

    kind: Literal["sign_in", "wrong", "wait", "closed", "broken"]
    base: str
    next: str = "/"
    wait_s: int = 0
    problem: str = ""


RenderAuthPage = Callable[[AuthView, str], tuple[bytes, str]]
"""Renders the page of a view for an Accept-Language header; returns it with its Content-Security-Policy."""


class AuthMiddleware:
    """Passes allowed requests to the app. `policy` is read at each request; `render` makes the auth page."""

    def __init__(
        self,
        app: App,
        policy: Callable[[], Policy],
        render: RenderAuthPage,
        csp: str,
        rules: RouteRules,
        base: Callable[[], str] = str,
    ) -> None:
        self._app = app
        self._policy = policy
        self._rules = rules
        self._render = render
        self._csp = csp
        self._base = base
        self._attempts = LoginAttempts()
        self._parallel_checks = asyncio.Semaphore(_MAX_PARALLEL_CHECKS)
        self._websockets = LoginWebSockets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._handle_request(scope, receive, with_headers(send, self._csp))
        elif scope["type"] == "websocket":
            await self._handle_websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _handle_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy, is_declared = self._policy(), self._rules.page_rule(self._path(scope)) == "page"
        refused = policy.rejects_host(scope) or policy.is_cross_site(scope) or not policy.allows(scope)
        if refused or not is_declared:
            await send({"type": "websocket.close", "code": 1008})
            return
        login, logins = policy.login(scope), policy.logins
        if login is None or logins is None:
            await self._app(scope, receive, send)
            return
        with self._websockets.track(login.id, logins.seconds_left(login), receive, send) as tracked:
            await self._app(scope, *tracked)

    async def _handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy, path = self._policy(), self._path(scope)
        head = scope["method"] == "HEAD"
        api_rule, page_rule = self._rules.api_rule(scope["path"]), self._rules.page_rule(path)
        if page_rule == "public":
            await self._app(scope, receive, send)
            return
        is_api = api_rule is not None or _is_api_path(scope["path"])
        if policy.is_cross_site(scope):
            await send_json(send, 403, "refused", CROSS_SITE_REFUSED, head=head)
            return
        # A page of another site can't send the Authorization header, and with the policy *local* a request for another
        # host name gets the set-up page.
        skips_host_check = "authorization" in request_headers(scope) if is_api else policy.kind == "local"
        if not skips_host_check and policy.rejects_host(scope):
            await send_json(send, 421, "refused", host_refused(scope), head=head)
            return
        if is_api:
            await self._handle_api(api_rule, policy, scope, receive, send)
        elif policy.allows(scope) and not (policy.kind == "login" and page_rule == "sign_in"):
            await self._forward(policy, path, page_rule, scope, receive, send)
        elif policy.kind == "password":
            await self._require_password(policy, path, scope, receive, send)
        else:
            await self._refuse(policy, scope, send)

    async def _handle_api(self, rule: Rule | None, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to a route that is public or checks a token itself; other rules need the policy."""
        if rule is None:
            await _send_not_found(scope, send)
        elif rule in {"public", "debug_token", "api_token", "usage_token"} or (
            policy.allows(scope) and policy.kind != "login"
        ):
            await self._app(scope, receive, send)
        else:
            status = 401 if policy.kind in {"password", "login"} else 403
            await send_json(send, status, "unauthorized", _SIGN_IN, head=scope["method"] == "HEAD")

    async def _forward(
        self, policy: Policy, path: str, rule: Rule | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if policy.kind == "password" and path == "/auth/logout":
            await self._sign_out(policy, scope, send)
        elif policy.kind == "password" and path == "/auth/login":
            await redirect(send, self._base() + "/")
        elif rule is not None:
            await self._app(scope, receive, send)
        elif scope["method"] in {"GET", "HEAD"} and _accepts_html(scope):
            await redirect(send, self._base() + "/")  # a mistyped address of a page
        else:
            await _send_not_found(scope, send)

    # --- shared password ---------------------------------------------------------------------------------------

    async def _require_password(self, policy: Policy, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if path == "/auth/login" and scope["method"] == "POST":
            await self._sign_in(policy, scope, receive, send)
        elif not _accepts_html(scope):
            await send_json(send, 401, "unauthorized", _SIGN_IN, head=scope["method"] == "HEAD")
        else:
            is_auth_path = path in {"/auth/login", "/auth/logout"}
            target = self._base() + "/" if is_auth_path else _requested_path(scope)
            await self._send_page(AuthView("sign_in", self._base(), target), 401, scope, send)

    async def _sign_in(self, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
        form = await read_form(receive, MAX_FORM_BYTES)
        if form is None:
            await send_json(send, 413, "too large", "Send the form of the sign-in page.", head=False)
            return
        fields = parse_qs(form.decode("utf-8", "replace"), keep_blank_values=True)
        password, target = fields.get("password", [""])[0], _safe_target(fields.get("next", [""])[0], self._base())
        peer = peer_address(scope)
        if wait_s := self._attempts.wait_s(peer):
            view = AuthView("wait", self._base(), target, wait_s=int(wait_s) + 1)
            await self._send_page(view, 429, scope, send, (("retry-after", str(view.wait_s)),))
            return
        self._attempts.count(peer)
        if await self._matches(policy, password) and policy.logins:
            self._attempts.uncount(peer)
            cookie = self._cookie(policy.logins.create(), LIFETIME_S, scope)
            await redirect(send, target, (("set-cookie", cookie),))
            return
        log.warning("Sign-in to the dashboard with a wrong password.")
        await self._send_page(AuthView("wrong", self._base(), target), 401, scope, send)

    async def _matches(self, policy: Policy, password: str) -> bool:
        """Whether the password is right. Few checks run in parallel: each takes 32 MiB and 0.1 s of a core."""
        async with self._parallel_checks:
            return policy.password is not None and await asyncio.to_thread(policy.password.matches, password)

    async def _sign_out(self, policy: Policy, scope: Scope, send: Send) -> None:
        # A link on another site must not sign the user out.
        is_cross_site = request_headers(scope).get("sec-fetch-site") == "cross-site"
        login = None if is_cross_site else policy.login(scope)
        if login is None or policy.logins is None:
            await redirect(send, self._base() + "/")
            return
        policy.logins.end(login)
        self._websockets.close(login.id)
        await redirect(send, self._base() + "/", (("set-cookie", self._cookie("", 0, scope)),))

    def _cookie(self, value: str, max_age_s: int, scope: Scope) -> str:
        is_https = scope.get("scheme") == "https" or request_headers(scope).get("x-forwarded-proto") == "https"
        return (
            f"{COOKIE}={value}; Path={self._base() or '/'}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax"
            f"{'; Secure' if is_https else ''}"
        )

    # --- refused requests --------------------------------------------------------------------------------------

    async def _refuse(self, policy: Policy, scope: Scope, send: Send) -> None:
        if _accepts_html(scope):
            kind: Literal["broken", "closed"] = "broken" if policy.kind == "broken" else "closed"
            await self._send_page(AuthView(kind, self._base(), problem=policy.problem), 403, scope, send)
            return
        remedy = policy.problem or "Set up a sign-in for the dashboard; see docs/deploy.md."
        await send_json(send, 403, "closed", remedy, head=scope["method"] == "HEAD")

    async def _send_page(
        self, view: AuthView, status: int, scope: Scope, send: Send, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        page, csp = self._render(view, request_headers(scope).get("accept-language", ""))
        headers = (("content-security-policy", csp), *headers)
        await send_body(send, status, page, "text/html; charset=utf-8", head=scope["method"] == "HEAD", headers=headers)

    def _path(self, scope: Scope) -> str:
        """The request path without the server's base path."""
        path, base = str(scope["path"]), self._base()
        return path[len(base) :] or "/" if base and (path + "/").startswith(base + "/") else path


def _is_api_path(path: str) -> bool:
    """Whether an undeclared path belongs to the API, whose clients expect JSON."""
    return path == "/api" or path.startswith("/api/")


async def _send_not_found(scope: Scope, send: Send) -> None:
    await send_json(send, 404, "not found", "No route has this path.", head=scope["method"] == "HEAD")


def _accepts_html(scope: Scope) -> bool:
    return scope["method"] in {"GET", "HEAD", "POST"} and "text/html" in request_headers(scope).get("accept", "")


def _requested_path(scope: Scope) -> str:
    """The path and query of a request: the redirect target after the sign-in."""
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(str(scope["path"]), safe="/~!$&'()*+,;=:@") + (f"?{query}" if query else "")


def _safe_target(text: str, base: str) -> str:
    """The redirect target of a form if it is a path of this dashboard; else the home page.

    A text that a browser could read as a URL of another site is not a path.
    """
    is_plain = all("!" <= char <= "~" for char in text)
    is_path = text.startswith("/") and not text.startswith("//") and "\\" not in text and is_plain
    return text if is_path and text.startswith(base + "/") and "/auth/" not in text.partition("?")[0] else base + "/"
