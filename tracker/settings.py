"""Environment variables and keyword arguments → Settings. Every variable stands in the README's table."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from tracker.errors import SettingError
from tracker.platforms import PLATFORMS, Platform, Runtime, detect

# What a system's directory of zones holds besides: this machine's own, and copies that PostgreSQL doesn't have.
_NOT_IANA = ("localtime", "posixrules", "posix/", "right/")


class Settings(NamedTuple):
    """What is in force in this process. Times are seconds; None as a lifetime means no limit. It shows no secret."""

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
    debug_token: str | None
    dashboard_password_hash: str | None
    dashboard_users: tuple[str, ...]
    dashboard_open: bool
    problems: tuple[str, ...] = ()
    """One sentence for each variable that couldn't be read: its default is used, or, of security, nobody is let in."""

    def is_unreadable(self, variable: str) -> bool:
        """Whether a variable is set and can't be read."""
        return any(problem.startswith(f"{variable} ") for problem in self.problems)

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _SECRETS)
        return f"Settings({', '.join(shown)})"


_SECRETS = {"database_url", "alert_urls", "pgbouncer_url", "debug_token", "dashboard_password_hash"}


class Variable(NamedTuple):
    """One setting: where it comes from, how it is read, what it may hold."""

    field: str
    name: str
    allowed: str
    read: Callable[[str], Any]
    serverless: Any = None
    server: Any = None
    secret: bool = False
    controls_access: bool = False
    """Whether it says who may enter: what can't be read then lets nobody in."""

    @property
    def fallback(self) -> str:
        """What happens while it can't be read."""
        return "All access is refused until it is corrected." if self.controls_access else "Its default is used."

    def check(self, given: str) -> None:
        """Raises `SettingError` where a variable's text can't be read; blank counts as unset, but not for security."""
        if text := given.strip():
            self.parse(text)
        elif given and self.controls_access:
            raise SettingError(f"{self.name} holds nothing but white space; it may hold {self.allowed}.")

    def parse(self, text: str) -> Any:
        try:
            return self.read(text)
        except (ValueError, OverflowError):
            shown = "something else (masked)" if self.secret else _shown(text)
            raise SettingError(f"{self.name} holds {shown}; it may hold {self.allowed}.") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def require_plain_number(text: str) -> str:
    """A number's text as people write it: Python also reads 1_0 and other scripts' digits. Raises `ValueError`."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(require_plain_number(text))
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError
        return value

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(require_plain_number(text))
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _seconds_or_none(text: str) -> float | None:
    return None if text.lower() == "none" else _number(1, 86_400)(text)


def _switch(text: str) -> bool:
    known = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


def _mode(text: str) -> str:
    if text not in {"direct", "background"}:
        raise ValueError
    return text


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(text.split())
    if not all("://" in url and not url.startswith("://") for url in urls):
        raise ValueError
    return urls


def _users(text: str) -> tuple[str, ...]:
    users = tuple(text.lower().replace(",", " ").split())
    if not users or not all(re.fullmatch(r"[^@\s]*@[^@\s]+", user) for user in users):
        raise ValueError
    return users


def _token(text: str) -> str:
    if not text.isprintable() and not any("\udc80" <= char <= "\udcff" for char in text):
        raise ValueError  # no header can carry it
    return text


def _postgres_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError
    return text


def _platform(text: str) -> Platform:
    if text not in PLATFORMS:
        raise ValueError
    return text


def resolve_time_zone_name(name: str) -> str:
    """The name under which this machine knows a time zone: as it is, or its current one. Raises `ValueError`."""
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
    """The time zone of an IANA name, one that PostgreSQL may know too. Raises `ValueError` where there is none.

    UTC needs no data, and so works where none is installed: on Windows and in slim images.
    """
    if name == "UTC":
        return UTC
    if name.startswith(_NOT_IANA):
        raise ValueError(name)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, KeyError) as error:  # a directory, a file of another kind; no such zone
        raise ValueError(name) from error


# Pool, idle, connect and lifetime follow the connection policy of the design: few and short-lived connections
# where many instances share one database, more and longer-lived ones where a server runs by itself.
VARIABLES: tuple[Variable, ...] = (
    Variable("pool_size", "TRACKER_POOL_SIZE", "a whole number from 1 to 100", _whole(1, 100), 5, 15),
    Variable(
        "connect_timeout_s",
        "TRACKER_CONNECT_TIMEOUT_S",
        "seconds from 0.1 to 300",
        _number(0.1, 300),
        15.0,
        30.0,
    ),
    Variable(
        "idle_timeout_s",
        "TRACKER_IDLE_TIMEOUT_S",
        "seconds from 0.1 to 86400",
        _number(0.1, 86_400),
        5.0,
        10.0,
    ),
    Variable(
        "max_lifetime_s",
        "TRACKER_MAX_LIFETIME_S",
        "seconds from 1 to 86400, or none",
        _seconds_or_none,
        600.0,
        None,
    ),
    Variable("max_retries", "TRACKER_MAX_RETRIES", "a whole number from 0 to 100", _whole(0, 100), 5, 5),
    Variable("deadline_s", "TRACKER_DEADLINE_S", "seconds from 0.1 to 900", _number(0.1, 900), 5.0, 10.0),
    # What runs after a function's response is frozen with its instance: there a record is written before.
    Variable("mode", "TRACKER_MODE", "direct or background", _mode, "direct", "background"),
    Variable("outbox", "TRACKER_OUTBOX", "a file", str),
    Variable("outbox_max_mb", "TRACKER_OUTBOX_MAX_MB", "megabytes from 1 to 100000", _whole(1, 100_000), 100, 1000),
    Variable(
        "alert_urls",
        "TRACKER_ALERT_URLS",
        "URLs separated by spaces, such as https://example.com/hook",
        _urls,
        (),
        (),
        secret=True,
    ),
    Variable(
        "pgbouncer_url",
        "TRACKER_PGBOUNCER_URL",
        "the URL of PgBouncer's admin console, such as postgresql://stats:password@host:6432/pgbouncer",
        _postgres_url,
        secret=True,
    ),
    Variable("log_records", "TRACKER_LOG_RECORDS", "true or false", _switch, True, True),
    Variable(
        "slow_record_ms",
        "TRACKER_SLOW_RECORD_MS",
        "milliseconds from 1 to 900000",
        _number(1, 900_000),
        1000.0,
        1000.0,
    ),
    Variable("timezone", "TRACKER_TIMEZONE", "an IANA time zone such as Asia/Seoul", resolve_time_zone_name),
    Variable("embedded_dir", "TRACKER_EMBEDDED_DIR", "a directory", str),
    Variable("prices", "TRACKER_PRICES", "a TOML file of one's own prices", str),
    Variable("debug_token", "TRACKER_DEBUG_TOKEN", "a bearer token", _token, secret=True, controls_access=True),
    # Read by tracker.auth, where a hash that can't be read lets nobody in instead of everybody.
    Variable(
        "dashboard_password_hash",
        "TRACKER_DASHBOARD_PASSWORD_HASH",
        "what token-tracker password printed",
        str,
        secret=True,
        controls_access=True,
    ),
    Variable(
        "dashboard_users",
        "TRACKER_DASHBOARD_USERS",
        "addresses or domains, such as ann@example.com @example.org",
        _users,
        (),
        (),
        controls_access=True,
    ),
    Variable("dashboard_open", "TRACKER_DASHBOARD_OPEN", "true or false", _switch, False, False, controls_access=True),
)
PLATFORM = Variable("platform", "TRACKER_PLATFORM", "one of " + ", ".join(PLATFORMS), _platform)
DATABASE_URL_NAMES = ("DATABASE_URL", "POSTGRES_URL")


def load(env: Mapping[str, str] = os.environ, *, strict: bool = True, **overrides: Any) -> Settings:
    """Read all settings; a keyword argument of a setting's name wins over its variable, None means unset.

    Raises `SettingError` for an argument that can't be right, and, when `strict`, for a variable too. Otherwise
    such a variable's default is used and the sentence about it is kept in `problems`: a library must not break
    the app it lives in.
    """
    known = {variable.field for variable in VARIABLES} | {"platform", "database_url"}
    if unknown := sorted(set(overrides) - known):
        raise SettingError(f"There is no setting {unknown[0]!r}; there are: {', '.join(sorted(known))}.")
    problems: list[str] = []

    def value(variable: Variable, default: Any) -> Any:
        if (given := overrides.get(variable.field)) is not None:
            return variable.parse(" ".join(given) if isinstance(given, list | tuple) else str(given))
        given_text = env.get(variable.name, "")
        try:
            variable.check(given_text)
        except SettingError as error:
            if strict:
                raise
            otherwise = variable.fallback if variable.controls_access else f"Its default, {default}, is used."
            problems.append(f"{error} {otherwise}")
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
        problems.append(str(error))
    return Settings(runtime=runtime, database_url=url, database_url_variable=name, problems=tuple(problems), **values)


def _database_url(env: Mapping[str, str], given: object) -> tuple[str | None, str]:
    if given is not None and not isinstance(given, str):
        raise SettingError(
            f"database_url is {type(given).__name__}; it may hold text such as"
            " postgresql://user:password@host:5432/database."
        )
    if given:
        return given, "database_url"
    for name in DATABASE_URL_NAMES:
        if env.get(name, "").strip():
            return env[name], name
    if blank := next((name for name in DATABASE_URL_NAMES if env.get(name)), None):
        raise SettingError(
            f"{blank} holds nothing but white space; it may hold postgresql://user:password@host:5432/database."
        )
    return None, DATABASE_URL_NAMES[0]
