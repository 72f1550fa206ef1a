"""Reads the calls whose cost Token Tracker may set, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.prices.cost_changes import unknown_cost_is_zero
from tracker.prices.price_coverage import COUNT_UNITS
from tracker.rollups.rollup_tables import qualified
from tracker.usage import MAX_COST_USD

ROWS = 2000
_QUESTION = Path(__file__).with_name("unpriced_calls.sql").read_text(encoding="utf-8")
_NAMES = (
    *("id", "created_at", "provider", "model", *COUNT_UNITS, "failed"),
    *("details", "calls", "marked", "cost", "cost_source"),
)


class Cursor(NamedTuple):
    """The last call that was read; reading continues behind it."""

    time: str = "-infinity"
    id: str = str(UUID(int=0))


START = Cursor()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls are read: those without a cost, and with `again` those with a cost of ours.

    `explained` includes calls whose reason for having no price is stored. `zero_costs` includes calls whose cost was
    given as 0. At most `limit` calls are read.
    """

    since: Cursor = START
    again: bool = True
    explained: bool = True
    zero_costs: bool = False
    limit: int | None = None


EVERYTHING = Scope()


def scope_since(since: datetime | None, **options: Any) -> Scope:
    """The scope of calls from a moment on."""
    return Scope(Cursor(since.isoformat()) if since else START, **options)


def read_calls(connection: Connection, table: Table, scope: Scope) -> Iterator[dict[str, Any]]:
    """The calls of the scope in the order of their time; `created_at` is aware. Raises `DatabaseError`.

    `details`, `calls` and `marked` are JSON texts, since one of them that Python can't parse must not stop the others.
    """
    question = _QUESTION.replace("FROM token_usage AS calls", f"FROM {_source(table)} AS calls")
    cursor, left = scope.since, scope.limit
    while left is None or left > 0:
        given = {
            "again": scope.again,
            "explained": scope.explained,
            "zero_costs": scope.zero_costs,
            "zero": unknown_cost_is_zero(table),
            "count": ROWS if left is None else min(ROWS, left),
            "zone": table.created_at_zone,
            **cursor._asdict(),
        }
        _, rows = execute(connection, question, given)
        for values in rows:
            row = dict(zip(_NAMES, values, strict=True))
            row["created_at"] = row["created_at"].astimezone(UTC)
            yield row
        if len(rows) < given["count"]:
            return
        cursor = Cursor(rows[-1][1].isoformat(), rows[-1][0])
        left = None if left is None else left - len(rows)


class Skipped(NamedTuple):
    """How many calls are not read: without a cost and without a usable time; with a given cost that is no amount."""

    without_time: int
    unusable_costs: int


def count_skipped(connection: Connection, table: Table, scope: Scope) -> Skipped:
    """Times outside of the years 1 to 9999; with `again`, which reads all calls, also costs. Raises `DatabaseError`."""
    _, rows = execute(
        connection,
        "SELECT count(*) FILTER (WHERE cost IS NULL AND is_in_years IS NOT TRUE),"  # noqa: S608  names of ours
        f" count(*) FILTER (WHERE abs(cost::numeric) > {MAX_COST_USD} AND coalesce(cost_source, '') <> 'own prices'"
        " AND coalesce(cost_source, '') NOT LIKE 'genai-prices %%')"
        f" FROM {_source(table)} AS calls CROSS JOIN LATERAL"
        " (SELECT created_at >= '0001-01-02 00:00Z' AND created_at < '9999-12-30 00:00Z') AS years (is_in_years)"
        # The index on created_at answers this for the dashboard's minute task.
        " WHERE %(again)s OR created_at IS NULL"
        " OR created_at < '0001-01-02 00:00Z' OR created_at >= '9999-12-30 00:00Z'",
        {"zone": table.created_at_zone, "again": scope.again},
    )
    return Skipped(*rows[0])


def _source(table: Table) -> str:
    """The table, its times with a zone whatever the column has."""
    name = qualified(table, "token_usage")
    if table.created_at_zone is None:
        return name
    columns = ", ".join(column for column in table.columns if column != "created_at" and column.isidentifier())
    return f"(SELECT {columns}, created_at AT TIME ZONE %(zone)s AS created_at FROM {name})"  # noqa: S608  names of ours
