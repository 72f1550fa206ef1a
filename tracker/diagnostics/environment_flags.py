"""What is set here: the environment's flags, the connection policy in force, and why each value is what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tracker.database.url import DatabaseUrl, clean
from tracker.errors import SettingError
from tracker.settings import DATABASE_URL_NAMES, VARIABLES, Settings

# Shown by value: they say where the code runs and are no secret. Of everything else only whether it is set.
SHOWN = ("NODE_ENV", "VERCEL", "VERCEL_ENV", "VERCEL_REGION")
HIDDEN = (
    *DATABASE_URL_NAMES,
    "GEMINI_API_KEY",
    "NEXT_PUBLIC_SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
)

_MEANING = {
    "NODE_ENV": "The mode the app was built for: development or production.",
    "VERCEL": "1 on Vercel, and on a laptop after vercel dev or vercel env pull.",
    "VERCEL_ENV": "Vercel's environment: production, preview or development.",
    "VERCEL_REGION": "Where the function runs; set only in a deployed function.",
    "DATABASE_URL": "The database that calls are recorded in.",
    "POSTGRES_URL": "The same under the name that Vercel's Postgres integrations use; DATABASE_URL wins.",
    "GEMINI_API_KEY": "Lets the app call Gemini; recording doesn't need it.",
    "NEXT_PUBLIC_SUPABASE_URL": "The app's Supabase project; recording doesn't need it.",
    "SUPABASE_SERVICE_ROLE_KEY": "Lets the app act as Supabase's service role; recording doesn't need it.",
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One environment variable: `value` only where it is no secret, `problem` where it can't be right."""

    name: str
    is_set: bool
    value: str | None
    meaning: str
    problem: str | None = None

    @property
    def is_secret(self) -> bool:
        return self.name not in SHOWN


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One line of the connection policy: what is in force and why."""

    name: str
    value: str
    reason: str


def read_flags(env: Mapping[str, str] = os.environ) -> tuple[Flag, ...]:
    """The environment's flags, those shown by value first."""
    return tuple(_flag(env, name) for name in (*SHOWN, *HIDDEN))


def _flag(env: Mapping[str, str], name: str) -> Flag:
    value = env.get(name, "")
    problem = _problem(name, value)
    return Flag(name, bool(value.strip()), value if name in SHOWN and value else None, _MEANING[name], problem)


def _problem(name: str, value: str) -> str | None:
    if value and not value.strip():
        return "It is set, but to nothing but white space."
    if name in DATABASE_URL_NAMES and value:
        try:
            clean(value, name)
        except SettingError as error:
            return str(error)
    return None


def url_notes(settings: Settings) -> tuple[str, ...]:
    """What was dropped from the database's URL or read differently; nothing when it is unset or can't be read."""
    url = read_url(settings)
    return url.notes if url else ()


def read_url(settings: Settings) -> DatabaseUrl | None:
    """The database's URL without a problem, or None."""
    if not settings.database_url:
        return None
    try:
        return clean(settings.database_url, settings.database_url_variable)
    except SettingError:
        return None


def connection_policy(settings: Settings, env: Mapping[str, str] = os.environ) -> tuple[PolicyRule, ...]:
    """How the recorder holds connections in this runtime, each value with its reason."""
    names = {
        "pool_size": ("Connections at most", ""),
        "idle_timeout_s": ("Closed when idle for", " s"),
        "connect_timeout_s": ("Time to connect at most", " s"),
        "max_lifetime_s": ("Replaced after", " s"),
        "max_retries": ("Retries at most", ""),
        "deadline_s": ("Time for one record, all attempts together", " s"),
    }
    variables = {variable.field: variable.name for variable in VARIABLES}
    return tuple(
        PolicyRule(title, _value(getattr(settings, field), unit), _reason(settings, field, variables[field], env))
        for field, (title, unit) in names.items()
    )


def _value(value: float | None, unit: str) -> str:
    return "no limit" if value is None else f"{value:g}{unit}"


_WHY = {
    "pool_size": (
        "many instances share the server's connections, so each takes few",
        "one process serves everybody, so it may hold more",
    ),
    "idle_timeout_s": (
        "a frozen instance keeps its sockets, so idle ones close soon",
        "connections are kept between bursts",
    ),
    "connect_timeout_s": (
        "an upper bound: the record's deadline ends earlier",
        "an upper bound: the record's deadline ends earlier",
    ),
    "max_lifetime_s": (
        "instances live for minutes, and so do their connections",
        "the process stays, and so may they",
    ),
    "max_retries": ("what passes by itself is tried again", "what passes by itself is tried again"),
    "deadline_s": ("the function's own time is short", "nobody waits for a function's time limit here"),
}


def _reason(settings: Settings, field: str, variable: str, env: Mapping[str, str]) -> str:
    if env.get(variable, "").strip() and not any(variable in problem for problem in settings.problems):
        return f"{variable} says so"
    kind = "Serverless" if settings.runtime.serverless else "Server"
    return f"{kind}: {_WHY[field][0 if settings.runtime.serverless else 1]}"
