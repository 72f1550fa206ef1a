"""The auth middleware: which requests reach pages, files, and WebSockets, and the response to the others."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from middleware_support import LOCAL_HOST, REMOTE_CLIENT, ProtectedApp

from tracker.auth.access_policy import resolve_policy
from tracker.auth.attempt_limiter import MAX_PER_PEER
from tracker.auth.logins import COOKIE
from tracker.auth.password_hash import hash_password
from tracker.settings import load

PASSWORD = "correct horse battery"
HASH = str(hash_password(PASSWORD))
WITH_PASSWORD = {"TRACKER_DASHBOARD_PASSWORD_HASH": HASH}
OPEN = {"TRACKER_DASHBOARD_OPEN": "true"}
PAGES = ["/", "/connections", "/static/js/index.js", "/_stcore/host-config", "/_stcore/metrics", "/media/a.csv"]


def passed_pages(app: ProtectedApp, **given) -> list[bool]:
    """Whether the middleware passes each of the pages and the WebSocket."""
    pages = [app.get(path, **given).passed for path in PAGES]
    return [*pages, asyncio.run(app.websocket(**given)) != ["websocket.close"]]


# --- no sign-in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_fields", "more", "passes"),
    [
        ({}, {}, True),
        ({"client": "::1", "host": "[::1]:8501"}, {"bound_to": "::1"}, True),
        ({"host": "localhost:8501"}, {}, True),
        ({"client": "::ffff:127.0.0.1", "host": "localhost"}, {}, True),
        ({"host": "tokens.example.com"}, {}, False),
        ({"host": ""}, {}, False),
        ({"headers": {"Host": "127.0.0.1"}, "host": "tokens.example.com"}, {}, False),
        ({"headers": {"Host": "tokens.example.com"}}, {}, False),
        ({"host": "localhost.example.com"}, {}, False),
        ({"headers": {"x-forwarded-for": "127.0.0.1"}}, {}, False),
        ({"headers": {"x-forwarded-host": "tokens.example.com"}}, {}, False),
        ({"headers": {"forwarded": "for=127.0.0.1"}}, {}, False),
        ({"headers": {"via": "1.1 proxy"}}, {}, False),
        ({"client": "192.0.2.7"}, {}, False),
        ({"client": ""}, {}, False),
        ({}, {"bound_to": "0.0.0.0"}, False),
        ({}, {"bound_to": "::"}, False),
        ({}, {"bound_to": None}, False),
        ({}, {"bound_to": "192.0.2.1"}, False),
        ({}, {"env": {"TRACKER_PLATFORM": "server"}}, True),
        ({}, {"env": {"K_SERVICE": "dashboard"}, "bound_to": "0.0.0.0"}, False),
    ],
)
def test_without_a_sign_in_only_requests_of_this_machine_pass(request_fields, more, passes):
    assert set(passed_pages(ProtectedApp(**more), **request_fields)) == {passes}


def test_a_refused_client_gets_the_set_up_page():
    app = ProtectedApp(bound_to="0.0.0.0")
    response = app.get("/connections", **REMOTE_CLIENT)
    assert (response.status, response.view.kind) == (403, "closed")
    assert app.get("/connections", {"accept": "*/*"}, **REMOTE_CLIENT).status == 403
    assert app.get("/", method="HEAD", **REMOTE_CLIENT).body == b""


def test_health_and_the_token_routes_are_not_protected_by_the_middleware():
    app = ProtectedApp(bound_to="0.0.0.0")
    for path in (
        "/_stcore/health",
        "/api/health",
        "/api/debug/token-tracking",
        "/v1/traces",
        "/v1/metrics",
        "/v1/logs",
    ):
        assert app.get(path, **REMOTE_CLIENT).passed, path
    for path in ("/apix", "/v1", "/_stcore/health2", "/_stcore/stream", "//api/health"):
        assert not app.get(path, **REMOTE_CLIENT).passed, path


@pytest.mark.parametrize(
    "env",
    [
        {"TRACKER_DASHBOARD_PASSWORD_HASH": "hunter2"},
        {"TRACKER_DASHBOARD_PASSWORD_HASH": HASH[:-5]},
        {"TRACKER_DASHBOARD_OPEN": "perhaps"},
        {"TRACKER_DASHBOARD_USERS": "example.org"},
        {"TRACKER_DASHBOARD_USERS": "ann@example.com; bob"},
        {"TRACKER_DASHBOARD_USERS": ","},
        {"TRACKER_DASHBOARD_USERS": "   "},
        {"TRACKER_DASHBOARD_PASSWORD_HASH": "  ", "TRACKER_DASHBOARD_OPEN": "true"},
        {"TRACKER_DASHBOARD_OPEN": "  "},
    ],
)
def test_an_unreadable_sign_in_setting_refuses_every_request(env):
    app = ProtectedApp(env)
    assert set(passed_pages(app)) == {False}
    response = app.get("/")
    assert (response.status, response.view.kind) == (403, "broken")
    assert next(iter(env)) in response.view.problem
    assert not any(text in response.view.problem for text in ("hunter2", "perhaps", "example.org "))


def test_unreadable_secrets_refuse_every_request():
    assert set(passed_pages(ProtectedApp(WITH_PASSWORD | OPEN, problem="The secrets can't be read."))) == {False}


def test_the_open_setting_allows_every_request():
    assert set(passed_pages(ProtectedApp(OPEN, bound_to="0.0.0.0"), **REMOTE_CLIENT)) == {True}
    assert set(
        passed_pages(ProtectedApp(OPEN | {"TRACKER_PLATFORM": "server"}, bound_to="0.0.0.0"), **REMOTE_CLIENT)
    ) == {True}


# --- the password -------------------------------------------------------------------------------------------------


@pytest.fixture
def app():
    return ProtectedApp(WITH_PASSWORD, bound_to="0.0.0.0")


def cookie_of(response) -> dict[str, str]:
    return {"cookie": response.headers["set-cookie"].partition(";")[0]}


def test_requests_pass_only_with_the_password(app):
    assert set(passed_pages(app, **REMOTE_CLIENT)) == {False}
    assert set(passed_pages(app)) == {False}
    response = app.sign_in(PASSWORD, "/connections?range=7d", **REMOTE_CLIENT)
    assert (response.status, response.headers["location"]) == (303, "/connections?range=7d")
    assert set(passed_pages(app, headers=cookie_of(response), **REMOTE_CLIENT)) == {True}


def test_the_form_keeps_the_requested_path(app):
    response = app.get("/connections", query="range=7d&model=a%20b")
    assert (response.status, response.view.kind, response.view.next) == (
        401,
        "sign_in",
        "/connections?range=7d&model=a%20b",
    )


def test_a_request_that_does_not_accept_html_gets_json(app):
    response = app.get("/static/js/index.js", {"accept": "*/*"})
    assert (response.status, response.headers["content-type"]) == (401, "application/json")


def test_the_cookie_is_http_only_same_site_and_secure_with_https(app):
    plain = app.sign_in(PASSWORD).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(plain.split("; "))
    assert "Secure" not in plain
    assert app.sign_in(PASSWORD, headers={"x-forwarded-proto": "https"}).headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "",
        "x",
        "/a\r\nset-cookie: x",
        "/auth/logout",
    ],
)
def test_the_sign_in_redirects_to_this_site_only(app, place):
    assert app.sign_in(PASSWORD, place).headers["location"] == "/"


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x", PASSWORD.upper(), pytest.param(HASH, id="hash")])
def test_a_wrong_password_shows_an_error_and_sets_no_cookie(app, password):
    response = app.sign_in(password)
    assert (response.status, response.view.kind) == (401, "wrong")
    assert "set-cookie" not in response.headers


def test_attempts_are_limited_and_existing_logins_stay_valid(app):
    cookie = cookie_of(app.sign_in(PASSWORD))
    for _ in range(MAX_PER_PEER):
        assert app.sign_in("wrong").status == 401
    response = app.sign_in(PASSWORD)
    assert (response.status, response.view.kind) == (429, "wait")
    assert int(response.headers["retry-after"]) > 0
    assert app.sign_in(PASSWORD, client="192.0.2.9").status == 303
    assert app.get("/", cookie).passed


def test_parallel_attempts_are_limited_too(app):
    async def all_at_once():
        body = b"password=wrong&next=/"
        tries = (app.aget("/auth/login", method="POST", body=body) for _ in range(3 * MAX_PER_PEER))
        return [response.status for response in await asyncio.gather(*tries)]

    assert sorted(asyncio.run(all_at_once())) == [401] * MAX_PER_PEER + [429] * 2 * MAX_PER_PEER


def test_a_form_that_is_too_large_is_refused(app):
    assert app.get("/auth/login", method="POST", body=b"password=" + b"x" * 10_000).status == 413


def test_a_new_password_ends_every_login(app):
    cookie = cookie_of(app.sign_in(PASSWORD))
    other = ProtectedApp({"TRACKER_DASHBOARD_PASSWORD_HASH": str(hash_password("another long password"))})
    assert not other.get("/", cookie).passed


@pytest.mark.parametrize("cookie", ["", "x", "1.a.99999999999.", "1.a.99999999999." + "0" * 64, "....", "\xff"])
def test_an_unsigned_cookie_is_refused(app, cookie):
    assert set(passed_pages(app, headers={"cookie": f"{COOKIE}={cookie}"})) == {False}


def test_signing_out_ends_the_login_and_closes_its_websockets(app):
    cookie = cookie_of(app.sign_in(PASSWORD))

    async def sign_out():
        response = await app.aget("/auth/logout", cookie)
        assert (response.status, response.headers["location"]) == (303, "/")
        assert "Max-Age=0" in response.headers["set-cookie"]

    assert asyncio.run(app.websocket(cookie, wait=sign_out)) == ["websocket.accept", "websocket.close"]
    assert set(passed_pages(app, headers=cookie)) == {False}


def test_a_link_on_another_site_does_not_sign_out(app):
    cookie = cookie_of(app.sign_in(PASSWORD))
    app.get("/auth/logout", {**cookie, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert app.get("/", cookie).passed


def test_a_websocket_is_closed_when_its_login_expires(app, monkeypatch):
    cookie = cookie_of(app.sign_in(PASSWORD))
    monkeypatch.setattr(type(app.policy.logins), "seconds_left", lambda *_: 0.05)

    async def wait():
        await asyncio.sleep(0.1)

    assert asyncio.run(app.websocket(cookie, wait=wait)) == ["websocket.accept", "websocket.close"]


def test_the_middleware_works_under_a_base_path():
    app = ProtectedApp(WITH_PASSWORD, base="/tokens")
    assert app.get("/tokens/connections").view.next == "/tokens/connections"
    response = asyncio.run(
        app.aget("/tokens/auth/login", method="POST", body=f"password={PASSWORD}&next=/tokens/explorer".encode())
    )
    assert response.headers["location"] == "/tokens/explorer"
    assert "Path=/tokens;" in response.headers["set-cookie"]
    assert app.get("/tokens/_stcore/health").passed


# --- st.login -----------------------------------------------------------------------------------------------------


def test_with_st_login_pages_pass_and_streamlits_metrics_are_refused():
    app = ProtectedApp(login=True, bound_to="0.0.0.0")
    assert app.get("/", **REMOTE_CLIENT).passed
    for path in ("/_stcore/metrics", "/_stcore/agent/interact"):
        assert app.get(path, **REMOTE_CLIENT).status == 403


@pytest.mark.parametrize(
    ("email", "verified", "welcome"),
    [
        ("ann@example.com", True, True),
        ("Ann@Example.com", None, True),
        ("bob@example.org", True, True),
        ("bob@example.com", True, False),
        ("ann@example.com", False, False),
        ("ann@example.com", "false", False),
        ("ann@example.com", "true", True),
        ("ann@example.com", "no", False),
        ("ann@example.com", 0, False),
        ("ann@example.com", "", False),
        ("bob@example.org.evil.example", True, False),
        ("bob@evil.example@example.com", True, False),
        ("", True, False),
        (None, None, False),
    ],
)
def test_only_listed_users_may_enter(email, verified, welcome):
    policy = ProtectedApp({"TRACKER_DASHBOARD_USERS": "ann@example.com, @example.org"}, login=True).policy
    assert policy.is_listed_user(email, verified) is welcome


# --- names and origins --------------------------------------------------------------------------------------------

EVIL = {"origin": "http://evil.example"}
ROUTES = ["/api/health", "/api/debug/token-tracking", "/v1/traces", "/v1/metrics", "/v1/logs", "/api/nothing"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("env", [{}, OPEN])
def test_every_route_refuses_an_unknown_host_name_on_the_loopback(path, env):
    response = ProtectedApp(env).get(path, host="evil.example:8501")
    assert (response.status, response.passed) == (421, False)
    assert "evil.example" in response.body.decode()
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host",
    ["[]", "[", "]", ":", "[::1", "127.0.0.1:x", "127.0.0.1:1:2", "a@127.0.0.1", "127.0.0.1, a", "\xff", "."],
)
def test_a_malformed_host_is_refused(host):
    assert set(passed_pages(ProtectedApp(), host=host)) == {False}
    assert ProtectedApp().get("/api/health", host=host).status == 421


def test_a_listed_host_name_is_allowed():
    app = ProtectedApp(OPEN, hosts=("tokens.example.com", "*.internal.example"))
    for host in ("tokens.example.com", "Tokens.Example.com:443", "a.internal.example", "127.0.0.1:8501"):
        assert app.get("/", host=host).passed, host
    for host in ("evil.example", "internal.example", "tokens.example.com.evil.example", ""):
        assert app.get("/", host=host).status == 421, host


def test_a_request_with_a_token_skips_the_host_check():
    assert (
        ProtectedApp().get("/api/debug/token-tracking", {"authorization": "Bearer x"}, host="tokens.example.com").passed
    )


@pytest.mark.parametrize("path", [*ROUTES, "/", "/connections"])
@pytest.mark.parametrize(
    "headers",
    [
        EVIL,
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8501"},
        {"origin": "http://127.0.0.1:8501.evil.example"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_cross_site_request_is_refused(path, headers, method):
    response = ProtectedApp().get(path, headers, method=method)
    assert (response.status, response.passed) == (403, False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{LOCAL_HOST}"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_same_origin_requests_and_links_pass(headers):
    app = ProtectedApp()
    assert app.get("/", headers).passed
    assert app.get("/api/health", headers).passed


def test_the_default_port_of_an_origin_may_be_omitted():
    app = ProtectedApp(OPEN, bound_to="0.0.0.0")
    assert app.get("/", {"origin": "https://tokens.example.com"}, host="tokens.example.com").passed
    assert not app.get("/", {"origin": "https://tokens.example.com:8443"}, host="tokens.example.com").passed


@pytest.mark.parametrize("headers", [EVIL, {"origin": "http://localhost:3000"}, {"origin": "null"}])
@pytest.mark.parametrize("env", [{}, OPEN])
def test_a_cross_site_websocket_is_refused(headers, env):
    assert asyncio.run(ProtectedApp(env).websocket(headers)) == ["websocket.close"]


def test_a_listed_origin_is_allowed():
    app = ProtectedApp(origins=("https://portal.example.com/",))
    assert app.get("/", {"origin": "https://portal.example.com"}).passed
    assert ProtectedApp(any_origin=True).get("/", EVIL).passed


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/health", "/connections"])
@pytest.mark.parametrize("env", [{}, WITH_PASSWORD])
def test_every_response_has_the_security_headers(path, env):
    headers = ProtectedApp(env).get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    assert "default-src" in headers["content-security-policy"]


def test_json_is_not_cached():
    assert ProtectedApp().get("/api/health").headers["cache-control"] == "no-store"


# --- random requests -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["host", "origin", "cookie", "accept", "x-forwarded-for", "x-forwarded-proto", "sec-fetch-site", "authorization"]
)


@settings(max_examples=150)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"]),
    path=st.sampled_from([*PAGES, *ROUTES, "/auth/login", "/auth/logout"]) | st.text(max_size=60).map("/{}".format),
    headers=st.dictionaries(NAMES, st.text(st.characters(max_codepoint=255), max_size=60), max_size=5),
    query=st.text("abc=&%/\\\"'<>", max_size=40),
    body=st.binary(max_size=300),
)
def test_no_request_passes_without_the_password_or_causes_a_server_error(method, path, headers, query, body):
    app = ProtectedApp(WITH_PASSWORD)
    response = app.get(path, headers, method=method, query=query, body=body)
    assert response.status in {200, 303, 401, 403, 404, 413, 421, 429}
    free = (
        path == "/_stcore/health"
        or path in {"/api/health", "/api/debug/token-tracking"}
        or path in {"/v1/traces", "/v1/metrics", "/v1/logs"}
    )
    assert free or not response.passed
    assert b"Traceback" not in response.body


def test_hosts_and_origins_may_be_one_string():
    policy = resolve_policy(
        load({}),
        login=False,
        bound_to="127.0.0.1",
        hosts="tokens.example.com, b.example.com",
        origins="https://a.example",
    )
    assert policy.hosts == ("tokens.example.com", "b.example.com")
    assert policy.origins == ("https://a.example",)
