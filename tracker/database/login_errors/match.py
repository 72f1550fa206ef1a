"""Finds the cause of a refused login from the messages of libpq, the server, or the pooler.

Imported only after a refusal, so that a cold start does not pay for it. The known messages are in patterns.tsv.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracker.database.login_errors.causes import TEMPORARY_CAUSES

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

MAX_SERVER_WORDS_CHARS = 200
_MAX_TEXT_CHARS = 20_000
_MAX_MESSAGE_CHARS = 1000  # an unknown server chooses the message, so its length is limited


class Refusal(NamedTuple):
    """The response to one attempt: `message` excludes severity and SQLSTATE; `words` includes the severity.

    `severity` is None for an error of libpq itself. Only a verbose response contains `sqlstate` and `routine`.
    """

    message: str
    words: str
    severity: str | None = None
    sqlstate: str | None = None
    routine: str | None = None


class LoginError(NamedTuple):
    """The cause of a refusal; `code` is None if the cause is unknown."""

    code: str | None
    refusal: Refusal


# SQLSTATEs with the same meaning in every server and pooler. For 08P01, XX000 and 28000 the text decides.
_SPECIFIC = {
    "28P01": "password_wrong",
    "3D000": "database_missing",
    "53300": "too_many_connections",
    "57P03": "starting",
}
# PostgreSQL's own functions that refuse a login, for messages in a language that is not in patterns.tsv.
_ROUTINES = {
    ("28000", "ClientAuthentication"): "not_allowed",
    ("28000", "auth_failed"): "login_refused",
    ("28000", "InitializeSessionUserId"): "login_refused",
    ("42501", "CheckMyDatabase"): "login_refused",
    ("55000", "CheckMyDatabase"): "database_closed",
}
# Temporary failures, regardless of the message: resources, operator intervention, a lost connection.
_TEMPORARY_STATES = re.compile(r"53|57|08(?!P01)|40|55P03")
_NETWORK = {"host_unknown", "refused", "ipv6_only", "address_unavailable", "unreachable", "timeout", "hung_up"}
_ATTEMPT = re.compile(r"(?:^|\n)connection to server (?:at|on)(?P<address>.*?) failed: ", re.DOTALL)
_SEVERITY = re.compile(r"(?P<severity>[^\s:][^:\n]{0,40}):  (?:(?P<state>[0-9A-Z]{5}): )?(?P<message>.*)", re.DOTALL)
_LOCATION = re.compile(r"\nLOCATION:  (?P<routine>\w+), [^\n]*")
_QUOTED = re.compile(r'"[^"]*"|«[^»]*»|»[^«]*«|“[^”]*”|„[^“]*“')
_CACHED = re.compile(r"server login has been failing, cached error: (.*) \(server_login_retry\)", re.DOTALL)


@cache
def _read_patterns() -> tuple[tuple[str, str], ...]:
    text = Path(__file__).with_name("patterns.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((code, pattern) for code, pattern, _ in rows)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, on first use: most refusals match one of the first patterns."""
    return re.compile(pattern, re.IGNORECASE)


def find_cause(text: str, url: DatabaseUrl, verbose: str = "") -> LoginError:
    """The cause of a failed login; `verbose` is the text of the same failure with SQLSTATEs, or empty.

    libpq tries several addresses, and with sslmode=prefer each with and without TLS; its text lists each attempt.
    A server's reason takes precedence over a network failure and over the demand for encryption, since the attempt
    with TLS was refused for another reason.
    """
    text, verbose = text[:_MAX_TEXT_CHARS], verbose[:_MAX_TEXT_CHARS]
    states = {refusal.message: refusal for refusal, _ in _parse_refusals(verbose)}
    causes = []
    for refusal, address in _parse_refusals(text):
        known = states.get(refusal.message)
        refusal = refusal._replace(sqlstate=known.sqlstate, routine=known.routine) if known else refusal
        causes.append((_code(refusal, url), refusal, address))
    if all(code in {"address_unavailable", "unreachable"} and ":" in address for code, _, address in causes):
        return LoginError("ipv6_only", causes[0][1])
    code, refusal, _ = min(causes, key=lambda cause: _precedence(cause[0]))
    if code == "address_unavailable":
        code = "unreachable"
    if code == "tls_required" and len(causes) == 1 and _tried_tls_first(url) and ", " in refusal.message:
        code = "not_allowed"  # libpq made no attempt over TLS first, so the server has no TLS
    return LoginError(code, refusal)


def _precedence(code: str | None) -> int:
    if code in {"address_unavailable", "unreachable"}:
        return 3  # the host has IPv4 and IPv6 addresses, the network only one kind
    return 1 if code == "tls_required" else 2 if code in _NETWORK else 0


def _tried_tls_first(url: DatabaseUrl) -> bool:
    return not url.host.startswith("/") and url.params.get("sslmode", "prefer") == "prefer"


def _parse_refusals(text: str) -> list[tuple[Refusal, str]]:
    """The response to each attempt, and the attempt's address as libpq writes it."""
    starts = list(_ATTEMPT.finditer(text))
    if not starts:
        return [(_parse_refusal(text), "")] if text.strip() else []
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return [
        (_parse_refusal(text[start.end() : end]), start["address"].partition("(")[2])
        for start, end in zip(starts, ends, strict=True)
    ]


def _parse_refusal(text: str) -> Refusal:
    location = _LOCATION.search(text)
    text = _LOCATION.sub("", text).strip()
    parsed = _SEVERITY.match(text)
    if not parsed:
        return Refusal(text, text)
    message = parsed["message"].strip()
    words = f"{parsed['severity']}: {message}"
    return Refusal(message, words, parsed["severity"], parsed["state"], location["routine"] if location else None)


def _code(refusal: Refusal, url: DatabaseUrl) -> str | None:
    if refusal.sqlstate in _SPECIFIC:
        return _SPECIFIC[refusal.sqlstate]
    if cached := _CACHED.search(refusal.message):
        inner = _match_text(cached[1], url)
        return inner if inner and inner not in _NETWORK else "pooler_behind"
    code = _match_text(refusal.message, url)
    if refusal.severity and code in _NETWORK - {"timeout"}:
        code = "pooler_behind"  # the sender was reached, so the message is about the server behind the pooler
    return code or _ROUTINES.get((refusal.sqlstate or "", refusal.routine or ""))


def _match_text(message: str, url: DatabaseUrl) -> str | None:
    """The code of the first matching pattern; quoted names and hosts are ignored."""
    for host in url.host.split(","):
        message = message.replace(f'"{host}"', '""')
    plain = " ".join(_QUOTED.sub('""', message[:_MAX_MESSAGE_CHARS]).split())
    return next((code for code, pattern in _read_patterns() if _compiled(pattern).search(plain)), None)


def is_temporary(login_error: LoginError) -> bool:
    """Whether a retry may succeed without a change by a person."""
    if login_error.code is not None:
        return login_error.code in TEMPORARY_CAUSES
    state = login_error.refusal.sqlstate
    # An unknown refusal without a SQLSTATE is retried.
    return state is None or state in {"08P01", "XX000", "58000"} or bool(_TEMPORARY_STATES.match(state))


def server_words(login_error: LoginError, url: DatabaseUrl) -> str:
    """The text of an unknown refusal for display: one line of limited length, names and secrets of the URL redacted."""
    text = " ".join("".join(char if char.isprintable() else " " for char in login_error.refusal.words).split())
    for name in _names(url):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(masked)", text, flags=re.IGNORECASE)
    for secret in _secrets(url):
        text = text.replace(secret, "(masked)")
    text = _ADDRESS.sub("(masked)", _CREDENTIALS.sub("(masked)", text))
    return text if len(text) <= MAX_SERVER_WORDS_CHARS else text[: MAX_SERVER_WORDS_CHARS - 1] + "…"


_CREDENTIALS = re.compile(
    r"\b\w+://[^\s/@]*@[^\s/]+|\b(?:password|passwd|pwd|token|secret|api[_-]?key)\s*[=:]\s*\S+"
    r"|\bsk-[\w-]{8,}|\beyJ[\w-]{10,}\.[\w.-]+|\b[A-Za-z0-9+/_-]{40,}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE
)


def _names(url: DatabaseUrl) -> list[str]:
    """The user, the hosts, and the names that poolers derive from them: a project's reference, an endpoint's id."""
    user = url.user or ""
    names = {user, user.rpartition(".")[2], user.partition("@")[0]}
    for host in url.host.split(","):
        label = host.partition(".")[0]
        names |= {host, label, label.removesuffix("-pooler")}
    names |= set(url.params.get("hostaddr", "").split(","))
    return sorted((name for name in names if len(name) > 1), key=len, reverse=True)


def _secrets(url: DatabaseUrl) -> list[str]:
    from urllib.parse import quote, quote_plus

    secrets = [url.params.get(name) for name in ("password", "sslpassword", "oauth_client_secret")]
    forms = {form for one in secrets if one for form in (one, quote(one, safe=""), quote(one), quote_plus(one))}
    return sorted(forms, key=len, reverse=True)


def unreadable_file(url: DatabaseUrl) -> str:
    """The client certificate or key that can't be opened, as part of a sentence; empty if all can be opened."""
    for key in ("sslcert", "sslkey"):
        if path := url.params.get(key):
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                return f" ({key}={path}: {error.strerror})"
    return ""
