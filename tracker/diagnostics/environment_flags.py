"""Describes the environment for the Environment page: flags with their meaning, and the connection policy in force."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tracker.database.url import DatabaseUrl, clean
from tracker.errors import SettingError
from tracker.messages import Message
from tracker.settings import DATABASE_URL_NAMES, VARIABLES, Settings

# These variables name the platform and are not secret. A report contains only whether the others are set.
PUBLIC_NAMES = ("NODE_ENV", "VERCEL", "VERCEL_ENV", "VERCEL_REGION")
HIDDEN_NAMES = (
    *DATABASE_URL_NAMES,
    "GEMINI_API_KEY",
    "NEXT_PUBLIC_SUPABASE_URL",
    "SUPABASE_SERVICE_ROLE_KEY",
)

_MEANINGS = {
    "NODE_ENV": Message("diagnostics.variable_meaning.node_env"),
    "VERCEL": Message("diagnostics.variable_meaning.vercel"),
    "VERCEL_ENV": Message("diagnostics.variable_meaning.vercel_env"),
    "VERCEL_REGION": Message("diagnostics.variable_meaning.vercel_region"),
    "DATABASE_URL": Message("diagnostics.variable_meaning.database_url"),
    "POSTGRES_URL": Message("diagnostics.variable_meaning.postgres_url"),
    "GEMINI_API_KEY": Message("diagnostics.variable_meaning.gemini_key"),
    "NEXT_PUBLIC_SUPABASE_URL": Message("diagnostics.variable_meaning.supabase_url"),
    "SUPABASE_SERVICE_ROLE_KEY": Message("diagnostics.variable_meaning.supabase_key"),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """One environment variable. `value` is None for a secret; `problem` says why the value can't be right."""

    name: str
    is_set: bool
    value: str | None
    meaning: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One value of the connection policy, and why it applies."""

    name: str
    value: str
    reason: str


def read_flags(env: Mapping[str, str] = os.environ) -> tuple[Flag, ...]:
    """The environment's flags, those with a public value first."""
    return tuple(_flag(env, name) for name in (*PUBLIC_NAMES, *HIDDEN_NAMES))


def _flag(env: Mapping[str, str], name: str) -> Flag:
    value = env.get(name, "")
    problem = _problem(name, value)
    return Flag(name, bool(value.strip()), value if name in PUBLIC_NAMES and value else None, _MEANINGS[name], problem)


def _problem(name: str, value: str) -> str | None:
    if value and not value.strip():
        return Message("diagnostics.variable.set_but_blank")
    if name in DATABASE_URL_NAMES and value:
        try:
            clean(value, name)
        except SettingError as error:
            return str(error)
    return None


def url_notes(settings: Settings) -> tuple[str, ...]:
    """What was removed from the database's URL or interpreted; empty when the URL is unset or invalid."""
    url = _valid_url(settings)
    return url.notes if url else ()


def _valid_url(settings: Settings) -> DatabaseUrl | None:
    if not settings.database_url:
        return None
    try:
        return clean(settings.database_url, settings.database_url_variable)
    except SettingError:
        return None


_POLICY_FIELDS = (
    "pool_size",
    "idle_timeout_s",
    "connect_timeout_s",
    "max_lifetime_s",
    "max_retries",
    "deadline_s",
)
_SAME_REASON_ON_ALL_PLATFORMS = {"connect_timeout_s", "max_retries"}


def connection_policy(settings: Settings, env: Mapping[str, str] = os.environ) -> tuple[PolicyRule, ...]:
    """The recorder's connection limits in this runtime, each with its reason."""
    variables = {variable.field: variable.name for variable in VARIABLES}
    return tuple(
        PolicyRule(
            Message(f"diagnostics.policy.{field}"),
            _format(field, getattr(settings, field)),
            _reason(settings, field, variables[field], env),
        )
        for field in _POLICY_FIELDS
    )


def _format(field: str, value: float | None) -> str:
    if value is None:
        return Message("diagnostics.policy.no_limit")
    return Message("diagnostics.policy.seconds", n=f"{value:g}") if field.endswith("_s") else f"{value:g}"


def _reason(settings: Settings, field: str, variable: str, env: Mapping[str, str]) -> Message:
    if env.get(variable, "").strip() and not settings.is_unreadable(variable):
        return Message("diagnostics.policy.set_by", variable=variable)
    platform_kind = "serverless" if settings.runtime.serverless else "server"
    reason_kind = "reason" if field in _SAME_REASON_ON_ALL_PLATFORMS else platform_kind
    return Message(f"diagnostics.policy.{platform_kind}", reason=Message(f"diagnostics.policy.{field}.{reason_kind}"))
