"""Fetching a deployed report: the token, the time limit, redirects, and private networks."""

from __future__ import annotations

import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tracker.diagnostics.fetch_report import (
    MAX_BYTES,
    REPORT_PATH,
    FetchError,
    fetch_report,
    is_private_url,
    is_public_address,
)

REPORT = {"environment": {"NODE_ENV": "production"}, "database": {}, "tokenUsage": {}, "recommendations": []}


@pytest.fixture
def serve() -> Iterator[Callable]:
    """Starts a server whose responses a function writes; returns its port and the received requests."""
    running = []

    def start(answer: Callable, context: ssl.SSLContext | None = None) -> tuple[int, list]:
        requests: list = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append((self.path, dict(self.headers)))
                answer(self)

            def log_message(self, *_) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return server.server_port, requests

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def json_answer(body: object, status: int = 200) -> Callable:
    def answer(handler) -> None:
        data = json.dumps(body).encode() if not isinstance(body, bytes) else body
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def test_the_token_is_sent_in_the_header_and_the_default_path_is_added(serve):
    port, requests = serve(json_answer(REPORT))
    assert fetch_report(f"http://127.0.0.1:{port}", "t0ken", private=True) == REPORT
    path, headers = requests[0]
    assert (path, headers["Authorization"]) == (REPORT_PATH, "Bearer t0ken")


def test_an_unhealthy_report_is_a_report(serve):
    port, _ = serve(json_answer({**REPORT, "healthy": False}, 503))
    assert fetch_report(f"http://127.0.0.1:{port}/api/route?x=1", private=True)["healthy"] is False


def test_a_redirect_is_not_followed(serve):
    target, requests = serve(json_answer(REPORT))

    def redirect(handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{target}/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    port, _ = serve(redirect)
    with pytest.raises(FetchError, match="redirect"):
        fetch_report(f"http://127.0.0.1:{port}", "t0ken", private=True)
    assert requests == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"]
)
def test_private_addresses_are_refused_by_default(serve, host):
    port, requests = serve(json_answer(REPORT))
    with pytest.raises(FetchError, match="only on request"):
        fetch_report(f"http://{host}:{port}", "t0ken")
    assert requests == []


def test_a_name_of_this_machine_is_refused_and_resolved_once(serve, monkeypatch):
    port, requests = serve(json_answer(REPORT))
    real, answers = socket.getaddrinfo, ["93.184.216.34", "127.0.0.1"]
    resolved = []

    def rebinding(host, *arguments, **options):
        if host != "report.example.com":
            return real(host, *arguments, **options)
        resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(resolved) - 1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(FetchError):
        fetch_report(f"https://report.example.com:{port}", "t0ken", timeout_s=0.5)
    assert len(resolved) == 1
    assert requests == []
    with pytest.raises(FetchError, match="only on request"):
        fetch_report(f"https://report.example.com:{port}", "t0ken")


@pytest.mark.parametrize(
    "url",
    ["ftp://x.example/", "x.example", "", "https://", "https://u:s3cret@x.example/", "https://x.example:99999/",
     "https://x.example/a b", "https://x.example/\n", "http://[::1/", "https://x.example:s3cret/"],
)  # fmt: skip
def test_an_invalid_url_is_an_error_without_its_password(url):
    with pytest.raises(FetchError) as caught:
        fetch_report(url, "t0ken")
    assert "s3cret" not in str(caught.value)


def test_the_token_is_never_sent_unencrypted_over_the_internet(monkeypatch):
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public)
    with pytest.raises(FetchError, match="https://"):
        fetch_report("http://report.example.com", "t0ken")


def test_a_server_that_sends_single_bytes_is_stopped_at_the_time_limit(serve):
    def drip(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.1)

    port, _ = serve(drip)
    started = time.monotonic()
    with pytest.raises(FetchError):
        fetch_report(f"http://127.0.0.1:{port}", private=True, timeout_s=1)
    assert time.monotonic() - started < 3


def test_a_server_that_never_answers_times_out(serve):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(FetchError, match="in time"):
            fetch_report(f"http://127.0.0.1:{silent.getsockname()[1]}", private=True, timeout_s=0.5)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (json_answer({"error": "unauthorized"}, 401), "TRACKER_DEBUG_TOKEN"),
        (json_answer(b"<html>Authentication Required</html>", 401), "Deployment Protection"),
        (json_answer(b"<html>", 404), "not with a debug report"),
        (json_answer([1]), "not with a debug report"),
        (json_answer({"environment": 1}), "not with a debug report"),
        (json_answer(b" " * (MAX_BYTES + 10)), "larger than"),
        (json_answer(b"\xff\xfe"), "not with a debug report"),
    ],
)
def test_a_response_that_is_no_report_is_an_error(serve, answer, words):
    port, _ = serve(answer)
    with pytest.raises(FetchError, match=words):
        fetch_report(f"http://127.0.0.1:{port}", "t0ken", private=True)


def test_a_server_with_an_unsigned_certificate_gets_no_token(serve, certificates):
    key, certificate = certificates("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port, requests = serve(json_answer(REPORT), context)
    with pytest.raises(FetchError, match="certificate"):
        fetch_report(f"https://localhost:{port}", "t0ken", private=True)
    assert requests == []


def test_a_url_is_private_if_its_host_is_written_as_a_private_address():
    assert is_private_url("http://localhost:3000") and is_private_url("http://[::1]/")
    assert not is_private_url("https://your-app.vercel.app")


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("8.8.8.8", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("2606:4700::1111", True),
        ("::1", False),
        ("fd00::1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:169.254.169.254", False),
        ("::ffff:0:10.0.0.1", False),
        ("::10.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::8.8.8.8", False),
        ("64:ff9b:1:ffff::1", False),
        ("2002:a00:1::1", False),
        ("2002:a9fe:a9fe::", False),
        ("2002:808:808::1", True),
        ("ff02::1", False),
        ("224.0.0.1", False),
    ],
)
def test_an_embedded_ipv4_address_decides_whether_an_address_is_public(address: str, is_public: bool) -> None:
    assert is_public_address(ipaddress.ip_address(address)) is is_public


def test_a_deeply_nested_response_is_an_error(serve) -> None:
    port, _ = serve(json_answer(b'{"environment": ' + b"[" * 100_000))
    with pytest.raises(FetchError, match="not with a debug report"):
        fetch_report(f"http://127.0.0.1:{port}", private=True)
