"""The only module that knows psycopg2: connecting within a time, and what its errors mean."""

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
    MISSING_RIGHT,
    REPLICA_IDENTITY,
    ErrorObject,
    explain_connect,
    explain_identity,
    explain_right,
    explain_statement,
    table_in,
)
from tracker.errors import DatabaseError, TransientError
from tracker.threads import fork_guard

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

_LIBPQ_16 = 160000
Connection = psycopg2.extensions.connection
Parameters = Sequence[Any] | Mapping[str, Any] | None
DriverError = psycopg2.Error

# Ends a connection whose network drops: unsent data after tcp_user_timeout, silence after idle + interval × count.
_NETWORK = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def parse_url(url: str) -> dict[str, str]:
    """A PostgreSQL URL's parts by libpq's names. Raises `ValueError` without the URL in it."""
    try:
        return dict(psycopg2.extensions.parse_dsn(url))
    except psycopg2.ProgrammingError:
        raise ValueError("not a PostgreSQL URL") from None


def is_libpq_key(key: str) -> bool:
    """Whether the installed libpq takes this connection parameter."""
    if not key.isidentifier():
        return False
    try:
        psycopg2.extensions.parse_dsn(f"{key}=1")
    except psycopg2.ProgrammingError:
        return False
    return True


def has_system_roots() -> bool:
    """Whether the installed libpq can verify by the system's root certificates, `sslrootcert=system`."""
    return bool(psycopg2.__libpq_version__ >= _LIBPQ_16)


class PoolerSafeConnection(Connection):
    """One whose transactions begin as ours do, whatever another client left behind in a pooler's session."""

    def beginning(self) -> str:
        """What goes before a statement that begins a transaction; a statement's own settings come after and win."""
        if self.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            return ""
        standby = self.get_parameter_status("in_hot_standby") == "on"  # which refuses even to be asked
        return _LIMITS if standby else "SET TRANSACTION READ WRITE; " + _LIMITS


# They end with the transaction, so that they are nobody else's either.
_LIMITS = (
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
            "This process was forked while its parent encrypted a connection, so it can't open one of its own.",
            "Another process delivers its records. Fork before the first record, or use the spawn method.",
        )
    kind = PoolerSafeConnection if reset_session else Connection
    attempt = _Attempt(url, _parameters(url, timeout_s, application_name), kind, time.monotonic() + timeout_s)
    if not threads.start(attempt.run, "tracker-connect"):
        attempt.run()  # bounded by libpq's own limit at least
    connection = attempt.result(timeout_s)
    if connection is None:
        raise explain_connect("timeout expired", url)
    if isinstance(connection, Exception):
        raise explain_connect(_text(connection), url, attempt.verbose) from None
    return connection


def _text(error: Exception) -> str:
    """What the driver said; a server may say it in another encoding, before the client's own is agreed on."""
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


class _Attempt:
    """One connection attempt in a daemon thread that its caller may stop waiting for.

    `verbose` is an unknown refusal with its SQLSTATE, where there was time to ask for it.
    """

    def __init__(
        self, url: DatabaseUrl, parameters: Mapping[str, str], kind: type[Connection], deadline: float
    ) -> None:
        self._url = url
        self._before = _descriptors()
        self._parameters = parameters
        self._kind = kind
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
            outcome = connected = psycopg2.connect(dsn, connection_factory=self._kind)
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
                self.verbose = _verbose_refusal(self._url, dsn, _text(outcome), self._deadline)
        except OSError:  # no free descriptor to read the list of refusals with
            self.verbose = ""
        finally:
            self._done.set()

    def is_shaking_hands(self) -> bool:
        """Whether a socket to the server is connected that wasn't there when this attempt began.

        Before that libpq waits for the name service or the network, and holds none of OpenSSL's locks.
        """
        if self._url.host.startswith("/"):  # a socket of this machine is never encrypted
            return False
        ports = {int(port or 5432) for port in self._url.port.split(",")}
        now = _descriptors()
        return now is None or any(_peer_port(number) in ports for number in now - (self._before or set()))

    def result(self, timeout_s: float) -> Connection | Exception | None:
        self._done.wait(timeout_s)
        with self._lock:
            self._abandoned = self._outcome is None
            return self._outcome


# What unknown refusals said when they were asked for more, by address and text: once, not once a record.
_verbose: dict[tuple[str, str, str | None, str, str], str] = {}
_MOST_VERBOSE = 32
_LEAST_S = 0.2
_PQERRORS_VERBOSE = 2


def _verbose_refusal(url: DatabaseUrl, dsn: str, text: str, deadline: float) -> str:
    """An unknown refusal again, this time with its SQLSTATE; empty where it is known, or where there is no time."""
    from tracker.database.login_errors import match

    finding = match.find(text, url)
    if finding.code is not None or finding.refusal.severity is None:
        return ""
    key = (url.host, url.port, url.user, url.dbname, text)
    if key not in _verbose and deadline - time.monotonic() > _LEAST_S:
        if len(_verbose) >= _MOST_VERBOSE:
            _verbose.clear()
        _verbose[key] = ""  # asked for once, also where the answer doesn't come
        _verbose[key] = _ask_verbosely(dsn, deadline)
    return _verbose.get(key, "")


def _ask_verbosely(dsn: str, deadline: float) -> str:
    """libpq's own login once more, with PQERRORS_VERBOSE set before the server answers; psycopg2 can't set it."""
    import ctypes
    import select

    connection = None
    try:
        connection = psycopg2.connect(dsn, async_=1)
        library = ctypes.CDLL(sys.modules["psycopg2._psycopg"].__file__)  # and through it the libpq it is linked to
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
        return _text(error)
    except (OSError, AttributeError, ValueError):  # a libpq or a platform where this can't be asked
        return ""
    finally:
        if connection is not None:
            connection.close()
    return ""


_running: dict[int, _Attempt] = {}


def _is_handshake_running() -> bool:
    return any(attempt.is_shaking_hands() for attempt in tuple(_running.values()))


def _descriptors() -> set[int] | None:
    """The open file descriptors of this process, None where they can't be listed."""
    try:
        return {int(name) for name in os.listdir("/dev/fd")}  # noqa: PTH208  a Path costs more
    except (OSError, ValueError):
        return None


def _peer_port(descriptor: int) -> int | None:
    """The port that a connected TCP socket leads to, None for anything else."""
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
    """What a driver's error means, as one of our own; anything that isn't a driver's error counts as unknown.

    Where a right is missing, the statement (our own text) says which.
    """
    broken = connection is not None and connection.closed != 0
    if not isinstance(error, psycopg2.Error):
        return explain_statement(None, ErrorObject(), broken=broken, name=type(error).__name__)
    diag = error.diag
    if error.pgcode == MISSING_RIGHT and statement:
        # As everywhere the driver's text is only matched; in another language it tells nothing.
        return explain_right(statement, schema_closed="for schema" in (diag.message_primary or ""))
    if diag.source_function == REPLICA_IDENTITY:
        return explain_identity(table_in(statement or ""))
    blame = ErrorObject(diag.constraint_name, diag.column_name, diag.table_name, diag.datatype_name)
    lost = broken or (error.pgcode is None and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError))
    return explain_statement(error.pgcode, blame, broken=lost, name=type(error).__name__)


def execute(
    connection: Connection, statement: str, parameters: Parameters = None, *, alone: bool = False
) -> tuple[int, list[tuple[Any, ...]]]:
    """Run one statement; the number of rows it touched and the rows it returned. Raises `DatabaseError`.

    `alone` is for what PostgreSQL takes in no transaction, and so with nothing before it.
    """
    try:
        beginning = "" if alone or not isinstance(connection, PoolerSafeConnection) else connection.beginning()
        with connection.cursor() as cursor:
            cursor.execute(beginning + statement, parameters)
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
