"""GET /metrics of a running dashboard: who may read it, and its format."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
from dashboard_support import Server
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tracker import TokenUsage, Tracker
from tracker.auth.api_tokens import Binding, create_token


def get(url: str, token: str | None = None) -> tuple[int, str, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.headers["Content-Type"], response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_route_of_a_dashboard(database_url: str, recorder: Tracker, start_dashboard: Callable[..., Server]) -> None:
    recorder.record(
        TokenUsage(provider="openai", model="gpt-5", input_tokens=100, output_tokens=10, user_id="ann smith")
    )
    all_calls, one_user = create_token("grafana"), create_token("ann", Binding("user", "ann smith"))
    key = "k" * 40
    server = start_dashboard(
        database_url,
        TRACKER_API_TOKENS=f"{all_calls.entry} {one_user.entry}",
        TRACKER_API_SIGNING_KEY=key,
        VERCEL="1",
    )
    url = f"{server.url}/metrics"
    status, content_type, text = get(url, all_calls.token)
    assert (status, content_type) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    tokens = {
        sample.labels["gen_ai_token_type"]: sample.value for sample in families["gen_ai_client_token_usage"].samples
    }
    assert tokens == {"input": 100.0, "output": 10.0}
    assert "ann smith" not in text
    expires = datetime.now(UTC) + timedelta(minutes=5)
    signed = jwt.encode({"sub": "ann smith", "exp": expires}, key, algorithm="HS256")
    refused = {
        "no token": (None, 401),
        "another token": ("tt_wrong", 401),
        "a bound token": (one_user.token, 403),
        "a signed token": (signed, 403),
        "an expired token": (jwt.encode({"sub": "a", "exp": 1}, key, algorithm="HS256"), 401),
        "a token without an end": (jwt.encode({"sub": "a"}, key, algorithm="HS256"), 401),
        "a token for a year": (
            jwt.encode({"sub": "a", "exp": expires + timedelta(days=365)}, key, algorithm="HS256"),
            401,
        ),
        "another key": (jwt.encode({"sub": "a", "exp": expires}, "x" * 40, algorithm="HS256"), 401),
        "no signature": (jwt.encode({"sub": "a", "exp": expires}, None, algorithm="none"), 401),
    }
    for name, (token, expected) in refused.items():
        status, content_type, text = get(url, token)
        assert (status, content_type) == (expected, "application/problem+json"), name
        assert json.loads(text)["status"] == expected, name
        assert key not in text, name
    status, _, text = get(f"{url}?token={all_calls.token}")
    assert (status, all_calls.token in text) == (400, False)
    assert server.get("/metrics", method="POST")[0] == 405


def test_a_variable_that_cannot_be_read_refuses_every_token(
    database_url: str, start_dashboard: Callable[..., Server]
) -> None:
    good = create_token("grafana")
    server = start_dashboard(database_url, TRACKER_API_TOKENS=f"{good.entry} grafana:hash")
    assert get(f"{server.url}/metrics", good.token)[0] == 401
    assert get(f"{server.url}/metrics")[0] == 401
