"""Collects the values of GET /metrics: at each scrape what rollups and catalogs answer, and once a minute the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client.core import Metric

from tracker.budgets.progress import BudgetState
from tracker.diagnostics.local_outboxes import outbox_state
from tracker.errors import DatabaseError, TrackerError
from tracker.maintenance.check_budgets import read_budget_states
from tracker.metrics import families
from tracker.metrics.growing_totals import Totals
from tracker.metrics.stored_totals import count_calls
from tracker.reports import delivery_lag, ledger_report, recording_quality
from tracker.reports.connections.sessions import by_state, list_sessions, read_slots
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

log = logging.getLogger("tracker.dashboard")
_WATCHED_S = 3600.0
_DAY = timedelta(hours=24)
_SCRAPE_TIMEOUT_S = 2
_JOB_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class SlowValues:
    """The values that need the calls' rows, and the time (`time.monotonic`) at which they were read."""

    at_s: float
    records: Mapping[str, int] = field(default_factory=dict)
    alerts: Mapping[str, int] = field(default_factory=dict)
    budgets: tuple[BudgetState, ...] = ()


class MetricsCollector:
    """The values of one dashboard process; `reader` is called for each scrape.

    A scrape uses at most one connection at a time. The slow values are read by `read_slow_values`, which the minute
    jobs call, while somebody scrapes.
    """

    def __init__(self, reader: Callable[[], Reader], clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._scraped_at_s = float("-inf")
        self._totals: Totals = {}
        self._totals_at_s: float | None = None
        self._stored = False
        self._is_quick = True
        self._slow: SlowValues | None = None

    def collect(self) -> Iterator[Metric]:
        """All families that can be read now; without the database those of this machine."""
        self._scraped_at_s = self._clock()
        collected: list[Metric] = []
        try:
            collected += self._database_families(self._reader())
            is_up = True
        except TrackerError as error:
            log.debug("%s", error)
            is_up = False
        yield families.up_family("token_tracker_database_up", "Whether the database answers the scrape.", is_up=is_up)
        yield from collected
        yield from self._outbox_families()

    def read_slow_values(self) -> None:
        """Read what needs the calls' rows, if somebody scraped in the last hour. Raises `TrackerError`."""
        if self._clock() - self._scraped_at_s > _WATCHED_S:
            return
        reader = self._reader()
        now = datetime.now(UTC)
        last_day = Filters(start=now - _DAY, end=now)
        totals = recording_quality.totals(recording_quality.by_environment(reader, last_day))
        ledger = ledger_report.ledger(reader, last_day)
        self._slow = SlowValues(
            at_s=self._clock(),
            records={
                "stored": totals.records,
                "late": totals.late_records,
                "missing": ledger.missing,
                "in_flight": ledger.in_flight,
            },
            alerts=_alerts_by_reason(reader, last_day),
            budgets=tuple(read_budget_states(reader).states),
        )
        if not self._is_quick:
            self._count_calls(reader, _JOB_TIMEOUT_S)

    def _database_families(self, reader: Reader) -> Iterator[Metric]:
        self._count_calls_if_quick(reader)
        yield from families.call_families(self._totals)
        yield families.up_family(
            "token_tracker_totals_stored",
            "1: the counters are stored, so that all dashboards export the same ones; 0: they are this process's own.",
            is_up=self._stored,
        )
        sessions = list_sessions(reader)
        yield from families.server_families(by_state(sessions), read_slots(reader, sessions))
        yield from families.pool_families(reader.pool_use())
        ages_s = {} if self._totals_at_s is None else {"calls": self._clock() - self._totals_at_s}
        if self._slow is not None:
            ages_s["recording"] = self._clock() - self._slow.at_s
            yield from families.recording_families(self._slow.records, self._slow.alerts)
            yield from families.budget_families(self._slow.budgets)
        yield families.age_family(ages_s)

    def _count_calls_if_quick(self, reader: Reader) -> None:
        """Count the calls in this scrape. If that takes too long, which it can without rollups, the job counts them."""
        state = reader.rollup_state()
        self._is_quick = self._is_quick or (state is not None and state.complete)
        if not self._is_quick:
            return
        try:
            self._count_calls(reader, _SCRAPE_TIMEOUT_S)
        except DatabaseError as error:
            if error.code != "statement_timeout":
                raise
            self._is_quick = False

    def _count_calls(self, reader: Reader, timeout_s: int) -> None:
        table = reader.table()
        with reader.borrow() as connection:
            self._totals, self._stored = count_calls(connection, table, self._totals, timeout_s)
        self._totals_at_s = self._clock()

    def _outbox_families(self) -> Iterator[Metric]:
        try:
            database = self._reader().database
        except TrackerError:
            return
        yield from families.outbox_families(outbox_state(database.settings, database.url, now=time.time()))


def _alerts_by_reason(reader: Reader, filters: Filters) -> dict[str, int]:
    alerts = delivery_lag.alerts(reader, filters)
    return (
        {} if alerts is None else {str(reason): int(count) for reason, count in alerts["reason"].value_counts().items()}
    )
