"""Why a login was refused: the cause behind what libpq and the server say, with its sentence and its remedy.

Loaded after a refusal only, so that nothing of it costs a cold start. The known messages are in refusals.tsv.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

MAX_WORDS = 200


class Cause(NamedTuple):
    """One reason. `sentence` may contain {server}, {host}, {user}, {dbname}; `passes` means: retry."""

    sentence: str
    remedy: str
    passes: bool = False


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


_TRANSACTION_POOLER = "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon)"
CAUSES: dict[str, Cause] = {
    "password_wrong": Cause(
        "The server {server} refused the password of user {user}.",
        "Copy user and password into DATABASE_URL again, with special characters percent-encoded: a user that isn't"
        " there is refused in the same words.",
    ),
    "password_missing": Cause(
        "The server {server} asks for a password and the URL holds none.",
        "Write it into DATABASE_URL: postgresql://user:password@host/database.",
    ),
    "iam_refused": Cause(
        "The server {server} refused the access token of user {user}.",
        "Use a new token as the password (on AWS it is valid for 15 minutes), and allow the role to connect"
        " (rds-db:connect on AWS).",
    ),
    "pam_refused": Cause(
        "The server {server} refused user {user}: PAM authentication failed.",
        "Check the password. On Amazon RDS this is IAM authentication: use a new token (valid for 15 minutes) and allow"
        " rds-db:connect for this user.",
    ),
    "pooler_credentials": Cause(
        "The pooler at {server} has no credentials for the user {user}.",
        "Register the user's password at the pooler (RDS Proxy: a Secrets Manager secret in its auth settings).",
    ),
    "tenant_unnamed": Cause(
        "The pooler at {server} can't tell which project the user {user} belongs to.",
        "Write the user as postgres.PROJECT: copy the pooler's URL from the provider again.",
    ),
    "tenant_unknown": Cause(
        "The pooler at {server} doesn't know the user {user}.",
        "Supabase's pooler wants the user as postgres.PROJECT and the project's own region: copy the URL again. A"
        " paused project is unknown too.",
    ),
    "provider_banned": Cause(
        "The provider has blocked the project behind {server}.",
        "See the provider's console, or ask its support.",
    ),
    "provider_throttled": Cause(
        "The pooler at {server} refuses connections for some minutes, after too many failed ones.",
        "Correct the password in DATABASE_URL if it is wrong; then wait. The block ends by itself.",
        passes=True,
    ),
    "provider_starting": Cause(
        "The provider is starting the database behind {server}, or it is under maintenance.",
        "It passes by itself; if it stays so, see the provider's console and its status page.",
        passes=True,
    ),
    "provider_down": Cause(
        "The provider's control plane behind {server} didn't answer.",
        "It passes by itself; if it stays so, see the provider's status page.",
        passes=True,
    ),
    "quota_exceeded": Cause(
        "A quota of the provider is used up, so {server} refuses connections.",
        "Upgrade the plan, or wait until the quota is reset: see the provider's console.",
    ),
    "endpoint_disabled": Cause(
        "The database behind {server} is disabled, paused or stopped at the provider.",
        "Enable or resume it in the provider's console.",
    ),
    "endpoint_missing": Cause(
        "The provider has no database endpoint {host}.",
        "Copy the URL from the provider's console again: the endpoint, branch or project was deleted or renamed.",
    ),
    "endpoint_unnamed": Cause(
        "The proxy at {server} can't tell which endpoint is meant.",
        "Use the provider's host name as it is, not an IP address; behind a proxy without SNI see neon.tech/sni.",
    ),
    "database_missing": Cause(
        "The server {server} has no database {dbname}.",
        "Correct the name at the end of DATABASE_URL, or create it: CREATE DATABASE.",
    ),
    "database_closed": Cause(
        "The database {dbname} on {server} takes no connections.",
        "Allow them: ALTER DATABASE … ALLOW_CONNECTIONS true, or enable it at the pooler.",
        passes=True,
    ),
    "role_missing": Cause(
        "The server {server} has no user {user}.",
        "Correct the user in DATABASE_URL, or create it: CREATE ROLE … LOGIN PASSWORD ….",
    ),
    "user_missing": Cause(
        "The server {server} got no user name that it can use.",
        "Write it into DATABASE_URL as the provider shows it: postgresql://user:password@host/database.",
    ),
    "tls_required": Cause(
        "The server {server} takes encrypted connections only.",
        "Add ?sslmode=require to DATABASE_URL.",
    ),
    "tls_refused": Cause(
        "The server {server} doesn't speak TLS, and DATABASE_URL asks for it.",
        "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    ),
    "tls_failed": Cause(
        "The TLS handshake with {server} failed.",
        "See the server's log; an old server may need TLS 1.2, and a firewall may interrupt TLS.",
        passes=True,
    ),
    "client_certificate": Cause(
        "The client certificate or its key can't be read{file}.",
        "Put both files where sslcert= and sslkey= of DATABASE_URL say (else ~/.postgresql/postgresql.crt and .key),"
        " readable for this process; the key must be closed to others: chmod 600.",
    ),
    "client_certificate_required": Cause(
        "The server {server} asks user {user} for a client certificate and accepted none.",
        "Name one with sslcert= and sslkey= in DATABASE_URL; its common name must be the user's.",
    ),
    "root_certificate": Cause(
        "The root certificate that sslmode asks for can't be read.",
        "Put the provider's root certificate where sslrootcert= says, and deploy it with the app.",
    ),
    "certificate": Cause(
        "The certificate of the server {server} couldn't be verified.",
        "Use the host name it is made for and sslrootcert=system; sslmode=require encrypts without verifying.",
    ),
    "not_allowed": Cause(
        "The server {server} doesn't let user {user} into database {dbname} from here.",
        "Allow this address in the server's network settings (pg_hba.conf, or the provider's allow list).",
    ),
    "login_refused": Cause(
        "User {user} may not connect to database {dbname} on {server}.",
        "Grant it: GRANT CONNECT ON DATABASE …; ALTER ROLE … LOGIN.",
    ),
    "authentication_unsupported": Cause(
        "The server {server} and this client have no authentication method in common.",
        "Change the method at the server or proxy (scram-sha-256), or channel_binding= and require_auth= in"
        " DATABASE_URL.",
    ),
    "pooler_behind": Cause(
        "The pooler at {server} can't log in at the database behind it.",
        "Check the database's name in DATABASE_URL and that its server runs; the pooler tries again by itself.",
        passes=True,
    ),
    "pooler_full": Cause(
        "The pooler at {server} is out of memory.",
        "It passes by itself; if it stays so, give the pooler more memory.",
        passes=True,
    ),
    "pooler_config": Cause(
        "The pooler at {server} is configured wrongly.",
        "See the pooler's log.",
    ),
    "parameter_refused": Cause(
        "The pooler at {server} refused a connection parameter.",
        "Remove extra parameters and the PGOPTIONS variable.",
    ),
    "session_pool_full": Cause(
        "The session pooler at {server} has no connection left: in session mode each client keeps one.",
        _TRANSACTION_POOLER + ": at Supabase only the port changes.",
        passes=True,
    ),
    "pool_exhausted": Cause(
        "The pooler at {server} had no free database connection in time.",
        _TRANSACTION_POOLER + ", end long transactions, or give the pooler more connections.",
        passes=True,
    ),
    "too_many_connections": Cause(
        "The server {server} has no connection left.",
        _TRANSACTION_POOLER + " or lower TRACKER_POOL_SIZE.",
        passes=True,
    ),
    "starting": Cause("The server {server} is starting or stopping.", "It passes by itself.", passes=True),
    "wrong_role_of_server": Cause(
        "No server in DATABASE_URL is of the kind that target_session_attrs asks for.",
        "Name the primary's address, or remove target_session_attrs; during a failover it passes by itself.",
        passes=True,
    ),
    "host_unknown": Cause(
        "There is no server named {host}.",
        "Correct the host in DATABASE_URL; a paused project's name disappears too.",
        passes=True,
    ),
    "refused": Cause(
        "Nothing answers at {server}.",
        "Check host and port in DATABASE_URL and that the database is running.",
        passes=True,
    ),
    "ipv6_only": Cause(
        "{host} has an IPv6 address alone, which this network can't reach.",
        "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    ),
    "unreachable": Cause(
        "There is no way from this network to {server}.",
        "Check host, port and network: a private address can only be reached from its own network.",
        passes=True,
    ),
    "timeout": Cause(
        "The server {server} didn't answer in time.",
        "Check host, port and the provider's allow list, and that this network reaches its address (IPv4 or IPv6).",
        passes=True,
    ),
    "hung_up": Cause(
        "What answers at {server} hung up during the login.",
        "Check host and port, and the provider's allow list; if the server was restarting, it passes by itself.",
        passes=True,
    ),
    "not_postgres": Cause(
        "What answers at {server} isn't PostgreSQL.",
        "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    ),
    "connect_refused": Cause(
        "The server {server} refused the connection.",
        "See the documentation of the server or pooler, and check DATABASE_URL.",
    ),
    "connect_failed": Cause(
        "The connection to {server} couldn't be made.",
        "Check DATABASE_URL; it is tried again.",
        passes=True,
    ),
}
# SQLSTATEs that mean one thing in every server and pooler. For 08P01, XX000 and 28000 the text decides.
_SPECIFIC = {
    "28P01": "password_wrong",
    "3D000": "database_missing",
    "53300": "too_many_connections",
    "57P03": "starting",
}
# PostgreSQL's own functions that refuse a login, for messages in a language that is not in refusals.tsv.
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
def _known() -> tuple[tuple[str, re.Pattern[str]], ...]:
    text = Path(__file__).with_name("refusals.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((code, re.compile(pattern, re.IGNORECASE)) for code, pattern, _ in rows)


def find(text: str, url: DatabaseUrl, verbose: str = "") -> Finding:
    """The cause of a failed login; `verbose` is the same failure with SQLSTATEs, where it was asked for.

    libpq tries several addresses, and with sslmode=prefer each with and without TLS: what it says names each attempt.
    A reason given by a server comes before a failure of the network, and before the demand for encryption, since
    the attempt with TLS was refused for another reason.
    """
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
    plain = " ".join(_QUOTED.sub('""', message).split())
    return next((code for code, pattern in _known() if pattern.search(plain)), None)


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
