"""Reads environment variables and keyword arguments into Settings. The README's table lists every variable."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from tracker.currencies import CODES
from tracker.errors import SettingError
from tracker.messages import Message, join_messages
from tracker.platforms import PLATFORMS, Platform, Runtime, detect

# Other files in the system's zone directory: the machine's own zone, and copies that PostgreSQL doesn't have.
_NOT_IANA = ("localtime", "posixrules", "posix/", "right/")


class CurrencySetting(NamedTuple):
    """The currency of TRACKER_CURRENCY: its code, units for one US dollar, and the day of this rate."""

    code: str
    rate: Decimal | None = None
    day: date | None = None


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
    debug_token: str | None
    dashboard_password_hash: str | None
    dashboard_users: tuple[str, ...]
    dashboard_open: bool
    dashboard_write: bool | None
    problems: tuple[str, ...] = ()
    """A message for each invalid variable: its default is used, or access is refused if it controls access."""
    invalid_variables: tuple[str, ...] = ()

    def is_unreadable(self, variable: str) -> bool:
        """Whether a variable is set and invalid."""
        return variable in self.invalid_variables

    def __repr__(self) -> str:
        public = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRETS)
        return f"Settings({', '.join(public)})"


_SECRETS = {"database_url", "alert_urls", "pgbouncer_url", "debug_token", "dashboard_password_hash"}


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


def require_plain_number(text: str) -> str:
    """The text. Raises `ValueError` for underscores and non-ASCII digits, which Python's parsers accept."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def _number(unit: str, low: float, high: float) -> tuple[Message, Callable[[str], float]]:
    """The allowed values and the parser of a number in this unit."""

    def parse(text: str) -> float:
        value = float(require_plain_number(text))
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError
        return value

    return _allowed(unit, low=low, high=high), parse


def _integer(unit: str, low: int, high: int) -> tuple[Message, Callable[[str], int]]:
    """The allowed values and the parser of a whole number in this unit."""

    def parse(text: str) -> int:
        value = int(require_plain_number(text))
        if not low <= value <= high:
            raise ValueError
        return value

    return _allowed(unit, low=low, high=high), parse


def _seconds_or_none(low: float, high: float) -> tuple[Message, Callable[[str], float | None]]:
    _, parse_seconds = _number("seconds", low, high)

    def parse(text: str) -> float | None:
        return None if text.lower() == "none" else parse_seconds(text)

    return _allowed("seconds_or_none", low=low, high=high), parse


def _allowed(name: str, **params: object) -> Message:
    return Message(f"settings.allowed.{name}", **params)


def _parse_boolean(text: str) -> bool:
    values = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]


def _parse_mode(text: str) -> str:
    if text not in {"direct", "background"}:
        raise ValueError
    return text


def _parse_urls(text: str) -> tuple[str, ...]:
    urls = tuple(text.split())
    if not all("://" in url and not url.startswith("://") for url in urls):
        raise ValueError
    return urls


def _parse_users(text: str) -> tuple[str, ...]:
    users = tuple(text.lower().replace(",", " ").split())
    if not users or not all(re.fullmatch(r"[^@\s]*@[^@\s]+", user) for user in users):
        raise ValueError
    return users


def _parse_token(text: str) -> str:
    if not text.isprintable() and not any("\udc80" <= char <= "\udcff" for char in text):
        raise ValueError  # not allowed in a header
    return text


def _parse_currency(text: str) -> CurrencySetting:
    code, *numbers = text.split()
    if code.upper() not in CODES or len(numbers) > 2:
        raise ValueError
    if not numbers:
        return CurrencySetting(code.upper())
    try:
        rate = Decimal(require_plain_number(numbers[0]))
    except InvalidOperation:
        raise ValueError from None
    if not (rate.is_finite() and 0 < rate <= 10**9):
        raise ValueError
    return CurrencySetting(code.upper(), rate, date.fromisoformat(numbers[1]) if len(numbers) == 2 else None)


def _parse_postgres_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError
    return text


def _parse_platform(text: str) -> Platform:
    if text not in PLATFORMS:
        raise ValueError
    return text


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
    Variable("pool_size", "TRACKER_POOL_SIZE", *_integer("whole_number", 1, 100), 5, 15),
    Variable("connect_timeout_s", "TRACKER_CONNECT_TIMEOUT_S", *_number("seconds", 0.1, 300), 15.0, 30.0),
    Variable("idle_timeout_s", "TRACKER_IDLE_TIMEOUT_S", *_number("seconds", 0.1, 86_400), 5.0, 10.0),
    Variable("max_lifetime_s", "TRACKER_MAX_LIFETIME_S", *_seconds_or_none(1, 86_400), 600.0, None),
    Variable("max_retries", "TRACKER_MAX_RETRIES", *_integer("whole_number", 0, 100), 5, 5),
    Variable("deadline_s", "TRACKER_DEADLINE_S", *_number("seconds", 0.1, 900), 5.0, 10.0),
    # A serverless instance may be frozen after its response, so records are written before it.
    Variable("mode", "TRACKER_MODE", _allowed("mode"), _parse_mode, "direct", "background"),
    Variable("outbox", "TRACKER_OUTBOX", _allowed("file"), str),
    Variable("outbox_max_mb", "TRACKER_OUTBOX_MAX_MB", *_integer("megabytes", 1, 100_000), 100, 1000),
    Variable(
        "alert_urls",
        "TRACKER_ALERT_URLS",
        _allowed("urls", url="https://example.com/hook"),
        _parse_urls,
        (),
        (),
        secret=True,
    ),
    Variable(
        "pgbouncer_url",
        "TRACKER_PGBOUNCER_URL",
        _allowed("pgbouncer_url", url="postgresql://stats:password@host:6432/pgbouncer"),
        _parse_postgres_url,
        secret=True,
    ),
    Variable("log_records", "TRACKER_LOG_RECORDS", _allowed("boolean"), _parse_boolean, True, True),
    Variable("slow_record_ms", "TRACKER_SLOW_RECORD_MS", *_number("milliseconds", 1, 900_000), 1000.0, 1000.0),
    Variable("timezone", "TRACKER_TIMEZONE", _allowed("time_zone"), resolve_time_zone_name),
    Variable("embedded_dir", "TRACKER_EMBEDDED_DIR", _allowed("directory"), str),
    Variable("prices", "TRACKER_PRICES", _allowed("prices_file"), str),
    Variable("currency", "TRACKER_CURRENCY", _allowed("currency"), _parse_currency),
    Variable("debug_token", "TRACKER_DEBUG_TOKEN", _allowed("token"), _parse_token, secret=True, controls_access=True),
    # tracker.auth parses the hash and refuses all access if it is invalid.
    Variable(
        "dashboard_password_hash",
        "TRACKER_DASHBOARD_PASSWORD_HASH",
        _allowed("password_hash"),
        str,
        secret=True,
        controls_access=True,
    ),
    Variable(
        "dashboard_users",
        "TRACKER_DASHBOARD_USERS",
        _allowed("users", users="ann@example.com @example.org"),
        _parse_users,
        (),
        (),
        controls_access=True,
    ),
    Variable(
        "dashboard_open",
        "TRACKER_DASHBOARD_OPEN",
        _allowed("boolean"),
        _parse_boolean,
        False,
        False,
        controls_access=True,
    ),
    Variable(
        "dashboard_write",
        "TRACKER_DASHBOARD_WRITE",
        _allowed("boolean"),
        _parse_boolean,
        controls_access=True,
        refused="writes_refused",
    ),
)
PLATFORM = Variable("platform", "TRACKER_PLATFORM", _allowed("platform", names=", ".join(PLATFORMS)), _parse_platform)
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
            return variable.parse(" ".join(given) if isinstance(given, list | tuple) else str(given))
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
