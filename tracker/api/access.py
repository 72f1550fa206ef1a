"""Who may use the API routes: bearer tokens of TRACKER_API_TOKENS, and tokens that the app signs for one user."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from tracker.api.problems import Problem
from tracker.auth.api_tokens import ApiAccess, accepts_api_tokens, check_token
from tracker.auth.attempt_limiter import MAX_REFUSALS, REFUSAL_WINDOW_S, SlidingWindow
from tracker.auth.client_address import request_headers
from tracker.auth.route_access import is_from_this_machine
from tracker.settings import Settings

MAX_REQUESTS, REQUEST_WINDOW_S = 600, 60.0
_MAX_NAMES = 10_000
_SECRET_PARAMETERS = {"access_token", "api_key", "apikey", "authorization", "key", "token"}
_LOCAL = ApiAccess("this machine")
_METHOD = Problem(405, "method not allowed", "Use GET.", (("allow", "GET, HEAD"),))
_TOKEN_IN_ADDRESS = Problem(
    400,
    "token in the address",
    "A token in the address is stored in logs and histories. Send it as Authorization: Bearer …, and replace this one.",
)
_UNAUTHORIZED = Problem(
    401,
    "unauthorized",
    "Send a token of TRACKER_API_TOKENS as Authorization: Bearer …; token-tracker api-token makes one. If none is set,"
    " only requests from this machine are accepted, and none on a deployed platform.",
    (("www-authenticate", "Bearer"),),
)


class ApiGate:
    """Checks the requests of all API routes; `settings` is called for each request."""

    def __init__(self, settings: Callable[[], Settings], clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._refusals = SlidingWindow(MAX_REFUSALS, REFUSAL_WINDOW_S, clock)
        self._requests: dict[str, SlidingWindow] = {}

    def check(self, scope: Mapping[str, Any]) -> ApiAccess | Problem:
        """What the request may read, or the problem to send."""
        if scope["method"] not in {"GET", "HEAD"}:
            return _METHOD
        query = scope.get("query_string", b"").decode("latin-1")
        if any(name.lower() in _SECRET_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
            return _TOKEN_IN_ADDRESS
        access = self._access(scope)
        if access is None:
            # The right token is always accepted; the limit slows down guessing.
            if wait_s := self._refusals.wait_s():
                return _too_many(wait_s)
            self._refusals.add()
            return _UNAUTHORIZED
        return self._limit(access)

    def _access(self, scope: Mapping[str, Any]) -> ApiAccess | None:
        settings = self._settings()
        if accepts_api_tokens(settings):
            scheme, _, token = request_headers(scope).get("authorization", "").partition(" ")
            return check_token(settings, token.strip(), time.time()) if scheme.lower() == "bearer" else None
        return _LOCAL if is_from_this_machine(scope, settings) else None

    def _limit(self, access: ApiAccess) -> ApiAccess | Problem:
        """Each token, and each user of signed tokens, has its own limit."""
        if len(self._requests) >= _MAX_NAMES:
            self._requests.clear()
        window = self._requests.setdefault(access.name, SlidingWindow(MAX_REQUESTS, REQUEST_WINDOW_S, self._clock))
        if wait_s := window.wait_s():
            return _too_many(wait_s)
        window.add()
        return access


def _too_many(wait_s: float) -> Problem:
    after_s = int(wait_s) + 1
    return Problem(429, "too many requests", f"Try again in {after_s} s.", (("retry-after", str(after_s)),))
