"""Remove old rows in small batches; what they added up to stays, as a generation of its own.

A generation above 0 is never made anew, and readers add it to what the rows have: a late row of a pruned day adds to
history and erases nothing. Each batch is one transaction of whole quarters of an hour, in one snapshot: exactly the
rows that were added up are the rows that go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tracker.database.connect import Connection, execute
from tracker.database.ledger_deletions import LEDGER, RETURNED, ledger_insert_cte
from tracker.database.schema import Table
from tracker.errors import TransientError
from tracker.rollups.refresh_lock import locked, patiently
from tracker.rollups.replace_buckets import derive, merge_users, parameters, replace
from tracker.rollups.rollup_state import moments, read_state, text
from tracker.rollups.rollup_tables import QUARTER_S, ROLLUPS, STATE, USERS, qualified

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Prunable:
    """The rows that are old enough."""

    calls: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch removed, and where the next one begins (seconds of the epoch; None: nothing is left)."""

    calls: int
    next_start: int | None


def prunable(connection: Connection, table: Table, until: int) -> Prunable:
    """What `prune` would remove. Raises `DatabaseError`."""
    given = {"until": _moment(until), "created_at_zone": table.created_at_zone}
    _, rows = execute(connection, text("prune_extent", table), given)
    return Prunable(*rows[0])


def prune(connection: Connection, table: Table, until: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Remove the rows from before `until` (seconds of the epoch, a whole day of UTC); how many there were.

    Rollups are to be complete (`refresh.catch_up`). Raises `DatabaseError`; what was pruned until then stays pruned.
    """
    generation = _next_generation(connection, table)
    removed, start = 0, None
    while True:
        batch = patiently(lambda: _batch(connection, table, generation, start, until))  # noqa: B023  called at once
        removed += batch.calls
        progress(removed)
        if batch.next_start is None:
            return removed
        start = batch.next_start


def _next_generation(connection: Connection, table: Table) -> int:
    _, rows = execute(
        connection,
        f"UPDATE {qualified(table, STATE)} SET generation = generation + 1 RETURNING generation",  # noqa: S608
    )
    return int(rows[0][0])


def _batch(connection: Connection, table: Table, generation: int, start: int | None, until: int) -> Batch | None:
    with locked(connection, table, "REPEATABLE READ") as mine:
        if not mine:
            return None
        if not read_state(connection, table).complete:
            raise TransientError("refreshing", "The rollups don't cover the past yet.", "Run: token-tracker rollup.")
        buckets = _oldest(connection, table, start, until)
        if not buckets:
            return Batch(0, None)
        replace(connection, table, buckets)  # as the rows are in this very snapshot
        _freeze(connection, table, buckets, generation)
        calls = _delete(connection, table, buckets)
        replace(connection, table, buckets)
        end = max(buckets) + QUARTER_S
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET pruned_until = greatest(pruned_until, to_timestamp(%s))",  # noqa: S608
            (end,),
        )
        return Batch(calls, end)


def _oldest(connection: Connection, table: Table, start: int | None, until: int) -> list[int]:
    since = "-infinity" if start is None else _moment(start)
    given = {
        "since": since,
        "until": _moment(until),
        "rows": BATCH_ROWS,
        "created_at_zone": table.created_at_zone,
    }
    _, rows = execute(connection, text("prunable", table), given)
    buckets = [bucket for bucket, _ in rows]
    # The last one may be cut off in its middle; alone, it goes as a whole.
    full = sum(calls for _, calls in rows) >= BATCH_ROWS
    return buckets[:-1] if full and len(buckets) > 1 else buckets


def _freeze(connection: Connection, table: Table, buckets: list[int], generation: int) -> None:
    given = parameters(table, set(buckets), generation)
    for rollup in ROLLUPS:
        target = qualified(table, rollup.table)
        columns = ", ".join(rollup.columns)
        copied = columns.replace("generation", "%(generation)s")
        execute(
            connection,
            f"INSERT INTO {target} ({columns}) SELECT {copied} FROM {target}"  # noqa: S608  our own names
            " WHERE minutes = 15 AND generation = 0 AND bucket = ANY (CAST(%(buckets)s AS timestamptz[]))",
            given,
        )
    derive(connection, table, buckets, generation)
    live = f"""
SELECT day, slot, is_test, user_id, part.calls, part.tokens AS total_tokens, part.cost, part.unpriced AS unpriced_calls
FROM {qualified(table, USERS)} AS live
CROSS JOIN unnest(slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
  AS part (slot, calls, tokens, cost, unpriced)
WHERE generation = 0 AND day = ANY (CAST(%(days)s AS timestamptz[]))
  AND day + slot * interval '15 minutes' = ANY (CAST(%(buckets)s AS timestamptz[]))"""  # noqa: S608  our own names
    execute(connection, merge_users(table, live), given)


def _delete(connection: Connection, table: Table, buckets: list[int]) -> int:
    usage, zone = qualified(table, "token_usage"), table.created_at_zone
    moment = "calls.created_at" + (" AT TIME ZONE %(created_at_zone)s" if zone else "")
    deletion = (
        f"DELETE FROM {usage} AS calls USING unnest(CAST(%(buckets)s AS timestamptz[])) AS old (bucket)"  # noqa: S608
        f" WHERE {moment} >= %(first)s AND {moment} < %(end)s"
        f" AND date_bin('15 minutes', {moment}, 'epoch') = old.bucket"
    )
    given = {
        "buckets": moments(buckets),
        "first": _moment(min(buckets)),
        "end": _moment(max(buckets) + QUARTER_S),
        "created_at_zone": zone,
    }
    if not table.can_write_ledger:
        return execute(connection, deletion, given)[0]
    _, rows = execute(
        connection,
        f"WITH gone AS ({deletion} RETURNING {RETURNED}),{ledger_insert_cte(qualified(table, LEDGER))}"  # noqa: S608
        " SELECT count(*) FROM gone",
        {**given, "kind": "pruned"},
    )
    return int(rows[0][0])


def _moment(second: int) -> str:
    return moments([second]).strip("{}")
