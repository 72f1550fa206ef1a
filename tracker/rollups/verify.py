"""Compares the rollup rows of generation 0 with the rows of token_usage in one snapshot and yields the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.transactions import read_only_snapshot
from tracker.messages import Message, join_messages
from tracker.rollups.property_keys import read_indexed
from tracker.rollups.refresh import day_of, days_since
from tracker.rollups.replace_buckets import bucket_parameters, buckets_of_day, larger_bucket_queries, user_days_sql
from tracker.rollups.rollup_state import RollupState, driver_sql, read_state
from tracker.rollups.rollup_tables import (
    DAY_S,
    PROPERTY,
    ROLLUPS,
    USER_COLUMNS,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    Rollup,
    qualified,
)

Row = tuple[Any, ...]

_USER_KEY = ("day", "generation", "is_test", "is_sample", "user_id")
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Difference:
    """A rollup row whose totals differ from the rows. `actual` or `expected` is None if that row doesn't exist."""

    table: str
    columns: tuple[str, ...]
    key: Row
    actual: Row | None
    expected: Row | None

    def __str__(self) -> Message:
        key = ", ".join(
            f"{name} {_format(value)}"
            for name, value in zip(self.columns, self.key, strict=False)
            if name != "generation"
        )
        row = f"{self.table}: {key}"
        if self.actual is None or self.expected is None:
            return Message(f"reports.difference.{'missing' if self.actual is None else 'without_rows'}", row=row)
        totals = self.columns[len(self.key) :]
        differing = [
            Message("reports.difference.total", name=name, actual=_format(actual), expected=_format(expected))
            for name, actual, expected in zip(totals, self.actual, self.expected, strict=True)
            if actual != expected
        ]
        return Message("reports.difference.totals", row=row, totals=join_messages(differing, "general.statements"))


def _format(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return "NULL" if value is None else str(value)


def verify(
    connection: Connection,
    table: Table,
    since: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Difference]:
    """Yield each difference, newest day first. Buckets that changed after the last refresh are not compared.

    `since` is in seconds of the epoch; its day (UTC) is the first one that is compared. Raises `DatabaseError`.
    """
    with read_only_snapshot(connection, timeout_s=600):
        state = read_state(connection, table)
        days = [day for day in days_since(connection, table, since) if day >= state.covered_from]
        for number, day in enumerate(days, 1):
            yield from _compare_day(connection, table, state, day)
            progress(number / len(days))
        yield from _compare_user_days(connection, table, since)


def _compare_day(connection: Connection, table: Table, state: RollupState, day: int) -> Iterator[Difference]:
    dirty = {bucket for bucket in state.dirty_buckets if day <= bucket < day + DAY_S}
    properties = [key.name for key in read_indexed(connection, table) if key.covered_from <= day]
    parameters = bucket_parameters(table, set(buckets_of_day(day)) - dirty, 0, properties)
    clean_hours = set(range(day, day + DAY_S, _HOUR_S)) - {bucket - bucket % _HOUR_S for bucket in dirty}
    parameters["hours"] = bucket_parameters(table, clean_hours, 0)["hours"]
    for rollup in (*ROLLUPS, PROPERTY) if properties else ROLLUPS:
        for minutes, name, expected in _expected_queries(table, rollup):
            if dirty and minutes == 1440:
                continue
            actual = (
                f"SELECT {', '.join(rollup.columns)} FROM {qualified(table, rollup.table)}"  # noqa: S608  our own names
                f" WHERE minutes = {minutes} AND generation = 0"
                f" AND bucket = ANY (CAST(%({name})s AS timestamptz[])){rollup.condition}"
            )
            key_length = len(rollup.key) + 3
            yield from _compare(connection, rollup.table, rollup.columns, key_length, actual, expected, parameters)
    if not dirty:
        yield from _compare_users(connection, table, parameters)


def _expected_queries(table: Table, rollup: Rollup) -> Iterator[tuple[int, str, str]]:
    """15-minute buckets from rows, hours from 15-minute buckets, days from hours."""
    yield 15, "buckets", driver_sql(rollup.query_from_rows, table)
    yield from larger_bucket_queries(table, rollup)


def _compare_users(connection: Connection, table: Table, parameters: dict[str, object]) -> Iterator[Difference]:
    columns = _with_key_first(USER_COLUMNS)
    names = ", ".join(columns)
    actual = (
        f"SELECT {names} FROM {qualified(table, USERS)} WHERE generation = 0"  # noqa: S608  our own names
        " AND day = ANY (CAST(%(days)s AS timestamptz[]))"
    )
    slots = f"({driver_sql('user_slots', table)}) AS slots"
    expected = f"SELECT {names} FROM ({user_days_sql(slots, '0')}) AS users"  # noqa: S608  our own names
    yield from _compare(connection, USERS, columns, len(_USER_KEY), actual, expected, parameters)


def _compare_user_days(connection: Connection, table: Table, since: int | None) -> Iterator[Difference]:
    """Compare the user days with the user rollup, pruned calls included: both have the same totals."""
    columns = _with_key_first(USER_DAY_COLUMNS)
    actual, expected = (
        f"SELECT {', '.join(columns)} FROM {qualified(table, name)} WHERE day >= %(start)s"  # noqa: S608  our own names
        for name in (USER_DAYS, USERS)
    )
    yield from _compare(connection, USER_DAYS, columns, len(_USER_KEY), actual, expected, {"start": day_of(since)})


def _with_key_first(columns: tuple[str, ...]) -> tuple[str, ...]:
    return (*_USER_KEY, *(column for column in columns if column not in _USER_KEY))


def _compare(
    connection: Connection,
    name: str,
    columns: Sequence[str],
    key_length: int,
    actual: str,
    expected: str,
    parameters: dict[str, object],
) -> Iterator[Difference]:
    _, rows = execute(
        connection,
        f"WITH actual AS ({actual}), expected AS ({expected})"  # noqa: S608  our own statements
        " (SELECT true AS is_actual, extra.* FROM (TABLE actual EXCEPT ALL TABLE expected) AS extra)"
        " UNION ALL (SELECT false, missing.* FROM (TABLE expected EXCEPT ALL TABLE actual) AS missing)",
        parameters,
    )
    rows_by_key: dict[str, dict[bool, Row]] = {}
    for is_actual, *values in rows:
        rows_by_key.setdefault(repr(values[:key_length]), {})[is_actual] = tuple(values)
    for pair in rows_by_key.values():
        key = next(iter(pair.values()))[:key_length]
        totals = {is_actual: row[key_length:] for is_actual, row in pair.items()}
        yield Difference(name, tuple(columns), key, totals.get(True), totals.get(False))
