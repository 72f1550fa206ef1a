"""Writes the loss ledger, which explains sequence numbers without a row, and the alerts that were sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tracker.audit.ledger_deletions import LEDGER
from tracker.database.connect import Connection, execute
from tracker.recording.insert import Target

ALERTS = "token_tracker_alerts"

_ENTRY = "instance_id uuid, kind text, first_sequence integer, last_sequence integer, environment text, deployment text"
_ALERT = (
    "id uuid, raised_at timestamptz, reason text, error text, record_id uuid, attempts integer, elapsed_ms real,"
    " outbox_depth integer, held_back integer, environment text, platform text, region text, deployment text"
)


def make_entry(kind: str, runtime_fields: Any, first: int, last: int | None = None) -> dict[str, Any]:
    """One line of the ledger about the numbers `first` to `last` of an instance.

    Kinds: *duplicate* (the id existed already), *set_aside* (refused by the database), *removed* and *pruned* (deleted
    on purpose), *waiting* (in an outbox when the line was written), *closed* (the instance ended with number `last`).
    """
    return {
        "kind": kind,
        "instance_id": str(runtime_fields["instance_id"]),
        "first_sequence": first,
        "last_sequence": first if last is None else last,
        "environment": runtime_fields.get("environment"),
        "deployment": runtime_fields.get("deployment"),
    }


def write_entries(connection: Connection, target: Target, entries: Sequence[dict[str, Any]]) -> None:
    """Add lines to the ledger; a line that exists already stays unchanged. Raises `DatabaseError`."""
    names = _names(_ENTRY)
    execute(
        connection,
        f"INSERT INTO {target.table(LEDGER)} ({names}) SELECT {names}"  # noqa: S608  constant names
        f" FROM json_to_recordset(%s) AS entry ({_ENTRY}) ON CONFLICT DO NOTHING",
        (json.dumps(entries),),
    )


def write_entries_if_allowed(connection: Connection, target: Target, entries: Sequence[dict[str, Any]]) -> None:
    """`write_entries` if this role may write to the ledger. Raises `DatabaseError`."""
    if target.can_write_ledger:
        write_entries(connection, target, entries)


def write_alerts(connection: Connection, target: Target, alerts: Sequence[dict[str, Any]]) -> None:
    """Store alerts that were sent, each once. Raises `DatabaseError`."""
    names = _names(_ALERT)
    execute(
        connection,
        f"INSERT INTO {target.table(ALERTS)} ({names}) SELECT {names} FROM json_to_recordset(%s) AS alert ({_ALERT})"  # noqa: S608
        " ON CONFLICT DO NOTHING",
        (json.dumps(alerts),),
    )


def write_duplicates(connection: Connection, target: Target, documents: Iterable[str]) -> None:
    """Add a ledger line for each of these records whose id belongs to another record, so that it isn't missing.

    Raises `DatabaseError`.
    """
    if not target.can_write_ledger:
        return
    execute(
        connection,
        f"INSERT INTO {target.table(LEDGER)} (instance_id, kind, first_sequence, last_sequence, environment,"  # noqa: S608
        " deployment) SELECT instance_id, 'duplicate', sequence, sequence, environment, deployment"
        " FROM json_to_recordset(%s)"
        " AS record (id uuid, instance_id uuid, sequence integer, environment text, deployment text)"
        f" WHERE NOT EXISTS (SELECT 1 FROM {target.name} AS stored WHERE stored.id = record.id"
        " AND stored.instance_id = record.instance_id AND stored.sequence = record.sequence)"
        " AND instance_id IS NOT NULL AND sequence IS NOT NULL ON CONFLICT DO NOTHING",
        (f"[{','.join(documents)}]",),
    )


def _names(declaration: str) -> str:
    return ", ".join(part.split()[0] for part in declaration.split(", "))
