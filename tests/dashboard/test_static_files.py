"""Static files are compressed once, answers with data never."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from pages.support.static_files import CompressedFiles


class Origin:
    """An app that answers every path, and compresses when asked."""

    def __init__(self, content_type: bytes) -> None:
        self.content_type = content_type
        self.encodings: list[bytes | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.encodings.append(dict(scope["headers"]).get(b"accept-encoding"))
        headers = [(b"content-type", self.content_type), (b"cache-control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"text " * 100})


def get(app: CompressedFiles, path: str, query: bytes = b"", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": given}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


def test_a_file_is_read_once_and_compressed() -> None:
    origin = Origin(b"text/javascript")
    app = CompressedFiles(origin, lambda: "/base")
    for _ in range(2):
        status, headers, body = get(app, "/base/static/js/a.js", accept_encoding="gzip, br")
        assert (status, headers[b"content-encoding"]) == (200, b"gzip")
        assert gzip.decompress(body) == b"text " * 100
    assert origin.encodings == [None]
    status, _, body = get(app, "/base/static/js/a.js", accept_encoding="gzip", if_none_match=headers[b"etag"].decode())
    assert (status, body) == (304, b"")


def test_a_component_is_checked_at_each_visit_unless_its_address_has_the_version() -> None:
    app = CompressedFiles(Origin(b"text/javascript"))
    path = "/_stcore/bidi-components/plotly.bundle/plotly.min.js"
    assert get(app, path, accept_encoding="gzip")[1][b"cache-control"] == b"no-cache"
    assert b"immutable" in get(app, path, b"v=7.1.0", accept_encoding="gzip")[1][b"cache-control"]


@pytest.mark.parametrize(
    ("path", "content_type"), [("/api/debug", b"application/json"), ("/", b"text/html"), ("/static/a", b"text/html")]
)
def test_no_other_answer_is_compressed(path: str, content_type: bytes) -> None:
    origin = Origin(content_type)
    _, headers, body = get(CompressedFiles(origin), path, accept_encoding="gzip")
    assert (b"content-encoding" not in headers, body) == (True, b"text " * 100)
    assert origin.encodings == [None]
