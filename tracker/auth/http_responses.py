"""Responses of the auth middleware, and the security headers of every response of the dashboard."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

AsgiMessage = MutableMapping[str, Any]
Send = Callable[[AsgiMessage], Awaitable[None]]
Receive = Callable[[], Awaitable[AsgiMessage]]
Headers = Iterable[tuple[str, str]]

_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_JSON_CSP = "default-src 'none'; frame-ancestors 'none'"


def pages_csp(scripts: Iterable[str]) -> str:
    """The pages' Content-Security-Policy: no other origin; `scripts` are the SHA-256 hashes of the inline scripts.

    Emotion and Plotly write inline styles. Plotly compiles WebAssembly and starts workers from blobs.
    """
    hashes = "".join(f" 'sha256-{text}'" for text in scripts)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'wasm-unsafe-eval'{hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "media-src 'self' data: blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


def with_headers(send: Send, csp: str) -> Send:
    """A `send` that adds the security headers. Headers that the response already has are kept."""

    async def send_with_headers(message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            content_type = next((value for name, value in headers if name.lower() == b"content-type"), b"")
            is_json = content_type.startswith(b"application/json")
            added = {**_SECURITY_HEADERS, "content-security-policy": _JSON_CSP if is_json else csp}
            if is_json:
                added["cache-control"] = "no-store"
            headers += [(k.encode(), v.encode()) for k, v in added.items() if k.encode() not in names]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers


async def send_json(send: Send, status: int, error: str, remedy: str, *, head: bool, headers: Headers = ()) -> None:
    body = json.dumps({"error": error, "remedy": remedy}, ensure_ascii=False).encode()
    await send_body(send, status, body, "application/json", head=head, headers=headers)


async def send_body(
    send: Send, status: int, body: bytes, content_type: str, *, head: bool = False, headers: Headers = ()
) -> None:
    standard = {"content-type": content_type, "content-length": str(len(body)), "cache-control": "no-store"}
    encoded = [(name.encode(), value.encode()) for name, value in (*standard.items(), *headers)]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def redirect(send: Send, path: str, headers: Headers = ()) -> None:
    """Redirect with 303 to a path of this server."""
    await send_body(send, 303, b"", "text/plain; charset=utf-8", headers=(("location", path), *headers))


async def read_form(receive: Receive, max_bytes: int) -> bytes | None:
    """The request body; None if it is longer than `max_bytes` or the client disconnects."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > max_bytes:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)
