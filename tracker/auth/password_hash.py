"""The hash of the shared dashboard password: scrypt (RFC 7914), 32 MiB and about 0.1 s for each check."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass, field

from tracker.errors import SettingError

MIN_LENGTH = 12
MAX_LENGTH = 1000
_LOG_N, _R, _P = 15, 8, 1
_SALT_BYTES, _KEY_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A salted scrypt hash. It is a secret, because it also signs the login cookies."""

    log_n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether this is the password, compared in constant time."""
        return hmac.compare_digest(_derive(password, self.log_n, self.r, self.p, self.salt), self.key)

    def __str__(self) -> str:
        # The text contains no $, which shells, .env files, and Docker Compose expand as a variable.
        return f"scrypt:{self.log_n}:{self.r}:{self.p}:{_encode(self.salt)}:{_encode(self.key)}"


def hash_password(password: str) -> PasswordHash:
    """The hash of a new password. Raises `SettingError` if it is too short, too long, or not UTF-8."""
    if len(password) < MIN_LENGTH:
        raise SettingError(
            f"The password has {len(password)} characters; use {MIN_LENGTH} or more, for example four words."
        )
    if len(password) > MAX_LENGTH:
        raise SettingError(f"The password has {len(password)} characters; the maximum is {MAX_LENGTH}.")
    if any("\ud800" <= char <= "\udfff" for char in password):
        raise SettingError("The password contains bytes that are not UTF-8 text.")
    salt = secrets.token_bytes(_SALT_BYTES)
    return PasswordHash(_LOG_N, _R, _P, salt, _derive(password, _LOG_N, _R, _P, salt))


def parse_hash(text: str) -> PasswordHash:
    """The hash in a variable's value. Raises `ValueError` for any other text."""
    kind, *numbers, salt, key = text.strip().split(":")
    log_n, r, p = (int(number) for number in numbers)
    password_hash = PasswordHash(log_n, r, p, _decode(salt), _decode(key))
    is_valid = kind == "scrypt" and 10 <= log_n <= 20 and 1 <= r <= 32 and 1 <= p <= 16
    if not is_valid or len(password_hash.salt) < _SALT_BYTES or len(password_hash.key) != _KEY_BYTES:
        raise ValueError("not a password hash")
    return password_hash


def _derive(password: str, log_n: int, r: int, p: int, salt: bytes) -> bytes:
    # Keyboards differ: an accented letter or a Korean syllable is one code point or several.
    normalized = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    n = 2**log_n
    return hashlib.scrypt(normalized, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + 2**20, dklen=_KEY_BYTES)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
