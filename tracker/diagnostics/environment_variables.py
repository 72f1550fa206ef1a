"""Checks the environment variables: which are set, and which values can't be right. Keeps no value of a secret."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracker.database.tls import TlsSettingError
from tracker.database.url import DatabaseUrl, clean
from tracker.diagnostics.environment_flags import HIDDEN_NAMES, PUBLIC_NAMES
from tracker.diagnostics.rules import Severity
from tracker.errors import SettingError
from tracker.messages import Message, join_messages, with_messages
from tracker.prices.currency_rates import currency_problem
from tracker.settings import DATABASE_URL_NAMES, PLATFORM, VARIABLES, load

_TOKEN = "TRACKER_DEBUG_TOKEN"  # noqa: S105  a name
_ALL_HIDDEN_NAMES = (*HIDDEN_NAMES, _TOKEN, "TRACKER_ALERT_URLS")
# Names that indicate a secret. Supabase's anonymous and publishable keys don't match: they are made for the browser.
_SECRET_NAME = re.compile(
    r"SECRET|SERVICE_ROLE|PASSWORD|DATABASE_URL|POSTGRES|PRIVATE|GEMINI|OPENAI|ANTHROPIC", re.IGNORECASE
)
_URL_WITH_PASSWORD = re.compile(r"postgres(ql)?://[^\s:/@]*:[^\s@]+@", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[?YOUR[-_ ]?PASSWORD\]?|<password>|\[PASSWORD\]|\*{3,}@", re.IGNORECASE)
_VARIABLE_REFERENCE = re.compile(r"\$\{?[A-Za-z_]+\}?|\{\{.+\}\}")
_MIN_TOKEN_CHARACTERS = 16
_QUOTES = "\"'`“”‘’"


@dataclass(frozen=True, slots=True)
class VariableProblem:
    """A problem with a variable's value.

    *error*: the value can't be used. *warning*: this library can use it, but other programs may not. *info*: the value
    works and may surprise.
    """

    variable: str
    code: str
    message: str
    severity: Severity

    def as_dict(self) -> dict[str, Any]:
        """The problem as an entry of the report's `variables`."""
        return with_messages(
            {"name": self.variable, "code": self.code, "sentence": self.message, "severity": self.severity}
        )


def read_environment(env: Mapping[str, str]) -> dict[str, str | bool | None]:
    """The report's `environment` part: public variables by value, each secret only as `<NAME>_SET`."""
    values: dict[str, str | bool | None] = {name: env.get(name) for name in PUBLIC_NAMES}
    return values | {f"{name}_SET": bool(env.get(name, "").strip()) for name in _ALL_HIDDEN_NAMES}


def find_variable_problems(env: Mapping[str, str]) -> list[VariableProblem]:
    """All problems with the variables' values, the most severe first."""
    problems = [*_database_url_problems(env), *_setting_problems(env), *_exposed_secrets(env)]
    return sorted(problems, key=lambda problem: ("error", "warning", "info").index(problem.severity))


def _database_url_problems(env: Mapping[str, str]) -> Iterator[VariableProblem]:
    names = [name for name in DATABASE_URL_NAMES if env.get(name)]
    for name in names:
        # The first non-blank variable is used; a problem with one that is not used does no harm.
        is_used = name == next((n for n in names if env[n].strip()), names[0])
        for problem in _url_problems(name, env[name]):
            yield problem if is_used else VariableProblem(name, problem.code, problem.message, "info")
    values = {env[name].strip() for name in names if env[name].strip()}
    if len(values) > 1:
        yield VariableProblem(
            names[1],
            "two_databases",
            Message("diagnostics.variable.two_databases", variable=names[0], other_variable=names[1]),
            "info",
        )


def _url_problems(name: str, text: str) -> Iterator[VariableProblem]:
    if not text.strip():
        yield VariableProblem(name, "blank", Message("diagnostics.variable.blank", variable=name), "error")
        return
    bare = text.strip().strip(_QUOTES).strip()
    if bare.lower().startswith("psql "):
        message = Message("diagnostics.variable.command", variable=name)
        yield VariableProblem(name, "command", message, "error")
        return
    yield from _whitespace_and_quote_problems(name, text)
    if _PLACEHOLDER.search(bare):
        message = Message("diagnostics.variable.placeholder", variable=name)
        yield VariableProblem(name, "placeholder", message, "error")
        return
    if bare.lower().startswith((f"{name.lower()}=", "export ")):
        message = Message("diagnostics.variable.name_in_value", variable=name)
        yield VariableProblem(name, "name_in_value", message, "error")
        return
    if _VARIABLE_REFERENCE.match(bare):
        message = Message("diagnostics.variable.unexpanded", variable=name)
        yield VariableProblem(name, "unexpanded", message, "error")
        return
    try:
        clean(text, name)
    except TlsSettingError as error:
        yield VariableProblem(name, "tls_unreadable", str(error), "error")
    except SettingError as error:
        scheme = bare.partition("://")[0].lower()
        is_other_scheme = "://" in bare and scheme not in {"postgres", "postgresql"}
        yield VariableProblem(name, "wrong_scheme" if is_other_scheme else "malformed", str(error), "error")


def _whitespace_and_quote_problems(name: str, text: str) -> Iterator[VariableProblem]:
    bare = text.strip()
    has_escaped_newline = bare.strip(_QUOTES).endswith(("\\n", "\\r"))
    if "\n" in text or "\r" in text or has_escaped_newline:
        message = Message("diagnostics.variable.newline", variable=name)
        yield VariableProblem(name, "newline", message, "error" if has_escaped_newline else "warning")
    elif bare != text:
        yield VariableProblem(
            name, "white_space", Message("diagnostics.variable.white_space", variable=name), "warning"
        )
    if bare[:1] in _QUOTES or bare[-1:] in _QUOTES:
        is_quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`"
        message = Message("diagnostics.variable.quotes", variable=name)
        yield VariableProblem(name, "quotes", message, "warning" if is_quoted else "error")


def _setting_problems(env: Mapping[str, str]) -> Iterator[VariableProblem]:
    for variable in (PLATFORM, *VARIABLES):
        try:
            variable.check(env.get(variable.name, ""))
        except SettingError as error:
            message = join_messages([str(error), variable.fallback()])
            yield VariableProblem(variable.name, "setting_malformed", message, "warning")
    for name in (*HIDDEN_NAMES, _TOKEN):
        if name not in DATABASE_URL_NAMES and (text := env.get(name, "")):
            yield from _whitespace_and_quote_problems(name, text)
    if 0 < (length := len(env.get(_TOKEN, "").strip())) < _MIN_TOKEN_CHARACTERS:
        # The rate limit doesn't stop guessing: it never refuses the right token, so that no span is lost.
        message = Message("diagnostics.variable.token_short", length=length)
        yield VariableProblem(_TOKEN, "token_short", message, "info")
    if (problem := currency_problem(load(env, strict=False))) is not None:
        yield VariableProblem("TRACKER_CURRENCY", "setting_malformed", problem, "warning")
    if env.get("PGOPTIONS", "").strip():
        message = Message("diagnostics.variable.pgoptions")
        yield VariableProblem("PGOPTIONS", "pgoptions", message, "info")


def _exposed_secrets(env: Mapping[str, str]) -> Iterator[VariableProblem]:
    """Next.js puts every NEXT_PUBLIC_ variable into the browser's bundle (nextjs.org, "Environment Variables")."""
    for name, value in sorted(env.items()):
        if name.startswith("NEXT_PUBLIC_") and value and _is_secret(name, value):
            message = Message("diagnostics.variable.exposed_secret", variable=name)
            yield VariableProblem(name, "exposed_secret", message, "error")


def _is_secret(name: str, value: str) -> bool:
    if _SECRET_NAME.search(name) or _URL_WITH_PASSWORD.search(value):
        return True
    return value.startswith("sb_secret_") or _jwt_role(value) == "service_role"


def _jwt_role(value: str) -> str | None:
    """The `role` claim of a JSON Web Token (Supabase's keys are such tokens); None for other values."""
    parts = value.strip().split(".")
    if len(parts) != 3:
        return None
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (binascii.Error, ValueError):
        return None
    match = re.search(rb'"role"\s*:\s*"(\w+)"', claims)
    return match[1].decode() if match else None


def find_url_problems(url: DatabaseUrl, *, serverless: bool) -> Iterator[VariableProblem]:
    """Warnings about URLs that bypass the transaction pooler on a serverless platform."""
    host, port, name = url.host.lower(), url.port, "DATABASE_URL"
    if not serverless:
        return
    if host.endswith(".pooler.supabase.com") and port == "5432":
        message = Message("diagnostics.variable.session_pooler")
        yield VariableProblem(name, "session_pooler", message, "warning")
    elif re.match(r"db\.\w+\.supabase\.co\Z", host) and port == "5432":
        message = Message("diagnostics.variable.direct_host_supabase")
        yield VariableProblem(name, "direct_host", message, "warning")
    elif host.endswith(".neon.tech") and "-pooler." not in host:
        message = Message("diagnostics.variable.direct_host_neon")
        yield VariableProblem(name, "direct_host", message, "warning")
