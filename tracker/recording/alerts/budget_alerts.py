"""Checks budgets after records were delivered, at most once a minute, and sends the alerts that are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.database.watchdog import timer
from tracker.errors import TrackerError
from tracker.forks import fork_guard
from tracker.recording.record_log import logger

if TYPE_CHECKING:
    from tracker.platforms import Runtime
    from tracker.recording.alerts.failure_alerts import Alerts
    from tracker.recording.retry import Delivery

CHECK_INTERVAL_S = 60.0
# A database without budgets is checked less often; with many budgets, checks take at most a hundredth of the time.
_NO_BUDGETS_INTERVAL_S = 600.0
_COST_FACTOR = 100
_CHECK_TIMEOUT_S = 5.0


class BudgetWatch:
    """Checks the budgets of the database to which a queue delivers, and sends the alerts that are due."""

    def __init__(self, delivery: Delivery | None, runtime: Runtime, alerts: Alerts, wake: Callable[[], None]) -> None:
        self._delivery = delivery
        self._runtime = runtime
        self._alerts = alerts
        self._wake = wake
        self.reset()

    def reset(self) -> None:
        """Return to the initial state, also in a forked child."""
        self._check_lock = threading.Lock()
        self._has_new_records = False
        self._is_scheduled = False
        self._has_budgets = True
        self._due_at = float("-inf")

    def on_delivered(self) -> None:
        """Request a check, because records were delivered."""
        self._has_new_records = True

    def check_if_due(self, *, ending: bool = False) -> None:
        """Check now if a check is due, else schedule it; with `ending` nothing is scheduled. Never raises."""
        if not self._has_new_records or self._delivery is None:
            return
        now = time.monotonic()
        is_early = now < self._due_at and not (ending and self._has_budgets)
        if is_early and not ending:
            self._schedule_check()
        if ending:
            self._has_new_records = False  # so that the timer doesn't start another round
        if is_early or not self._check_lock.acquire(blocking=False):
            return
        try:
            self._has_new_records = False
            self._due_at = now + CHECK_INTERVAL_S
            # No error may end the worker thread, not even a programming error.
            with suppress(Exception):
                self._check(now)
            self._due_at = max(self._due_at, now + _COST_FACTOR * (time.monotonic() - now))
        finally:
            self._check_lock.release()

    def _schedule_check(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            timer.schedule(self._due_at, self._on_timer)

    def _on_timer(self) -> None:
        self._is_scheduled = False
        if self._has_new_records:
            self._wake()

    def _check(self, now: float) -> None:
        with fork_guard.importing:
            from tracker.budgets.evaluate import send_due_alerts

        def work(connection: Any, target: Any) -> None:
            result = send_due_alerts(
                connection, target.schema, self._runtime, self._alerts.log_and_send, claimers_only=True
            )
            self._has_budgets = bool(result.states)
            if not self._has_budgets:
                self._due_at = now + _NO_BUDGETS_INTERVAL_S

        assert self._delivery is not None  # noqa: S101  for the type checker
        try:
            self._delivery.run_once(work, time.monotonic() + _CHECK_TIMEOUT_S)
        except TrackerError as error:
            logger().debug("The budgets could not be checked. %s", error)
