"""The door: who gets through to pages, files and websockets, and what the others are told."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from middleware_support import ELSEWHERE, HERE, House

from tracker.auth.access_policy import decide
from tracker.auth.attempt_limiter import PER_PEER
from tracker.auth.logins import COOKIE
from tracker.auth.password_hash import hash_password
from tracker.settings import load

PASSWORD = "correct horse battery"
HASH = str(hash_password(PASSWORD))
WITH_PASSWORD = {"TRACKER_DASHBOARD_PASSWORD_HASH": HASH}
OPEN = {"TRACKER_DASHBOARD_OPEN": "true"}
PAGES = ["/", "/connections", "/static/js/index.js", "/_stcore/host-config", "/_stcore/metrics", "/media/a.csv"]


def through(house: House, **given) -> list[bool]:
    """Whether each of the pages, and the websocket, is let through."""
    pages = [house.get(path, **given).through for path in PAGES]
    return [*pages, asyncio.run(house.websocket(**given)) != ["websocket.close"]]


# --- nothing set up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_request", "more", "passes"),
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
def test_with_nothing_set_up_this_machine_itself_passes_and_nobody_else(given_request, more, passes):
    assert set(through(House(**more), **given_request)) == {passes}


def test_who_stands_outside_is_told_how_to_set_one_up():
    house = House(bound_to="0.0.0.0")
    answer = house.get("/connections", **ELSEWHERE)
    assert (answer.status, answer.view.kind) == (403, "closed")
    assert house.get("/connections", {"accept": "*/*"}, **ELSEWHERE).status == 403
    assert house.get("/", method="HEAD", **ELSEWHERE).body == b""


def test_health_and_the_routes_with_the_tokens_rule_are_not_the_doors():
    house = House(bound_to="0.0.0.0")
    for path in (
        "/_stcore/health",
        "/api/health",
        "/api/debug/token-tracking",
        "/v1/traces",
        "/v1/metrics",
        "/v1/logs",
        "/api",
        "/api/x",
    ):
        assert house.get(path, **ELSEWHERE).through, path
    for path in ("/apix", "/v1", "/_stcore/health2", "/_stcore/stream", "//api/health"):
        assert not house.get(path, **ELSEWHERE).through, path


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
def test_a_door_that_was_set_up_wrongly_lets_nobody_in_not_even_from_here(env):
    house = House(env)
    assert set(through(house)) == {False}
    answer = house.get("/")
    assert (answer.status, answer.view.kind) == (403, "broken")
    assert next(iter(env)) in answer.view.problem
    assert not any(text in answer.view.problem for text in ("hunter2", "perhaps", "example.org "))


def test_secrets_that_cannot_be_read_let_nobody_in():
    assert set(through(House(WITH_PASSWORD | OPEN, problem="The secrets can't be read."))) == {False}


def test_told_to_be_open_it_is_open():
    assert set(through(House(OPEN, bound_to="0.0.0.0"), **ELSEWHERE)) == {True}
    assert set(through(House(OPEN | {"TRACKER_PLATFORM": "server"}, bound_to="0.0.0.0"), **ELSEWHERE)) == {True}


# --- the password -------------------------------------------------------------------------------------------------


@pytest.fixture
def house():
    return House(WITH_PASSWORD, bound_to="0.0.0.0")


def cookie_of(answer) -> dict[str, str]:
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_without_the_password_nobody_passes_and_with_it_everything_does(house):
    assert set(through(house, **ELSEWHERE)) == {False}
    assert set(through(house)) == {False}
    answer = house.sign_in(PASSWORD, "/connections?range=7d", **ELSEWHERE)
    assert (answer.status, answer.headers["location"]) == (303, "/connections?range=7d")
    assert set(through(house, headers=cookie_of(answer), **ELSEWHERE)) == {True}


def test_the_form_keeps_where_one_wanted_to_go(house):
    answer = house.get("/connections", query="range=7d&model=a%20b")
    assert (answer.status, answer.view.kind, answer.view.next) == (401, "sign_in", "/connections?range=7d&model=a%20b")


def test_what_is_no_page_is_answered_in_json(house):
    answer = house.get("/static/js/index.js", {"accept": "*/*"})
    assert (answer.status, answer.headers["content-type"]) == (401, "application/json")


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites_and_travels_by_https_alone_where_there_is_one(house):
    plain = house.sign_in(PASSWORD).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(plain.split("; "))
    assert "Secure" not in plain
    assert house.sign_in(PASSWORD, headers={"x-forwarded-proto": "https"}).headers["set-cookie"].endswith("; Secure")


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
def test_the_sign_in_leads_nowhere_else(house, place):
    assert house.sign_in(PASSWORD, place).headers["location"] == "/"


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x", PASSWORD.upper(), pytest.param(HASH, id="hash")])
def test_a_wrong_password_is_told_and_starts_nothing(house, password):
    answer = house.sign_in(password)
    assert (answer.status, answer.view.kind) == (401, "wrong")
    assert "set-cookie" not in answer.headers


def test_passwords_cannot_be_tried_fast_and_who_is_in_stays_in(house):
    cookie = cookie_of(house.sign_in(PASSWORD))
    for _ in range(PER_PEER):
        assert house.sign_in("wrong").status == 401
    answer = house.sign_in(PASSWORD)
    assert (answer.status, answer.view.kind) == (429, "wait")
    assert int(answer.headers["retry-after"]) > 0
    assert house.sign_in(PASSWORD, client="192.0.2.9").status == 303
    assert house.get("/", cookie).through


def test_many_tries_at_once_do_not_slip_through(house):
    async def all_at_once():
        body = b"password=wrong&next=/"
        tries = (house.aget("/auth/login", method="POST", body=body) for _ in range(3 * PER_PEER))
        return [answer.status for answer in await asyncio.gather(*tries)]

    assert sorted(asyncio.run(all_at_once())) == [401] * PER_PEER + [429] * 2 * PER_PEER


def test_a_form_that_is_too_large_is_refused(house):
    assert house.get("/auth/login", method="POST", body=b"password=" + b"x" * 10_000).status == 413


def test_another_password_ends_every_session(house):
    cookie = cookie_of(house.sign_in(PASSWORD))
    other = House({"TRACKER_DASHBOARD_PASSWORD_HASH": str(hash_password("another long password"))})
    assert not other.get("/", cookie).through


@pytest.mark.parametrize("cookie", ["", "x", "1.a.99999999999.", "1.a.99999999999." + "0" * 64, "....", "\xff"])
def test_a_cookie_that_nobody_signed_opens_nothing(house, cookie):
    assert set(through(house, headers={"cookie": f"{COOKIE}={cookie}"})) == {False}


def test_signing_out_ends_the_session_and_cuts_what_is_open(house):
    cookie = cookie_of(house.sign_in(PASSWORD))

    async def sign_out():
        answer = await house.aget("/auth/logout", cookie)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert "Max-Age=0" in answer.headers["set-cookie"]

    assert asyncio.run(house.websocket(cookie, wait=sign_out)) == ["websocket.accept", "websocket.close"]
    assert set(through(house, headers=cookie)) == {False}


def test_another_sites_link_signs_nobody_out(house):
    cookie = cookie_of(house.sign_in(PASSWORD))
    house.get("/auth/logout", {**cookie, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert house.get("/", cookie).through


def test_a_websocket_is_cut_when_its_session_expires(house, monkeypatch):
    cookie = cookie_of(house.sign_in(PASSWORD))
    monkeypatch.setattr(type(house.policy.sessions), "seconds_left", lambda *_: 0.05)

    async def wait():
        await asyncio.sleep(0.1)

    assert asyncio.run(house.websocket(cookie, wait=wait)) == ["websocket.accept", "websocket.close"]


def test_under_a_base_path_the_door_is_there_too():
    house = House(WITH_PASSWORD, base="/tokens")
    assert house.get("/tokens/connections").view.next == "/tokens/connections"
    answer = asyncio.run(
        house.aget("/tokens/auth/login", method="POST", body=f"password={PASSWORD}&next=/tokens/explorer".encode())
    )
    assert answer.headers["location"] == "/tokens/explorer"
    assert "Path=/tokens;" in answer.headers["set-cookie"]
    assert house.get("/tokens/_stcore/health").through


# --- st.login -----------------------------------------------------------------------------------------------------


def test_with_st_login_the_pages_ask_and_streamlits_figures_are_kept_back():
    house = House(login=True, bound_to="0.0.0.0")
    assert house.get("/", **ELSEWHERE).through
    for path in ("/_stcore/metrics", "/_stcore/agent/interact"):
        assert house.get(path, **ELSEWHERE).status == 403


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
def test_the_list_says_who_may_enter(email, verified, welcome):
    policy = House({"TRACKER_DASHBOARD_USERS": "ann@example.com, @example.org"}, login=True).policy
    assert policy.is_welcome(email, verified) is welcome


# --- names and origins --------------------------------------------------------------------------------------------

EVIL = {"origin": "http://evil.example"}
ROUTES = ["/api/health", "/api/debug/token-tracking", "/v1/traces", "/v1/metrics", "/v1/logs", "/api/nothing"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("env", [{}, OPEN])
def test_a_foreign_name_on_the_loopback_is_refused_by_every_route(path, env):
    answer = House(env).get(path, host="evil.example:8501")
    assert (answer.status, answer.through) == (421, False)
    assert "evil.example" in answer.body.decode()
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host",
    ["[]", "[", "]", ":", "[::1", "127.0.0.1:x", "127.0.0.1:1:2", "a@127.0.0.1", "127.0.0.1, a", "\xff", "."],
)
def test_a_host_that_is_none_is_not_this_machines(host):
    assert set(through(House(), host=host)) == {False}
    assert House().get("/api/health", host=host).status == 421


def test_a_name_that_was_set_is_known():
    house = House(OPEN, hosts=("tokens.example.com", "*.internal.example"))
    for host in ("tokens.example.com", "Tokens.Example.com:443", "a.internal.example", "127.0.0.1:8501"):
        assert house.get("/", host=host).through, host
    for host in ("evil.example", "internal.example", "tokens.example.com.evil.example", ""):
        assert house.get("/", host=host).status == 421, host


def test_who_sends_a_token_is_no_foreign_page():
    assert House().get("/api/debug/token-tracking", {"authorization": "Bearer x"}, host="tokens.example.com").through


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
def test_a_request_of_another_sites_page_is_refused(path, headers, method):
    answer = House().get(path, headers, method=method)
    assert (answer.status, answer.through) == (403, False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HERE}"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_our_own_page_and_a_link_are_let_through(headers):
    house = House()
    assert house.get("/", headers).through
    assert house.get("/api/health", headers).through


def test_a_standard_port_needn_t_be_written():
    house = House(OPEN, bound_to="0.0.0.0")
    assert house.get("/", {"origin": "https://tokens.example.com"}, host="tokens.example.com").through
    assert not house.get("/", {"origin": "https://tokens.example.com:8443"}, host="tokens.example.com").through


@pytest.mark.parametrize("headers", [EVIL, {"origin": "http://localhost:3000"}, {"origin": "null"}])
@pytest.mark.parametrize("env", [{}, OPEN])
def test_another_sites_websocket_is_refused(headers, env):
    assert asyncio.run(House(env).websocket(headers)) == ["websocket.close"]


def test_an_origin_that_was_set_is_let_through():
    house = House(origins=("https://portal.example.com/",))
    assert house.get("/", {"origin": "https://portal.example.com"}).through
    assert House(any_origin=True).get("/", EVIL).through


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/health", "/connections"])
@pytest.mark.parametrize("env", [{}, WITH_PASSWORD])
def test_every_answer_carries_the_security_headers(path, env):
    headers = House(env).get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    assert "default-src" in headers["content-security-policy"]


def test_json_is_kept_by_nobody():
    assert House().get("/api/health").headers["cache-control"] == "no-store"


# --- whatever comes -----------------------------------------------------------------------------------------------

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
def test_no_request_gets_through_without_the_password_or_is_an_error_of_ours(method, path, headers, query, body):
    house = House(WITH_PASSWORD)
    answer = house.get(path, headers, method=method, query=query, body=body)
    assert answer.status in {200, 303, 401, 403, 413, 421, 429}
    free = (
        path == "/_stcore/health"
        or path == "/api"
        or path.startswith("/api/")
        or path in {"/v1/traces", "/v1/metrics", "/v1/logs"}
    )
    assert free or not answer.through
    assert b"Traceback" not in answer.body


def test_a_list_of_hosts_that_is_one_text_is_read_as_names():
    policy = decide(
        load({}),
        login=False,
        bound_to="127.0.0.1",
        hosts="tokens.example.com, b.example.com",
        origins="https://a.example",
    )
    assert policy.hosts == ("tokens.example.com", "b.example.com")
    assert policy.origins == ("https://a.example",)
