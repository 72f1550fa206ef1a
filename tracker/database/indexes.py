"""The indexes that reports need on token_usage: which are missing, and how each is built."""

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
# Rows that were recorded long after their call ended: rollups are made anew where they belong. In UTC, since nothing
# may be added to a timestamptz in an index; and added, since before PostgreSQL 17 the difference of infinite times
# is an error, which would refuse the row itself.
_LATE = "token_usage_late_idx"
_IS_LATE = "(recorded_at AT TIME ZONE 'UTC') - interval '15 minutes' > ({} AT TIME ZONE 'UTC')"


HINDERED = {"25006", "57014", "55P03"}
"""What ends a statement for its session's sake: it is read-only, cut short, kept from waiting."""
_FREELY = "SET default_transaction_read_only = off; SET statement_timeout = 0; SET lock_timeout = 0"
_AS_BEFORE = "RESET default_transaction_read_only; RESET statement_timeout; RESET lock_timeout"


class MissingIndex(NamedTuple):
    """An index to build, with what stands behind the table's name in its statement.

    `half_built` is the name of one of ours that a run which died left behind.
    """

    name: str
    keys: str
    half_built: str | None


def missing(connection: Connection, table: Table) -> Iterator[MissingIndex]:
    """The indexes that the table lacks, each with a name that nobody else's index or table has."""
    taken = _relations(connection, table.schema)
    for columns, name in _NAMES.items():
        if not _served(table, columns):
            # Any other invalid index of that name is somebody else's: of another kind, or of some rows only.
            half_built = next((i.name for i in table.indexes if i.name == name and not i.valid), None)
            yield MissingIndex(half_built or _free(name, taken), f"({_keys(table, columns)})", half_built)
    if not table.late_index:
        late = f"(recorded_at) WHERE {_IS_LATE.format(_keys(table, ('created_at',)))}"
        yield MissingIndex(_LATE, late, _LATE if _LATE in taken else None)


def _served(table: Table, columns: tuple[str, ...]) -> bool:
    """Whether there is an index on just these columns; reports ask a naive time through its zone."""
    wanted = [{column} for column in columns]
    if zone := table.created_at_zone:
        text = literal(zone)
        # As PostgreSQL writes it since 14, and as it did before.
        wanted[-1] = {f"created_at AT TIME ZONE {text}::text", f"timezone({text}::text, created_at)"}
    return any(
        index.valid
        and len(index.keys) == len(wanted)
        and all(_bare(key) in one for key, one in zip(index.keys, wanted, strict=True))
        for index in table.indexes
    )


def _bare(key: str) -> str:
    """An expression without the parentheses around it: one pair in PostgreSQL 18, two up to 17."""
    while key.startswith("(") and key.endswith(")"):
        key = key[1:-1]
    return key


def duplicates(table: Table) -> list[str]:
    """A DROP for each index of ours that repeats another one of ours, as earlier versions left them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for index in sorted(table.indexes, key=lambda index: (len(index.name), index.name)):
        if any(re.fullmatch(rf"{name}\d*", index.name) for name in _NAMES.values()):
            found.setdefault(tuple(_bare(key) for key in index.keys), []).append(index.name)
    schema = quote(table.schema)
    return [f"DROP INDEX CONCURRENTLY {schema}.{quote(name)};" for names in found.values() for name in names[1:]]


def _keys(table: Table, columns: tuple[str, ...]) -> str:
    keys = ", ".join(columns)
    if table.created_at_zone:
        # Only an index on the same expression serves the reports.
        keys = keys.replace("created_at", f"(created_at AT TIME ZONE {literal(table.created_at_zone)})")
    return keys


def statements(table: Table, index: MissingIndex, *, beside: bool) -> Iterator[str]:
    """What builds it, without blocking writers where `beside`; a partitioned table takes no CONCURRENTLY."""
    concurrently = "CONCURRENTLY " if beside and table.kind != "p" else ""
    schema = quote(table.schema)
    if index.half_built:
        yield f"DROP INDEX {concurrently}IF EXISTS {schema}.{quote(index.half_built)}"
    yield f"CREATE INDEX {concurrently}{index.name} ON {schema}.token_usage {index.keys}"


def run_alone(connection: Connection, statement: str, *, freely: bool) -> None:
    """Run what stands in no transaction; `freely`, where a first try came back as `HINDERED`, without its limits.

    Limits can't end with a transaction here, so they are set before and reset after. A pooler lends the connection
    that was given back last, so that all three mostly meet the same; another one would get its own defaults back.
    """
    if not freely:
        execute(connection, statement, alone=True)
        return
    execute(connection, _FREELY, alone=True)
    try:
        execute(connection, statement, alone=True)
    finally:
        if not connection.closed:
            execute(connection, _AS_BEFORE, alone=True)


def _relations(connection: Connection, schema: str) -> set[str]:
    _, rows = execute(
        connection,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname LIKE 'token\\_usage\\_%%'",
        (schema,),
    )
    return {name for (name,) in rows}


def _free(name: str, taken: set[str]) -> str:
    """The name, numbered like PostgreSQL's own where somebody else has it."""
    number = 0
    while (found := f"{name}{number or ''}") in taken:
        number += 1
    return found
