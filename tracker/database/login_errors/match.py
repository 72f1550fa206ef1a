"""Why a login was refused: the cause behind what libpq and the server say, with its sentence and its remedy.

Loaded after a refusal only, so that nothing of it costs a cold start. The known messages are in patterns.tsv.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracker.database.login_errors.causes import CAUSES

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

MAX_WORDS = 200
_LONGEST_TEXT = 20_000
_LONGEST = 1000  # of a message that is looked up: whatever answers at the address chose it


class Refusal(NamedTuple):
    """One attempt's answer: `message` without severity and SQLSTATE; `words` is it with the severity.

    `severity` is None for an error of libpq itself. `sqlstate` and `routine` are known in a verbose answer only.
    """

    message: str
    words: str
    severity: str | None = None
    sqlstate: str | None = None
    routine: str | None = None


class Finding(NamedTuple):
    """The cause of a refusal; `code` is None where it is unknown."""

    code: str | None
    refusal: Refusal


# SQLSTATEs that mean one thing in every server and pooler. For 08P01, XX000 and 28000 the text decides.
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
# What lasts only for a time, whatever the message: resources, operator intervention, a lost connection.
_PASSING = re.compile(r"53|57|08(?!P01)|40|55P03")
_NETWORK = {"host_unknown", "refused", "ipv6_only", "address_unavailable", "unreachable", "timeout", "hung_up"}
_ATTEMPT = re.compile(r"(?:^|\n)connection to server (?:at|on)(?P<where>.*?) failed: ", re.DOTALL)
_SEVERITY = re.compile(r"(?P<severity>[^\s:][^:\n]{0,40}):  (?:(?P<state>[0-9A-Z]{5}): )?(?P<message>.*)", re.DOTALL)
_LOCATION = re.compile(r"\nLOCATION:  (?P<routine>\w+), [^\n]*")
_QUOTED = re.compile(r'"[^"]*"|«[^»]*»|»[^«]*«|“[^”]*”|„[^“]*“')
_CACHED = re.compile(r"server login has been failing, cached error: (.*) \(server_login_retry\)", re.DOTALL)


@cache
def _known() -> tuple[tuple[str, str], ...]:
    text = Path(__file__).with_name("patterns.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((code, pattern) for code, pattern, _ in rows)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first tried: most refusals are among the first ones of the list."""
    return re.compile(pattern, re.IGNORECASE)


def find(text: str, url: DatabaseUrl, verbose: str = "") -> Finding:
    """The cause of a failed login; `verbose` is the same failure with SQLSTATEs, where it was asked for.

    libpq tries several addresses, and with sslmode=prefer each with and without TLS: what it says names each attempt.
    A reason given by a server comes before a failure of the network, and before the demand for encryption, since
    the attempt with TLS was refused for another reason.
    """
    text, verbose = text[:_LONGEST_TEXT], verbose[:_LONGEST_TEXT]
    states = {refusal.message: refusal for refusal, _ in _refusals(verbose)}
    found = []
    for refusal, where in _refusals(text):
        known = states.get(refusal.message)
        refusal = refusal._replace(sqlstate=known.sqlstate, routine=known.routine) if known else refusal
        found.append((_code(refusal, url), refusal, where))
    if all(code in {"address_unavailable", "unreachable"} and ":" in where for code, _, where in found):
        return Finding("ipv6_only", found[0][1])
    code, refusal, _ = min(found, key=lambda one: _weight(one[0]))
    if code == "address_unavailable":
        code = "unreachable"
    if code == "tls_required" and len(found) == 1 and _tried_tls_first(url) and ", " in refusal.message:
        code = "not_allowed"  # without a first attempt over TLS, the server has none
    return Finding(code, refusal)


def _weight(code: str | None) -> int:
    if code in {"address_unavailable", "unreachable"}:
        return 3  # a host with both kinds of addresses, in a network with one of them
    return 1 if code == "tls_required" else 2 if code in _NETWORK else 0


def _tried_tls_first(url: DatabaseUrl) -> bool:
    return not url.host.startswith("/") and url.params.get("sslmode", "prefer") == "prefer"


def _refusals(text: str) -> list[tuple[Refusal, str]]:
    """Each attempt's answer, and the address it was made to as libpq writes it."""
    starts = list(_ATTEMPT.finditer(text))
    if not starts:
        return [(_refusal(text), "")] if text.strip() else []
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return [
        (_refusal(text[start.end() : end]), start["where"].partition("(")[2])
        for start, end in zip(starts, ends, strict=True)
    ]


def _refusal(text: str) -> Refusal:
    location = _LOCATION.search(text)
    text = _LOCATION.sub("", text).strip()
    found = _SEVERITY.match(text)
    if not found:
        return Refusal(text, text)
    message = found["message"].strip()
    words = f"{found['severity']}: {message}"
    return Refusal(message, words, found["severity"], found["state"], location["routine"] if location else None)


def _code(refusal: Refusal, url: DatabaseUrl) -> str | None:
    if refusal.sqlstate in _SPECIFIC:
        return _SPECIFIC[refusal.sqlstate]
    if cached := _CACHED.search(refusal.message):
        inner = _of_text(cached[1], url)
        return inner if inner and inner not in _NETWORK else "pooler_behind"
    code = _of_text(refusal.message, url)
    if refusal.severity and code in _NETWORK - {"timeout"}:
        code = "pooler_behind"  # who tells us so was reached: it speaks of the server behind
    return code or _ROUTINES.get((refusal.sqlstate or "", refusal.routine or ""))


def _of_text(message: str, url: DatabaseUrl) -> str | None:
    """The first known message that matches; names in quotes and hosts can't decide."""
    for host in url.host.split(","):
        message = message.replace(f'"{host}"', '""')
    plain = " ".join(_QUOTED.sub('""', message[:_LONGEST]).split())
    return next((code for code, pattern in _known() if _compiled(pattern).search(plain)), None)


def passes(finding: Finding) -> bool:
    """Whether a retry may succeed without anybody's help."""
    if finding.code is not None:
        return CAUSES[finding.code].passes
    state = finding.refusal.sqlstate
    # An unknown refusal without a code may be anything: retried, as everything unknown.
    return state is None or state in {"08P01", "XX000", "58000"} or bool(_PASSING.match(state))


def server_words(finding: Finding, url: DatabaseUrl) -> str:
    """What an unknown refusal says, fit to be shown: names and secrets of the URL masked, one line, bounded."""
    text = " ".join("".join(char if char.isprintable() else " " for char in finding.refusal.words).split())
    for name in _names(url):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(masked)", text, flags=re.IGNORECASE)
    for secret in _secrets(url):
        text = text.replace(secret, "(masked)")
    text = _ADDRESS.sub("(masked)", _CREDENTIALS.sub("(masked)", text))
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 1] + "…"


_CREDENTIALS = re.compile(
    r"\b\w+://[^\s/@]*@[^\s/]+|\b(?:password|passwd|pwd|token|secret|api[_-]?key)\s*[=:]\s*\S+"
    r"|\bsk-[\w-]{8,}|\beyJ[\w-]{10,}\.[\w.-]+|\b[A-Za-z0-9+/_-]{40,}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE
)


def _names(url: DatabaseUrl) -> list[str]:
    """The user, the hosts, and what poolers make of them: a project's reference, an endpoint's id."""
    user = url.user or ""
    found = {user, user.rpartition(".")[2], user.partition("@")[0]}
    for host in url.host.split(","):
        label = host.partition(".")[0]
        found |= {host, label, label.removesuffix("-pooler")}
    found |= set(url.params.get("hostaddr", "").split(","))
    return sorted((name for name in found if len(name) > 1), key=len, reverse=True)


def _secrets(url: DatabaseUrl) -> list[str]:
    from urllib.parse import quote, quote_plus

    secrets = [url.params.get(name) for name in ("password", "sslpassword", "oauth_client_secret")]
    forms = {form for one in secrets if one for form in (one, quote(one, safe=""), quote(one), quote_plus(one))}
    return sorted(forms, key=len, reverse=True)


def unreadable_file(url: DatabaseUrl) -> str:
    """Which of the client's files can't be opened, for a sentence; empty where all can, or none is named."""
    for key in ("sslcert", "sslkey"):
        if path := url.params.get(key):
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                return f" ({key}={path}: {error.strerror})"
    return ""
