"""The script that the dashboard adds to Streamlit's page, and the names of Streamlit that it relies on."""

from __future__ import annotations

import asyncio
import gzip
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import streamlit
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from support import ROOT

from pages.support.i18n import LANGUAGES
from pages.support.page_html import SCRIPT_PATH, STREAMLIT_TITLE, BrowserScript

STATIC = Path(streamlit.__file__).parent / "static"
PAGE = (STATIC / "index.html").read_bytes()
SCRIPT = (ROOT / "pages" / "browser.js").read_text("utf-8")


async def streamlit_page(scope: Any, receive: Any, send: Any) -> None:
    """Streamlit's page in two parts, compressed for a client that accepts it, as Streamlit sends it."""
    headers = dict(scope["headers"])
    body = gzip.compress(PAGE) if b"gzip" in headers.get(b"accept-encoding", b"") else PAGE
    status = 304 if b"if-none-match" in headers else 200
    fields = [(b"Content-Type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    fields += [(b"etag", b'"1"'), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body[:100], "more_body": True})
    await send({"type": "http.response.body", "body": body[100:]})


def get(path: str, method: str = "GET", app: Any = streamlit_page, **headers: str) -> tuple[dict[bytes, bytes], bytes]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": given}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(BrowserScript(app, lambda: "/base")(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    fields = {name.lower(): value for name, value in sent[0]["headers"]}
    return fields, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", ["/base/", "/base/explorer", "/base/index.html"])
def test_the_page_loads_the_script_first_and_is_not_stored(path: str) -> None:
    headers, body = get(path, accept_encoding="gzip, br", if_none_match='"1"')
    scripts = re.findall(rb'<script[^>]*src="([^"?]*)', body)
    assert scripts[0] == b"/base/browser.js"
    assert scripts[1].startswith(b"./static/js/")
    assert (headers[b"cache-control"], headers[b"content-length"]) == (b"no-store", str(len(body)).encode())
    assert b"etag" not in headers
    assert STREAMLIT_TITLE in PAGE
    assert b"<title>Token Tracker</title>" in body


def test_a_head_request_gets_no_body() -> None:
    headers, body = get("/base/explorer", "HEAD")
    assert (body, b"content-length" in headers) == (b"", False)


def test_the_script_is_served_below_the_base_path() -> None:
    headers, body = get("/base" + SCRIPT_PATH)
    assert (headers[b"content-type"], body.decode()) == (b"text/javascript; charset=utf-8", SCRIPT)
    assert get("/base" + SCRIPT_PATH, "HEAD")[1] == b""


def test_other_files_and_responses_are_unchanged() -> None:
    async def json_response(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'"<head>"'})

    assert get("/api/health", app=json_response)[1] == b'"<head>"'
    assert get("/base/media/report.html.csv", accept_encoding="gzip")[1] == gzip.compress(PAGE)


def test_the_script_has_the_texts_of_every_language() -> None:
    texts = SCRIPT.partition("const TEXTS = {")[2].partition("\n  };")[0]
    assert re.findall(r"^    (\w+): {$", texts, re.MULTILINE) == list(LANGUAGES)
    keys = [re.findall(r"^      (\w+):", part, re.MULTILINE) for part in texts.split("},")[: len(LANGUAGES)]]
    assert keys == [["title", "body", "close"]] * len(LANGUAGES)


@cache
def streamlit_scripts() -> str:
    """The bundle of Streamlit's page and the module of its page links."""
    names = re.findall(rb'"\./static/js/(index\.[^"]+\.js)"', PAGE)
    scripts = STATIC / "static" / "js"
    files = [*(scripts / name.decode() for name in names), *scripts.glob("PageLink.*.js")]
    return "\n".join(file.read_text("utf-8") for file in files)


@pytest.mark.parametrize(
    "name",
    [
        "window.__streamlit",
        "BACKEND_BASE_URL",
        "stSidebar`",
        "data-collapsed",
        "stSidebarCollapseButton",
        "stSidebarNavLink",
        "stPageLink-NavLink",
        "stDialog",
        "`Connection error`",
        "st-key-",
        "window.history.pushState",
        "window.history.replaceState",
        "isHistoryNavigation",
    ],
)
def test_streamlit_has_the_names_that_the_script_uses(name: str) -> None:
    assert name in streamlit_scripts()


def test_a_run_states_whether_the_history_caused_it() -> None:
    assert "is_history_navigation" in ScriptRunContext.__dataclass_fields__
