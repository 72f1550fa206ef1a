"""The first calls of deployments within a range, for the marks of the charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tracker.audit.table_rights import read_rights
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.rollups.range_plan import timestamptz_array_us
from tracker.rollups.rollup_tables import DEPLOYMENTS, INTERVAL_15M_S

MAX_DEPLOYMENTS = 20
_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The first call of a deployment in an environment (None: the calls have none)."""

    deployment: str
    environment: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class FirstCalls:
    """The newest deployments of a range in order of time, and the number of older ones that are not included."""

    deployments: tuple[FirstCall, ...] = ()
    hidden: int = 0


def first_calls(reader: Reader, filters: Filters, bucket: str | None = None) -> FirstCalls:
    """The deployments whose first call is in the range, or at most one `bucket` before it.

    Only the filter of the environment applies: a deployment is not a property of a model or a user. Test calls and
    sample calls do not count. Without the table, or without the privilege to read it, there are none. Raises
    `DatabaseError`.
    """
    table = reader.table()
    if not reader.access().reads:
        return FirstCalls()
    with reader.borrow() as connection:
        if not read_rights(connection, table.schema, [DEPLOYMENTS]).allows(DEPLOYMENTS, ["SELECT"]):
            return FirstCalls()
    start = filters.start - _LENGTHS[bucket or filters.bucket]
    parameters = {
        "start": start,
        "end": filters.end,
        "environment": filters.environment,
        "count": MAX_DEPLOYMENTS,
        **_changed_buckets(reader, start, filters.end),
    }
    rows = reader.rows("first_calls", parameters)
    found = tuple(FirstCall(row["deployment"], row["environment"], row["first_at"]) for row in reversed(rows))
    return FirstCalls(found, rows[0]["deployments"] - len(rows) if rows else 0)


def _changed_buckets(reader: Reader, start: datetime, end: datetime) -> dict[str, str]:
    """The 15-minute buckets of the range that changed since the last refresh, as parameters of a query."""
    state = reader.rollup_state()
    first_s, end_s = start.timestamp() - INTERVAL_15M_S, end.timestamp()
    buckets = sorted(bucket for bucket in (state.dirty_buckets if state else ()) if first_s < bucket < end_s)
    return {
        "rows_starts": timestamptz_array_us(bucket * 1_000_000 for bucket in buckets),
        "rows_untils": timestamptz_array_us((bucket + INTERVAL_15M_S) * 1_000_000 for bucket in buckets),
        "rows_steps": "{" + ",".join("0" for _ in buckets) + "}",
    }
