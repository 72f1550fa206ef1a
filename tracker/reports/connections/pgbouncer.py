"""The pools of PgBouncer, if the URL of its admin console is configured."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from tracker.database.connect import DriverError, connect
from tracker.database.url import clean
from tracker.errors import DatabaseError, SetupError
from tracker.messages import Message
from tracker.settings import Settings

VARIABLE = "TRACKER_PGBOUNCER_URL"
_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Pool:
    """A row of SHOW POOLS, with PgBouncer's names. `maxwait_s` is the wait of the oldest client."""

    database: str
    user: str
    cl_active: int
    cl_waiting: int
    sv_active: int
    sv_idle: int
    maxwait_s: float
    pool_mode: str


def pools(settings: Settings, name: str) -> tuple[Pool, ...] | None:
    """The pools without that of the console; None without a URL. Raises `DatabaseError`, `SettingError`."""
    if not settings.pgbouncer_url:
        return None
    url = clean(settings.pgbouncer_url, VARIABLE)
    # Without SQLAlchemy, since the console supports the simple protocol and SHOW only.
    with (
        closing(connect(url, timeout_s=_TIMEOUT_S, application_name=name)) as connection,
        connection.cursor() as cursor,
    ):
        try:
            cursor.execute("SHOW POOLS")
        except DriverError:
            raise _not_a_console() from None
        columns = [column.name for column in cursor.description or ()]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return tuple(_pool(row) for row in rows if row.get("database") != "pgbouncer")


def _not_a_console() -> DatabaseError:
    return SetupError(
        "not_pgbouncer",
        Message("reports.not_pgbouncer", variable=VARIABLE),
        Message("reports.not_pgbouncer.remedy"),
    )


def _pool(row: dict[str, object]) -> Pool:
    def number(column: str) -> int:
        return int(str(row.get(column) or 0))

    return Pool(
        database=str(row.get("database")),
        user=str(row.get("user")),
        cl_active=number("cl_active"),
        cl_waiting=number("cl_waiting"),
        sv_active=number("sv_active"),
        sv_idle=number("sv_idle"),
        maxwait_s=number("maxwait") + number("maxwait_us") / 1e6,
        pool_mode=str(row.get("pool_mode")),
    )
