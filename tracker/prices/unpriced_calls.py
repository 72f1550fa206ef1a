"""Reads the calls whose cost Token Tracker may set, in pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.sql_file import load
from tracker.prices.cost_changes import unknown_cost_is_zero
from tracker.usage import MAX_COST_USD, TOKEN_COLUMNS

ROWS = 2000
_QUERIES = "tracker.prices.sql"
_NAMES = (
    *("id", "created_at", "provider", "model", *TOKEN_COLUMNS, "failed"),
    *("details", "calls", "marked", "cost", "cost_source"),
)


class Cursor(NamedTuple):
    """The last call that was read; the next page starts after it."""

    time: str = "-infinity"
    id: str = str(UUID(int=0))


START = Cursor()


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls are read: those without a cost, and with `include_priced` those with a cost from Token Tracker.

    `explained` includes calls whose reason for having no price is stored. `zero_costs` includes calls whose cost was
    given as 0. `model` selects the calls of a model, or with a * at the end of all models with this prefix; `provider`
    those of one provider. At most `limit` calls are read.
    """

    since: Cursor = START
    include_priced: bool = True
    explained: bool = True
    zero_costs: bool = False
    model: str | None = None
    provider: str | None = None
    limit: int | None = None


EVERYTHING = Scope()


def scope_since(since: datetime | None, **options: Any) -> Scope:
    """The scope of calls that ended since a time."""
    return Scope(Cursor(since.isoformat()) if since else START, **options)


def read_calls(connection: Connection, table: Table, scope: Scope) -> Iterator[dict[str, Any]]:
    """The calls of the scope in the order of their time; `created_at` is aware. Raises `DatabaseError`.

    `details`, `calls` and `marked` are JSON texts, since one of them that Python can't parse must not stop the others.
    """
    statement = load(_QUERIES, "unpriced_calls").for_driver(table)
    cursor, remaining = scope.since, scope.limit
    while remaining is None or remaining > 0:
        parameters = {
            "include_priced": scope.include_priced,
            "explained": scope.explained,
            "zero_costs": scope.zero_costs,
            "zero": unknown_cost_is_zero(table),
            **_model_parameters(scope),
            "count": ROWS if remaining is None else min(ROWS, remaining),
            "created_at_zone": table.created_at_zone,
            **cursor._asdict(),
        }
        _, rows = execute(connection, statement, parameters)
        for values in rows:
            row = dict(zip(_NAMES, values, strict=True))
            row["created_at"] = row["created_at"].astimezone(UTC)
            yield row
        if len(rows) < parameters["count"]:
            return
        cursor = Cursor(rows[-1][1].isoformat(), rows[-1][0])
        remaining = None if remaining is None else remaining - len(rows)


def _model_parameters(scope: Scope) -> dict[str, str | None]:
    prefix = scope.model[:-1] if scope.model and scope.model.endswith("*") else None
    return {"model": scope.model if prefix is None else None, "prefix": prefix, "provider": scope.provider}


class Skipped(NamedTuple):
    """The number of unread calls: without cost and usable time, or with a given cost that is not an amount."""

    without_time: int
    unusable_costs: int


def count_skipped(connection: Connection, table: Table, scope: Scope) -> Skipped:
    """Count times outside of the years 1 to 9999 and, with `include_priced`, unusable costs. Raises `DatabaseError`."""
    parameters = {
        "include_priced": scope.include_priced,
        "max_cost": MAX_COST_USD,
        "created_at_zone": table.created_at_zone,
    }
    _, rows = execute(connection, load(_QUERIES, "skipped_calls").for_driver(table), parameters)
    return Skipped(*rows[0])
