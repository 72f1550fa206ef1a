"""A provider of AI on this machine, for the official clients to speak to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Provider(ThreadingHTTPServer):
    """Answers every request with the next prepared answer: a JSON body, a list of server-sent events, or an error."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, Any]] = []
        self.pause_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def prepare(self, *bodies: Any, status: int = 200) -> None:
        self.answers += [(status, body) for body in bodies]


class _Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, json.loads(body) if body[:1] == b"{" else body))
        status, answer = self.server.answers.pop(0)
        if isinstance(answer, list):
            self._stream(answer)
            return
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, events: list[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if "cut" in events:  # so that the client knows that something is missing
            self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.close_connection = True
        try:
            for event in events:
                if event == "cut":
                    self.connection.close()
                    return
                name = f"event: {event['type']}\n" if "type" in event else ""
                self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                time.sleep(self.server.pause_s)
            if not any("type" in event for event in events) and "choices" in events[0]:
                self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing on the tests' output."""


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider that answers as long as the block lasts."""
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)
