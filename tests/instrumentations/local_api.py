"""A provider's HTTP API for captures: it answers every request and keeps what each answer stated.

tests/api_server.py serves the tests of clients. This one serves captures, which are compared by their numbers: each
part of a usage has a count of its own, so that a span that states it can be recognised. It also speaks Bedrock's,
Cohere's and Ollama's formats, calls a tool once, and fails where the prompt says so ("fail 429", "cut stream").
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from api_anthropic import converse, invoke, messages
from api_openai import embeddings, openai_chat, responses
from api_others import cohere_chat, cohere_embed, gemini, ollama

Usage = dict[str, int]


class LocalApi(ThreadingHTTPServer):
    """Answers in the format of the provider whose path is requested; `calls` lists what was answered."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[dict[str, Any]] = []
        self.numbers = itertools.count(1)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join(5)
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalApi
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json(404, {"error": {"message": "not here"}})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw[:1] in (b"{", b"[") else {}
        path = unquote(self.path.partition("?")[0])
        for pattern, answer in _ROUTES:
            match = re.search(pattern, path)
            if match:
                self._answer(answer, match, body, raw.decode(errors="replace"))
                return
        self._json(404, {"error": {"message": f"no route {path}"}})

    def _answer(self, answer: Any, match: re.Match[str], body: Any, text: str) -> None:
        number = next(self.server.numbers)
        call: dict[str, Any] = {"path": match.group(0), "success": True}
        failing = re.search(r"fail (\d{3})", text)
        try:
            content_type, chunks = answer(number, match, body, call)
            if failing:
                call = {key: call[key] for key in ("path", "api", "provider", "model", "stream") if key in call}
                self.server.calls.append({**call, "success": False, "status": int(failing[1])})
                self._json(int(failing[1]), _error(call, int(failing[1])))
                return
            self.server.calls.append(call)
            if isinstance(chunks, dict):
                self._json(200, chunks)
            else:
                cut = "cut stream" in text
                call["success"] = not cut
                self._stream(content_type, chunks, cut)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _json(self, status: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("x-request-id", "req_1")
        self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, content_type: str, chunks: list[bytes], cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for chunk in chunks[: max(2, len(chunks) // 2)] if cut else chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
            time.sleep(0.002)
        if not cut:
            self.wfile.write(b"0\r\n\r\n")


def _error(call: dict[str, Any], status: int) -> Any:
    message = "Rate limit reached" if status == 429 else "The server had an error"
    kind = "rate_limit_error" if status == 429 else "api_error"
    if call.get("provider") == "google":
        return {
            "error": {
                "code": status,
                "message": message,
                "status": "RESOURCE_EXHAUSTED" if status == 429 else "INTERNAL",
            }
        }
    if call.get("provider") == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "code": kind}, "message": message}


_ROUTES = [
    (r"/chat/completions$", openai_chat),
    (r"/responses$", responses),
    (r"/(?:v1|openai/deployments/[^/]+)/embeddings$|^/embeddings$", embeddings),
    (r"/v1/messages$", messages),
    (r"/models/([^/:]+):(generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict)$", gemini),
    (r"/model/(.+)/(converse|converse-stream)$", converse),
    (r"/model/(.+)/(invoke|invoke-with-response-stream)$", invoke),
    (r"/v2/chat$", cohere_chat),
    (r"/v2/embed$", cohere_embed),
    (r"/api/(chat|generate|embed)$", ollama),
]
