"""A local HTTP server that answers as OpenAI, Anthropic, Gemini and Vertex AI do, for the real client libraries.

Each answer has its own response id and its own counts; `server.served` lists them, so that a test compares rows with
what was sent. `prepare` queues fixed answers, which are sent first.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anthropic_endpoints
import gemini_endpoints
import openai_endpoints
from endpoint_support import Served, error_body


class ApiServer(ThreadingHTTPServer):
    """Generates an answer for each request; the attributes set delays, errors, and repeated ids."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, Any]] = []
        self.served: list[Served] = []
        self.pause_s = 0.0  # between two events of a stream
        self.delay_s = 0.0  # before an answer
        self.repeat_ids = False
        self.same_counts = False
        self.polls_until_done = 1
        self.final_status = "completed"
        self.break_after: int | None = None  # events after which a stream's connection is cut
        self.fail_with: int | None = None  # HTTP status of every further answer
        self._number = 0
        self._lock = threading.Lock()
        self.stored: dict[str, dict[str, Any]] = {}  # responses, interactions, batches by id
        self.files: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def prepare(self, *bodies: Any, status: int = 200) -> None:
        """Queue fixed answers: a JSON body, or a list of server-sent events ("cut" breaks the connection)."""
        self.answers += [(status, body) for body in bodies]

    def serve_answer(self, api: str, model: str, stream: bool, prefix: str, **parts: int) -> Served:
        """Count one generated answer and return its id and counts."""
        with self._lock:
            self._number += 1
            number = 1 if self.same_counts else self._number
            served = Served(
                api,
                model,
                stream,
                f"{prefix}{1 if self.repeat_ids else self._number:06d}",
                1000 + number,
                parts.pop("output_tokens", 100 + number),
                **parts,
            )
            self.served.append(served)
            return served


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw[:1] == b"{" else raw
        self.server.requests.append((self.path, body))
        time.sleep(self.server.delay_s)
        if self.server.answers:
            self._send(*self.server.answers.pop(0))
        elif self.server.fail_with is not None:
            self._send(self.server.fail_with, error_body(self.server.fail_with))
        else:
            self._route(method, body)

    def _route(self, method: str, body: Any) -> None:
        path = urlsplit(self.path).path
        for verb, end, respond in _ROUTES:
            if verb == method and (rest := _match(path, end)) is not None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._send(*respond(self.server, body if isinstance(body, dict) else {"raw": body}, rest, query))
                return
        self._send(404, {"error": {"message": f"No route {method} {path}", "type": "not_found_error"}})

    def _send(self, status: int, answer: Any) -> None:
        if isinstance(answer, list):
            self._stream(answer)
            return
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/jsonl" if isinstance(answer, bytes) else "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        try:
            self.wfile.write(payload)
        except OSError:  # the client has cancelled
            self.close_connection = True

    def _stream(self, events: list[Any]) -> None:
        if self.server.break_after is not None:
            events = [*events[: self.server.break_after], "cut"]
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
                name = event.get("type") or event.get("event_type")
                head = f"event: {name}\n" if name else ""
                self.wfile.write(f"{head}data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
                time.sleep(self.server.pause_s)
            if events and "choices" in events[0]:
                self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        """Nothing on the tests' output."""


Respond = Callable[[ApiServer, dict[str, Any], str, dict[str, str]], tuple[int, Any]]


def _match(path: str, end: str) -> str | None:
    """The variable part `*` of a route, "" for a route without one; None when the path is another."""
    head, star, tail = end.partition("*")
    if not star:
        return "" if path.endswith(end) else None
    _, found, rest = path.rpartition(head) if head else ("", "/", path)
    if not found or not rest.endswith(tail):
        return None
    rest = rest[: len(rest) - len(tail)] if tail else rest
    return rest if rest and ("/" not in rest or not head) else None


# The first route whose end fits answers.
_ROUTES: tuple[tuple[str, str, Respond], ...] = (
    ("POST", "/chat/completions", openai_endpoints.chat),
    ("POST", "/completions", openai_endpoints.completion),
    ("POST", "/responses", openai_endpoints.responses),
    ("POST", "/responses/*/cancel", openai_endpoints.cancel_response),
    ("GET", "/responses/*/input_items", lambda *_: (200, {"object": "list", "data": [], "has_more": False})),
    ("GET", "/responses/*", openai_endpoints.retrieve_response),
    ("DELETE", "/responses/*", lambda _, __, key, ___: (200, {"id": key, "object": "response", "deleted": True})),
    ("POST", "/embeddings", openai_endpoints.embeddings),
    ("POST", "/moderations", openai_endpoints.moderations),
    ("GET", "/files/*/content", openai_endpoints.file_content),
    ("POST", "/files", openai_endpoints.create_file),
    ("GET", "/files/*", openai_endpoints.retrieve_file),
    ("POST", "/messages", anthropic_endpoints.messages),
    ("POST", "/messages/count_tokens", anthropic_endpoints.count_tokens),
    ("POST", "/messages/batches", anthropic_endpoints.create_message_batch),
    ("GET", "/messages/batches/*/results", anthropic_endpoints.message_batch_results),
    ("GET", "/messages/batches/*", anthropic_endpoints.retrieve_message_batch),
    ("POST", "/batches", openai_endpoints.create_batch),
    ("GET", "/batches", openai_endpoints.list_batches),
    ("GET", "/batches/*", gemini_endpoints.retrieve_gemini_batch),
    ("POST", "*:generateContent", gemini_endpoints.generate),
    ("POST", "*:streamGenerateContent", gemini_endpoints.generate_stream),
    ("POST", "*:batchEmbedContents", gemini_endpoints.embed_content),
    ("POST", "*:embedContent", gemini_endpoints.embed_content),
    ("POST", "*:countTokens", anthropic_endpoints.count_tokens),
    ("POST", "*:batchGenerateContent", gemini_endpoints.create_gemini_batch),
    ("POST", "*:predict", gemini_endpoints.vertex_predict),
    ("POST", "/interactions", gemini_endpoints.interactions),
    ("GET", "/interactions/*", gemini_endpoints.retrieve_interaction),
)


@contextmanager
def running_api_server() -> Iterator[ApiServer]:
    """A server that answers as long as the block lasts."""
    server = ApiServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
