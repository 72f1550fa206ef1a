"""A password that a small team shares, kept as a hash: scrypt (RFC 7914), 32 MiB and a tenth of a second a try."""

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
    """What is kept of a password. It signs the sessions too, so it is a secret itself."""

    log_n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes the same time whether or not."""
        return hmac.compare_digest(_derive(password, self.log_n, self.r, self.p, self.salt), self.key)

    def __str__(self) -> str:
        # No $ in it: shells, .env files and docker compose would take what follows for a variable.
        return f"scrypt:{self.log_n}:{self.r}:{self.p}:{_text(self.salt)}:{_text(self.key)}"


def hash_password(password: str) -> PasswordHash:
    """The hash of a new password. Raises `SettingError` for one that is too short or too long."""
    if len(password) < MIN_LENGTH:
        raise SettingError(
            f"The password has {len(password)} characters; take {MIN_LENGTH} or more, such as four words."
        )
    if len(password) > MAX_LENGTH:
        raise SettingError(f"The password has {len(password)} characters; it may have {MAX_LENGTH}.")
    if any("\ud800" <= char <= "\udfff" for char in password):
        raise SettingError("The password holds bytes that are no UTF-8 text.")
    salt = secrets.token_bytes(_SALT_BYTES)
    return PasswordHash(_LOG_N, _R, _P, salt, _derive(password, _LOG_N, _R, _P, salt))


def read_hash(text: str) -> PasswordHash:
    """The hash that a variable holds. Raises `ValueError` for anything else, which must let nobody in."""
    kind, *numbers, salt, key = text.strip().split(":")
    log_n, r, p = (int(number) for number in numbers)
    found = PasswordHash(log_n, r, p, _bytes(salt), _bytes(key))
    right = kind == "scrypt" and 10 <= log_n <= 20 and 1 <= r <= 32 and 1 <= p <= 16
    if not right or len(found.salt) < _SALT_BYTES or len(found.key) != _KEY_BYTES:
        raise ValueError("no hash of a password")
    return found


def _derive(password: str, log_n: int, r: int, p: int, salt: bytes) -> bytes:
    # One keyboard writes an accent or a Korean syllable as one character, another as several.
    plain = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    n = 2**log_n
    return hashlib.scrypt(plain, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + 2**20, dklen=_KEY_BYTES)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
