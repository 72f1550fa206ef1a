"""Reads the sums of all calls and counts them into the stored totals, so that all dashboards export the same ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from tracker.audit.table_rights import read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table, quote
from tracker.database.sql_file import load
from tracker.database.transactions import transaction
from tracker.metrics.growing_totals import MEASURES, REMAINDER, GrowingTotal, LabelSet, Sums, Totals, count_sums
from tracker.rollups.range_plan import Segment, epoch_us, plan_range
from tracker.rollups.rollup_state import RollupState, read_access, read_state

TOTALS_TABLE = "token_tracker_metric_totals"
_NEEDED = ("SELECT", "INSERT", "UPDATE")
_FIRST_TIME = datetime(1, 1, 2, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 30, tzinfo=UTC)


def count_calls(connection: Connection, table: Table, in_memory: Totals, timeout_s: int) -> tuple[Totals, bool]:
    """The totals of all calls until now, and whether they are stored.

    Only a process that sees all calls, pruned ones included, counts into the table: a smaller sum of another process
    would make the next one look like new calls. Others, such as a role under row-level security, count on from
    `in_memory`: such totals are those of this process. Raises `DatabaseError`, also after
    `timeout_s` of a query or of waiting for another process that counts.
    """
    limits = f"SET LOCAL statement_timeout = '{timeout_s}s'; SET LOCAL jit = off"
    state = read_state(connection, table) if read_access(connection, table).reads else None
    may_store = read_rights(connection, table.schema, [TOTALS_TABLE]).allows(TOTALS_TABLE, _NEEDED)
    if state is None or not may_store:
        with transaction(connection, "READ ONLY", limits, commits=False):
            return count_sums(in_memory, _read_sums(connection, table, state)), False
    with transaction(connection, "", limits):
        # The sums are read after the lock: a process that added older sums later would count an increase twice.
        execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_lock_key(table.schema),))
        before = _read_totals(connection, table.schema)
        after = count_sums(before, _read_sums(connection, table, read_state(connection, table)))
        after = {key: total.at_least(in_memory.get(key)) for key, total in after.items()}
        _store(connection, table.schema, {key: total for key, total in after.items() if before.get(key) != total})
    return after, True


def _read_sums(connection: Connection, table: Table, state: RollupState | None) -> dict[LabelSet, Sums]:
    plan = plan_range([Segment(epoch_us(_FIRST_TIME), epoch_us(_LAST_TIME), 0)], state)
    query = load("tracker.metrics.sql", "call_sums")
    text = (query if state else query.rows_only).for_driver(table)
    _, rows = execute(connection, text, {**plan.parameters(), "created_at_zone": table.created_at_zone})
    sums: dict[LabelSet, Sums] = {}
    for row in rows:
        # A call whose four labels are `other` counts as one of the label sets without a series of their own.
        label_set = REMAINDER if tuple(row[:4]) == tuple(REMAINDER[:4]) else LabelSet(*row[:4])
        sums[label_set] = dict(zip(MEASURES, map(Decimal, row[4:]), strict=True))
    return sums


def _read_totals(connection: Connection, schema: str) -> dict[LabelSet, GrowingTotal]:
    columns = "provider, model, operation, environment, is_remainder, exported::text, counted::text"
    _, rows = execute(connection, f"SELECT {columns} FROM {quote(schema)}.{TOTALS_TABLE}")  # noqa: S608
    return {
        LabelSet(*labels): GrowingTotal(_from_json(exported), _from_json(counted))
        for *labels, exported, counted in rows
    }


def _store(connection: Connection, schema: str, totals: Mapping[LabelSet, GrowingTotal]) -> None:
    if not totals:
        return
    entries = [
        {**key._asdict(), "exported": _as_json(total.exported), "counted": _as_json(total.counted)}
        for key, total in totals.items()
    ]
    columns = "provider, model, operation, environment, is_remainder, exported, counted"
    execute(
        connection,
        f"INSERT INTO {quote(schema)}.{TOTALS_TABLE} ({columns}) SELECT {columns} FROM json_to_recordset(%s) AS entry"  # noqa: S608
        " (provider text, model text, operation text, environment text, is_remainder boolean, exported jsonb,"
        " counted jsonb) ON CONFLICT (provider, model, operation, environment, is_remainder)"
        " DO UPDATE SET exported = EXCLUDED.exported, counted = EXCLUDED.counted",
        (json.dumps(entries),),
    )


def _as_json(sums: Sums) -> dict[str, str]:
    """Amounts as text, because a JSON number would lose digits."""
    return {name: format(value, "f") for name, value in sums.items()}


def _from_json(text: str) -> Sums:
    stored = json.loads(text)
    return {name: Decimal(stored.get(name, "0")) for name in MEASURES}


def _lock_key(schema: str) -> int:
    return 0x746D74 << 32 | zlib.crc32(schema.encode())
