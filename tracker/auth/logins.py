"""Sessions of the shared password: a signed cookie, good in every process that has the same hash, until it expires."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

COOKIE = "token_tracker_session"
LIFETIME_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who gave the password."""

    id: str
    expires_at: int


class Sessions:
    """Makes and checks sessions. The key comes from the password's hash: another password ends all of them."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"token-tracker session\0" + secret.encode("utf-8", "surrogateescape")).digest()
        self._clock = clock
        self._ended: dict[str, int] = {}

    def start(self) -> str:
        """A new session's cookie."""
        body = f"1.{secrets.token_urlsafe(16)}.{int(self._clock()) + LIFETIME_S}"
        return f"{body}.{self._signature(body)}"

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it isn't ours, has expired or was ended."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(body).encode()):
            return None
        _, name, expires = body.split(".")
        session = Session(name, int(expires))
        if session.expires_at <= self._clock() or session.id in self._ended:
            return None
        return session

    def end(self, session: Session) -> None:
        """Sign out: this process knows the session no more, also where the cookie was copied."""
        now = self._clock()
        self._ended = {name: at for name, at in self._ended.items() if at > now}
        self._ended[session.id] = session.expires_at

    def seconds_left(self, session: Session) -> float:
        return max(0.0, session.expires_at - self._clock())

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@lru_cache(maxsize=4)
def sessions_of(secret: str) -> Sessions:
    """The process's sessions under a password's hash: what the door ends, the pages know as ended."""
    return Sessions(secret)


def cookies_named(name: str, header: str) -> list[str]:
    """The values of a cookie in a Cookie header; a browser may send several of one name, of several paths."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return [value for found, _, value in pairs if found == name]
