"""Prices the past calls of a model in a thread of the dashboard, in bounded batches, with progress and a stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from tracker.audit.change_log import Editor, SettingChange, change_transaction, record_change
from tracker.database.publications import require_replica_identity
from tracker.errors import TrackerError, TransientError
from tracker.prices.past_calls import BATCH_CALLS, PastCallsTotals, price_batch
from tracker.prices.price_sources import load_catalog
from tracker.prices.reprice import RepricePlan
from tracker.prices.unpriced_calls import Scope
from tracker.redaction import redact
from tracker.reports.engine import current_reader
from tracker.reports.engine.reader import Reader

log = logging.getLogger("tracker.dashboard")
_RETRIES = 5


class PastCallsJob:
    """Sets the costs of the calls of `scope` by the prices at its start. Only one job runs in a process.

    Each batch borrows a connection, so that pages are not delayed. A lost connection or a deadlock is retried.
    """

    def __init__(
        self,
        reader: Reader,
        scope: Scope,
        subject: str,
        editor: Editor,
        expected_calls: int | None = None,
        retry_s: float = 1.0,
    ) -> None:
        self.subject = subject
        self.totals = PastCallsTotals()
        self.error: TrackerError | None = None
        self._reader = reader
        self._scope = scope
        self._editor = editor
        self._expected_calls = expected_calls
        self._retry_s = retry_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracker-price-past-calls", daemon=True)

    @property
    def progress(self) -> float:
        """The share of the calls that are read, 0 to 1; 0 if their number is not known."""
        return min(1.0, self.totals.read / self._expected_calls) if self._expected_calls else 0.0

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def start(self) -> bool:
        """Start the thread; False if another job of this process runs."""
        global _current
        with _lock:
            if _current is not None and _current.is_running:
                return False
            _current = self
            self._thread.start()
            return True

    def stop(self) -> None:
        """Start no other batch. Costs that are set stay."""
        self._stopped.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until the job ends."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._price_all()
        except TrackerError as error:
            log.warning("Past calls of a model were not priced completely. %s", redact(str(error)))
            self.error = error
        except Exception as error:
            log.exception("Past calls of a model were not priced completely.")
            self.error = TrackerError(type(error).__name__)
        finally:
            if self.totals.changed:
                self._record()

    def _price_all(self) -> None:
        schema = self._reader.database.url.schema
        with self._reader.borrow() as connection:
            require_replica_identity(connection, self._reader.table().schema)
            catalog = load_catalog(connection, schema, current_reader.settings().prices)
        scope, is_last = self._scope, False

        def run_batch() -> RepricePlan:
            with self._reader.borrow() as connection:
                return price_batch(connection, schema, catalog, scope)

        while not is_last and not self.is_stopped:
            plan = self._with_retry(run_batch)
            self.totals.add(plan)
            scope, is_last = replace(scope, since=plan.cursor), plan.read < BATCH_CALLS

    def _with_retry(self, run_batch: Callable[[], RepricePlan]) -> RepricePlan:
        """The plan of a batch; a batch that failed is repeated, because it changes only what is not changed yet."""
        for attempt in range(_RETRIES):
            try:
                return run_batch()
            except TransientError:
                if self._stopped.wait(self._retry_s * 2**attempt):
                    raise
        return run_batch()

    def _record(self) -> None:
        schema = self._reader.table().schema
        costs = {
            "calls": f"{self.totals.changed:,}",
            "cost_before": format(self.totals.old_usd, "f"),
            "cost_after": format(self.totals.new_usd, "f"),
        }
        try:
            with self._reader.borrow() as connection, change_transaction(connection, schema):
                record_change(connection, schema, SettingChange("past calls", self.subject, self._editor, None, costs))
        except TrackerError as error:
            log.warning("The change log has no line about priced calls. %s", redact(str(error)))


_lock = threading.Lock()
_current: PastCallsJob | None = None


def current_job() -> PastCallsJob | None:
    """The latest job of this process, which may have ended; None if there was none."""
    return _current
