"""Counts the exports that Token Tracker doesn't read: GenAI spans by scope, and exports of metrics and logs.

The counts are stored in token_tracker_unread, so that all processes add to one count. A process writes them at most
every ten seconds; if it ends before, the counts of the last seconds are lost.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from typing import NamedTuple

from tracker.database.connect import Connection, execute
from tracker.errors import DatabaseError
from tracker.otlp.storing.stored_reports import table_name
from tracker.recording.record_log import warn_once

UNREAD = "token_tracker_unread"
_WRITE_EVERY_S = 10.0
_MAX_SCOPES = 200
_OTHER = "(other scopes)"
_NONE = "(no scope)"
log = logging.getLogger("tracker.traces")


class UnreadItem(NamedTuple):
    """The key of a count: the signal (traces, metrics or logs), and the scope of spans."""

    signal: str
    scope: str = ""


class UnreadCounter:
    """Counts in memory and adds the counts to the table periodically; logs each scope once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[UnreadItem] = Counter()
        self._known: set[UnreadItem] = set()
        self._next_write = 0.0

    def add_spans(self, scopes: Counter[str]) -> None:
        """Count GenAI spans that were not understood."""
        for scope, count in scopes.items():
            self._add(UnreadItem("traces", _printable(scope)), count)

    def add_export(self, signal: str) -> None:
        """Count an export of metrics or logs."""
        self._add(UnreadItem(signal), 1)

    def _add(self, item: UnreadItem, count: int) -> None:
        with self._lock:
            if item not in self._known and len(self._known) >= _MAX_SCOPES:
                item = UnreadItem(item.signal, _OTHER)
            is_new = item not in self._known
            self._known.add(item)
            self._counts[item] += count
        if is_new:
            log.warning("%s", _warning(item))

    @property
    def is_due(self) -> bool:
        """Whether there are counts to write and the last write is at least ten seconds ago."""
        return bool(self._counts) and time.monotonic() >= self._next_write

    def write(self, connection: Connection, schema: str | None) -> None:
        """Add the counts to the table. Never raises; a failed write is logged, and its counts are lost."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._next_write = time.monotonic() + _WRITE_EVERY_S
        table = table_name(schema, UNREAD)
        try:
            execute(
                connection,
                f"INSERT INTO {table} AS unread (signal, scope, items)"  # noqa: S608  our own names
                " SELECT signal, CASE WHEN scope = '' OR known OR free THEN scope ELSE %(other)s END, sum(items)"
                " FROM json_to_recordset(%(counts)s) AS new (signal text, scope text, items bigint)"
                f" CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM {table} AS old WHERE old.signal = new.signal"
                f" AND old.scope = new.scope) AS known, (SELECT count(*) < %(most)s FROM {table}) AS free) AS state"
                " GROUP BY 1, 2 ORDER BY 1, 2"
                " ON CONFLICT (signal, scope) DO UPDATE"
                " SET items = unread.items + excluded.items, last_seen_at = now()",
                {
                    "counts": json.dumps([{**item._asdict(), "items": count} for item, count in counts.items()]),
                    "other": _OTHER,
                    "most": _MAX_SCOPES,
                },
            )
        except DatabaseError as error:
            warn_once(f"Exports that are not read could not be counted in {UNREAD}. {error}")


def _printable(scope: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in scope[:200]).strip() or _NONE


def _warning(item: UnreadItem) -> str:
    if item.signal != "traces":
        return (
            f"Exports of {item.signal} are accepted and not read: token usage is read from traces. Set"
            f" OTEL_{item.signal.upper()}_EXPORTER=none in the application to stop them."
        )
    return (
        f"Spans of the instrumentation {item.scope!r} look like AI calls, but their token usage was not understood, so"
        " these calls are not counted. docs/sources.md lists what is read."
    )
