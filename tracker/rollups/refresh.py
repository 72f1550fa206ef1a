"""Brings the rollups up to date: changed buckets, days that are not covered yet, new properties, or all (rebuild).

Each step is one transaction that holds the lock of the state row, also behind a transaction pooler. A step that fails
is rolled back: the previous totals remain, and the next step repeats the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups import property_backfill
from tracker.rollups.first_calls import remove_first_calls
from tracker.rollups.property_keys import read_indexed
from tracker.rollups.refresh_lock import lock_rollups, retry_while_locked
from tracker.rollups.replace_buckets import buckets_of_day, replace_buckets, replace_properties
from tracker.rollups.rollup_state import RollupState, driver_sql, read_state, timestamptz, timestamptz_array
from tracker.rollups.rollup_tables import (
    DAY_S,
    DIRTY_BUCKETS,
    INTERVAL_15M_S,
    STATE,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    qualified,
)

MAX_BUCKETS_PER_STEP = 96
BACKFILL_ROWS = 50_000
VISIBILITY_LAG_S = 1.0
"""For how long a transaction that began can be missing in `pg_stat_activity`."""
_VISIBILITY_MARGIN_S = 0.5

Progress = Callable[[float], None]
"""Called with the completed share, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RefreshStep:
    """The number of 15-minute buckets that a step replaced, and whether more are left."""

    buckets: int
    more: bool


def refresh(connection: Connection, table: Table) -> RefreshStep | None:
    """Find the changed buckets and replace the newest of them; None if another process refreshes.

    Buckets that exceed the limit of one step are marked as dirty for `refresh_dirty`. Raises `DatabaseError`.
    """
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        # Read before the changed buckets: a commit between the two is processed twice, never missed.
        _, rows = execute(connection, driver_sql("visibility_horizon", table), {"visibility_lag_s": VISIBILITY_LAG_S})
        horizon, was_set_back, recount_since = rows[0]
        dirty = {
            *read_state(connection, table).dirty_buckets,
            *_miscounted_buckets(connection, table, recount_since),
        }
        changed = sorted(dirty, reverse=True)
        now, later = changed[:MAX_BUCKETS_PER_STEP], changed[MAX_BUCKETS_PER_STEP:]
        _unmark(connection, table, changed)
        if later:
            _mark(connection, table, later)
        if now:
            replace_buckets(connection, table, now)
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET refreshed_at = now(),"  # noqa: S608  our own name
            " seen_until = CASE WHEN %(was_set_back)s THEN %(horizon)s ELSE greatest(seen_until, %(horizon)s) END",
            {"was_set_back": was_set_back, "horizon": horizon},
        )
        return RefreshStep(len(now), bool(later))


def _miscounted_buckets(connection: Connection, table: Table, since: str) -> list[int]:
    """The buckets whose number of rows differs from the rollup, independent of `recorded_at`."""
    parameters = {"since": since, "created_at_zone": table.created_at_zone}
    return [bucket for (bucket,) in execute(connection, driver_sql("miscounted_buckets", table), parameters)[1]]


def refresh_dirty(connection: Connection, table: Table) -> RefreshStep | None:
    """Replace the newest buckets that are marked as dirty; None if another process refreshes. Raises `DatabaseError`.

    It reads the marks only, so it ends: while an old transaction runs, `refresh` finds the same new rows each time.
    """
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        _, rows = execute(connection, driver_sql("dirty_buckets", table), {"limit": MAX_BUCKETS_PER_STEP + 1})
        dirty = [bucket for (bucket,) in rows]
        now = dirty[:MAX_BUCKETS_PER_STEP]
        _unmark(connection, table, now)
        if now:
            replace_buckets(connection, table, now)
        return RefreshStep(len(now), len(dirty) > len(now))


def backfill(connection: Connection, table: Table) -> RefreshStep | None:
    """Cover the next days before `covered_from`; None if another process refreshes. Raises `DatabaseError`."""
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        state = read_state(connection, table)
        if state.complete:
            return RefreshStep(0, more=False)
        start, buckets = _next_backfill(connection, table, state.covered_from)
        replace_buckets(connection, table, buckets)
        property_backfill.follow_backfill(connection, table, start)
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET covered_from = coalesce(to_timestamp(%s), '-infinity')",  # noqa: S608
            (start,),
        )
        return RefreshStep(len(buckets), start is not None)


def backfill_properties(connection: Connection, table: Table) -> RefreshStep | None:
    """Delete totals of removed properties, or compute the next days of new ones; None if another process refreshes.

    It begins after the backfill of the other rollups. Raises `DatabaseError`.
    """
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        state = read_state(connection, table)
        if not state.complete or not state.has_unfinished_properties:
            return RefreshStep(0, more=False)
        if property_backfill.purge_removed(connection, table):
            return RefreshStep(0, more=True)
        if (following := property_backfill.next_backfill(connection, table)) is None:
            return RefreshStep(0, more=False)
        names, covered_from = following
        start, buckets = _next_backfill(connection, table, covered_from)
        replace_properties(connection, table, set(buckets), names)
        property_backfill.set_covered(connection, table, names, start)
        return RefreshStep(len(buckets), more=True)


def _next_backfill(connection: Connection, table: Table, covered_from: float) -> tuple[int | None, list[int]]:
    """The start of the next days to cover (None: there are no calls before) and their buckets that have calls."""
    until = "infinity" if covered_from == float("inf") else timestamptz(int(covered_from))
    parameters = {"until": until, "rows": BACKFILL_ROWS, "created_at_zone": table.created_at_zone}
    _, rows = execute(connection, driver_sql("backfill_start", table), parameters)
    start = rows[0][0] if rows else None
    since = "-infinity" if start is None else timestamptz(start)
    _, rows = execute(connection, driver_sql("buckets_15m", table), {**parameters, "since": since})
    return start, [bucket for (bucket,) in rows]


Work = Callable[[Connection, Table], RefreshStep | None]
REFRESH_PASS: tuple[Work, Work] = (refresh, refresh_dirty)
BACKFILL_PASS: tuple[Work, Work] = (backfill, backfill)
PROPERTY_PASS: tuple[Work, Work] = (backfill_properties, backfill_properties)
"""The first step of a pass, and the step that repeats while there is more to do."""


def catch_up(connection: Connection, table: Table, progress: Progress = lambda _: None) -> int:
    """Bring all rollups up to date; return the number of replaced buckets.

    Raises `DatabaseError`; `TransientError` if another process refreshes for longer than two minutes.
    """
    first_state = read_state(connection, table)

    def report() -> None:
        progress(_covered_share(connection, table, first_state))

    passes = (REFRESH_PASS, BACKFILL_PASS, PROPERTY_PASS, REFRESH_PASS)
    return sum(_run_pass(connection, table, steps, report) for steps in passes) + wait_for_visibility(connection, table)


def _run_pass(
    connection: Connection, table: Table, steps: tuple[Work, Work], report: Callable[[], None] = lambda: None
) -> int:
    first, following = steps
    step = retry_while_locked(lambda: first(connection, table))
    replaced = step.buckets
    report()
    while step.more:
        step = retry_while_locked(lambda: following(connection, table))
        replaced += step.buckets
        report()
    return replaced


def wait_for_visibility(connection: Connection, table: Table) -> int:
    """Wait until new rows are behind the visibility horizon, and refresh; return the number of replaced buckets.

    Afterwards no bucket is dirty, unless a transaction is still running. Raises `DatabaseError`.
    """
    replaced, deadline = 0, time.monotonic() + VISIBILITY_LAG_S + _VISIBILITY_MARGIN_S
    while read_state(connection, table).dirty_buckets and time.monotonic() < deadline:
        time.sleep(0.1)
        replaced = _run_pass(connection, table, REFRESH_PASS)
    return replaced


def _covered_share(connection: Connection, table: Table, first_state: RollupState) -> float:
    """The share of the time between the first and the last call that the rollups cover, 0 to 1."""
    if first_state.complete and not first_state.has_unfinished_properties:
        return 1.0
    extent = read_extent(connection, table)
    positions = [extent.covered_from, *(key.covered_from for key in read_indexed(connection, table))]
    return sum(map(extent.covered_share, positions)) / len(positions)


@dataclass(frozen=True, slots=True)
class RollupExtent:
    """The times of the first and the last call (None: there are none) and `covered_from`, in seconds of the epoch."""

    first: float | None
    last: float | None
    covered_from: float

    def covered_share(self, covered_from: float) -> float:
        """The share of the time between the first and the last call that begins at a position, 0 to 1."""
        if covered_from == float("-inf") or self.first is None or self.last is None or self.last <= self.first:
            return 1.0
        return max(0.0, min(1.0, (self.last - covered_from) / (self.last - self.first)))


def property_shares(connection: Connection, table: Table) -> dict[str, float]:
    """The share of the time between the first and the last call that each indexed property has, 0 to 1.

    Raises `DatabaseError`.
    """
    keys = read_indexed(connection, table)
    if all(key.is_complete for key in keys):
        return {key.name: 1.0 for key in keys}
    extent = read_extent(connection, table)
    return {key.name: extent.covered_share(key.covered_from) for key in keys}


def read_extent(connection: Connection, table: Table) -> RollupExtent:
    """The first and the last call, and what the rollups cover of this time. Raises `DatabaseError`."""
    _, rows = execute(connection, driver_sql("coverage", table), {"created_at_zone": table.created_at_zone})
    return RollupExtent(*rows[0])


def rebuild(connection: Connection, table: Table, since: int | None = None, progress: Progress = lambda _: None) -> int:
    """Compute all rollup rows of generation 0 again from the rows, day by day; return the number of days.

    Totals of pruned calls are unchanged. `since` is in seconds of the epoch; its day (UTC) is the first one. A reader
    sees the totals of each day either before or after its rebuild; the marks of deployments are removed first, and
    return with their days. Raises `DatabaseError`.
    """
    retry_while_locked(lambda: _prepare_rebuild(connection, table, since))
    days = days_since(connection, table, since)
    for number, day in enumerate(days, 1):
        retry_while_locked(lambda: _rebuild_day(connection, table, day))  # noqa: B023  called at once
        progress(number / len(days))
    catch_up(connection, table)
    return len(days)


def days_since(connection: Connection, table: Table, since: int | None) -> list[int]:
    """The days (UTC) that have rows or rollup rows of generation 0, newest first, in seconds of the epoch.

    Raises `DatabaseError`.
    """
    parameters = {"since": day_of(since), "created_at_zone": table.created_at_zone}
    return [day for (day,) in execute(connection, driver_sql("days", table), parameters)[1]]


def day_of(since: int | None) -> str:
    """The day (UTC) of a time in seconds of the epoch, as a timestamptz literal; `-infinity` for None."""
    return "-infinity" if since is None else timestamptz(since - since % DAY_S)


def _prepare_rebuild(connection: Connection, table: Table, since: int | None) -> RefreshStep | None:
    """Remove the first calls of deployments, and copy the user days from the user rollup, pruned calls included.

    An older version doesn't maintain these tables.
    """
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        names, days = ", ".join(USER_DAY_COLUMNS), qualified(table, USER_DAYS)
        start = day_of(since)
        remove_first_calls(connection, table, start)
        execute(connection, f"DELETE FROM {days} WHERE day >= %(start)s", {"start": start})  # noqa: S608  our own names
        execute(
            connection,
            f"INSERT INTO {days} ({names}) SELECT {names} FROM {qualified(table, USERS)} WHERE day >= %(start)s",  # noqa: S608
            {"start": start},
        )
        return RefreshStep(0, more=False)


def _rebuild_day(connection: Connection, table: Table, day: int) -> RefreshStep | None:
    with lock_rollups(connection, table) as has_lock:
        if not has_lock:
            return None
        # Also removes rollup rows of users who have no row in token_usage.
        for name in (USERS, USER_DAYS):
            execute(
                connection,
                f"DELETE FROM {qualified(table, name)} WHERE day >= to_timestamp(%(day)s)"  # noqa: S608
                f" AND day < to_timestamp(%(day)s + {DAY_S}) AND generation = 0",
                {"day": day},
            )
        replace_buckets(connection, table, buckets_of_day(day))
        return RefreshStep(DAY_S // INTERVAL_15M_S, more=False)


def _mark(connection: Connection, table: Table, buckets: list[int]) -> None:
    execute(
        connection,
        f"INSERT INTO {qualified(table, DIRTY_BUCKETS)} SELECT unnest(CAST(%s AS timestamptz[]))",
        (timestamptz_array(buckets),),
    )


def _unmark(connection: Connection, table: Table, buckets: list[int]) -> None:
    # Before the rows are read: each deleted mark was committed together with a change that the read then sees.
    execute(
        connection,
        f"DELETE FROM {qualified(table, DIRTY_BUCKETS)} WHERE bucket = ANY (CAST(%s AS timestamptz[]))"  # noqa: S608
        f" OR bucket < (SELECT covered_from FROM {qualified(table, STATE)})",
        (timestamptz_array(buckets),),
    )
