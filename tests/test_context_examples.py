"""The web applications of examples/context under real servers: concurrent requests, streams, and readers that leave."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from api_server import running_api_server
from support import ROOT, child_environment, eventually, rows

GUNICORN = ("-m", "gunicorn", "--workers", "1", "--threads", "4", "--bind")
SERVERS = {
    "fastapi_app:app": ("-m", "uvicorn", "--log-level", "warning", "--port"),
    "flask_app:app": GUNICORN,
    "django_app:application": GUNICORN,
}
COLUMNS = "user_id, session_id, metadata ->> 'team', metadata ->> 'feature', count(*)"


@contextmanager
def serving(app: str, env: dict[str, str]) -> Iterator[int]:
    """The example's server in a process of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    where = str(port) if "uvicorn" in SERVERS[app] else f"127.0.0.1:{port}"
    command = [sys.executable, *SERVERS[app], where, app]
    process = subprocess.Popen(command, cwd=ROOT / "examples" / "context", env=child_environment(env))
    try:
        eventually(lambda: answers(port) or process.poll() is not None, within_s=60)
        assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, path: str, number: int | None) -> None:
    """One request of a user with an own session and team, or of nobody; every fourth reader of a stream leaves."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    own = {} if number is None else {"X-User": f"u{number}", "X-Session": f"s{number}", "X-Team": f"t{number}"}
    connection.request("POST", path, b"Why?", {"Content-Type": "text/plain", **own})
    response = connection.getresponse()
    assert response.status == 200
    if number is not None and number % 4 == 0 and path == "/stream":
        assert response.read(1) == b"H"
    else:
        assert response.read() == b"Hello"
    connection.close()


@pytest.mark.parametrize("app", list(SERVERS))
def test_calls_of_concurrent_requests_have_the_fields_of_their_request(app, database_url):
    pytest.importorskip(app.partition("_")[0])
    requests = [(path, number) for number in range(16) for path in ("/answer", "/stream")]
    requests += [(path, None) for _ in range(4) for path in ("/answer", "/stream")]
    with running_api_server() as provider:
        provider.delay_s, provider.pause_s = 0.01, 0.005
        env = {
            "DATABASE_URL": database_url,
            "DJANGO_SECRET_KEY": "k",
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": provider.url + "/v1",
        }
        with serving(app, env) as port, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda request: ask(port, *request), requests))
            [ask(port, *request) for request in requests[-8:]]  # the threads have served others before
            eventually(lambda: rows(database_url, "SELECT count(*) FROM token_usage") == [(len(requests) + 8,)], 20)
    found = {
        tuple(row[:4]): row[4] for row in rows(database_url, f"SELECT {COLUMNS} FROM token_usage GROUP BY 1,2,3,4")
    }
    expected = Counter(
        (
            *((f"u{n}", f"s{n}", f"t{n}") if n is not None else ("anonymous", None, None)),
            "chat" if path == "/stream" else None,
        )
        for path, n in (*requests, *requests[-8:])
    )
    assert found == expected
