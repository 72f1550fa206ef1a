"""What can go wrong with a database, each with its sentence: what happened, why, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tracker.errors import DatabaseError, RecordError, SetupError, TransientError

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl


class Failure(NamedTuple):
    """One way to fail. `sentence` may hold {server}, {host}, {user}, {dbname}; `passes` means: try again."""

    code: str
    pattern: str
    passes: bool
    sentence: str
    remedy: str


def _f(code: str, pattern: str, sentence: str, remedy: str, *, passes: bool = False) -> Failure:
    return Failure(code, pattern, passes, sentence, remedy)


# Errors while connecting carry no SQLSTATE, so their text decides; the first match wins.
_CONNECT: tuple[Failure, ...] = (
    _f(
        "password_wrong",
        "password authentication failed|SASL authentication failed|wrong password",
        "The server {server} refused the password of user {user}.",
        "Copy user and password into DATABASE_URL again, with special characters percent-encoded: a user that isn't"
        " there is refused in the same words.",
    ),
    _f(
        "password_missing",
        "no password supplied",
        "The server {server} asks for a password and the URL holds none.",
        "Write it into DATABASE_URL: postgresql://user:password@host/database.",
    ),
    _f(
        "tenant_unknown",
        "tenant or user not found",
        "The pooler at {server} doesn't know the user {user}.",
        "Supabase's pooler wants the user as postgres.PROJECT and the project's own region: copy the URL again.",
    ),
    _f(
        "database_missing",
        r"database \"?.*\"? does not exist",
        "The server {server} has no database {dbname}.",
        "Correct the name at the end of DATABASE_URL, or create it: CREATE DATABASE.",
    ),
    _f(
        "role_missing",
        r"role \"?.*\"? does not exist|no such user",
        "The server {server} has no user {user}.",
        "Correct the user in DATABASE_URL, or create it: CREATE ROLE … LOGIN PASSWORD ….",
    ),
    _f(
        "tls_required",
        "no encryption|SSL (connection )?is required|requires SSL|SSL required|sslmode=require",
        "The server {server} takes encrypted connections only.",
        "Add ?sslmode=require to DATABASE_URL.",
    ),
    _f(
        "tls_refused",
        "server does not support SSL",
        "The server {server} doesn't speak TLS, and DATABASE_URL asks for it.",
        "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    ),
    _f(
        "certificate",
        "certificate",
        "The certificate of the server {server} couldn't be verified.",
        "Use the host name it is made for and sslrootcert=system; sslmode=require encrypts without verifying.",
    ),
    _f(
        "not_allowed",
        "pg_hba.conf",
        "The server {server} doesn't let user {user} into database {dbname} from here.",
        "Allow this address in the server's network settings (pg_hba.conf, or the provider's allow list).",
    ),
    _f(
        "login_refused",
        "permission denied for database|not permitted to log in|authentication failed",
        "User {user} may not connect to database {dbname} on {server}.",
        "Grant it: GRANT CONNECT ON DATABASE …; ALTER ROLE … LOGIN.",
    ),
    _f(
        "pooler_behind",
        "server login has been failing|server login failed|pgbouncer cannot connect to server",
        "The pooler at {server} can't log in at the database behind it.",
        "Check the database's name in DATABASE_URL and that its server runs; the pooler tries again by itself.",
        passes=True,
    ),
    _f(
        "parameter_refused",
        "unsupported startup parameter",
        "The pooler at {server} refused a connection parameter.",
        "Remove extra parameters and the PGOPTIONS variable.",
    ),
    _f(
        "too_many_connections",
        "too many clients|remaining connection slots|too many connections|max_client_conn|MaxClientsInSessionMode"
        "|no more connections",
        "The server {server} has no connection left.",
        "Use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon) or lower TRACKER_POOL_SIZE.",
        passes=True,
    ),
    _f(
        "starting",
        "starting up|shutting down|not yet accepting|recovery mode",
        "The server {server} is starting or stopping.",
        "It passes by itself.",
        passes=True,
    ),
    _f(
        "host_unknown",
        "could not translate host name|name or service not known|nodename nor servname|no address associated",
        "There is no server named {host}.",
        "Correct the host in DATABASE_URL; a paused project's name disappears too.",
        passes=True,
    ),
    _f(
        "refused",
        "connection refused|no such file or directory",
        "Nothing answers at {server}.",
        "Check host and port in DATABASE_URL and that the database is running.",
        passes=True,
    ),
    _f(
        "timeout",
        "timeout expired|timed out|network is unreachable|no route to host",
        "The server {server} didn't answer in time.",
        "Check host, port and the provider's allow list, and that this network reaches its address (IPv4 or IPv6).",
        passes=True,
    ),
)
_CONNECT_OTHER = _f(
    "connect_failed",
    "",
    "The connection to {server} couldn't be made.",
    "Check DATABASE_URL; it is tried again.",
    passes=True,
)

# By SQLSTATE or its class (PostgreSQL, appendix A). What passes by itself, what a person must set right, and what
# is wrong with the record.
_TRANSIENT: dict[str, tuple[str, str]] = {
    "08": ("connection_lost", "The connection to the database was lost."),
    "40001": ("conflict", "The database asked to try the transaction again."),
    "40P01": ("deadlock", "The database ended a deadlock."),
    "53": ("server_full", "The database is out of connections, memory or disk."),
    "55P03": ("locked", "The table is locked by somebody else."),
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
MISSING_RIGHT = "42501"
_IN_SCHEMA = "SCHEMA public TO the user, or on the schema that DATABASE_URL names"
_AND_POLICY = "; with row-level security also CREATE POLICY."
# What a statement of ours needs: the first words that are in it, what can't be done, the remedy.
_RIGHTS: tuple[tuple[str, str, str], ...] = (
    ("CREATE TABLE", "create a table in the schema", f"GRANT CREATE, USAGE ON {_IN_SCHEMA}."),
    (
        "ALTER TABLE|COMMENT ON|(CREATE|DROP) INDEX",
        "change {table}: only its owner may",
        "Migrate as its owner, or ALTER TABLE {table} OWNER TO the user.",
    ),
    ("DELETE FROM", "delete from {table}", "GRANT SELECT, DELETE ON {table} TO the user" + _AND_POLICY),
    ("INSERT INTO", "insert into {table}", "GRANT SELECT, INSERT ON {table} TO the user" + _AND_POLICY),
    ("", "read {table}", "GRANT SELECT ON {table} TO the user" + _AND_POLICY),
)
_OUR_TABLE = re.compile(r"\b(token_usage|token_tracker_[a-z_]+)\b")
# 44: a view's check option, 54: a limit such as an index entry's size, P0001: a trigger of the table's owner raised it.
_RECORD: dict[str, str] = {
    "22": "value_refused",
    "23": "constraint_violated",
    "44": "constraint_violated",
    "54": "value_refused",
    "P0001": "constraint_violated",
}


def explain_connect(text: str, url: DatabaseUrl) -> DatabaseError:
    """The error for what the driver said while connecting; its text is only matched, never shown."""
    for host in url.host.split(","):
        text = text.replace(f'"{host}"', '""')  # a host's name must not match a pattern
    failure = next((f for f in _CONNECT if re.search(f.pattern, text, re.IGNORECASE)), _CONNECT_OTHER)
    server = url.host if url.host.startswith("/") else f"{url.host}:{url.port}"
    sentence = failure.sentence.format(server=server, host=url.host, user=url.user or "(none)", dbname=url.dbname)
    kind = TransientError if failure.passes else SetupError
    return kind(failure.code, sentence, failure.remedy)


def explain_right(statement: str, *, schema_closed: bool = False) -> SetupError:
    """The error for a statement of ours that the role has no right to: which one, and on what."""
    found = _OUR_TABLE.search(statement)
    table = found[1] if found else "token_usage"
    _, what, remedy = next(right for right in _RIGHTS if re.search(right[0], statement))
    if schema_closed and "CREATE" not in statement:
        what, remedy = "enter the schema of {table}", f"GRANT USAGE ON {_IN_SCHEMA}."
    return SetupError(
        "right_missing",
        f"The database user may not {what.format(table=table)}.",
        "As an owner: " * remedy.startswith("GRANT") + remedy.format(table=table),
        MISSING_RIGHT,
    )


def explain_statement(
    sqlstate: str | None, named: str | None, *, broken: bool = False, name: str = "error"
) -> DatabaseError:
    """The error for a statement that failed; `named` is the constraint, column or table the server blames."""
    state = sqlstate or ""
    about = f" ({named})" if named else ""
    for prefix, (code, sentence, remedy) in _SETUP.items():
        if state.startswith(prefix):
            return SetupError(code, sentence, remedy, sqlstate)
    for prefix, code in _RECORD.items():
        if state.startswith(prefix):
            sentence = f"The table refused the record{about}: SQLSTATE {sqlstate}."
            return RecordError(code, sentence, "Correct the value, or the table's constraint.", sqlstate)
    for prefix, (code, sentence) in _TRANSIENT.items():
        if state.startswith(prefix):
            return TransientError(code, sentence, "It passes by itself.", sqlstate)
    if broken:
        return TransientError("connection_lost", "The connection to the database was lost.", "It passes by itself.")
    sentence = f"The database refused the statement{about}: {'SQLSTATE ' + state if state else name}."
    return SetupError(
        "refused_statement", sentence, "See the database's log; token-tracker migrate may help.", sqlstate
    )
