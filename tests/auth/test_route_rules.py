"""The rule of every route, requested under every kind of sign-in; a route without a rule is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from middleware_support import PAGE_NAMES, REMOTE_CLIENT, AuthResponse, ProtectedApp
from starlette.routing import Route

from tracker.auth.logins import COOKIE
from tracker.auth.password_hash import hash_password
from tracker.auth.route_rules import API_RULES, PAGE_RULES, RouteRules, Rule, route_rules

PASSWORD_HASH = str(hash_password("correct horse battery"))
WITH_PASSWORD = {"TRACKER_DASHBOARD_PASSWORD_HASH": PASSWORD_HASH}
ROUTES = {**API_RULES, **PAGE_RULES, **dict.fromkeys(map("/{}".format, PAGE_NAMES), "page")}
# The middleware answers these two paths itself when a password is configured.
ANSWERED = {"/auth/login", "/auth/logout"}
CHECKED_BY_ROUTE = {"public", "debug_token", "api_token", "usage_token"}
ALL_RULES = CHECKED_BY_ROUTE | {"sign_in", "page", "signed_link"}
REACHES = {
    "this machine": ALL_RULES,
    "another machine": CHECKED_BY_ROUTE,
    "open": ALL_RULES,
    "password, signed out": CHECKED_BY_ROUTE,
    "password, signed in": ALL_RULES,
    "st.login": ALL_RULES - {"sign_in"},
    "broken": CHECKED_BY_ROUTE,
}


def ask(kind: str, path: str, rules: RouteRules | None = None, **request: str) -> AuthResponse:
    """The response to a request for a path under this kind of sign-in."""
    env = {
        "open": {"TRACKER_DASHBOARD_OPEN": "true"},
        "password, signed out": WITH_PASSWORD,
        "password, signed in": WITH_PASSWORD,
        "broken": {"TRACKER_DASHBOARD_PASSWORD_HASH": "hunter2"},
    }.get(kind, {})
    app = ProtectedApp(env, login=kind == "st.login", rules=rules or route_rules(PAGE_NAMES))
    headers = {"accept": "*/*"}
    if kind == "password, signed in":
        assert app.policy.logins
        headers["cookie"] = f"{COOKIE}={app.policy.logins.create()}"
    client = {} if kind == "this machine" else {**REMOTE_CLIENT, "host": "127.0.0.1:8501"}
    return app.get(path, headers, **client, **request)


@pytest.mark.parametrize("kind", REACHES)
def test_every_route_is_reached_only_as_its_rule_allows(kind: str) -> None:
    for path, rule in ROUTES.items():
        if path not in ANSWERED:
            response = ask(kind, path.replace("*", "file"))
            assert response.passed is (rule in REACHES[kind]), (path, rule, response.status)
            assert response.passed or response.status in {401, 403}, (path, response.status)


@pytest.mark.parametrize("kind", REACHES)
@pytest.mark.parametrize("rule", sorted(ALL_RULES))
def test_each_rule_applies_to_a_new_route(kind: str, rule: Rule) -> None:
    if rule not in {"debug_token", "api_token", "usage_token"}:
        assert ask(kind, "/new", RouteRules({}, {"/new": rule})).passed is (rule in REACHES[kind])
    if rule in CHECKED_BY_ROUTE | {"sign_in"}:
        assert ask(kind, "/api/new", RouteRules({"/api/new": rule}, {})).passed is (rule in REACHES[kind])


@pytest.mark.parametrize("kind", REACHES)
@pytest.mark.parametrize("path", ["/api", "/api/new", "/export", "/v1/new", "/_stcore/new", "/connections/new"])
def test_a_route_without_a_rule_is_refused(kind: str, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        response = ask(kind, path, method=method)
        assert not response.passed
        is_allowed = path.startswith("/api") or "page" in REACHES[kind]
        assert response.status == 404 if is_allowed else response.status in {401, 403}


def test_a_mistyped_page_address_leads_to_the_overview() -> None:
    response = ProtectedApp().get("/conections")
    assert (response.status, response.headers["location"]) == (303, "/")


def test_a_websocket_without_a_rule_is_refused() -> None:
    app = ProtectedApp(rules=RouteRules(API_RULES, {"/": "page"}))
    assert asyncio.run(app.websocket()) == ["websocket.close"]


def test_every_route_and_page_of_the_dashboard_has_a_rule() -> None:
    import dashboard

    rules = route_rules(dashboard.page_names())
    for route in dashboard.app._user_routes:
        assert isinstance(route, Route)
        assert rules.api_rule(route.path) or rules.page_rule(route.path), route.path
    assert {"overview", "explorer", "connections"} <= set(dashboard.page_names())
    assert all((Path(dashboard.__file__).parent / "pages" / f"{name}.py").exists() for name in dashboard.page_names())
