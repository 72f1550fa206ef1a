"""The freshness of the rollups for a Reader, and their refresh in a background thread.

No query result depends on a refresh: what is not refreshed is read from the rows. So no reader waits for a refresh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.background_tasks import PeriodicWorker
from tracker.database.connect import Connection
from tracker.database.publications import set_replica_identities
from tracker.database.schema import Table
from tracker.errors import DatabaseError
from tracker.rollups import property_keys, refresh
from tracker.rollups.range_plan import EPOCH
from tracker.rollups.rollup_state import RollupAccess, RollupState

log = logging.getLogger("tracker.dashboard")

REFRESH_INTERVAL_S = 5.0
PAUSE_FACTOR = 4
"""The pause after a refresh is at least its duration times this factor."""
MAX_PAUSE_S = 60.0
ACCESS_CACHE_S = 60.0
Borrow = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a page displays about its totals.

    `as_of` is the time of the last refresh (None: there was none); later changes are read from the rows. `remedy` lets
    the current role refresh the rollups (None: it can). Rows from before `detail_from` are pruned.
    """

    as_of: datetime | None = None
    remedy: str | None = None
    complete: bool = False
    detail_from: datetime | None = None


def freshness(access: RollupAccess, state: RollupState | None) -> Freshness:
    """The freshness of the rollups, from their state and the permissions of the current role."""
    if state is None:
        return Freshness(remedy=access.remedy)
    return Freshness(_datetime(state.refreshed_at), access.remedy, state.complete, _datetime(state.pruned_until))


def _datetime(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else (EPOCH + timedelta(seconds=epoch_s)).astimezone(UTC)


class PinnedRollupState:
    """Within `with pinned.pin():` all queries of a thread use the rollup state that the first of them read."""

    def __init__(self) -> None:
        self._cache: ContextVar[list[RollupState | None] | None] = ContextVar("rollup_state", default=None)

    @contextmanager
    def pin(self) -> Iterator[None]:
        token = self._cache.set([])
        try:
            yield
        finally:
            self._cache.reset(token)

    def get(self, read: Callable[[], RollupState | None]) -> RollupState | None:
        """The pinned state; outside of `pin` the result of `read`."""
        cache = self._cache.get()
        if cache is None:
            return read()
        if not cache:
            cache.append(read())
        return cache[0]


class Refresher:
    """Refreshes the rollups in a daemon thread, one at a time. The thread ends when there is nothing to refresh."""

    def __init__(self, borrow: Borrow, properties: Sequence[str] | None = None) -> None:
        self._borrow = borrow
        self._properties = properties
        self._requested: Table | None = None
        # A slow refresh, such as during a long transaction, uses a fraction of the server's time only.
        self._worker = PeriodicWorker(
            "tracker-rollups",
            {"refresh_rollups": self._refresh},
            lambda run_s: min(max(REFRESH_INTERVAL_S, PAUSE_FACTOR * run_s), MAX_PAUSE_S),
            is_needed=lambda: self._requested is not None,
        )

    def start(self, table: Table, state: RollupState) -> None:
        """Start a refresh if there is something to refresh and the pause after the last one is over."""
        is_stale = state.dirty_buckets or not state.complete or state.has_unfinished_properties
        if (is_stale or self._setting_differs(state)) and self._worker.is_due():
            self._requested = table
            self._worker.wake()

    def _setting_differs(self, state: RollupState) -> bool:
        return self._properties is not None and set(self._properties) != set(state.properties)

    def _refresh(self) -> None:
        table, self._requested = self._requested, None
        assert table is not None  # noqa: S101  the worker runs only while a table is requested
        try:
            with self._borrow() as connection:
                property_keys.apply_setting(connection, table, self._properties)
                for first, following in (refresh.REFRESH_PASS, refresh.BACKFILL_PASS, refresh.PROPERTY_PASS):
                    step = first(connection, table)  # None: another process refreshes
                    while step and step.more and not self._worker.is_stopped:
                        step = following(connection, table)
        except DatabaseError as error:
            if error.code == "replica_identity_missing":
                self._set_replica_identities(table)
            raise

    def _set_replica_identities(self, table: Table) -> None:
        """For the next refresh, if a publication includes the rollup tables."""
        try:
            with self._borrow() as connection:
                set_replica_identities(connection, table.schema)
        except DatabaseError as error:
            log.debug("%s", error)

    def stop(self) -> None:
        """Wait for the current step to end, and start no other."""
        self._worker.stop()
