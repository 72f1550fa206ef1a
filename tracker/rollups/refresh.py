"""Bring the rollups up to date: what changed, what was never covered, or everything again.

Each step is one transaction under the lock of the state's one row, which holds behind a transaction pooler too. A step
that dies is rolled back: the last good figures stay, and the next one does it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tracker.database.driver import Connection, execute
from tracker.database.table import Table
from tracker.errors import TransientError
from tracker.rollups.replace import quarters, replace
from tracker.rollups.state import State, moments, read_state, text
from tracker.rollups.tables import DAY_S, QUARTER_S, STATE, TOUCHED, USERS, qualified

T = TypeVar("T")

MOST_BUCKETS = 96
CHUNK_ROWS = 50_000
_BUSY = TransientError("refreshing", "Somebody else is refreshing the rollups.", "It passes by itself.")
_WAIT_S = 120.0
_SETTLE_S = 1.5

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: how many buckets it made anew, and whether there is more to do."""

    buckets: int
    more: bool


@contextmanager
def locked(connection: Connection, table: Table, isolation: str = "READ COMMITTED") -> Iterator[bool]:
    """A transaction that alone may change the rollups; False when somebody else is at it."""
    state = qualified(table, STATE)
    try:
        # The limits end with the transaction. What takes its time here is never a reader's question.
        execute(
            connection,
            f"BEGIN ISOLATION LEVEL {isolation}; SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '10min';"
            " SET LOCAL work_mem = '64MB'; SET LOCAL jit = off",
        )
        _, rows = execute(connection, f"SELECT one FROM {state} FOR UPDATE SKIP LOCKED")  # noqa: S608  our own name
        yield bool(rows)
        execute(connection, "COMMIT")
    except BaseException:
        if not connection.closed:
            execute(connection, "ROLLBACK")
        raise


def refresh(connection: Connection, table: Table) -> Step | None:
    """Replace the newest buckets that changed; None when somebody else is at it. Raises `DatabaseError`."""
    with locked(connection, table) as mine:
        if not mine:
            return None
        # Before the rows are looked at: what commits in between is seen twice, never missed.
        _, rows = execute(connection, text("horizon", table))
        horizon = rows[0][0]
        state = read_state(connection, table)
        changed = sorted(state.touched, reverse=True)
        now, later = changed[:MOST_BUCKETS], changed[MOST_BUCKETS:]
        _unmark(connection, table, now)
        if later:
            _mark(connection, table, later)
        if now:
            replace(connection, table, now)
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET seen_until = greatest(seen_until, %s), refreshed_at = now()",  # noqa: S608
            (horizon,),
        )
        return Step(len(now), bool(later))


def cover(connection: Connection, table: Table) -> Step | None:
    """Cover some more days of the past, newest first; None when somebody else is at it. Raises `DatabaseError`."""
    with locked(connection, table) as mine:
        if not mine:
            return None
        state = read_state(connection, table)
        if state.complete:
            return Step(0, more=False)
        start, buckets = _uncovered(connection, table, state)
        replace(connection, table, buckets)
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET covered_from = coalesce(to_timestamp(%s), '-infinity')",  # noqa: S608
            (start,),
        )
        return Step(len(buckets), start is not None)


def _uncovered(connection: Connection, table: Table, state: State) -> tuple[int | None, list[int]]:
    """The next days to cover: where they begin (None: nothing lies before), and their quarters that hold rows."""
    until = "infinity" if state.covered_from == float("inf") else moments([int(state.covered_from)]).strip("{}")
    given = {"until": until, "rows": CHUNK_ROWS, "created_at_zone": table.created_at_zone}
    _, rows = execute(connection, text("uncovered", table), given)
    start = rows[0][0] if rows else None
    _, found = execute(
        connection,
        text("quarters", table),
        {**given, "since": "-infinity" if start is None else moments([start]).strip("{}")},
    )
    return start, [bucket for (bucket,) in found]


def catch_up(connection: Connection, table: Table, progress: Progress = lambda _: None) -> int:
    """Bring everything up to date, however long it takes; how many buckets were made anew.

    Raises `DatabaseError`, `TransientError` when somebody else refreshes for longer than two minutes.
    """
    made = 0
    began = read_state(connection, table)
    for work in (refresh, cover, refresh):
        while True:
            step = patiently(lambda: work(connection, table))  # noqa: B023  called at once
            made += step.buckets
            progress(_done(connection, table, began))
            if not step.more:
                break
    return made + _settle(connection, table)


def _settle(connection: Connection, table: Table) -> int:
    """Let the moment pass in which rows just recorded may not be alone (horizon.sql), so that nothing is left over."""
    made, end = 0, time.monotonic() + _SETTLE_S
    while read_state(connection, table).touched and time.monotonic() < end:
        time.sleep(0.1)
        made = patiently(lambda: refresh(connection, table)).buckets
    return made


def patiently(work: Callable[[], T | None]) -> T:
    """Do it again while somebody else is at the rollups. Raises `DatabaseError`."""
    end = time.monotonic() + _WAIT_S
    while True:
        try:
            if (step := work()) is not None:
                return step
        except TransientError as error:
            if error.code not in {"conflict", "deadlock", "locked"} or time.monotonic() >= end:
                raise
        if time.monotonic() >= end:
            raise _BUSY
        time.sleep(0.1)


def _done(connection: Connection, table: Table, began: State) -> float:
    """How much of the past is covered, by time."""
    if began.complete:
        return 1.0
    _, rows = execute(connection, text("reach", table), {"created_at_zone": table.created_at_zone})
    first, last, covered = rows[0]
    if first is None or covered == float("-inf") or last <= first:
        return 1.0
    return float(max(0.0, min(1.0, (last - covered) / (last - first))))


def rebuild(connection: Connection, table: Table, since: int | None = None, progress: Progress = lambda _: None) -> int:
    """Make every live figure anew from the rows, day by day; how many days. What was pruned stays as it is.

    `since` is a moment in seconds of the epoch; the day of UTC that it lies in is the first. A reader meanwhile sees
    each day as it was or as it is. Raises `DatabaseError`.
    """
    days = days_since(connection, table, since)
    for number, day in enumerate(days, 1):
        patiently(lambda: _rebuild_day(connection, table, day))  # noqa: B023  called at once
        progress(number / len(days))
    catch_up(connection, table)
    return len(days)


def days_since(connection: Connection, table: Table, since: int | None) -> list[int]:
    """The days of UTC that have rows or live figures, newest first, in seconds of the epoch. Raises `DatabaseError`."""
    start = "-infinity" if since is None else moments([since - since % DAY_S]).strip("{}")
    given = {"since": start, "created_at_zone": table.created_at_zone}
    return [day for (day,) in execute(connection, text("days", table), given)[1]]


def _rebuild_day(connection: Connection, table: Table, day: int) -> Step | None:
    with locked(connection, table) as mine:
        if not mine:
            return None
        # A row that no row of token_usage leads to would stay otherwise.
        execute(
            connection,
            f"DELETE FROM {qualified(table, USERS)} WHERE day >= to_timestamp(%(day)s)"  # noqa: S608
            f" AND day < to_timestamp(%(day)s + {DAY_S}) AND generation = 0",
            {"day": day},
        )
        replace(connection, table, quarters(day))
        return Step(DAY_S // QUARTER_S, more=False)


def _mark(connection: Connection, table: Table, buckets: list[int]) -> None:
    execute(
        connection,
        f"INSERT INTO {qualified(table, TOUCHED)} SELECT unnest(CAST(%s AS timestamptz[]))",
        (moments(buckets),),
    )


def _unmark(connection: Connection, table: Table, buckets: list[int]) -> None:
    # Before their rows are read: a mark that is gone was committed together with what the reading then sees.
    execute(
        connection,
        f"DELETE FROM {qualified(table, TOUCHED)} WHERE bucket = ANY (CAST(%s AS timestamptz[]))"  # noqa: S608
        f" OR bucket < (SELECT covered_from FROM {qualified(table, STATE)})",
        (moments(buckets),),
    )
