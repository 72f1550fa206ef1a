"""The bearer tokens of the API routes: named and stored as SHA-256 hashes, or signed by the app for one user.

A token of TRACKER_API_TOKENS has 256 random bits, so that a plain hash can't be guessed. A signed token is a JSON Web
Token (RFC 7519, HS256) with `sub`, the user's id, and `exp`, at most a day ahead.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from tracker.settings import Settings

PREFIX = "tt_"
MAX_SIGNED_LIFETIME_S = 86_400
_VARIABLES = ("TRACKER_API_TOKENS", "TRACKER_API_SIGNING_KEY")


@dataclass(frozen=True, slots=True)
class Binding:
    """The calls that a token may read: those with this value of a dimension, `user` or `metadata.KEY`."""

    dimension: str
    value: str


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """Who sends a request, and the calls that it is limited to (None: all)."""

    name: str
    binding: Binding | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new token, which is not stored anywhere, and its entry for TRACKER_API_TOKENS."""

    token: str = field(repr=False)
    entry: str


def create_token(name: str, binding: Binding | None = None) -> NewToken:
    """A random token with this name."""
    token = PREFIX + secrets.token_urlsafe(32)
    bound = "" if binding is None else f":{quote(binding.dimension, safe='.')}={quote(binding.value, safe='')}"
    return NewToken(token, f"{name}:{_digest(token)}{bound}")


def accepts_api_tokens(settings: Settings) -> bool:
    """Whether a token is required: one of the variables is set, or can't be read."""
    return bool(settings.api_tokens or settings.api_signing_key) or any(map(settings.is_unreadable, _VARIABLES))


def check_token(settings: Settings, token: str, now_s: float) -> ApiAccess | None:
    """What a token may read; None for a wrong or expired one, and for all of them if a variable can't be read."""
    if any(map(settings.is_unreadable, _VARIABLES)):
        return None
    digest, matching = _digest(token), None
    # All entries are compared, so that the time doesn't show which one matches.
    for entry in settings.api_tokens:
        name, stored, *bound = entry.split(":", 2)
        if hmac.compare_digest(digest, stored):
            matching = ApiAccess(name, _binding(bound[0]) if bound else None)
    return matching or _check_signed(settings.api_signing_key, token, now_s)


def _binding(text: str) -> Binding:
    dimension, _, value = text.partition("=")
    return Binding(unquote(dimension), unquote(value))


def _check_signed(key: str | None, token: str, now_s: float) -> ApiAccess | None:
    if not key or token.count(".") != 2:
        return None
    import jwt  # here, because only a dashboard with signed tokens needs it

    try:
        claims = jwt.decode(token, key, algorithms=["HS256"], options={"require": ["sub", "exp"], "verify_aud": False})
    except jwt.PyJWTError:
        return None
    # An app that forgets to limit its tokens must not make eternal ones.
    if not isinstance(claims["exp"], int | float) or claims["exp"] - now_s > MAX_SIGNED_LIFETIME_S or not claims["sub"]:
        return None
    return ApiAccess(f"user {claims['sub']}", Binding("user", claims["sub"]))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
