"""Writes planned changes of costs and counts, and marks the affected rollup buckets in the same transaction."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, Any, NamedTuple

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.transactions import transaction
from tracker.prices.count_corrections import CORRECTED_COLUMNS, MARKS, Correction
from tracker.rollups.invalidation import invalidate_buckets
from tracker.rollups.rollup_tables import qualified

ROWS = 2000
_FLOATS = {"double precision": "d", "real": "f"}


class CostColumns(NamedTuple):
    """The limits of the cost columns: decimal digits and characters of the source; None means no limit."""

    scale: int | None = None
    source_chars: int | None = None
    float_format: str | None = None

    def round_cost(self, cost: Decimal) -> Decimal:
        """The cost as the column stores it; equal for equal stored costs."""
        if self.float_format:
            return Decimal(struct.unpack(self.float_format, struct.pack(self.float_format, cost))[0])
        return cost if self.scale is None else round(cost, self.scale)

    def truncate_source(self, source: str) -> str:
        """The source as the column stores it."""
        return source[: self.source_chars]


@dataclass(slots=True)
class CallChange:
    """The planned change of one call."""

    id: str
    correction: Correction | None = None
    _cost: dict[str, Any] = field(default_factory=dict)

    def set_cost(self, cost: str | None, source: str) -> None:
        """A cost in USD with its source, or None with the reason as the source."""
        self._cost = {"cost": cost, "source": source}

    @property
    def has_effect(self) -> bool:
        return bool(self._cost or self.correction)

    def as_json(self) -> dict[str, Any]:
        corrected = self.correction
        counts = {} if corrected is None else {"counts": dict(corrected.counts), "usage": dict(corrected.details)}
        return {"id": self.id, **self._cost, **counts}


def read_columns(connection: Connection, table: Table) -> CostColumns:
    """Read the limits of the cost columns. Raises `DatabaseError`."""
    _, rows = execute(
        connection,
        "SELECT column_name, CASE WHEN data_type = 'numeric' THEN numeric_scale END, character_maximum_length,"
        " data_type"
        " FROM information_schema.columns WHERE table_schema = %s AND table_name = 'token_usage'"
        " AND column_name IN ('cost', 'cost_source')",
        (table.schema,),
    )
    limits = {name: values for name, *values in rows}
    scale, _, kind = limits.get("cost", (None, None, ""))
    return CostColumns(scale, limits.get("cost_source", (None, None))[1], _FLOATS.get(kind))


def unknown_cost_is_zero(table: Table) -> bool:
    """Whether the cost column is NOT NULL, so that its default represents an unknown cost."""
    return "cost" in table.defaulted


def apply_changes(connection: Connection, table: Table, changes: IO[str]) -> int:
    """Write the changes, one transaction for each 2,000 calls; returns the number of calls. Raises `DatabaseError`."""
    written = 0
    changes.seek(0)
    for batch in _batches(changes):
        with transaction(connection):
            times = _correct_counts(connection, table, [change for change in batch if "counts" in change])
            times |= _set_costs(connection, table, [change for change in batch if "source" in change])
            invalidate_buckets(connection, table.schema, times.values())
        written += len(times)
    return written


def _batches(changes: IO[str]) -> Iterator[list[dict[str, Any]]]:
    while lines := [line for _, line in zip(range(ROWS), changes, strict=False)]:
        yield [json.loads(line) for line in lines]


def _set_costs(connection: Connection, table: Table, changes: Sequence[Mapping[str, Any]]) -> dict[str, datetime]:
    return _update(
        connection,
        table,
        "cost = coalesce(change.cost, CASE WHEN %(zero)s THEN 0 END), cost_source = change.source",
        "id uuid, cost numeric, source text",
        # A cost that a caller has given since the plan remains.
        "(calls.cost IS NULL OR calls.cost = 0 AND (calls.cost_source = 'provided' OR %(zero)s AND"
        " (calls.cost_source IS NULL OR calls.cost_source LIKE 'unpriced %%'))"
        " OR calls.cost_source LIKE 'genai-prices %%' OR calls.cost_source IN ('own prices', 'dashboard prices'))",
        changes,
    )


def _correct_counts(connection: Connection, table: Table, changes: Sequence[Mapping[str, Any]]) -> dict[str, datetime]:
    # An adopted table may have a generated total.
    names = [name for name in CORRECTED_COLUMNS if name not in table.generated]
    counts = "".join(f"{name} = (change.counts ->> '{name}')::integer, " for name in names)
    marks = "".join(f" - '{name}'" for name in MARKS)
    kind = "json" if table.columns["metadata"] == "json" else "jsonb"
    usage = "CASE WHEN change.usage = '{}' THEN '{}' ELSE jsonb_build_object('usage', change.usage) END"
    return _update(
        connection,
        table,
        f"{counts}metadata = ((calls.metadata::jsonb{marks} - 'usage') || {usage})::{kind}",
        "id uuid, counts jsonb, usage jsonb",
        "calls.metadata ->> 'usage_raw' IS NOT NULL",
        changes,
    )


def _update(
    connection: Connection, table: Table, settings: str, columns: str, guard: str, changes: Sequence[Mapping[str, Any]]
) -> dict[str, datetime]:
    """Update the calls that match the guard; returns their end times by id."""
    if not changes:
        return {}
    zone = "AT TIME ZONE %(zone)s" if table.created_at_zone else ""
    _, rows = execute(
        connection,
        f"UPDATE {qualified(table, 'token_usage')} AS calls SET {settings}"  # noqa: S608  names of ours
        f" FROM json_to_recordset(%(changes)s) AS change ({columns})"
        f" WHERE calls.id = change.id AND {guard} RETURNING calls.id::text, calls.created_at {zone}",
        {"changes": json.dumps(changes), "zone": table.created_at_zone, "zero": unknown_cost_is_zero(table)},
    )
    return {key: ended_at.astimezone(UTC) for key, ended_at in rows}
