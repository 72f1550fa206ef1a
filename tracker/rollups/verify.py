"""Compare every live figure of the rollups with the rows, in one snapshot, and name what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.refresh import days_since, first_day
from tracker.rollups.replace_buckets import parameters, quarters, users_of
from tracker.rollups.rollup_state import State, read_state, text
from tracker.rollups.rollup_tables import (
    DAY_S,
    ROLLUPS,
    USER_COLUMNS,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    Rollup,
    qualified,
)

Row = tuple[Any, ...]

_USER_KEY = ("day", "generation", "is_test", "user_id")


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a rollup that isn't what the rows add up to; None: there is no such row."""

    table: str
    columns: tuple[str, ...]
    key: Row
    kept: Row | None
    expected: Row | None

    def __str__(self) -> str:
        place = ", ".join(
            f"{name} {_shown(value)}"
            for name, value in zip(self.columns, self.key, strict=False)
            if name != "generation"
        )
        if self.kept is None or self.expected is None:
            side = "is missing" if self.kept is None else "has no rows behind it"
            return f"{self.table}: {place}: {side}"
        figures = self.columns[len(self.key) :]
        differing = [
            f"{name} is {_shown(kept)}, the rows have {_shown(expected)}"
            for name, kept, expected in zip(figures, self.kept, self.expected, strict=True)
            if kept != expected
        ]
        return f"{self.table}: {place}: {'; '.join(differing)}"


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return "NULL" if value is None else str(value)


def verify(
    connection: Connection,
    table: Table,
    since: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Difference]:
    """Yield each difference, newest day first. Buckets that changed since the last refresh are left out.

    Raises `DatabaseError`. `since` is a moment in seconds of the epoch; its day of UTC is the first that is compared.
    """
    with _snapshot(connection):
        state = read_state(connection, table)
        days = [day for day in days_since(connection, table, since) if day >= state.covered_from]
        for number, day in enumerate(days, 1):
            yield from _day(connection, table, state, day)
            progress(number / len(days))
        yield from _user_days(connection, table, since)


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    execute(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '10min'; SET LOCAL jit = off",
    )
    try:
        yield
    finally:
        if not connection.closed:
            execute(connection, "ROLLBACK")


def _day(connection: Connection, table: Table, state: State, day: int) -> Iterator[Difference]:
    touched = {bucket for bucket in state.touched if day <= bucket < day + DAY_S}
    given = parameters(table, set(quarters(day)) - touched, 0)
    hours = {bucket - bucket % 3600 for bucket in touched}
    given |= parameters_of_wholes(table, day, hours)
    for rollup in ROLLUPS:
        for minutes, name, question in _levels(table, rollup):
            target = qualified(table, rollup.table)
            kept = (
                f"SELECT {', '.join(rollup.columns)} FROM {target} WHERE minutes = {minutes} AND generation = 0"  # noqa: S608
                f" AND bucket = ANY (CAST(%({name})s AS timestamptz[]))"
            )
            if minutes == 15 or not touched or minutes == 60:
                yield from _compared(
                    connection, rollup.table, rollup.columns, len(rollup.key) + 3, kept, question, given
                )
    if not touched:
        yield from _users(connection, table, given)


def parameters_of_wholes(table: Table, day: int, touched_hours: set[int]) -> dict[str, object]:
    """The hours of a day that nothing touched."""
    hours = set(range(day, day + DAY_S, 3600)) - touched_hours
    return {"hours": parameters(table, hours, 0)["hours"]}


def _levels(table: Table, rollup: Rollup) -> Iterator[tuple[int, str, str]]:
    """Quarters of rows, hours of quarters, days of hours."""
    yield 15, "buckets", text(rollup.question, table)
    for minutes, part_minutes, name in ((60, 15, "hours"), (1440, 60, "days")):
        parts = text(rollup.parts, table)
        parts = parts.replace("%(part_minutes)s", str(part_minutes)).replace("%(minutes)s", str(minutes))
        yield minutes, name, parts.replace("%(wholes)s", f"%({name})s")


def _users(connection: Connection, table: Table, given: dict[str, object]) -> Iterator[Difference]:
    names = ", ".join(columns := _key_first(USER_COLUMNS))
    kept = (
        f"SELECT {names} FROM {qualified(table, USERS)} WHERE generation = 0"  # noqa: S608  our own names
        " AND day = ANY (CAST(%(days)s AS timestamptz[]))"
    )
    made = f"SELECT {names} FROM ({users_of('(' + text('user_slots', table) + ') AS slots', '0')}) AS users"  # noqa: S608
    yield from _compared(connection, USERS, columns, len(_USER_KEY), kept, made, given)


def _user_days(connection: Connection, table: Table, since: int | None) -> Iterator[Difference]:
    """The users' days against the users' rollup, pruned ones too: both were made of the same."""
    names = ", ".join(columns := _key_first(USER_DAY_COLUMNS))
    kept, made = (
        f"SELECT {names} FROM {qualified(table, name)} WHERE day >= %(start)s"  # noqa: S608  our own names
        for name in (USER_DAYS, USERS)
    )
    yield from _compared(connection, USER_DAYS, columns, len(_USER_KEY), kept, made, {"start": first_day(since)})


def _key_first(columns: tuple[str, ...]) -> tuple[str, ...]:
    """As in the other rollups, the columns that tell rows apart come first."""
    return (*_USER_KEY, *(column for column in columns if column not in _USER_KEY))


def _compared(
    connection: Connection,
    name: str,
    columns: Sequence[str],
    key: int,
    kept: str,
    made: str,
    given: dict[str, object],
) -> Iterator[Difference]:
    _, rows = execute(
        connection,
        f"WITH kept AS ({kept}), made AS ({made})"  # noqa: S608  our own statements
        " (SELECT true AS here, extra.* FROM (SELECT * FROM kept EXCEPT ALL SELECT * FROM made) AS extra)"
        " UNION ALL (SELECT false, missing.* FROM (SELECT * FROM made EXCEPT ALL SELECT * FROM kept) AS missing)",
        given,
    )
    found: dict[str, dict[bool, Row]] = {}
    for here, *values in rows:
        found.setdefault(repr(values[:key]), {})[here] = tuple(values)
    for sides in found.values():
        any_side = next(iter(sides.values()))
        figures = {here: row[key:] for here, row in sides.items()}
        yield Difference(name, tuple(columns), any_side[:key], figures.get(True), figures.get(False))
