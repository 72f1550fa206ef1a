"""Opens connections within a deadline, runs statements, translates errors; the only module that imports psycopg2."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import psycopg2
import psycopg2.extensions

from tracker import threads
from tracker.database.failures import (
    INSUFFICIENT_PRIVILEGE,
    REPLICA_IDENTITY,
    ErrorObject,
    explain_connect,
    explain_missing_identity,
    explain_missing_privilege,
    explain_statement,
    first_table_in,
)
from tracker.errors import DatabaseError, TransientError
from tracker.forks import fork_guard
from tracker.messages import Message

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

_LIBPQ_16 = 160000
Connection = psycopg2.extensions.connection
Parameters = Sequence[Any] | Mapping[str, Any] | None
DriverError = psycopg2.Error

# Ends a connection whose network fails: unsent data after tcp_user_timeout, silence after idle + interval × count.
_NETWORK = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def parse_url(url: str) -> dict[str, str]:
    """The parts of a PostgreSQL URL by libpq's names. Raises `ValueError`, whose text does not contain the URL."""
    try:
        return dict(psycopg2.extensions.parse_dsn(url))
    except psycopg2.ProgrammingError:
        raise ValueError("not a PostgreSQL URL") from None


def is_libpq_key(key: str) -> bool:
    """Whether the installed libpq accepts this connection parameter."""
    if not key.isidentifier():
        return False
    try:
        psycopg2.extensions.parse_dsn(f"{key}=1")
    except psycopg2.ProgrammingError:
        return False
    return True


def has_system_roots() -> bool:
    """Whether the installed libpq supports the system's root certificates, `sslrootcert=system`."""
    return bool(psycopg2.__libpq_version__ >= _LIBPQ_16)


class PoolerSafeConnection(Connection):
    """A connection that resets session settings at the start of each transaction.

    Behind a transaction pooler, another client may have changed them in the shared server session.
    """

    def reset_statements(self) -> str:
        """The statements to send before a statement that begins a transaction; its own settings come later and win."""
        if self.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            return ""
        standby = self.get_parameter_status("in_hot_standby") == "on"  # a standby refuses READ WRITE
        return _NO_LIMITS if standby else "SET TRANSACTION READ WRITE; " + _NO_LIMITS


# SET LOCAL ends with the transaction, so that other clients of the pooler are not affected.
_NO_LIMITS = (
    "SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = 0;"
    " SET LOCAL idle_in_transaction_session_timeout = 0; "
)


def connect(url: DatabaseUrl, *, timeout_s: float, application_name: str, reset_session: bool = False) -> Connection:
    """Open an autocommit connection within `timeout_s`, even if the name service, network, TLS or login hangs.

    `reset_session` returns a `PoolerSafeConnection`, for callers that set no limits. libpq limits neither DNS
    nor the sum over several hosts, so the attempt runs in a separate thread, which closes a connection that comes too
    late. Raises `DatabaseError`.
    """
    if fork_guard.forked_during_handshake:
        raise TransientError(
            "forked_in_handshake",
            Message("database.forked_in_handshake"),
            Message("database.forked_in_handshake.remedy"),
        )
    connection_class = PoolerSafeConnection if reset_session else Connection
    attempt = _ConnectionAttempt(
        url, _parameters(url, timeout_s, application_name), connection_class, time.monotonic() + timeout_s
    )
    if not threads.start(attempt.run, "tracker-connect"):
        attempt.run()  # without a thread, only libpq's own timeout applies
    connection = attempt.result(timeout_s)
    if connection is None:
        raise explain_connect("timeout expired", url)
    if isinstance(connection, Exception):
        raise explain_connect(_error_text(connection), url, attempt.verbose) from None
    return connection


def _error_text(error: Exception) -> str:
    """The driver's error text. Before the client encoding is set, a server may send it in another encoding."""
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace")
    return str(error)


def _parameters(url: DatabaseUrl, timeout_s: float, application_name: str) -> Mapping[str, str]:
    configured = int(url.params.get("connect_timeout") or 0)
    seconds = max(1, round(timeout_s)) if not configured else min(configured, max(1, round(timeout_s)))
    return {
        **_NETWORK,
        **url.params,
        "connect_timeout": str(seconds),
        "application_name": application_name,
        "client_encoding": "UTF8",
    }


class _ConnectionAttempt:
    """One connection attempt in a daemon thread, for which the caller may stop waiting.

    `verbose` is the text of an unknown refusal with its SQLSTATE; empty if no time was left for a second login.
    """

    def __init__(
        self, url: DatabaseUrl, parameters: Mapping[str, str], connection_class: type[Connection], deadline: float
    ) -> None:
        self._url = url
        self._descriptors_before = _open_descriptors()
        self._parameters = parameters
        self._connection_class = connection_class
        self._deadline = deadline
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._outcome: Connection | Exception | None = None
        self.verbose = ""

    def run(self) -> None:
        with fork_guard.handshake:  # not while the process is being forked
            _running[id(self)] = self
        try:
            self._run()
        finally:
            _running.pop(id(self), None)

    def _run(self) -> None:
        outcome: Connection | Exception
        dsn = ""
        try:
            dsn = psycopg2.extensions.make_dsn(**self._parameters)
            outcome = connected = psycopg2.connect(dsn, connection_factory=self._connection_class)
            connected.autocommit = True
        except Exception as error:  # noqa: BLE001  a message in another encoding is a UnicodeDecodeError
            outcome = error
        with self._lock:
            if self._abandoned and isinstance(outcome, Connection):
                outcome.close()
            else:
                self._outcome = outcome
        try:
            if isinstance(outcome, Exception) and not self._abandoned:
                self.verbose = _verbose_refusal(self._url, dsn, _error_text(outcome), self._deadline)
        except OSError:  # no free descriptor to read the list of refusals with
            self.verbose = ""
        finally:
            self._done.set()

    def has_connected_socket(self) -> bool:
        """Whether a socket to the server was connected since this attempt began: a TLS handshake may be running.

        Before that, libpq waits for DNS or the network and owns none of OpenSSL's locks.
        """
        if self._url.host.startswith("/"):  # a Unix socket is never encrypted
            return False
        ports = {int(port or 5432) for port in self._url.port.split(",")}
        now = _open_descriptors()
        return now is None or any(_peer_port(number) in ports for number in now - (self._descriptors_before or set()))

    def result(self, timeout_s: float) -> Connection | Exception | None:
        self._done.wait(timeout_s)
        with self._lock:
            self._abandoned = self._outcome is None
            return self._outcome


# Verbose texts of unknown refusals by address and text: one additional login for each, not one for each record.
_verbose_texts: dict[tuple[str, str, str | None, str, str], str] = {}
_MAX_VERBOSE_TEXTS = 32
_MIN_RETRY_S = 0.2
_PQERRORS_VERBOSE = 2


def _verbose_refusal(url: DatabaseUrl, dsn: str, text: str, deadline: float) -> str:
    """The text of an unknown refusal with its SQLSTATE, from a second login; empty if known, or if no time is left."""
    from tracker.database.login_errors import match

    cause = match.find_cause(text, url)
    if cause.code is not None or cause.refusal.severity is None:
        return ""
    key = (url.host, url.port, url.user, url.dbname, text)
    if key not in _verbose_texts and deadline - time.monotonic() > _MIN_RETRY_S:
        if len(_verbose_texts) >= _MAX_VERBOSE_TEXTS:
            _verbose_texts.clear()
        _verbose_texts[key] = ""  # no second attempt, even if this one returns nothing
        _verbose_texts[key] = _read_verbose_refusal(dsn, deadline)
    return _verbose_texts.get(key, "")


def _read_verbose_refusal(dsn: str, deadline: float) -> str:
    """Log in again with PQERRORS_VERBOSE set before the server answers; psycopg2 has no function for that."""
    import ctypes
    import select

    connection = None
    try:
        connection = psycopg2.connect(dsn, async_=1)
        library = ctypes.CDLL(sys.modules["psycopg2._psycopg"].__file__)  # gives access to the libpq it is linked to
        library.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.PQsetErrorVerbosity(connection.pgconn_ptr, _PQERRORS_VERBOSE)
        while (left_s := deadline - time.monotonic()) > 0:
            state = connection.poll()
            if state == psycopg2.extensions.POLL_OK:
                break
            reading = state == psycopg2.extensions.POLL_READ
            select.select([connection] if reading else [], [] if reading else [connection], [], left_s)
    except psycopg2.Error as error:
        return str(error)
    except UnicodeDecodeError as error:
        return _error_text(error)
    except (OSError, AttributeError, ValueError):  # this libpq or platform does not support it
        return ""
    finally:
        if connection is not None:
            connection.close()
    return ""


_running: dict[int, _ConnectionAttempt] = {}


def _is_handshake_running() -> bool:
    return any(attempt.has_connected_socket() for attempt in tuple(_running.values()))


def _open_descriptors() -> set[int] | None:
    """The open file descriptors of this process; None if they can't be listed."""
    try:
        return {int(name) for name in os.listdir("/dev/fd")}  # noqa: PTH208  a Path costs more
    except (OSError, ValueError):
        return None


def _peer_port(descriptor: int) -> int | None:
    """The remote port of a connected TCP socket; None for anything else."""
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        peer = sock.getpeername()
    except OSError:  # not connected yet
        return None
    finally:
        sock.detach()
    return int(peer[1]) if isinstance(peer, tuple) and len(peer) > 1 else None


fork_guard.is_handshake_running = _is_handshake_running


def translate(
    error: BaseException, connection: Connection | None = None, statement: str | None = None
) -> DatabaseError:
    """The `DatabaseError` for a psycopg2 error; any other exception becomes an unknown refusal.

    If a privilege is missing, the statement determines which one.
    """
    broken = connection is not None and connection.closed != 0
    if not isinstance(error, psycopg2.Error):
        return explain_statement(None, ErrorObject(), broken=broken, name=type(error).__name__)
    diag = error.diag
    if error.pgcode == INSUFFICIENT_PRIVILEGE and statement:
        # The driver's text is only matched, never shown; in another language it doesn't match.
        return explain_missing_privilege(statement, schema_refused="for schema" in (diag.message_primary or ""))
    if diag.source_function == REPLICA_IDENTITY:
        return explain_missing_identity(first_table_in(statement or ""))
    error_object = ErrorObject(diag.constraint_name, diag.column_name, diag.table_name, diag.datatype_name)
    lost = broken or (error.pgcode is None and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError))
    return explain_statement(error.pgcode, error_object, broken=lost, name=type(error).__name__)


def execute(
    connection: Connection, statement: str, parameters: Parameters = None, *, alone: bool = False
) -> tuple[int, list[tuple[Any, ...]]]:
    """Run one statement; returns the number of affected rows and the returned rows. Raises `DatabaseError`.

    `alone` sends it without the reset statements, for statements that PostgreSQL refuses in a transaction.
    """
    try:
        prefix = "" if alone or not isinstance(connection, PoolerSafeConnection) else connection.reset_statements()
        with connection.cursor() as cursor:
            cursor.execute(prefix + statement, parameters)
            return cursor.rowcount, cursor.fetchall() if cursor.description else []
    except psycopg2.Error as error:
        raise translate(error, connection, statement) from None


def copy(connection: Connection, statement: str, text: TextIO) -> None:
    """Run a COPY … FROM STDIN. Raises `DatabaseError`."""
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(statement, text, 1 << 20)
    except psycopg2.Error as error:
        raise translate(error, connection) from None


def elapsed_ms(since: float) -> float:
    """Milliseconds since a reading of `time.perf_counter()`, to the microsecond."""
    return round((time.perf_counter() - since) * 1000, 3)
