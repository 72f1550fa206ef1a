"""Costs set anew from today's knowledge of prices: what would change first, then the change itself."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from tracker.database.driver import Connection, execute
from tracker.database.table import Table, read_table
from tracker.errors import SetupError
from tracker.prices.book import PriceBook
from tracker.rollups.touched import mark_touched

ROWS = 2000
_QUESTION = Path(__file__).with_name("calls.sql").read_text(encoding="utf-8")
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)


@dataclass(slots=True)
class Sums:
    """One model's calls: how many there are, how many get another cost, and the sums before and after, in USD."""

    calls: int = 0
    changed: int = 0
    unpriced: int = 0
    old: Decimal = Decimal(0)
    new: Decimal = Decimal(0)


@dataclass(slots=True)
class Repricing:
    """What is to change: the sums by (provider, model), and the changes in a file, since there may be many."""

    changes: IO[str]
    sums: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))

    @property
    def changed(self) -> int:
        return sum(sums.changed for sums in self.sums.values())


def plan(
    connection: Connection,
    schema: str | None,
    book: PriceBook,
    changes: IO[str],
    *,
    since: datetime | None = None,
    again: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> Repricing:
    """Find what each call costs by now, into the file `changes`; no row is written.

    `again=False` looks only at calls without a cost. Costs that the caller or provider gave are not looked at. A call
    that nobody knows a price for keeps what it has. Raises `DatabaseError`.
    """
    table = _usable(connection, schema)
    digits = _scale(connection, table)
    found = Repricing(changes)
    for seen, row in enumerate(_rows(connection, table, since, again), 1):
        if seen % ROWS == 0:
            progress(seen)
        _look(row, book, digits, found)
    return found


def _look(row: dict[str, Any], book: PriceBook, digits: int | None, found: Repricing) -> None:
    sums = found.sums[row["provider"], row["model"]]
    sums.calls += 1
    old = None if row["cost"] is None else Decimal(row["cost"])
    sums.old += old or 0
    unknown = row["details"] == "unknown"
    details = row["details"] if isinstance(row["details"], dict) else None
    price = None if unknown else book.price(row["provider"], row["model"], row["created_at"], row, details)
    if price is None:
        sums.unpriced += old is None
        sums.new += old or 0
        return
    # A column that an app declared with few digits holds the rounded cost.
    new = price.cost if digits is None else round(price.cost, digits)
    sums.new += new
    if new != old:
        sums.changed += 1
        change = {"id": row["id"], "cost": format(price.cost, "f"), "source": price.source}
        found.changes.write(json.dumps(change) + "\n")


def _rows(connection: Connection, table: Table, since: datetime | None, again: bool) -> Iterator[dict[str, Any]]:
    question = _QUESTION.replace("FROM token_usage AS calls", f"FROM {_source(table)} AS calls")
    names = ("id", "created_at", "provider", "model", *_COUNTS, "details", "cost", "cost_source")
    given: dict[str, Any] = {
        "again": again,
        "zero": _zero_is_unknown(table),
        "count": ROWS,
        "zone": table.created_at_zone,
    }
    given |= {"time": since.isoformat() if since else "-infinity", "id": str(UUID(int=0))}
    while True:
        _, rows = execute(connection, question, given)
        for values in rows:
            row = dict(zip(names, values, strict=True))
            row["created_at"] = row["created_at"].astimezone(UTC)
            yield row
        if len(rows) < ROWS:
            return
        given |= {"id": rows[-1][0], "time": rows[-1][1].isoformat()}


def _zero_is_unknown(table: Table) -> bool:
    """Where the cost's column takes no NULL, its default stands in for what isn't known."""
    return "cost" in table.defaulted


def _source(table: Table) -> str:
    """The table, its times with a zone whatever the column has."""
    name = f'"{table.schema.replace(chr(34), chr(34) * 2)}".token_usage'
    if table.created_at_zone is None:
        return name
    columns = ", ".join(column for column in table.columns if column != "created_at" and column.isidentifier())
    return f"(SELECT {columns}, created_at AT TIME ZONE %(zone)s AS created_at FROM {name})"  # noqa: S608  names of ours


def apply(connection: Connection, schema: str | None, found: Repricing) -> int:
    """Write the changes, a transaction each 2,000; how many calls got another cost. Raises `DatabaseError`.

    Each transaction marks the rollups of the calls it changed.
    """
    table = _usable(connection, schema)
    written = 0
    found.changes.seek(0)
    while lines := [line for _, line in zip(range(ROWS), found.changes, strict=False)]:
        execute(connection, "BEGIN")
        try:
            moments = _write(connection, table, lines)
            mark_touched(connection, schema, moments)
            execute(connection, "COMMIT")
        except BaseException:
            if not connection.closed:
                execute(connection, "ROLLBACK")
            raise
        written += len(moments)
    return written


def _write(connection: Connection, table: Table, lines: Sequence[str]) -> list[datetime]:
    zone = "AT TIME ZONE %(zone)s" if table.created_at_zone else ""
    name = f'"{table.schema.replace(chr(34), chr(34) * 2)}".token_usage'
    _, rows = execute(
        connection,
        f"UPDATE {name} AS calls SET cost = change.cost, cost_source = change.source"  # noqa: S608  names of ours
        " FROM json_to_recordset(%(changes)s) AS change (id uuid, cost numeric, source text)"
        " WHERE calls.id = change.id"
        " AND (calls.cost IS NULL OR (%(zero)s AND calls.cost = 0 AND calls.cost_source IS NULL)"
        " OR calls.cost_source LIKE 'genai-prices %%' OR calls.cost_source = 'own prices')"
        f" RETURNING calls.created_at {zone}",
        {"changes": "[" + ",".join(lines) + "]", "zone": table.created_at_zone, "zero": _zero_is_unknown(table)},
    )
    return [moment.astimezone(UTC) for (moment,) in rows]


def fill(connection: Connection, schema: str | None, book: PriceBook, since: datetime) -> int:
    """Give each call since then that has no cost the one it has by now; how many got one. Raises `DatabaseError`.

    For whatever runs beside the functions: the dashboard, the rollups' refresh, a recorder's own thread.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        found = plan(connection, schema, book, changes, since=since, again=False)
        return apply(connection, schema, found) if found.changed else 0


def _usable(connection: Connection, schema: str | None) -> Table:
    table = read_table(connection, schema)
    if not table.exists:
        raise SetupError("table_missing", "The table token_usage isn't there.", "Create it: token-tracker migrate.")
    if table.missing_columns:
        missing = ", ".join(table.missing_columns)
        raise SetupError(
            "column_missing", f"token_usage lacks {missing}.", "Add what is missing: token-tracker migrate."
        )
    return table


def _scale(connection: Connection, table: Table) -> int | None:
    """Digits after the point that the cost column holds; None when all."""
    _, rows = execute(
        connection,
        "SELECT numeric_scale FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'token_usage' AND column_name = 'cost' AND data_type = 'numeric'",
        (table.schema,),
    )
    return rows[0][0] if rows else None
