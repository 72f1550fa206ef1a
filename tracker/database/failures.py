"""Maps SQLSTATEs and libpq messages to errors with a code, a sentence, and a remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tracker.errors import DatabaseError, RecordError, SetupError, TableError, TransientError

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl


# By SQLSTATE or its class (PostgreSQL, appendix A): temporary failures, set-up errors, and refused records.
_TRANSIENT: dict[str, tuple[str, str]] = {
    "08": ("connection_lost", "The connection to the database was lost."),
    "40001": ("conflict", "The database asked to try the transaction again."),
    "40P01": ("deadlock", "The database ended a deadlock."),
    "53": ("server_full", "The database is out of connections, memory or disk."),
    "55P03": ("locked", "The table is locked by another transaction."),
    "57014": ("statement_timeout", "The database ended the statement: it took too long or was cancelled."),
    "57P": ("server_stopped", "The database is shutting down or restarting."),
    "25006": (
        "read_only",
        "The database takes no writes now: it is a standby, or another client left it read-only.",
    ),
}
_SETUP: dict[str, tuple[str, str, str]] = {
    "42P01": ("table_missing", "The table token_usage isn't there.", "Create it: token-tracker migrate."),
    "3F000": (
        "schema_missing",
        "The table's schema isn't there.",
        "Create it, or correct schema= in DATABASE_URL.",
    ),
    "42703": (
        "column_missing",
        "The table token_usage lacks a column.",
        "Add what is missing: token-tracker migrate.",
    ),
    "42P10": (
        "key_missing",
        "The table token_usage has no unique index on id.",
        "Add it: CREATE UNIQUE INDEX ON token_usage (id).",
    ),
    "42501": (
        "right_missing",
        "The database user lacks a right on token_usage, or row-level security keeps it out.",
        "As its owner: GRANT SELECT, INSERT ON token_usage TO the user; with row-level security also CREATE POLICY.",
    ),
    "25P": ("transaction_broken", "The connection was left inside a broken transaction.", "It is replaced."),
    "28": ("login_refused", "The database refused the login.", "Check user and password in DATABASE_URL."),
    "3D000": (
        "database_missing",
        "The database isn't there.",
        "Correct the name at the end of DATABASE_URL.",
    ),
}
REPLICA_IDENTITY = "CheckCmdReplicaIdentity"
"""PostgreSQL's function that refuses to change a published table without a replica identity."""
INSUFFICIENT_PRIVILEGE = "42501"
_IN_SCHEMA = "SCHEMA public TO the user, or on the schema that DATABASE_URL names"
_AND_POLICY = "; with row-level security also CREATE POLICY."
_INSERTING = (
    "GRANT SELECT, INSERT ON {table} TO the user; with row-level security also CREATE POLICY, for SELECT and for"
    " INSERT: ON CONFLICT reads the key."
)
# The privilege that a statement needs: a pattern of the statement, the refused action, and the remedy.
_PRIVILEGES: tuple[tuple[str, str, str], ...] = (
    ("CREATE TABLE", "create a table in the schema", f"GRANT CREATE, USAGE ON {_IN_SCHEMA}."),
    (
        "ALTER TABLE|COMMENT ON|(CREATE|DROP) INDEX",
        "change {table}: only its owner may",
        "Migrate as its owner, or ALTER TABLE {table} OWNER TO the user.",
    ),
    (
        r"(?s)ON CONFLICT.*DO UPDATE",
        "insert into or update {table}",
        "GRANT SELECT, INSERT, UPDATE ON {table} TO the user" + _AND_POLICY,
    ),
    (
        r"^\s*UPDATE|\(\s*UPDATE|FOR (NO KEY )?UPDATE",
        "update {table}",
        "GRANT SELECT, UPDATE ON {table} TO the user" + _AND_POLICY,
    ),
    ("DELETE FROM", "delete from {table}", "GRANT SELECT, DELETE ON {table} TO the user" + _AND_POLICY),
    (
        "INSERT INTO",
        "insert into {table}",
        _INSERTING,
    ),
    ("", "read {table}", "GRANT SELECT ON {table} TO the user" + _AND_POLICY),
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
        named = (
            f"The column {error_object.column} of token_usage"
            if error_object.column
            else f"A column of type {error_object.datatype}"
        )
        return TableError(
            "value_required",
            f"{named} takes no NULL, and the record has no value for it.",
            "Give the column a default, or drop its NOT NULL: the record waits until then.",
            sqlstate,
            object_name=error_object.name or error_object.datatype,
        )
    # A CHECK names its constraint. A missing partition names the table only.
    if sqlstate == _CHECK and error_object.table and not error_object.constraint:
        return TableError(
            "partition_missing",
            f"The partitioned table {error_object.table} has no partition for the record.",
            "Create the partition, or a default one: the record waits until then.",
            sqlstate,
            object_name=error_object.table,
        )
    about = f" ({error_object.name})" if error_object.name else ""
    sentence = f"The table refused the record{about}: SQLSTATE {sqlstate}."
    return RecordError(
        code, sentence, "Correct the value, or the table's constraint.", sqlstate, object_name=error_object.name
    )


def explain_refused_kind(error: RecordError) -> TableError:
    """The table error for a kind of records of which many were refused for the same reason."""
    if isinstance(error, TableError):
        return error.copy()
    return TableError(
        "refused_kind",
        f"{error.sentence} Many records are refused for this reason.",
        "Correct the table's constraint, or the values: records of this kind wait and are retried.",
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
            f"The connection to the database failed, and its cause can't be read: {error.strerror}.",
            "Raise the limit of open files of this process.",
        )


def _explain_refusal_of_connection(text: str, url: DatabaseUrl, verbose: str) -> DatabaseError:
    from tracker.database.login_errors import match
    from tracker.database.login_errors.causes import CAUSES

    login_error = match.find_cause(text, url, verbose)
    code = login_error.code or ("connect_refused" if login_error.refusal.severity else "connect_failed")
    if code == "client_certificate_required" and match.unreadable_file(url):
        code = "client_certificate"  # libpq continues without a missing file
    cause = CAUSES[code]
    server = url.host if url.host.startswith("/") else f"{url.host}:{url.port}"
    sentence = cause.sentence.format(
        server=server,
        host=url.host,
        user=url.user or "(none)",
        dbname=url.dbname,
        file=match.unreadable_file(url) if code == "client_certificate" else "",
    )
    kind = TransientError if match.is_temporary(login_error) else SetupError
    words = None if login_error.code else match.server_words(login_error, url)
    return kind(code, sentence, cause.remedy, login_error.refusal.sqlstate, server_words=words)


def first_table_in(statement: str) -> str | None:
    """The first Token Tracker table in a statement."""
    table = _TRACKER_TABLE.search(statement)
    return table[1] if table else None


def explain_missing_privilege(statement: str, *, schema_refused: bool = False) -> SetupError:
    """The error for a statement without the privilege: names the action, the table, and the GRANT."""
    table = first_table_in(statement) or "token_usage"
    _, what, remedy = next(right for right in _PRIVILEGES if re.search(right[0], statement))
    if schema_refused and "CREATE" not in statement:
        what, remedy = "enter the schema of {table}", f"GRANT USAGE ON {_IN_SCHEMA}."
    return SetupError(
        "right_missing",
        f"The database user may not {what.format(table=table)}.",
        "As an owner: " * remedy.startswith("GRANT") + remedy.format(table=table),
        INSUFFICIENT_PRIVILEGE,
    )


def explain_missing_identity(table: str | None) -> SetupError:
    """The error for a published table without a replica identity, which refuses UPDATE and DELETE."""
    name = table or "token_usage"
    identity = "USING INDEX the unique index on id" if name == "token_usage" else "FULL"
    return SetupError(
        "replica_identity_missing",
        f"The table {name} is published and has no replica identity, so that it takes no changes.",
        f"As its owner: ALTER TABLE {name} REPLICA IDENTITY {identity}.",
        "55000",
    )


def explain_statement(
    sqlstate: str | None, error_object: ErrorObject, *, broken: bool = False, name: str = "error"
) -> DatabaseError:
    """The error for a failed statement; `error_object` is the object in the server's message."""
    state = sqlstate or ""
    about = f" ({error_object.name})" if error_object.name else ""
    for prefix, (code, sentence, remedy) in _SETUP.items():
        if state.startswith(prefix):
            return SetupError(code, sentence, remedy, sqlstate)
    for prefix, code in _RECORD.items():
        if state.startswith(prefix):
            return _explain_refusal(code, state, error_object)
    for prefix, (code, sentence) in _TRANSIENT.items():
        if state.startswith(prefix):
            return TransientError(code, sentence, "It passes by itself.", sqlstate)
    if broken:
        return TransientError("connection_lost", "The connection to the database was lost.", "It passes by itself.")
    sentence = f"The database refused the statement{about}: {'SQLSTATE ' + state if state else name}."
    return SetupError(
        "refused_statement", sentence, "See the database's log; token-tracker migrate may help.", sqlstate
    )
