"""Stores and reads the changes of prices and budgets: who, when, and the old and the new value."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.audit.table_rights import read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote
from tracker.database.transactions import transaction

CHANGES = "token_tracker_setting_changes"
PRIVILEGES = ("SELECT", "INSERT")
"""What a role needs on this table to add and to read lines."""
_LOCK_TIMEOUT = "5s"
_MAX_TEXT = 300


@dataclass(frozen=True, slots=True)
class Editor:
    """Who changes a setting: the address or name of the sign-in, if it has one, and how the dashboard was entered.

    `access` is login, password, local, open, or command line.
    """

    access: str
    name: str | None = None


COMMAND_LINE = Editor("command line")


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of a price, a budget, or past calls. `old` is None for a new setting, `new` for a removed one."""

    kind: str
    subject: str
    editor: Editor
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    changed_at: datetime | None = None


@contextmanager
def change_transaction(connection: Connection, schema: str) -> Iterator[None]:
    """One transaction in which no other page or command changes a price, a budget or a view: old values are exact.

    Raises `DatabaseError`.
    """
    with transaction(connection):
        execute(connection, "SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
        execute(connection, "SELECT pg_advisory_xact_lock(%s)", (_lock_key(schema),))
        yield


def record_change(connection: Connection, schema: str, change: SettingChange) -> None:
    """Store a change in the current transaction, if the table exists and the role may add lines.

    A change without an effect is not stored. Raises `DatabaseError`.
    """
    if change.old == change.new or not read_rights(connection, schema, [CHANGES]).allows(CHANGES, ["INSERT"]):
        return
    execute(
        connection,
        f"INSERT INTO {quote(schema)}.{CHANGES} (changed_by, access, kind, subject, old_value, new_value)"  # noqa: S608
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (
            change.editor.name and change.editor.name[:_MAX_TEXT],
            change.editor.access,
            change.kind,
            change.subject[:_MAX_TEXT],
            _as_json(change.old),
            _as_json(change.new),
        ),
    )


def read_changes(connection: Connection, schema: str, limit: int = 100) -> list[SettingChange]:
    """The latest changes, the newest first; none if the role may not read them. Raises `DatabaseError`."""
    if not read_rights(connection, schema, [CHANGES]).allows(CHANGES, ["SELECT"]):
        return []
    columns = "kind, subject, access, changed_by, old_value::text, new_value::text, changed_at"
    query = f"SELECT {columns} FROM {quote(schema)}.{CHANGES} ORDER BY changed_at DESC, id LIMIT %s"  # noqa: S608
    _, rows = execute(connection, query, (limit,))
    return [
        SettingChange(kind, subject, Editor(access, name), _from_json(old), _from_json(new), changed_at.astimezone(UTC))
        for kind, subject, access, name, old, new, changed_at in rows
    ]


def _as_json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _from_json(text: str | None) -> Mapping[str, Any] | None:
    value = None if text is None else json.loads(text)
    return value if isinstance(value, dict) else None


def _lock_key(schema: str) -> int:
    return 0x746F70 << 32 | zlib.crc32(schema.encode())
