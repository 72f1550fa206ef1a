"""Reads environment variables and keyword arguments into Settings. The README's table lists every variable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from tracker.errors import SettingError
from tracker.messages import Message, join_messages
from tracker.platforms import PLATFORMS, Runtime, detect
from tracker.setting_parsers import (
    MAX_PROPERTIES,
    MIN_SIGNING_KEY_CHARS,
    CurrencySetting,
    DigestTime,
    allowed,
    integer,
    number,
    parse_api_tokens,
    parse_attribute_names,
    parse_boolean,
    parse_currency,
    parse_digest_time,
    parse_mode,
    parse_platform,
    parse_postgres_url,
    parse_properties,
    parse_signing_key,
    parse_token,
    parse_urls,
    parse_users,
    seconds_or_none,
)

# Other files in the system's zone directory: the machine's own zone, and copies that PostgreSQL doesn't have.
_NOT_IANA = ("localtime", "posixrules", "posix/", "right/")


class Settings(NamedTuple):
    """The settings of this process. Times are seconds; a lifetime of None means no limit. The repr omits secrets."""

    runtime: Runtime
    database_url: str | None
    database_url_variable: str
    pool_size: int
    connect_timeout_s: float
    idle_timeout_s: float
    max_lifetime_s: float | None
    max_retries: int
    deadline_s: float
    mode: str
    outbox: str | None
    outbox_max_mb: int
    alert_urls: tuple[str, ...]
    pgbouncer_url: str | None
    log_records: bool
    slow_record_ms: float
    timezone: str | None
    embedded_dir: str | None
    prices: str | None
    currency: CurrencySetting | None
    otlp_properties: tuple[str, ...]
    properties: tuple[str, ...] | None
    debug_token: str | None
    dashboard_password_hash: str | None
    dashboard_users: tuple[str, ...]
    dashboard_open: bool
    dashboard_write: bool | None
    digest: DigestTime | None
    digest_users: bool
    api_tokens: tuple[str, ...]
    api_signing_key: str | None
    problems: tuple[str, ...] = ()
    """A message for each invalid variable: its default is used, or access is refused if it controls access."""
    invalid_variables: tuple[str, ...] = ()

    def is_unreadable(self, variable: str) -> bool:
        """Whether a variable is set and invalid."""
        return variable in self.invalid_variables

    def __repr__(self) -> str:
        public = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRETS)
        return f"Settings({', '.join(public)})"


_SECRETS = {
    "database_url",
    "alert_urls",
    "pgbouncer_url",
    "debug_token",
    "dashboard_password_hash",
    "api_tokens",
    "api_signing_key",
}


class Variable(NamedTuple):
    """One setting: its variable, its parser, its allowed values, its defaults on serverless and server platforms."""

    field: str
    name: str
    allowed: Message
    read: Callable[[str], Any]
    serverless: Any = None
    server: Any = None
    secret: bool = False
    controls_access: bool = False
    """Whether it controls access: an invalid value then refuses what `refused` names, and white space is invalid."""
    refused: str = "access_refused"
    """The name of the message about what an invalid value refuses, if it controls access."""

    def fallback(self, default: object = None) -> Message:
        """What applies instead of an invalid value."""
        if self.controls_access:
            return Message(f"settings.fallback.{self.refused}")
        if default in (None, ()):
            return Message("settings.fallback.default")
        return Message("settings.fallback.default_value", default=default)

    def check(self, given: str) -> None:
        """Raises `SettingError` for an invalid text; blank counts as unset, unless the variable controls access."""
        if text := given.strip():
            self.parse(text)
        elif given and self.controls_access:
            raise SettingError(Message("settings.setting_blank", variable=self.name, allowed=self.allowed))

    def parse(self, text: str) -> Any:
        try:
            return self.read(text)
        except (ValueError, OverflowError):
            given = Message("settings.masked_value") if self.secret else _quote(text)
            raise SettingError(
                Message("settings.setting_invalid", variable=self.name, given=given, allowed=self.allowed)
            ) from None


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def resolve_time_zone_name(name: str) -> str:
    """The name, or its current IANA name if this machine lacks the old one. Raises `ValueError` if it has neither."""
    try:
        load_time_zone(name)
    except ValueError:
        from tracker.time_zones import CURRENT_NAMES

        if name not in CURRENT_NAMES:
            raise
        name = CURRENT_NAMES[name]
        load_time_zone(name)
    return name


def load_time_zone(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises `ValueError` if there is none, or only this machine has it.

    UTC needs no time zone data, so it also works on Windows and in slim images.
    """
    if name == "UTC":
        return UTC
    if name.startswith(_NOT_IANA):
        raise ValueError(name)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, KeyError) as error:  # a directory or another kind of file; no such zone
        raise ValueError(name) from error


# Defaults for connections: few and short-lived ones on serverless platforms, where many instances share one database;
# more and longer-lived ones on a server.
VARIABLES: tuple[Variable, ...] = (
    Variable("pool_size", "TRACKER_POOL_SIZE", *integer("whole_number", 1, 100), 5, 15),
    Variable("connect_timeout_s", "TRACKER_CONNECT_TIMEOUT_S", *number("seconds", 0.1, 300), 15.0, 30.0),
    Variable("idle_timeout_s", "TRACKER_IDLE_TIMEOUT_S", *number("seconds", 0.1, 86_400), 5.0, 10.0),
    Variable("max_lifetime_s", "TRACKER_MAX_LIFETIME_S", *seconds_or_none(1, 86_400), 600.0, None),
    Variable("max_retries", "TRACKER_MAX_RETRIES", *integer("whole_number", 0, 100), 5, 5),
    Variable("deadline_s", "TRACKER_DEADLINE_S", *number("seconds", 0.1, 900), 5.0, 10.0),
    # A serverless instance may be frozen after its response, so records are written before it.
    Variable("mode", "TRACKER_MODE", allowed("mode"), parse_mode, "direct", "background"),
    Variable("outbox", "TRACKER_OUTBOX", allowed("file"), str),
    Variable("outbox_max_mb", "TRACKER_OUTBOX_MAX_MB", *integer("megabytes", 1, 100_000), 100, 1000),
    Variable(
        "alert_urls",
        "TRACKER_ALERT_URLS",
        allowed("urls", url="https://example.com/hook"),
        parse_urls,
        (),
        (),
        secret=True,
    ),
    Variable(
        "pgbouncer_url",
        "TRACKER_PGBOUNCER_URL",
        allowed("pgbouncer_url", url="postgresql://stats:password@host:6432/pgbouncer"),
        parse_postgres_url,
        secret=True,
    ),
    Variable("log_records", "TRACKER_LOG_RECORDS", allowed("boolean"), parse_boolean, True, True),
    Variable("slow_record_ms", "TRACKER_SLOW_RECORD_MS", *number("milliseconds", 1, 900_000), 1000.0, 1000.0),
    Variable("timezone", "TRACKER_TIMEZONE", allowed("time_zone"), resolve_time_zone_name),
    Variable("embedded_dir", "TRACKER_EMBEDDED_DIR", allowed("directory"), str),
    Variable("prices", "TRACKER_PRICES", allowed("prices_file"), str),
    Variable("currency", "TRACKER_CURRENCY", allowed("currency"), parse_currency),
    Variable("digest", "TRACKER_DIGEST", allowed("digest_time"), parse_digest_time),
    Variable("digest_users", "TRACKER_DIGEST_USERS", allowed("boolean"), parse_boolean, False, False),
    Variable(
        "otlp_properties",
        "TRACKER_OTLP_PROPERTIES",
        allowed("attribute_names", names="region,app.*"),
        parse_attribute_names,
        (),
        (),
    ),
    Variable(
        "properties", "TRACKER_PROPERTIES", allowed("properties", count=MAX_PROPERTIES), parse_properties, None, None
    ),
    Variable("debug_token", "TRACKER_DEBUG_TOKEN", allowed("token"), parse_token, secret=True, controls_access=True),
    # tracker.auth parses the hash and refuses all access if it is invalid.
    Variable(
        "dashboard_password_hash",
        "TRACKER_DASHBOARD_PASSWORD_HASH",
        allowed("password_hash"),
        str,
        secret=True,
        controls_access=True,
    ),
    Variable(
        "dashboard_users",
        "TRACKER_DASHBOARD_USERS",
        allowed("users", users="ann@example.com @example.org"),
        parse_users,
        (),
        (),
        controls_access=True,
    ),
    Variable(
        "dashboard_open",
        "TRACKER_DASHBOARD_OPEN",
        allowed("boolean"),
        parse_boolean,
        False,
        False,
        controls_access=True,
    ),
    Variable(
        "dashboard_write",
        "TRACKER_DASHBOARD_WRITE",
        allowed("boolean"),
        parse_boolean,
        controls_access=True,
        refused="writes_refused",
    ),
    Variable(
        "api_tokens",
        "TRACKER_API_TOKENS",
        allowed("api_tokens"),
        parse_api_tokens,
        (),
        (),
        secret=True,
        controls_access=True,
        refused="api_refused",
    ),
    Variable(
        "api_signing_key",
        "TRACKER_API_SIGNING_KEY",
        allowed("signing_key", min_chars=MIN_SIGNING_KEY_CHARS),
        parse_signing_key,
        secret=True,
        controls_access=True,
        refused="api_refused",
    ),
)
PLATFORM = Variable("platform", "TRACKER_PLATFORM", allowed("platform", names=", ".join(PLATFORMS)), parse_platform)
DATABASE_URL_NAMES = ("DATABASE_URL", "POSTGRES_URL")


def load(env: Mapping[str, str] = os.environ, *, strict: bool = True, **overrides: Any) -> Settings:
    """Read all settings; a keyword argument overrides the variable of the same setting, None means unset.

    Raises `SettingError` for an invalid argument and, if `strict`, for an invalid variable. Otherwise the variable's
    default is used and `problems` has a message about it, so that a variable can't break the application.
    """
    known = {variable.field for variable in VARIABLES} | {"platform", "database_url"}
    if unknown := sorted(set(overrides) - known):
        raise SettingError(
            Message("settings.setting_unknown", unknown=f"{unknown[0]!r}", known=", ".join(sorted(known)))
        )
    invalid: dict[str, str] = {}

    def value(variable: Variable, default: Any) -> Any:
        if (given := overrides.get(variable.field)) is not None:
            separator = "," if variable.field == "properties" else " "
            return variable.parse(separator.join(given) if isinstance(given, list | tuple) else str(given))
        given_text = env.get(variable.name, "")
        try:
            variable.check(given_text)
        except SettingError as error:
            if strict:
                raise
            invalid[variable.name] = join_messages([str(error), variable.fallback(default)])
            return default
        return variable.parse(text) if (text := given_text.strip()) else default

    runtime = detect(env, value(PLATFORM, None))
    values = {v.field: value(v, v.serverless if runtime.serverless else v.server) for v in VARIABLES}
    try:
        url, name = _database_url(env, overrides.get("database_url"))
    except SettingError as error:
        if strict or overrides.get("database_url") is not None:
            raise
        url, name = None, DATABASE_URL_NAMES[0]
        invalid[name] = str(error)
    return Settings(
        runtime=runtime,
        database_url=url,
        database_url_variable=name,
        problems=tuple(invalid.values()),
        invalid_variables=tuple(invalid),
        **values,
    )


def _database_url(env: Mapping[str, str], given: object) -> tuple[str | None, str]:
    if given is not None and not isinstance(given, str):
        raise SettingError(Message("settings.database_url_not_text", type_name=type(given).__name__))
    if given:
        return given, "database_url"
    for name in DATABASE_URL_NAMES:
        if env.get(name, "").strip():
            return env[name], name
    if blank := next((name for name in DATABASE_URL_NAMES if env.get(name)), None):
        raise SettingError(Message("settings.database_url_blank", variable=blank))
    return None, DATABASE_URL_NAMES[0]
