"""Logins with the shared password: a signed cookie, valid in every process with the same hash, until it expires."""

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
class Login:
    """One browser that is signed in with the shared password."""

    id: str
    expires_at: int
    """Epoch seconds."""


class Logins:
    """Creates and verifies logins. The key comes from the password hash: a new password ends all logins."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"token-tracker session\0" + secret.encode("utf-8", "surrogateescape")).digest()
        self._clock = clock
        self._ended: dict[str, int] = {}

    def create(self) -> str:
        """The cookie of a new login."""
        body = f"1.{secrets.token_urlsafe(16)}.{int(self._clock()) + LIFETIME_S}"
        return f"{body}.{self._signature(body)}"

    def verify(self, cookie: str) -> Login | None:
        """The login of a cookie; None if the signature is wrong, or the login has expired or ended."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(body).encode()):
            return None
        _, login_id, expires_at = body.split(".")
        login = Login(login_id, int(expires_at))
        if login.expires_at <= self._clock() or login.id in self._ended:
            return None
        return login

    def end(self, login: Login) -> None:
        """Sign out. This process rejects every copy of the cookie afterwards."""
        now = self._clock()
        self._ended = {login_id: expires_at for login_id, expires_at in self._ended.items() if expires_at > now}
        self._ended[login.id] = login.expires_at

    def seconds_left(self, login: Login) -> float:
        return max(0.0, login.expires_at - self._clock())

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@lru_cache(maxsize=4)
def logins_for(secret: str) -> Logins:
    """The logins of this process for a password hash. The middleware and the pages share the ended logins."""
    return Logins(secret)


def cookie_values(name: str, header: str) -> list[str]:
    """The values of a cookie in a Cookie header. A browser may send several: one for each path."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return [value for key, _, value in pairs if key == name]
