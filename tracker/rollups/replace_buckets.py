"""Replaces the totals of 15-minute buckets, and of their hours and days. Idempotent; few round trips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from tracker.database.connect import Connection, execute
from tracker.database.schema import ZONE_COMMENT, Table
from tracker.database.sql_file import load
from tracker.rollups import rollup_tables
from tracker.rollups.first_calls import add_first_calls
from tracker.rollups.property_keys import indexed_names
from tracker.rollups.rollup_state import QUERIES, driver_sql, timestamptz_array
from tracker.rollups.rollup_tables import (
    DAY_S,
    INTERVAL_15M_S,
    LATE_S,
    PROPERTY,
    ROLLUPS,
    USER_COLUMNS,
    USER_DAY_COLUMNS,
    USER_DAYS,
    USERS,
    Rollup,
    qualified,
)

_HOUR_S = 3600


def replace_buckets(connection: Connection, table: Table, buckets: Iterable[int]) -> None:
    """Replace the totals of these 15-minute buckets (starts in seconds of the epoch) with those of the rows.

    Runs in the caller's transaction, which holds the lock of the rollups.
    """
    changed = set(buckets)
    execute(connection, _replacement_sql(table.schema, table.created_at_zone), bucket_parameters(table, changed, 0))
    if properties := indexed_names(connection, table):
        replace_properties(connection, table, changed, properties)
    add_first_calls(connection, table, changed)


def replace_properties(connection: Connection, table: Table, buckets: set[int], properties: Sequence[str]) -> None:
    """As `replace_buckets`, for the totals of these properties only."""
    execute(
        connection,
        _properties_sql(table.schema, table.created_at_zone),
        bucket_parameters(table, buckets, 0, properties),
    )


def replace_larger_buckets(
    connection: Connection, table: Table, buckets: Iterable[int], generation: int, properties: Sequence[str]
) -> None:
    """Replace the hours and days of these 15-minute buckets, for one generation."""
    rollups = (*ROLLUPS, PROPERTY) if properties else ROLLUPS
    statements = [statement for rollup in rollups for statement in _replace_larger_sql(table, rollup)]
    execute(connection, ";\n".join(statements), bucket_parameters(table, set(buckets), generation, properties))


def bucket_parameters(
    table: Table, buckets: set[int], generation: int, properties: Sequence[str] = ()
) -> dict[str, object]:
    """The bound parameters of a replacement."""
    return {
        "buckets": timestamptz_array(sorted(buckets)),
        "hours": timestamptz_array(sorted({bucket - bucket % _HOUR_S for bucket in buckets})),
        "days": timestamptz_array(sorted({bucket - bucket % DAY_S for bucket in buckets})),
        "generation": generation,
        "late_s": LATE_S,
        "created_at_zone": table.created_at_zone,
        "properties": list(properties),
        "max_values": rollup_tables.MAX_VALUES,
        "max_value_length": rollup_tables.MAX_VALUE_LENGTH,
    }


@cache
def _properties_sql(schema: str, zone: str | None) -> str:
    table = _table(schema, zone)
    rows_sql = _replace_sql(table, PROPERTY, 15, "buckets", driver_sql(PROPERTY.query_from_rows, table))
    return ";\n".join([*rows_sql, *_replace_larger_sql(table, PROPERTY)])


@cache
def _replacement_sql(schema: str, zone: str | None) -> str:
    table = _table(schema, zone)
    statements = []
    for rollup in ROLLUPS:
        statements += _replace_sql(table, rollup, 15, "buckets", driver_sql(rollup.query_from_rows, table))
        statements += _replace_larger_sql(table, rollup)
    statements.append(merge_users_sql(table, driver_sql("user_slots", table)))
    return ";\n".join(statements)


def _table(schema: str, zone: str | None) -> Table:
    """A table with the two attributes that the statements depend on."""
    return Table(schema, naive_created_at=zone is not None, created_at_comment=ZONE_COMMENT + (zone or ""))


def _replace_larger_sql(table: Table, rollup: Rollup) -> list[str]:
    statements = []
    for minutes, name, query in larger_bucket_queries(table, rollup):
        statements += _replace_sql(table, rollup, minutes, name, query)
    return statements


def larger_bucket_queries(table: Table, rollup: Rollup) -> Iterator[tuple[int, str, str]]:
    """The bucket size (minutes), the parameter with the bucket starts, and the SQL, for hours and then for days."""
    for minutes, source_minutes, name in ((60, 15, "hours"), (1440, 60, "days")):
        values = {"source_minutes": str(source_minutes), "minutes": str(minutes), "larger_buckets": f":{name}"}
        query = load(QUERIES, rollup.query_from_buckets).interpolate(values)
        yield minutes, name, query.for_driver(table)


def _replace_sql(table: Table, rollup: Rollup, minutes: int, name: str, query: str) -> list[str]:
    target = qualified(table, rollup.table)
    # Two statements: within one, the INSERT doesn't see the effect of the DELETE.
    delete = (
        f"DELETE FROM {target} WHERE minutes = {minutes} AND generation = %(generation)s"  # noqa: S608  our own names
        f" AND bucket = ANY (CAST(%({name})s AS timestamptz[])){rollup.condition}"
    )
    return [delete, f"INSERT INTO {target} ({', '.join(rollup.columns)}) {query}"]


def merge_users_sql(table: Table, fresh: str) -> str:
    """The SQL that replaces the slots of the buckets, in the rows of their users and days, with those of `fresh`."""
    target, days_target = qualified(table, USERS), qualified(table, USER_DAYS)
    return f"""
WITH fresh AS MATERIALIZED ({fresh}),
days AS (
    SELECT date_trunc('day', bucket, 'UTC') AS day,
           array_agg((extract(epoch FROM bucket - date_trunc('day', bucket, 'UTC')) / 900)::smallint) AS slots
    FROM unnest(CAST(%(buckets)s AS timestamptz[])) AS dirty (bucket)
    GROUP BY 1
), current AS MATERIALIZED (
    SELECT old.day, slot, old.is_test, old.is_sample, old.user_id,
           part.calls::bigint, tokens, part.cost, unpriced::bigint
    FROM {target} AS old
    JOIN days USING (day)
    CROSS JOIN unnest(old.slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
      AS part (slot, calls, tokens, cost, unpriced)
    WHERE old.generation = %(generation)s AND old.slots && days.slots AND slot = ANY (days.slots)
), changed AS MATERIALIZED (
    -- Most users of a day have no call in these buckets: their rows are not rewritten.
    SELECT DISTINCT day, is_test, is_sample, coalesce(user_id, '') AS name
    FROM ((TABLE fresh EXCEPT ALL TABLE current) UNION ALL (TABLE current EXCEPT ALL TABLE fresh)) AS differing
), deleted AS (
    DELETE FROM {target} AS old
    WHERE old.generation = %(generation)s AND old.day IN (SELECT day FROM days)
      AND (old.day, old.is_test, old.is_sample, coalesce(old.user_id, '')) IN (TABLE changed)
    RETURNING old.*
), deleted_days AS (
    DELETE FROM {days_target} AS old
    WHERE old.generation = %(generation)s AND old.day IN (SELECT day FROM days)
      AND (old.day, old.is_test, old.is_sample, coalesce(old.user_id, '')) IN (TABLE changed)
), slots AS (
    SELECT day, slot, is_test, is_sample, user_id, calls, total_tokens, cost, unpriced_calls
    FROM fresh
    WHERE (day, is_test, is_sample, coalesce(user_id, '')) IN (TABLE changed)
    UNION ALL
    SELECT day, slot, is_test, is_sample, user_id, kept.calls, tokens, kept.cost, unpriced
    FROM deleted
    JOIN days USING (day)
    CROSS JOIN unnest(deleted.slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)
      AS kept (slot, calls, tokens, cost, unpriced)
    WHERE slot <> ALL (days.slots)
), user_days AS ({user_days_sql("slots", "%(generation)s")}
), inserted AS (
    INSERT INTO {target} ({", ".join(USER_COLUMNS)}) SELECT {", ".join(USER_COLUMNS)} FROM user_days
)
INSERT INTO {days_target} ({", ".join(USER_DAY_COLUMNS)})
SELECT {", ".join(USER_DAY_COLUMNS)} FROM user_days"""  # noqa: S608  our own names


def user_days_sql(slots: str, generation: str) -> str:
    """The SQL that groups slots by user and day."""
    return f"""
SELECT day, {generation} AS generation, is_test, is_sample, min(slot) AS first_slot, max(slot) AS last_slot, user_id,
       sum(calls)::bigint AS calls, sum(total_tokens)::bigint AS total_tokens, sum(cost) AS cost,
       sum(unpriced_calls)::bigint AS unpriced_calls,
       array_agg(slot ORDER BY slot) AS slots, array_agg(calls::integer ORDER BY slot) AS slot_calls,
       array_agg(total_tokens ORDER BY slot) AS slot_tokens, array_agg(cost ORDER BY slot) AS slot_costs,
       array_agg(unpriced_calls::integer ORDER BY slot) AS slot_unpriced
FROM {slots}
GROUP BY day, is_test, is_sample, user_id"""  # noqa: S608  our own names


def buckets_of_day(day: int) -> range:
    """The starts of the 15-minute buckets of a day."""
    return range(day, day + DAY_S, INTERVAL_15M_S)
