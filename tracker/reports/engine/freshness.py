"""How the rollups stand for a Reader: what it may take from them, and their refresh beside the reading.

No answer depends on a refresh: what it hasn't reached is read from the rows. So the refresh runs in a thread of its
own, and nobody waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.background_tasks import background_tasks
from tracker.database.connect import Connection
from tracker.database.publications import set_replica_identities
from tracker.database.schema import Table
from tracker.errors import DatabaseError
from tracker.rollups import refresh
from tracker.rollups.range_plan import EPOCH
from tracker.rollups.rollup_state import Access, State

log = logging.getLogger("tracker.dashboard")

REFRESH_S = 5.0
REST = 4
MOST_REST_S = 60.0
ACCESS_S = 60.0
Borrow = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a page may say about its figures.

    `as_of` is when the rollups were refreshed last (None: never); what changed since is read from the rows. `remedy`
    lets this role refresh them (None: it may). Single records from before `detail_from` were pruned.
    """

    as_of: datetime | None = None
    remedy: str | None = None
    complete: bool = False
    detail_from: datetime | None = None


def standing(access: Access, state: State | None) -> Standing:
    """What a state and a role's rights mean to a reader."""
    if state is None:
        return Standing(remedy=access.remedy)
    return Standing(_moment(state.refreshed_at), access.remedy, state.complete, _moment(state.pruned_until))


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else (EPOCH + timedelta(seconds=seconds)).astimezone(UTC)


class Moment:
    """Within `with moment.kept():` everything a thread asks sees the rollups as its first question found them."""

    def __init__(self) -> None:
        self._found: ContextVar[list[State | None] | None] = ContextVar("found", default=None)

    @contextmanager
    def kept(self) -> Iterator[None]:
        token = self._found.set([])
        try:
            yield
        finally:
            self._found.reset(token)

    def state(self, read: Callable[[], State | None]) -> State | None:
        """The state of this moment."""
        found = self._found.get()
        if found is None:
            return read()
        if not found:
            found.append(read())
        return found[0]


class Refresher:
    """Refreshes in a daemon thread, one at a time; ends by itself when nothing is left to do, or when told."""

    def __init__(self, borrow: Borrow) -> None:
        self._borrow = borrow
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._next = float("-inf")
        self._stopped = False

    def start(self, table: Table, state: State) -> None:
        """Begin if something is to be done and the last time is some seconds ago."""
        if state.complete and not state.touched:
            return
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if self._stopped or running or time.monotonic() < self._next:
                return
            self._thread = threading.Thread(target=self._run, args=(table,), name="tracker-rollups", daemon=True)
            self._thread.start()

    def _run(self, table: Table) -> None:
        began = time.monotonic()
        try:
            with self._borrow() as connection:
                for first, then in (refresh.CHANGES, refresh.PAST):
                    step = first(connection, table)  # None: another process is at it, and does the same
                    while step and step.more and not self._stopped:
                        step = then(connection, table)
            background_tasks.record_success("refresh_rollups")
        except DatabaseError as error:
            if not self._stopped:  # stopping closes the connection
                background_tasks.record_failure("refresh_rollups", error)
            if error.code == "replica_identity_missing":
                self._give_identities(table)
        except Exception as error:  # noqa: BLE001  the next refresh may work
            background_tasks.record_failure("refresh_rollups", error)
        finally:
            # What takes long, as while an old transaction runs, takes no more than a part of the server's time.
            now = time.monotonic()
            self._next = now + min(max(REFRESH_S, REST * (now - began)), MOST_REST_S)

    def _give_identities(self, table: Table) -> None:
        """For the next refresh, after a publication of our tables was made."""
        try:
            with self._borrow() as connection:
                set_replica_identities(connection, table.schema)
        except DatabaseError as error:
            log.debug("%s", error)

    def stop(self) -> None:
        """Let a chunk that is being worked on end, and begin no other."""
        self._stopped = True
        thread = self._thread
        if thread is not None:
            thread.join(timeout=5)
