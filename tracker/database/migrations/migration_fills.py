"""What a migration does with existing calls after its SQL file, in its transaction.

For Citus, a statement that reads `token_usage` reads no other table.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from tracker.database.connect import Connection, execute
from tracker.database.sample_ids import IS_SAMPLE
from tracker.database.schema import Table, literal

_YEARS = "created_at >= '0001-01-02' AND created_at < '9999-12-30'"
"""The times that Python supports."""


def fill(connection: Connection, table: Table, name: str, applied: AbstractSet[int]) -> None:
    """Fill what the migration `name` created from the existing calls. `applied` are the versions before this run.

    Raises `DatabaseError`.
    """
    if name == "unpriced_rollup" and {1, 4} <= applied:
        run = _refresh_inconsistent
    elif name == "deployments":
        run = _add_deployments
    else:
        return
    _, rows = execute(connection, "SELECT current_setting('statement_timeout')")
    _set_statement_timeout(connection, "10min")
    run(connection, table)
    _set_statement_timeout(connection, rows[0][0])


def _set_statement_timeout(connection: Connection, timeout: str) -> None:
    execute(connection, "SELECT set_config('statement_timeout', %s, true)", (timeout,))


def _refresh_inconsistent(connection: Connection, table: Table) -> None:
    """Mark the rollup buckets of calls with inconsistent usage as dirty: an earlier version did not count them."""
    _, rows = execute(
        connection,
        f"SELECT DISTINCT date_bin('15 minutes', {_created_at(table)}, 'epoch')::text FROM token_usage"  # noqa: S608
        " WHERE metadata ->> 'usage_problem' IS NOT NULL",
    )
    if rows:
        execute(
            connection,
            "INSERT INTO token_tracker_rollup_touched SELECT unnest(CAST(%s AS timestamptz[]))",
            ([bucket for (bucket,) in rows],),
        )


def _add_deployments(connection: Connection, table: Table) -> None:
    """Add the first call of each deployment; `first_calls_from_rows.sql` has the same columns and condition."""
    _, rows = execute(
        connection,
        "SELECT left(deployment::text, 200), left(coalesce(environment::text, ''), 200),"  # noqa: S608
        f" min({_created_at(table)})::text FROM token_usage"
        f" WHERE btrim(deployment::text) <> '' AND is_test IS NOT TRUE AND {_YEARS}"
        f" AND NOT {IS_SAMPLE} GROUP BY 1, 2",
    )
    if rows:
        names, environments, times = ([*column] for column in zip(*rows, strict=True))
        execute(
            connection,
            "INSERT INTO token_tracker_deployments (deployment, environment, first_at)"
            " SELECT * FROM unnest(CAST(%s AS text[]), CAST(%s AS text[]), CAST(%s AS timestamptz[]))"
            " ON CONFLICT (deployment, environment) DO UPDATE SET first_at = excluded.first_at",
            (names, environments, times),
        )


def _created_at(table: Table) -> str:
    return f"(created_at AT TIME ZONE {literal(table.created_at_zone)})" if table.created_at_zone else "created_at"
