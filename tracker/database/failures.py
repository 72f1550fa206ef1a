"""Maps SQLSTATEs and libpq messages to errors with a code, a sentence, and a remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tracker.errors import DatabaseError, RecordError, SetupError, TableError, TransientError
from tracker.messages import Message

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl


# By SQLSTATE or its class (PostgreSQL, appendix A): temporary failures, set-up errors, and refused records.
_TRANSIENT: dict[str, str] = {
    "08": "connection_lost",
    "40001": "conflict",
    "40P01": "deadlock",
    "53": "server_full",
    "55P03": "locked",
    "57014": "statement_timeout",
    "57P": "server_stopped",
    "25006": "read_only",
}
_SETUP: dict[str, str] = {
    "42P01": "table_missing",
    "3F000": "schema_missing",
    "42703": "column_missing",
    "42P10": "key_missing",
    "42501": "right_missing",
    "25P": "transaction_broken",
    "28": "login_refused",
    "3D000": "database_missing",
}
REPLICA_IDENTITY = "CheckCmdReplicaIdentity"
"""PostgreSQL's function that refuses to change a published table without a replica identity."""
INSUFFICIENT_PRIVILEGE = "42501"
# The privilege that a statement needs: a pattern of the statement, and the name of the privilege's message.
_PRIVILEGES: tuple[tuple[str, str], ...] = (
    ("CREATE TABLE", "create"),
    ("ALTER TABLE|COMMENT ON|(CREATE|DROP) INDEX", "alter"),
    (r"(?s)ON CONFLICT.*DO UPDATE", "upsert"),
    (r"^\s*UPDATE|\(\s*UPDATE|FOR (NO KEY )?UPDATE", "update"),
    ("DELETE FROM", "delete"),
    ("INSERT INTO", "insert"),
    ("", "read"),
)
_TRACKER_TABLE = re.compile(r"\b(token_usage|token_tracker_[a-z_]+)\b")
# 44: a view's check option, 54: a limit such as an index entry's size, P0001: raised by a trigger of the owner.
_RECORD: dict[str, str] = {
    "22": "value_refused",
    "23": "constraint_violated",
    "44": "constraint_violated",
    "54": "value_refused",
    "P0001": "constraint_violated",
}
RECORD_CLASSES = tuple(_RECORD)
"""The SQLSTATEs, or their first characters, of refusals that concern single records."""


class ErrorObject(NamedTuple):
    """The database object that the server's error message names."""

    constraint: str | None = None
    column: str | None = None
    table: str | None = None
    datatype: str | None = None

    @property
    def name(self) -> str | None:
        return self.constraint or self.column or self.table


_NOT_NULL, _CHECK = "23502", "23514"


def _explain_refusal(code: str, sqlstate: str, error_object: ErrorObject) -> RecordError:
    """The error for a refused record; a `TableError` if no value of the caller would be accepted."""
    if sqlstate == _NOT_NULL and (error_object.column or error_object.datatype):
        if error_object.column:
            sentence = Message("database.value_required", column=error_object.column)
        else:
            sentence = Message("database.type_value_required", datatype=error_object.datatype)
        return TableError(
            "value_required",
            sentence,
            Message("database.value_required.remedy"),
            sqlstate,
            object_name=error_object.name or error_object.datatype,
        )
    # A CHECK names its constraint. A missing partition names the table only.
    if sqlstate == _CHECK and error_object.table and not error_object.constraint:
        return TableError(
            "partition_missing",
            Message("database.partition_missing", table=error_object.table),
            Message("database.partition_missing.remedy"),
            sqlstate,
            object_name=error_object.table,
        )
    sentence = Message("database.record_refused", about=_in_parentheses(error_object.name), sqlstate=sqlstate)
    remedy = Message("database.record_refused.remedy")
    return RecordError(code, sentence, remedy, sqlstate, object_name=error_object.name)


def _in_parentheses(name: str | None) -> str:
    return f" ({name})" if name else ""


def explain_refused_kind(error: RecordError) -> TableError:
    """The table error for a kind of records of which many were refused for the same reason."""
    if isinstance(error, TableError):
        return error.copy()
    return TableError(
        "refused_kind",
        Message("database.refused_kind", sentence=error.sentence),
        Message("database.refused_kind.remedy"),
        error.sqlstate,
        object_name=error.object_name,
    )


def explain_connect(text: str, url: DatabaseUrl, verbose: str = "") -> DatabaseError:
    """The error for a failed connection; `text` is the driver's message, `verbose` the same with SQLSTATEs.

    A known message is only matched. An unknown one becomes the error's `server_words`, redacted.
    """
    try:
        return _explain_refusal_of_connection(text, url, verbose)
    except OSError as error:  # no free descriptor to read the list of causes with
        return TransientError(
            "connect_failed",
            Message("database.cause_unreadable", strerror=error.strerror),
            Message("database.cause_unreadable.remedy"),
        )


def _explain_refusal_of_connection(text: str, url: DatabaseUrl, verbose: str) -> DatabaseError:
    from tracker.database.login_errors import match

    login_error = match.find_cause(text, url, verbose)
    code = login_error.code or ("connect_refused" if login_error.refusal.severity else "connect_failed")
    if code == "client_certificate_required" and match.unreadable_file(url):
        code = "client_certificate"  # libpq continues without a missing file
    server = url.host if url.host.startswith("/") else f"{url.host}:{url.port}"
    sentence = Message(
        f"login.{code}",
        server=server,
        host=url.host,
        user=url.user or "(none)",
        dbname=url.dbname,
        file=match.unreadable_file(url) if code == "client_certificate" else "",
    )
    kind = TransientError if match.is_temporary(login_error) else SetupError
    words = None if login_error.code else match.server_words(login_error, url)
    return kind(code, sentence, Message(f"login.{code}.remedy"), login_error.refusal.sqlstate, server_words=words)


def first_table_in(statement: str) -> str | None:
    """The first Token Tracker table in a statement."""
    table = _TRACKER_TABLE.search(statement)
    return table[1] if table else None


def explain_missing_privilege(statement: str, *, schema_refused: bool = False) -> SetupError:
    """The error for a statement without the privilege: names the action, the table, and the GRANT."""
    table = first_table_in(statement) or "token_usage"
    privilege = next(name for pattern, name in _PRIVILEGES if re.search(pattern, statement))
    if schema_refused and "CREATE" not in statement:
        privilege = "enter"
    return SetupError(
        "right_missing",
        Message(f"database.privilege.{privilege}", table=table),
        Message(f"database.privilege.{privilege}.remedy", table=table),
        INSUFFICIENT_PRIVILEGE,
    )


def explain_missing_identity(table: str | None) -> SetupError:
    """The error for a published table without a replica identity, which refuses UPDATE and DELETE."""
    name = table or "token_usage"
    identity = "USING INDEX the unique index on id" if name == "token_usage" else "FULL"
    return SetupError(
        "replica_identity_missing",
        Message("database.table_without_identity", table=name),
        Message("database.table_without_identity.remedy", table=name, identity=identity),
        "55000",
    )


def explain_statement(
    sqlstate: str | None, error_object: ErrorObject, *, broken: bool = False, name: str = "error"
) -> DatabaseError:
    """The error for a failed statement; `error_object` is the object in the server's message."""
    state = sqlstate or ""
    for prefix, code in _SETUP.items():
        if state.startswith(prefix):
            return SetupError(code, Message(f"database.{code}"), Message(f"database.{code}.remedy"), sqlstate)
    for prefix, code in _RECORD.items():
        if state.startswith(prefix):
            return _explain_refusal(code, state, error_object)
    for prefix, code in _TRANSIENT.items():
        if state.startswith(prefix):
            return _temporary(code, sqlstate)
    if broken:
        return _temporary("connection_lost", None)
    failure, about = f"SQLSTATE {state}" if state else name, _in_parentheses(error_object.name)
    return SetupError(
        "refused_statement",
        Message("database.statement_refused", about=about, failure=failure),
        Message("database.statement_refused.remedy"),
        sqlstate,
    )


def _temporary(code: str, sqlstate: str | None) -> TransientError:
    return TransientError(code, Message(f"database.{code}"), Message("database.temporary.remedy"), sqlstate)
