"""Finds and repairs published tables without a replica identity, which refuse UPDATE and DELETE."""

from __future__ import annotations

from tracker.database.connect import Connection, execute
from tracker.database.schema import TABLE, quote
from tracker.database.sql_file import load
from tracker.errors import DatabaseError, SetupError
from tracker.messages import Message

NO_IDENTITY = "55000"


def missing_replica_identities(connection: Connection, schema: str, prefix: str = "") -> dict[str, str]:
    """The published tables without a replica identity, each with the ALTER statement. Raises `DatabaseError`."""
    _, rows = execute(connection, prefix + load("tracker.database", "publications").text, {"schema": schema})
    return {name: _statement(schema, name, index) for name, index in rows}


def _statement(schema: str, name: str, unique_id_index: str | None) -> str:
    """The ALTER statement: USING INDEX for token_usage if it has a unique index on id, otherwise FULL."""
    identity = "FULL"
    if name == TABLE and unique_id_index:
        identity = f"USING INDEX {quote(unique_id_index)}"
    return " ".join(("ALTER TABLE", f"{quote(schema)}.{name}", "REPLICA IDENTITY", f"{identity};"))


def set_replica_identities(connection: Connection, schema: str) -> None:
    """Set REPLICA IDENTITY on published tables of Token Tracker; token_usage is never altered.

    Raises `SetupError` with the statements if this role may not.
    """
    missing = missing_replica_identities(connection, schema)
    missing.pop(TABLE, None)
    try:
        for statement in missing.values():
            execute(connection, statement)
    except DatabaseError:
        raise _identity_error(missing) from None


def require_replica_identity(connection: Connection, schema: str) -> None:
    """Raise `SetupError` with the statement if rows of token_usage can't be changed or deleted."""
    missing = missing_replica_identities(connection, schema)
    if TABLE in missing:
        raise _identity_error({TABLE: missing[TABLE]})


def remark(statement: str) -> str:
    """The remark about token_usage for its owner."""
    return Message("database.published_without_identity", statement=statement)


def _identity_error(missing: dict[str, str]) -> SetupError:
    return SetupError(
        "replica_identity_missing",
        Message("database.replica_identity_missing", tables=", ".join(missing)),
        Message("database.replica_identity_missing.remedy", statements=" ".join(missing.values())),
        NO_IDENTITY,
    )
