"""Short-lived signed links: a page makes one for its signed-in user, and a route that sees no login verifies it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from tracker.messages import Message

LINK_LIFETIME_S = 300
_PROCESS_SECRET = secrets.token_hex(32)


class LinkError(Exception):
    """The link is not valid; the message states why, without the content of the link."""


class SignedLinks:
    """Creates and verifies links. The signature covers the path, the content, and the expiry time.

    With the secret of a sign-in, every process of the dashboard accepts the link. Without one, only this process does.
    """

    def __init__(self, secret: str | None = None, clock: Callable[[], float] = time.time) -> None:
        text = "token-tracker link\0" + (secret or _PROCESS_SECRET)
        self._key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        self._clock = clock

    def create(self, path: str, content: Mapping[str, object], lifetime_s: int = LINK_LIFETIME_S) -> str:
        """The query string of a link to `path`; `content` are JSON values."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        data = base64.urlsafe_b64encode(text).decode().rstrip("=")
        expires = str(int(self._clock()) + lifetime_s)
        return urlencode({"data": data, "expires": expires, "signature": self._signature(path, data, expires)})

    def verify(self, path: str, query: str) -> dict[str, Any]:
        """The content of a link to `path`. Raises `LinkError` if it is expired, changed, or made for another path."""
        values = parse_qs(query, keep_blank_values=True, max_num_fields=10) if query.isascii() else {}
        fields = [values.get(name, []) for name in ("data", "expires", "signature")]
        if any(len(field) != 1 for field in fields) or len(values) != len(fields):
            raise LinkError(Message("auth.link_incomplete"))
        data, expires, signature = (field[0] for field in fields)
        expected = self._signature(path, data, expires)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            raise LinkError(Message("auth.link_changed"))
        if int(expires) <= self._clock():
            raise LinkError(Message("auth.link_expired", minutes=LINK_LIFETIME_S // 60))
        try:
            content = json.loads(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
        except (binascii.Error, ValueError):
            content = None
        if not isinstance(content, dict):
            raise LinkError(Message("auth.link_empty"))
        return content

    def _signature(self, path: str, data: str, expires: str) -> str:
        # A line break separates the fields: neither a path nor base64 nor a number contains one.
        signed = "\n".join((path, data, expires)).encode("utf-8", "replace")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()
