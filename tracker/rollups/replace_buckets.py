"""Make the figures of some quarters of an hour anew, and of their hours and days: idempotent, in one round trip."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.rollup_state import moments, text
from tracker.rollups.rollup_tables import (
    DAY_S,
    LATE_S,
    QUARTER_S,
    ROLLUPS,
    USER_COLUMNS,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    Rollup,
    qualified,
)

_HOUR_S = 3600


def replace(connection: Connection, table: Table, buckets: Iterable[int]) -> None:
    """Inside the caller's transaction, that holds the state's row. `buckets` are beginnings in seconds of the epoch."""
    chosen = set(buckets)
    execute(connection, _live(table.schema, table.created_at_zone), parameters(table, chosen, 0))


def derive(connection: Connection, table: Table, buckets: Iterable[int], generation: int) -> None:
    """Make one generation's hours and days of its quarters."""
    statements = [statement for rollup in ROLLUPS for statement in _wholes(table, rollup)]
    execute(connection, ";\n".join(statements), parameters(table, set(buckets), generation))


def parameters(table: Table, buckets: set[int], generation: int) -> dict[str, object]:
    """What the statements of a replacement are bound to."""
    return {
        "buckets": moments(sorted(buckets)),
        "hours": moments(sorted({bucket - bucket % _HOUR_S for bucket in buckets})),
        "days": moments(sorted({bucket - bucket % DAY_S for bucket in buckets})),
        "generation": generation,
        "late_s": LATE_S,
        "created_at_zone": table.created_at_zone,
    }


@cache
def _live(schema: str, zone: str | None) -> str:
    table = _table(schema, zone)
    statements = []
    for rollup in ROLLUPS:
        statements += _whole(table, rollup, 15, "buckets", text(rollup.question, table))
        statements += _wholes(table, rollup)
    statements.append(merge_users(table, text("user_slots", table)))
    return ";\n".join(statements)


def _table(schema: str, zone: str | None) -> Table:
    """As much of a table as a statement depends on."""
    from tracker.database.schema import ZONE_COMMENT

    return Table(schema, naive_created_at=zone is not None, created_at_comment=ZONE_COMMENT + (zone or ""))


def _wholes(table: Table, rollup: Rollup) -> list[str]:
    """Hours of quarters, then days of hours."""
    statements = []
    for minutes, part_minutes, name in ((60, 15, "hours"), (1440, 60, "days")):
        parts = text(rollup.parts, table)
        parts = parts.replace("%(part_minutes)s", str(part_minutes)).replace("%(minutes)s", str(minutes))
        statements += _whole(table, rollup, minutes, name, parts.replace("%(wholes)s", f"%({name})s"))
    return statements


def _whole(table: Table, rollup: Rollup, minutes: int, name: str, question: str) -> list[str]:
    target = qualified(table, rollup.table)
    # Two statements: in one, the INSERT would not see what the DELETE took away.
    delete = (
        f"DELETE FROM {target} WHERE minutes = {minutes} AND generation = %(generation)s"  # noqa: S608  our own names
        f" AND bucket = ANY (CAST(%({name})s AS timestamptz[]))"
    )
    return [delete, f"INSERT INTO {target} ({', '.join(rollup.columns)}) {question}"]


def merge_users(table: Table, fresh: str) -> str:
    """Put the slots that `fresh` selects in place of the buckets' old ones, in the rows of their users and days."""
    target, days_target = qualified(table, USERS), qualified(table, USER_DAYS)
    return f"""
WITH fresh AS MATERIALIZED ({fresh}),
days AS (
    SELECT date_trunc('day', bucket, 'UTC') AS day,
           array_agg((extract(epoch FROM bucket - date_trunc('day', bucket, 'UTC')) / 900)::smallint) AS slots
    FROM unnest(CAST(%(buckets)s AS timestamptz[])) AS touched (bucket)
    GROUP BY 1
), current AS MATERIALIZED (
    SELECT old.day, slot, old.is_test, old.user_id, part.calls::bigint, tokens, part.cost, unpriced::bigint
    FROM {target} AS old
    JOIN days USING (day)
    CROSS JOIN unnest(old.slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
      AS part (slot, calls, tokens, cost, unpriced)
    WHERE old.generation = %(generation)s AND old.slots && days.slots AND slot = ANY (days.slots)
), changed AS MATERIALIZED (
    -- Most users of a day did nothing in its last quarters: their rows stay untouched.
    SELECT DISTINCT day, is_test, coalesce(user_id, '') AS name
    FROM ((TABLE fresh EXCEPT ALL TABLE current) UNION ALL (TABLE current EXCEPT ALL TABLE fresh)) AS differing
), gone AS (
    DELETE FROM {target} AS old
    WHERE old.generation = %(generation)s AND old.day IN (SELECT day FROM days)
      AND (old.day, old.is_test, coalesce(old.user_id, '')) IN (TABLE changed)
    RETURNING old.*
), gone_days AS (
    DELETE FROM {days_target} AS old
    WHERE old.generation = %(generation)s AND old.day IN (SELECT day FROM days)
      AND (old.day, old.is_test, coalesce(old.user_id, '')) IN (TABLE changed)
), slots AS (
    SELECT day, slot, is_test, user_id, calls, total_tokens, cost, unpriced_calls
    FROM fresh
    WHERE (day, is_test, coalesce(user_id, '')) IN (TABLE changed)
    UNION ALL
    SELECT day, slot, is_test, user_id, kept.calls, tokens, kept.cost, unpriced
    FROM gone
    JOIN days USING (day)
    CROSS JOIN unnest(gone.slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
      AS kept (slot, calls, tokens, cost, unpriced)
    WHERE slot <> ALL (days.slots)
), made AS ({users_of("slots", "%(generation)s")}
), kept AS (
    INSERT INTO {target} ({", ".join(USER_COLUMNS)}) SELECT {", ".join(USER_COLUMNS)} FROM made
)
INSERT INTO {days_target} ({", ".join(USER_DAY_COLUMNS)}) SELECT {", ".join(USER_DAY_COLUMNS)} FROM made"""  # noqa: S608  our own names


def users_of(slots: str, generation: str) -> str:
    """A user's day of its quarters of an hour."""
    return f"""
SELECT day, {generation} AS generation, is_test, min(slot) AS first_slot, max(slot) AS last_slot, user_id,
       sum(calls)::bigint AS calls, sum(total_tokens)::bigint AS total_tokens, sum(cost) AS cost,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls::integer ORDER BY slot) AS slot_calls,
       array_agg(total_tokens ORDER BY slot) AS slot_tokens, array_agg(cost ORDER BY slot) AS slot_costs,
       array_agg(unpriced_calls::integer ORDER BY slot) AS slot_unpriced
FROM {slots}
GROUP BY day, is_test, user_id"""  # noqa: S608  our own names


def quarters(day: int) -> range:
    """The beginnings of a day's quarters of an hour."""
    return range(day, day + DAY_S, QUARTER_S)
