"""The environment's variables: which are set, and which can't be meant as they are. No value of a secret is kept."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tracker.database.tls import TlsSettingError
from tracker.database.url import DatabaseUrl, clean
from tracker.diagnostics.environment_flags import HIDDEN, SHOWN
from tracker.errors import SettingError
from tracker.settings import DATABASE_URL_NAMES, PLATFORM, VARIABLES

Severity = Literal["error", "warning", "info"]

_SECRETS = (*HIDDEN, "TRACKER_DEBUG_TOKEN", "TRACKER_ALERT_URLS")
# Names that say "secret". Supabase's anonymous and publishable keys are made for the browser.
_SECRET_NAME = re.compile(
    r"SECRET|SERVICE_ROLE|PASSWORD|DATABASE_URL|POSTGRES|PRIVATE|GEMINI|OPENAI|ANTHROPIC", re.IGNORECASE
)
_WITH_PASSWORD = re.compile(r"postgres(ql)?://[^\s:/@]*:[^\s@]+@", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[?YOUR[-_ ]?PASSWORD\]?|<password>|\[PASSWORD\]|\*{3,}@", re.IGNORECASE)
_UNEXPANDED = re.compile(r"\$\{?[A-Za-z_]+\}?|\{\{.+\}\}")
_SHORTEST_TOKEN = 16
_QUOTES = "\"'`“”‘’"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is wrong with the form of a variable's value: a stable word, one sentence, and how bad it is.

    *error*: it can't be used as it is. *warning*: this library reads it all the same, other readers may not.
    """

    variable: str
    code: str
    sentence: str
    severity: Severity


def environment(env: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The flags: where the code runs by value, every secret only as `<NAME>_SET`."""
    shown: dict[str, str | bool | None] = {name: env.get(name) for name in SHOWN}
    return shown | {f"{name}_SET": bool(env.get(name, "").strip()) for name in _SECRETS}


def shapes(env: Mapping[str, str]) -> list[Shape]:
    """Everything about the variables' form that can't be meant, what breaks recording first."""
    found = [*_addresses(env), *_others(env), *_exposed(env)]
    return sorted(found, key=lambda shape: ("error", "warning", "info").index(shape.severity))


def _addresses(env: Mapping[str, str]) -> Iterator[Shape]:
    names = [name for name in DATABASE_URL_NAMES if env.get(name)]
    for name in names:
        # The first one that holds something is used; a broken one behind it harms nobody yet.
        used = name == next((n for n in names if env[n].strip()), names[0])
        for shape in _address(name, env[name]):
            yield shape if used else Shape(name, shape.code, shape.sentence, "info")
    values = {env[name].strip() for name in names if env[name].strip()}
    if len(values) > 1:
        yield Shape(
            names[1],
            "two_databases",
            f"{names[0]} and {names[1]} name different addresses; {names[0]} is used.",
            "info",
        )


def _address(name: str, text: str) -> Iterator[Shape]:
    if not text.strip():
        yield Shape(name, "blank", f"{name} is set to nothing but white space.", "error")
        return
    bare = text.strip().strip(_QUOTES).strip()
    if bare.lower().startswith("psql "):
        yield Shape(name, "command", f"{name} holds a psql command; only the address in it belongs there.", "error")
        return
    yield from _wrapping(name, text)
    if _PLACEHOLDER.search(bare):
        yield Shape(name, "placeholder", f"{name} still holds the placeholder for the password.", "error")
        return
    if bare.lower().startswith((f"{name.lower()}=", "export ")):
        yield Shape(name, "name_in_value", f"{name} holds its own name: NAME= was pasted with the value.", "error")
        return
    if _UNEXPANDED.match(bare):
        yield Shape(name, "unexpanded", f"{name} holds a reference to another variable that nobody replaced.", "error")
        return
    try:
        clean(text, name)
    except TlsSettingError as error:
        yield Shape(name, "tls_unreadable", str(error), "error")
    except SettingError as error:
        scheme = bare.partition("://")[0].lower()
        wrong = "://" in bare and scheme not in {"postgres", "postgresql"}
        yield Shape(name, "wrong_scheme" if wrong else "malformed", str(error), "error")


def _wrapping(name: str, text: str) -> Iterator[Shape]:
    bare = text.strip()
    written_out = bare.strip(_QUOTES).endswith(("\\n", "\\r"))
    if "\n" in text or "\r" in text or written_out:
        sentence = f"The value of {name} ends with a line break, or holds one."
        yield Shape(name, "newline", sentence, "error" if written_out else "warning")
    elif bare != text:
        yield Shape(name, "white_space", f"There is white space around the value of {name}.", "warning")
    if bare[:1] in _QUOTES or bare[-1:] in _QUOTES:
        matched = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`"
        yield Shape(
            name,
            "quotes",
            f"The quotes of the .env file are part of the value of {name}.",
            "warning" if matched else "error",
        )


def _others(env: Mapping[str, str]) -> Iterator[Shape]:
    for variable in (PLATFORM, *VARIABLES):
        try:
            variable.check(env.get(variable.name, ""))
        except SettingError as error:
            yield Shape(variable.name, "setting_malformed", f"{error} {variable.fallback}", "warning")
    for name in (*HIDDEN, "TRACKER_DEBUG_TOKEN"):
        if name not in DATABASE_URL_NAMES and (text := env.get(name, "")):
            yield from _wrapping(name, text)
    if 0 < (length := len(env.get("TRACKER_DEBUG_TOKEN", "").strip())) < _SHORTEST_TOKEN:
        # A limit on answers is none on guesses: the right token is let through at any time, so that no record is lost.
        sentence = f"TRACKER_DEBUG_TOKEN has {length} characters, few enough to be guessed."
        yield Shape("TRACKER_DEBUG_TOKEN", "token_short", sentence, "info")
    if env.get("PGOPTIONS", "").strip():
        yield Shape("PGOPTIONS", "pgoptions", "PGOPTIONS is set; transaction poolers refuse its parameter.", "info")


def _exposed(env: Mapping[str, str]) -> Iterator[Shape]:
    """Next.js puts every NEXT_PUBLIC_ variable into what the browser loads (nextjs.org, "Environment Variables")."""
    for name, value in sorted(env.items()):
        if name.startswith("NEXT_PUBLIC_") and value and _is_secret(name, value):
            sentence = f"{name} is in what every visitor's browser loads, and it holds a secret."
            yield Shape(name, "exposed_secret", sentence, "error")


def _is_secret(name: str, value: str) -> bool:
    if _SECRET_NAME.search(name) or _WITH_PASSWORD.search(value):
        return True
    return value.startswith("sb_secret_") or _role_of_token(value) == "service_role"


def _role_of_token(value: str) -> str | None:
    """The role that a JSON web token claims, such as Supabase's keys do."""
    parts = value.strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (binascii.Error, ValueError):
        return None
    found = re.search(rb'"role"\s*:\s*"(\w+)"', claims)
    return found[1].decode() if found else None


def hints(url: DatabaseUrl, *, serverless: bool) -> Iterator[Shape]:
    """What an address that can be read says about the way it leads: through a pooler, or straight to the server."""
    host, port, name = url.host.lower(), url.port, "DATABASE_URL"
    if not serverless:
        return
    if host.endswith(".pooler.supabase.com") and port == "5432":
        sentence = "Port 5432 of Supabase's pooler holds a connection of the server for each client."
        yield Shape(name, "session_pooler", sentence, "warning")
    elif re.match(r"db\.\w+\.supabase\.co\Z", host) and port == "5432":
        sentence = "Supabase's direct host takes few connections, and over IPv6 alone."
        yield Shape(name, "direct_host", sentence, "warning")
    elif host.endswith(".neon.tech") and "-pooler." not in host:
        sentence = "Neon's direct host takes few connections; its pooler takes many."
        yield Shape(name, "direct_host", sentence, "warning")
