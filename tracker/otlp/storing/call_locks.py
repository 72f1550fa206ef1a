"""Advisory locks: no two processes store the same traces or the same calls at the same time."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tracker.database.connect import Connection, execute
from tracker.database.schema import DEFAULT_SCHEMA
from tracker.database.transactions import transaction
from tracker.otlp.storing.call_report import CallReport, model_bases

_STRIPES = 64
_TRACE, _CALL = 0x74726565, 0x63616C6C
_BUCKET_S = 60.0
# A report ends at most this much after the other one begins, plus the tolerance for reports without a duration.
_MARGIN_S = 5.0
# The timeouts release the locks of a process that is suspended within the transaction.
_TIMEOUTS = (
    "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '15s';"
    " SET LOCAL idle_in_transaction_session_timeout = '15s'"
)
_LOCK = "SELECT pg_advisory_xact_lock(key) FROM unnest(%(locks)s::bigint[]) AS key"


@contextmanager
def locking_transaction(connection: Connection, locks: Iterable[int] = ()) -> Iterator[None]:
    """Run the block in a transaction that takes these locks. Raises `DatabaseError`."""
    keys = sorted(set(locks))
    statements = f"{_TIMEOUTS}; {_LOCK}" if keys else _TIMEOUTS
    with transaction(connection, "ISOLATION LEVEL READ COMMITTED READ WRITE", statements, {"locks": keys}):
        yield


def lock(connection: Connection, locks: Iterable[int]) -> None:
    """Take more locks in the transaction, sorted to avoid a deadlock."""
    if keys := sorted(set(locks)):
        execute(connection, _LOCK, {"locks": keys})


def trace_locks(schema: str | None, traces: Iterable[str]) -> set[int]:
    """The locks of these traces."""
    return {_key(_TRACE, schema, zlib.crc32(trace.encode())) for trace in traces}


def call_locks(schema: str | None, reports: Iterable[CallReport]) -> set[int]:
    """The locks of the calls that these reports can be of: two reports of one call share at least one.

    One lock for each name of the model and each minute of the call, hashed into a few, so that an export of many calls
    takes few locks.
    """
    return {
        _key(_CALL, schema, zlib.crc32(base.encode()) + bucket)
        for report in reports
        for base in model_bases(report)
        for bucket in _buckets(report)
    }


def _buckets(report: CallReport) -> Iterable[int]:
    first, last = (int(s // _BUCKET_S) for s in (report.started_s - _MARGIN_S, report.ended_s + _MARGIN_S))
    return range(first, min(last, first + _STRIPES - 1) + 1)


def _key(kind: int, schema: str | None, number: int) -> int:
    return kind << 32 | zlib.crc32(f"{schema or DEFAULT_SCHEMA}/{number % _STRIPES}".encode())
