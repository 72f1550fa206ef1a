"""What the door sends itself, and the headers that every answer of the dashboard carries."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Headers = Iterable[tuple[str, str]]

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_DATA_CSP = "default-src 'none'; frame-ancestors 'none'"


def pages_csp(scripts: Iterable[str]) -> str:
    """The pages' Content-Security-Policy: nothing from another origin; `scripts` are the hashes of inline scripts.

    Emotion and Plotly write styles into the page. Charts draw without eval; Streamlit's own bundles compile WebAssembly
    or run workers out of blobs.
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
    """A `send` that adds the security headers; what an answer says of itself stays."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            kind = next((text for name, text in given if name.lower() == b"content-type"), b"")
            is_data = kind.startswith(b"application/json")
            more = {**_ALWAYS, "content-security-policy": _DATA_CSP if is_data else csp}
            if is_data:
                more["cache-control"] = "no-store"
            given += [(k.encode(), v.encode()) for k, v in more.items() if k.encode() not in names]
            message = {**message, "headers": given}
        await send(message)

    return sending


async def send_json(send: Send, status: int, error: str, remedy: str, *, head: bool, more: Headers = ()) -> None:
    body = json.dumps({"error": error, "remedy": remedy}, ensure_ascii=False).encode()
    await send_body(send, status, body, "application/json", head=head, more=more)


async def send_body(send: Send, status: int, body: bytes, kind: str, *, head: bool = False, more: Headers = ()) -> None:
    given = {"content-type": kind, "content-length": str(len(body)), "cache-control": "no-store"}
    fields = [*given.items(), *more]
    start = {"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in fields]}
    await send(start)
    await send({"type": "http.response.body", "body": b"" if head else body})


async def redirect(send: Send, place: str, more: Headers = ()) -> None:
    """Go on with GET; `place` is one of ours."""
    await send_body(send, 303, b"", "text/plain; charset=utf-8", more=(("location", place), *more))


async def read_form(receive: Receive, longest: int) -> bytes | None:
    """A request's body; None where it is longer or ends early."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > longest:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)
