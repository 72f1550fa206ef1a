"""Bring the rollups up to date: what changed, what was never covered, or everything again.

Each step is one transaction under the lock of the state's one row, which holds behind a transaction pooler too. A step
that dies is rolled back: the last good figures stay, and the next one does it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.refresh_lock import locked, patiently
from tracker.rollups.replace_buckets import quarters, replace
from tracker.rollups.rollup_state import State, moments, read_state, text
from tracker.rollups.rollup_tables import (
    DAY_S,
    QUARTER_S,
    STATE,
    TOUCHED,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    qualified,
)

MOST_BUCKETS = 96
CHUNK_ROWS = 50_000
UNSEEN_S = 1.0
"""How long a transaction may have begun before others see that it runs."""
_SETTLE_S = 0.5

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: how many buckets it made anew, and whether there is more to do."""

    buckets: int
    more: bool


def refresh(connection: Connection, table: Table) -> Step | None:
    """Find what changed, and replace its newest buckets; None when somebody else is at it. Raises `DatabaseError`.

    Buckets beyond one step's number are left marked as touched: `redo` goes on with them.
    """
    with locked(connection, table) as mine:
        if not mine:
            return None
        # Before the rows are looked at: what commits in between is seen twice, never missed.
        _, rows = execute(connection, text("horizon", table), {"unseen_s": UNSEEN_S})
        horizon, was_set_back, recount_since = rows[0]
        changed = sorted(
            {*read_state(connection, table).touched, *_recount(connection, table, recount_since)}, reverse=True
        )
        now, later = changed[:MOST_BUCKETS], changed[MOST_BUCKETS:]
        _unmark(connection, table, changed)
        if later:
            _mark(connection, table, later)
        if now:
            replace(connection, table, now)
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET refreshed_at = now(),"  # noqa: S608  our own name
            " seen_until = CASE WHEN %(back)s THEN %(horizon)s ELSE greatest(seen_until, %(horizon)s) END",
            {"back": was_set_back, "horizon": horizon},
        )
        return Step(len(now), bool(later))


def _recount(connection: Connection, table: Table, since: str) -> list[int]:
    """The quarters in which rows are missing in the rollups, whatever `recorded_at` they have."""
    given = {"since": since, "created_at_zone": table.created_at_zone}
    return [bucket for (bucket,) in execute(connection, text("recounted", table), given)[1]]


def redo(connection: Connection, table: Table) -> Step | None:
    """Replace the newest buckets that are marked; None when somebody else is at it. Raises `DatabaseError`.

    It looks at marks alone, so that it ends: while an old transaction runs, rows that were seen are found ever again.
    """
    with locked(connection, table) as mine:
        if not mine:
            return None
        _, rows = execute(connection, text("marked", table), {"most": MOST_BUCKETS + 1})
        marked = [bucket for (bucket,) in rows]
        now = marked[:MOST_BUCKETS]
        _unmark(connection, table, now)
        if now:
            replace(connection, table, now)
        return Step(len(now), len(marked) > len(now))


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


Work = Callable[[Connection, Table], Step | None]
CHANGES: tuple[Work, Work] = (refresh, redo)
PAST: tuple[Work, Work] = (cover, cover)
"""The first step of a pass, and those that follow while there is more to do."""


def catch_up(connection: Connection, table: Table, progress: Progress = lambda _: None) -> int:
    """Bring everything up to date, however long it takes; how many buckets were made anew.

    Raises `DatabaseError`, `TransientError` when somebody else refreshes for longer than two minutes.
    """
    began = read_state(connection, table)

    def show() -> None:
        progress(_done(connection, table, began))

    return sum(_whole_pass(connection, table, work, show) for work in (CHANGES, PAST, CHANGES)) + settle(
        connection, table
    )


def _whole_pass(
    connection: Connection, table: Table, work: tuple[Work, Work], show: Callable[[], None] = lambda: None
) -> int:
    first, then = work
    step = patiently(lambda: first(connection, table))
    made = step.buckets
    show()
    while step.more:
        step = patiently(lambda: then(connection, table))
        made += step.buckets
        show()
    return made


def settle(connection: Connection, table: Table) -> int:
    """Let the moment pass in which rows just recorded may not be alone (horizon.sql), so that nothing is left over."""
    made, end = 0, time.monotonic() + UNSEEN_S + _SETTLE_S
    while read_state(connection, table).touched and time.monotonic() < end:
        time.sleep(0.1)
        made = _whole_pass(connection, table, CHANGES)
    return made


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
    patiently(lambda: _copy_days(connection, table, since))
    days = days_since(connection, table, since)
    for number, day in enumerate(days, 1):
        patiently(lambda: _rebuild_day(connection, table, day))  # noqa: B023  called at once
        progress(number / len(days))
    catch_up(connection, table)
    return len(days)


def days_since(connection: Connection, table: Table, since: int | None) -> list[int]:
    """The days of UTC that have rows or live figures, newest first, in seconds of the epoch. Raises `DatabaseError`."""
    given = {"since": first_day(since), "created_at_zone": table.created_at_zone}
    return [day for (day,) in execute(connection, text("days", table), given)[1]]


def first_day(since: int | None) -> str:
    """The day of UTC that a moment (seconds of the epoch) lies in, as SQL reads it; without one, before all days."""
    return "-infinity" if since is None else moments([since - since % DAY_S]).strip("{}")


def _copy_days(connection: Connection, table: Table, since: int | None) -> Step | None:
    """Make the users' days of their quarters, pruned ones too: an older version refreshes without knowing of them."""
    with locked(connection, table) as mine:
        if not mine:
            return None
        names, days = ", ".join(USER_DAY_COLUMNS), qualified(table, USER_DAYS)
        start = first_day(since)
        execute(connection, f"DELETE FROM {days} WHERE day >= %(start)s", {"start": start})  # noqa: S608  our own names
        execute(
            connection,
            f"INSERT INTO {days} ({names}) SELECT {names} FROM {qualified(table, USERS)} WHERE day >= %(start)s",  # noqa: S608
            {"start": start},
        )
        return Step(0, more=False)


def _rebuild_day(connection: Connection, table: Table, day: int) -> Step | None:
    with locked(connection, table) as mine:
        if not mine:
            return None
        # A row that no row of token_usage leads to would stay otherwise.
        for name in (USERS, USER_DAYS):
            execute(
                connection,
                f"DELETE FROM {qualified(table, name)} WHERE day >= to_timestamp(%(day)s)"  # noqa: S608
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
