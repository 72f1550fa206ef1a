"""Prunes old rows in batches and keeps their totals as a separate generation of the rollups.

A refresh never replaces rollup rows of a generation above 0, and readers add them to the totals of the rows. So a late
row of a pruned day adds to the totals. Each batch is one transaction of complete 15-minute buckets in one snapshot: it
deletes exactly the rows that its totals contain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tracker.audit.ledger_deletions import LEDGER, RETURNED, ledger_insert_cte
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.errors import TransientError
from tracker.messages import Message
from tracker.rollups.property_keys import indexed_names
from tracker.rollups.refresh_lock import lock_rollups, retry_while_locked
from tracker.rollups.replace_buckets import bucket_parameters, merge_users_sql, replace_buckets, replace_larger_buckets
from tracker.rollups.rollup_state import driver_sql, read_state, timestamptz, timestamptz_array
from tracker.rollups.rollup_tables import INTERVAL_15M_S, PROPERTY, ROLLUPS, STATE, USERS, qualified

BATCH_ROWS = 5000


@dataclass(frozen=True, slots=True)
class PrunableRows:
    """The number of rows that are old enough to prune, and their first and last time."""

    calls: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class PruneBatch:
    """The number of deleted rows, and the start of the next batch (seconds of the epoch; None: it was the last)."""

    calls: int
    next_start: int | None


def count_prunable(connection: Connection, table: Table, until: int) -> PrunableRows:
    """The rows that `prune` would delete. Raises `DatabaseError`."""
    parameters = {"until": timestamptz(until), "created_at_zone": table.created_at_zone}
    _, rows = execute(connection, driver_sql("prunable_rows", table), parameters)
    return PrunableRows(*rows[0])


def prune(connection: Connection, table: Table, until: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Delete the rows from before `until` (seconds of the epoch, a start of a day in UTC); return their number.

    The rollups must be complete (`refresh.catch_up`). Raises `DatabaseError`; committed batches stay pruned.
    """
    generation = _next_generation(connection, table)
    deleted, start = 0, None
    while True:
        batch = retry_while_locked(
            lambda: _prune_batch(connection, table, generation, start, until)  # noqa: B023  called at once
        )
        deleted += batch.calls
        progress(deleted)
        if batch.next_start is None:
            return deleted
        start = batch.next_start


def _next_generation(connection: Connection, table: Table) -> int:
    _, rows = execute(
        connection,
        f"UPDATE {qualified(table, STATE)} SET generation = generation + 1 RETURNING generation",  # noqa: S608
    )
    return int(rows[0][0])


def _prune_batch(
    connection: Connection, table: Table, generation: int, start: int | None, until: int
) -> PruneBatch | None:
    with lock_rollups(connection, table, "REPEATABLE READ") as has_lock:
        if not has_lock:
            return None
        if not read_state(connection, table).complete:
            cause, remedy = Message("reports.rollups_incomplete"), Message("reports.rollups_incomplete.remedy")
            raise TransientError("refreshing", cause, remedy)
        buckets = _next_buckets(connection, table, start, until)
        if not buckets:
            return PruneBatch(0, None)
        replace_buckets(connection, table, buckets)  # the totals of exactly the rows of this snapshot
        _copy_to_generation(connection, table, buckets, generation)
        calls = _delete_rows(connection, table, buckets)
        replace_buckets(connection, table, buckets)
        end = max(buckets) + INTERVAL_15M_S
        execute(
            connection,
            f"UPDATE {qualified(table, STATE)} SET pruned_until = greatest(pruned_until, to_timestamp(%s))",  # noqa: S608
            (end,),
        )
        return PruneBatch(calls, end)


def _next_buckets(connection: Connection, table: Table, start: int | None, until: int) -> list[int]:
    parameters = {
        "since": "-infinity" if start is None else timestamptz(start),
        "until": timestamptz(until),
        "rows": BATCH_ROWS,
        "created_at_zone": table.created_at_zone,
    }
    _, rows = execute(connection, driver_sql("prunable_buckets", table), parameters)
    buckets = [bucket for bucket, _ in rows]
    # The row limit can cut the last bucket. It is left to the next batch, unless it is the only one.
    is_full = sum(calls for _, calls in rows) >= BATCH_ROWS
    return buckets[:-1] if is_full and len(buckets) > 1 else buckets


def _copy_to_generation(connection: Connection, table: Table, buckets: list[int], generation: int) -> None:
    properties = indexed_names(connection, table)
    parameters = bucket_parameters(table, set(buckets), generation, properties)
    for rollup in (*ROLLUPS, PROPERTY) if properties else ROLLUPS:
        target = qualified(table, rollup.table)
        columns = ", ".join(rollup.columns)
        selected = columns.replace("generation", "%(generation)s")
        execute(
            connection,
            f"INSERT INTO {target} ({columns}) SELECT {selected} FROM {target}"  # noqa: S608  our own names
            " WHERE minutes = 15 AND generation = 0 AND bucket = ANY (CAST(%(buckets)s AS timestamptz[]))"
            + rollup.condition,
            parameters,
        )
    replace_larger_buckets(connection, table, buckets, generation, properties)
    slots = f"""
SELECT day, slot, is_test, is_sample, user_id, part.calls, part.tokens AS total_tokens, part.cost,
       part.unpriced AS unpriced_calls
FROM {qualified(table, USERS)} AS live
CROSS JOIN unnest(slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
  AS part (slot, calls, tokens, cost, unpriced)
WHERE generation = 0 AND day = ANY (CAST(%(days)s AS timestamptz[]))
  AND day + slot * interval '15 minutes' = ANY (CAST(%(buckets)s AS timestamptz[]))"""  # noqa: S608  our own names
    execute(connection, merge_users_sql(table, slots), parameters)


def _delete_rows(connection: Connection, table: Table, buckets: list[int]) -> int:
    usage, zone = qualified(table, "token_usage"), table.created_at_zone
    created_at = "calls.created_at" + (" AT TIME ZONE %(created_at_zone)s" if zone else "")
    deletion = (
        f"DELETE FROM {usage} AS calls USING unnest(CAST(%(buckets)s AS timestamptz[])) AS old (bucket)"  # noqa: S608
        f" WHERE {created_at} >= %(first)s AND {created_at} < %(end)s"
        f" AND date_bin('15 minutes', {created_at}, 'epoch') = old.bucket"
    )
    parameters = {
        "buckets": timestamptz_array(buckets),
        "first": timestamptz(min(buckets)),
        "end": timestamptz(max(buckets) + INTERVAL_15M_S),
        "created_at_zone": zone,
    }
    if not table.can_write_ledger:
        return execute(connection, deletion, parameters)[0]
    _, rows = execute(
        connection,
        f"WITH gone AS ({deletion} RETURNING {RETURNED}),{ledger_insert_cte(qualified(table, LEDGER))}"  # noqa: S608
        " SELECT count(*) FROM gone",
        {**parameters, "kind": "pruned"},
    )
    return int(rows[0][0])
