"""POST /v1/traces: only this machine or a request with the token may send, and tokens can't be tried fast."""

from __future__ import annotations

import pytest
from traces_support import app_on, export, post

from tracker.auth.attempt_limiter import MAX_REFUSALS

LOOPBACK, OTHER = ("127.0.0.1", 5000), ("192.0.2.7", 5000)
TOKEN = {"TRACKER_DEBUG_TOKEN": "s3cret-tök"}


@pytest.fixture
def make_app(database_url):
    """Makes the app on the test's database, in an environment."""
    return lambda url=database_url, **env: app_on(url, **env)


@pytest.mark.parametrize(
    ("env", "client", "headers", "status"),
    [
        ({}, LOOPBACK, {}, 200),
        ({}, ("::1", 1), {"host": "[::1]:8501"}, 200),
        ({}, ("::ffff:127.0.0.1", 1), {"host": "localhost"}, 200),
        ({}, OTHER, {}, 401),
        ({}, None, {}, 401),
        ({}, ("testclient", 1), {}, 401),
        ({}, LOOPBACK, {"x-forwarded-for": "127.0.0.1"}, 401),
        ({}, LOOPBACK, {"forwarded": "for=127.0.0.1"}, 401),
        ({}, LOOPBACK, {"host": "evil.example"}, 401),
        ({"TRACKER_PLATFORM": "server"}, LOOPBACK, {}, 401),
        ({"TRACKER_PLATFORM": "vercel"}, LOOPBACK, {}, 401),
        (TOKEN, LOOPBACK, {}, 401),
        (TOKEN, LOOPBACK, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, LOOPBACK, {"authorization": "s3cret-tök"}, 401),
        (TOKEN, LOOPBACK, {"authorization": "Bearer "}, 401),
        (TOKEN, OTHER, {"authorization": "Bearer s3cret-tök"}, 200),
        ({**TOKEN, "TRACKER_PLATFORM": "vercel"}, OTHER, {"authorization": "bearer s3cret-tök"}, 200),
    ],
)
def test_the_token_rule(make_app, env, client, headers, status):
    actual, answer_headers, answer = post(make_app(**env), export(), headers, client=client)
    assert actual == status
    assert b"s3cret" not in answer
    if status == 401:
        assert answer_headers["www-authenticate"] == "Bearer"


def test_tokens_cannot_be_tried_fast_and_an_app_with_the_right_one_loses_nothing(make_app):
    app = make_app(**TOKEN)
    wrong = [post(app, export(), {"authorization": f"Bearer {number}"})[0] for number in range(MAX_REFUSALS + 3)]
    assert wrong == [401] * MAX_REFUSALS + [429] * 3
    assert post(app, export(), {"authorization": "Bearer s3cret-tök"})[0] == 200
