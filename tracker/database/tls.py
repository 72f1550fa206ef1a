"""Converts the TLS parameters of a database URL into libpq's parameters, never weaker than written.

An invalid parameter refuses the whole URL: a typing error must not turn encryption off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from tracker.errors import SettingError
from tracker.messages import Message, join_messages

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Values of other drivers. libpq's require encrypts without verifying the certificate.
_FOREIGN_MODES = {"no-verify": "require", "true": "require", "1": "require", "false": "disable", "0": "disable"}
_CHOICES = {
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslsni": ("0", "1"),
    "sslcompression": ("0", "1"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
}
# A URL with one of these expects encryption; with sslmode=prefer, libpq continues without TLS if they fail.
_NEED_ENCRYPTION = ("sslcert", "sslkey", "sslcrl", "sslcrldir", "ssl_min_protocol_version", "ssl_max_protocol_version")
_LIKE_TLS = re.compile(r"ssl|tls|channelbinding|requireauth|requirepeer|gssencmode|krbsrvname|trustservercert")
_LIKE_A_MODE = re.compile(
    r"(verif|requ|pref|allow|disab|strict|accept|direct|postgres|tls|ssl|on|off|yes|no)[\w .-]*", re.IGNORECASE
)
# Prisma: https://www.prisma.io/docs/orm/overview/databases/postgresql, "Configuring an SSL connection".
_SSLACCEPT = ("strict", "accept_invalid_certs")


class TlsSettingError(SettingError):
    """A TLS parameter of a URL is invalid. The text contains the parameter and its allowed values."""


def is_tls_key(key: str) -> bool:
    """Whether a URL's parameter concerns encryption or authentication, in any spelling."""
    return bool(_LIKE_TLS.match(re.sub(r"[^a-z]", "", key.lower())))


def read_tls_params(
    pairs: Iterable[tuple[str, str]], variable: str, known: Iterable[str], notes: list[str], *, has_system_roots: bool
) -> dict[str, str]:
    """libpq's parameters for the pairs of a URL; `known` are the keys that the installed libpq accepts.

    Raises `TlsSettingError`.
    """
    given: dict[str, str] = {}
    modes: list[tuple[str, str]] = []
    taken = set(known)
    for key, value in pairs:
        if key in {"ssl", "sslmode"}:
            modes.append((key, _mode(key, value, variable, notes)))
        elif key == "sslaccept":
            given[key] = _one_of(key, value, _SSLACCEPT, variable)
        elif key == "sslidentity":
            raise TlsSettingError(Message("database.sslidentity_unsupported", variable=variable))
        elif key in taken:
            given[key] = (
                _one_of(key, value, _CHOICES[key], variable) if key in _CHOICES else _text(key, value, variable)
            )
        else:
            raise TlsSettingError(
                Message(
                    "database.parameter_unknown", variable=variable, parameter=_display(key), modes=", ".join(MODES)
                )
            )
    if modes:
        given["sslmode"] = _strongest(modes, variable)
    _convert_prisma(given, variable, notes, has_system_roots=has_system_roots)
    _infer_mode(given, notes)
    return given


def _mode(key: str, value: str, variable: str, notes: list[str]) -> str:
    if value in MODES:
        return value
    if value not in _FOREIGN_MODES:
        raise TlsSettingError(
            Message(
                "database.sslmode_invalid",
                variable=variable,
                parameter=key,
                given=_display(value),
                allowed=", ".join(MODES),
            )
        )
    notes.append(Message("database.sslmode_converted", parameter=key, given=value, mode=_FOREIGN_MODES[value]))
    return _FOREIGN_MODES[value]


def _strongest(modes: list[tuple[str, str]], variable: str) -> str:
    names = {mode for _, mode in modes}
    if "disable" in names and len(names) > 1:
        parameters = join_messages(dict.fromkeys(f"{key}={mode}" for key, mode in modes), "general.both")
        raise TlsSettingError(Message("database.tls_contradiction", variable=variable, parameters=parameters))
    return max(names, key=MODES.index)


def _one_of(key: str, value: str, choices: tuple[str, ...], variable: str) -> str:
    if value not in choices:
        raise TlsSettingError(
            Message(
                "database.tls_choice_invalid",
                variable=variable,
                parameter=key,
                given=_display(value),
                allowed=join_messages(choices, "general.either"),
            )
        )
    return value


def _text(key: str, value: str, variable: str) -> str:
    if "\0" in value or value != value.encode("utf-8", "replace").decode("utf-8"):
        raise TlsSettingError(Message("database.tls_value_unsendable", variable=variable, parameter=key))
    if key != "sslpassword" and value != value.strip():
        raise TlsSettingError(Message("database.tls_value_white_space", variable=variable, parameter=key))
    return value


def _display(text: str) -> str:
    """The value if it resembles a known one, otherwise a mask: it may be a part of a password."""
    if not text or _LIKE_A_MODE.fullmatch(text.strip()):
        return repr(text[:40])
    return Message("database.value_masked")


def _convert_prisma(given: dict[str, str], variable: str, notes: list[str], *, has_system_roots: bool) -> None:
    """Convert Prisma's sslaccept, and its sslcert, which is the server's certificate and not the client's."""
    accept = given.pop("sslaccept", None)
    if accept is None:
        return
    if "sslcert" in given and "sslkey" not in given:
        given.setdefault("sslrootcert", given.pop("sslcert"))
        notes.append(Message("database.sslcert_converted"))
    if accept == "accept_invalid_certs":
        notes.append(Message("database.sslaccept_dropped"))
        return
    if given.get("sslmode") == "disable":
        raise TlsSettingError(Message("database.sslaccept_contradicts_sslmode", variable=variable))
    given["sslmode"] = "verify-full"
    if "sslrootcert" not in given:
        if not has_system_roots:
            raise TlsSettingError(Message("database.sslaccept_without_roots", variable=variable))
        given["sslrootcert"] = "system"
    notes.append(Message("database.sslaccept_converted", sslrootcert=given["sslrootcert"][:200]))


def _infer_mode(given: dict[str, str], notes: list[str]) -> None:
    """Add the sslmode that the URL's other TLS parameters imply, with a note; libpq's default may continue without TLS.

    A stricter PGSSLMODE of this process stays in effect: an sslmode in the URL would override it.
    """
    if "sslmode" in given:
        return
    root = given.get("sslrootcert")
    if root and root != "system":  # libpq itself uses verify-full with system
        mode, cause = "verify-ca", "sslrootcert"
    elif causes := [key for key in _NEED_ENCRYPTION if given.get(key)]:
        mode, cause = "require", causes[0]
    elif given.get("sslnegotiation") == "direct":
        mode, cause = "require", "sslnegotiation=direct"
    elif given.get("channel_binding") == "require":
        mode, cause = "require", "channel_binding=require"
    else:
        return
    if os.environ.get("PGSSLMODE") not in MODES[MODES.index(mode) + 1 :]:
        given["sslmode"] = mode
        notes.append(Message("database.sslmode_inferred", cause=cause, mode=mode))
