"""The nginx configuration of docs/deploy.md in front of a dashboard: TLS, compressed files, WebSocket, sign-in."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets
from dashboard_support import Server, free_port, start_server
from support import ROOT, eventually

from tracker.auth.password_hash import hash_password

NAME = "tokens.example.com"
PASSWORD = "correct horse battery"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture
def server(database_url: str) -> Iterator[Server]:
    env = {"DATABASE_URL": database_url, "TRACKER_PLATFORM": "server"}
    running = start_server({**env, "TRACKER_DASHBOARD_PASSWORD_HASH": str(hash_password(PASSWORD))})
    yield running
    running.process.terminate()
    running.process.wait(timeout=20)


@pytest.fixture
def port(server: Server, tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with the document's own block."""
    if NGINX is None:
        reason = "nginx is not installed: apt-get install nginx-light, or brew install nginx."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    block = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)[0]
    listening = free_port()
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={NAME} -keyout privkey.pem -out fullchain.pem"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    block = block.replace("listen 443", f"listen 127.0.0.1:{listening}").replace(
        f"/etc/letsencrypt/live/{NAME}", str(tmp_path)
    )
    assert "http://127.0.0.1:8501" in block
    block = block.replace("http://127.0.0.1:8501", server.url)
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}\n"
        f"http {{ access_log off; types {{ text/html html; }} {paths}\n{block}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-e", str(tmp_path / "errors"), "-c", str(tmp_path / "nginx.conf")])
    eventually(lambda: process.poll() is None and _answers(listening))
    yield listening
    process.terminate()
    process.wait(timeout=20)


def _answers(port: int) -> bool:
    try:
        ask(port, "/_stcore/health")
    except OSError:
        return False
    return True


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(
    port: int, path: str, method: str = "GET", body: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting())
    given = {"Host": f"{NAME}:{port}", "Accept": "text/html", **headers}
    connection.request(method, path, body or None, given)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer, found


async def upgraded(port: int, cookie: str) -> bool:
    """Whether the websocket opens through the proxy, as a browser on its page asks for it."""
    connect = websockets.connect(
        f"wss://{NAME}:{port}/_stcore/stream",
        host="127.0.0.1",
        port=port,
        ssl=trusting(),
        origin=websockets.Origin(f"https://{NAME}:{port}"),
        additional_headers={"Cookie": cookie},
        subprotocols=[websockets.Subprotocol("streamlit")],
    )
    try:
        async with connect:
            return True
    except websockets.exceptions.InvalidStatus as refused:
        assert refused.response.status_code == 403
        return False


def test_the_documented_proxy_passes_the_sign_in_the_websocket_and_compressed_files(port: int) -> None:
    answer, page = ask(port, "/connections")
    assert (answer.status, b"/auth/login" in page) == (401, True)
    assert answer.headers["Strict-Transport-Security"]
    assert not asyncio.run(upgraded(port, ""))

    form = f"password={PASSWORD.replace(' ', '+')}&next=/connections"
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{NAME}:{port}"}
    answer, _ = ask(port, "/auth/login", "POST", form, **kind)
    assert (answer.status, answer.headers["Location"]) == (303, "/connections")
    assert answer.headers["Set-Cookie"].endswith("; Secure")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert asyncio.run(upgraded(port, cookie))

    _, page = ask(port, "/", Cookie=cookie)
    script = re.findall(r'src="\./(static/js/[^"]+)"', page.decode())[0]
    answer, packed = ask(port, f"/{script}", Cookie=cookie, **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(packed)) > 2 * len(packed)
    # Wrong passwords are counted by the address that connects to the proxy; a client cannot set X-Forwarded-For.
    tries = [
        ask(port, "/auth/login", "POST", "password=x", **kind, **{"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(11)
    ]
    assert [answer.status for answer, _ in tries] == [401] * 10 + [429]
