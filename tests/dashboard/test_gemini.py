"""Test recordings with GEMINI_API_KEY: google-genai's own client asks, a server on this machine answers as Gemini does.

What it answers has the form of https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from dashboard_support import OpenPage, figures, texts
from support import rows

from pages.support import ai_call, test_calls

KEY = "AIza-test-key"
ANSWER = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Pools keep connections; serverless needs few."}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 61,
        "candidatesTokenCount": 9,
        "thoughtsTokenCount": 30,
        "cachedContentTokenCount": 20,
        "totalTokenCount": 100,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r-1",
}
EXHAUSTED = {"error": {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED"}}


class Gemini:
    """What it was asked, and what it answers: a status and JSON, or nothing at all."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.answer: tuple[int, dict[str, Any]] | None = 200, ANSWER


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gemini]:
    """A server that google-genai takes for Gemini, and its key in the environment."""
    state = Gemini()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.asked.append((self.path, self.headers["x-goog-api-key"], body))
            if state.answer is None:
                self.close_connection = True
                return
            status, answer = state.answer
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def press(open_page: OpenPage, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Presses a button of the page and returns what then stands there."""
    monkeypatch.setattr(test_calls, "_recent", type(test_calls._recent)())

    def pressed(kind: str) -> Any:
        app = open_page(database_url, "recordings.py")
        app.button(key=f"record_{kind}").click().run()
        assert not app.exception
        return app

    return pressed


ROW = (
    "SELECT model, provider, operation, input_tokens, output_tokens, cache_read_input_tokens,"
    " reasoning_output_tokens, total_tokens, success, is_test, metadata->>'note', error_message FROM token_usage"
)


@pytest.mark.parametrize(("kind", "operation"), [("summary", "summary_generation"), ("tag", "tag_generation")])
def test_a_button_calls_gemini_and_records_its_usage(press, gemini, database_url, kind, operation):
    app = press(kind)
    path, key, body = gemini.asked[0]
    assert (path.partition("/models/")[2], key) == ("gemini-2.5-flash:generateContent", KEY)
    assert "Connection pools" in json.dumps(body)
    assert rows(database_url, ROW) == [
        ("gemini-2.5-flash", "google", operation, 61, 39, 20, 30, 100, True, True, ai_call.GEMINI_NOTE, None)
    ]
    assert figures(app)["Status"] == "recorded"
    assert ai_call.GEMINI_NOTE in texts(app)
    assert ai_call.SYNTHETIC_NOTE not in texts(app)


@pytest.mark.parametrize(
    ("answer", "said"),
    [((429, EXHAUSTED), "You exceeded your current quota."), ((500, {}), "500"), (None, "disconnected")],
)
def test_a_gemini_error_is_shown_and_recorded_as_a_failed_call(press, gemini, database_url, answer, said):
    gemini.answer = answer
    app = press("tag")
    found = rows(database_url, ROW)
    assert [(row[0], row[2], row[7], row[8], row[9]) for row in found] == [
        ("gemini-2.5-flash", "tag_generation", 0, False, True)
    ]
    assert said in found[0][11]
    assert "The AI call failed. It was recorded as a failed call" in texts(app)
    assert said in texts(app)
    assert KEY not in texts(app) + found[0][11]
    assert figures(app)["Status"] == "recorded"


def test_without_the_key_the_row_is_marked_synthetic(press, gemini, database_url, monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY")
    app = press("summary")
    assert gemini.asked == []
    assert rows(database_url, ROW)[0][10] == ai_call.SYNTHETIC_NOTE
    assert ai_call.SYNTHETIC_NOTE in texts(app)


def test_without_the_library_the_page_shows_how_to_install_it(press, gemini, database_url, monkeypatch):
    monkeypatch.setattr(ai_call, "_is_library_installed", lambda: False)
    app = press("summary")
    assert gemini.asked == []
    assert "pip install google-genai" in texts(app)
    assert rows(database_url, ROW)[0][10] == ai_call.SYNTHETIC_NOTE
