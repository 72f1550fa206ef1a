"""The indexes that reports need on token_usage: finds missing ones and builds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table, literal, quote

_NAMES = {
    ("created_at",): "token_usage_created_at_idx",
    ("user_id", "created_at"): "token_usage_user_id_created_at_idx",
}
# Rows that were recorded long after their call ended: the rollups of their buckets are refreshed. The predicate uses
# UTC, since an index can't add to a timestamptz. It adds an interval instead of subtracting times: before PostgreSQL
# 17, the difference of infinite times is an error, which would refuse the row.
_LATE = "token_usage_late_idx"
_IS_LATE = "(recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > ({} AT TIME ZONE 'UTC')"

# The calls of one AI session. The key is a hash, because a session_id may be longer than an index allows.
_SESSION = "token_usage_session_idx"
_SESSION_KEY = "(hashtextextended(session_id, 0))"

SESSION_LIMITS = {"25006", "57014", "55P03"}
"""SQLSTATEs caused by session settings: read-only, statement timeout, lock timeout."""
_LIFT_LIMITS = "SET default_transaction_read_only = off; SET statement_timeout = 0; SET lock_timeout = 0"
_RESET_LIMITS = "RESET default_transaction_read_only; RESET statement_timeout; RESET lock_timeout"


class MissingIndex(NamedTuple):
    """An index to build; `keys` follows the table's name in its statement.

    `invalid_index` is the name of an index that an aborted run left invalid.
    """

    name: str
    keys: str
    invalid_index: str | None


def missing(connection: Connection, table: Table) -> Iterator[MissingIndex]:
    """The missing indexes of the table, each with a name that no other relation has."""
    taken = _relation_names(connection, table.schema)
    for columns, name in _NAMES.items():
        if not _has_index(table, columns):
            # Any other invalid index of that name belongs to another application: another kind, or a partial index.
            invalid_index = next((i.name for i in table.indexes if i.name == name and not i.valid), None)
            yield MissingIndex(invalid_index or _unused_name(name, taken), f"({_keys(table, columns)})", invalid_index)
    if not table.late_index:
        late = f"(recorded_at) WHERE {_IS_LATE.format(_keys(table, ('created_at',)))}"
        yield MissingIndex(_LATE, late, _LATE if _LATE in taken else None)
    if not table.session_index:
        session = f"({_SESSION_KEY}, {_keys(table, ('created_at',))}) WHERE session_id IS NOT NULL"
        yield MissingIndex(_SESSION, session, _SESSION if _SESSION in taken else None)


def _has_index(table: Table, columns: tuple[str, ...]) -> bool:
    """Whether there is an index on exactly these columns; reports convert a naive time with its zone."""
    wanted = [{column} for column in columns]
    if zone := table.created_at_zone:
        text = literal(zone)
        # As PostgreSQL writes it: since version 14, and before.
        wanted[-1] = {f"created_at AT TIME ZONE {text}::text", f"timezone({text}::text, created_at)"}
    return any(
        index.valid
        and len(index.keys) == len(wanted)
        and all(_strip_parentheses(key) in names for key, names in zip(index.keys, wanted, strict=True))
        for index in table.indexes
    )


def _strip_parentheses(key: str) -> str:
    """An expression without the parentheses around it: one pair in PostgreSQL 18, two up to 17."""
    while key.startswith("(") and key.endswith(")"):
        key = key[1:-1]
    return key


def duplicates(table: Table) -> list[str]:
    """A DROP statement for each duplicate of a Token Tracker index, which earlier versions created."""
    names_by_keys: dict[tuple[str, ...], list[str]] = {}
    for index in sorted(table.indexes, key=lambda index: (len(index.name), index.name)):
        if any(re.fullmatch(rf"{name}\d*", index.name) for name in _NAMES.values()):
            names_by_keys.setdefault(tuple(_strip_parentheses(key) for key in index.keys), []).append(index.name)
    schema = quote(table.schema)
    return [
        f"DROP INDEX CONCURRENTLY {schema}.{quote(name)};" for names in names_by_keys.values() for name in names[1:]
    ]


def _keys(table: Table, columns: tuple[str, ...]) -> str:
    keys = ", ".join(columns)
    if table.created_at_zone:
        # Only an index on the same expression serves the reports.
        keys = keys.replace("created_at", f"(created_at AT TIME ZONE {literal(table.created_at_zone)})")
    return keys


def statements(table: Table, index: MissingIndex, *, concurrently: bool) -> Iterator[str]:
    """The statements that build the index; CONCURRENTLY does not block writers, but not on a partitioned table."""
    option = "CONCURRENTLY " if concurrently and table.kind != "p" else ""
    schema = quote(table.schema)
    if index.invalid_index:
        yield f"DROP INDEX {option}IF EXISTS {schema}.{quote(index.invalid_index)}"
    yield f"CREATE INDEX {option}{index.name} ON {schema}.token_usage {index.keys}"


def run_without_transaction(connection: Connection, statement: str, *, lift_limits: bool) -> None:
    """Run a statement outside of a transaction; `lift_limits` after a first attempt failed by `SESSION_LIMITS`.

    Without a transaction, the limits are lifted before and reset after. A pooler lends the connection that was returned
    last, so that all three statements usually use the same one; a reset is harmless on another one.
    """
    if not lift_limits:
        execute(connection, statement, alone=True)
        return
    execute(connection, _LIFT_LIMITS, alone=True)
    try:
        execute(connection, statement, alone=True)
    finally:
        if not connection.closed:
            execute(connection, _RESET_LIMITS, alone=True)


def _relation_names(connection: Connection, schema: str) -> set[str]:
    _, rows = execute(
        connection,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname LIKE 'token\\_usage\\_%%'",
        (schema,),
    )
    return {name for (name,) in rows}


def _unused_name(name: str, taken: set[str]) -> str:
    """The name; if it is taken, with a number as PostgreSQL adds it."""
    number = 0
    while (candidate := f"{name}{number or ''}") in taken:
        number += 1
    return candidate
