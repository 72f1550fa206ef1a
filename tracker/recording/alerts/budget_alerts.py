"""Budgets, looked at by the thread that delivers: once records arrived, at most once a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tracker.database.watchdog import timer
from tracker.errors import TrackerError
from tracker.recording.record_log import logger
from tracker.threads import fork_guard

if TYPE_CHECKING:
    from tracker.platforms import Runtime
    from tracker.recording.alerts.failure_alerts import Alerts
    from tracker.recording.retry import Delivery

EVERY_S = 60.0
# A database without budgets is asked more seldom, and one with very many so that looking takes a hundredth of the time.
_WITHOUT_S = 600.0
_SHARE = 100
_TIME_S = 5.0


class BudgetWatch:
    """Looks at the budgets of the database that a queue delivers to, and raises what was reached."""

    def __init__(self, delivery: Delivery | None, runtime: Runtime, alerts: Alerts, wake: Callable[[], None]) -> None:
        self._delivery = delivery
        self._runtime = runtime
        self._alerts = alerts
        self._wake = wake
        self.reset()

    def reset(self) -> None:
        """Begin anew, also in a forked child."""
        self._looking = threading.Lock()
        self._delivered = False
        self._awaited = False
        self._found = True
        self._due_at = float("-inf")

    def delivered(self) -> None:
        """Records arrived: what they add up to is to be looked at."""
        self._delivered = True

    def look(self, *, ending: bool = False) -> None:
        """Look now if it is time to, or when it is; `ending` means that there is no later. Raises nothing."""
        if not self._delivered or self._delivery is None:
            return
        now = time.monotonic()
        early = now < self._due_at and not (ending and self._found)
        if early and not ending:
            self._look_later()
        if ending:
            self._delivered = False  # the timer then wakes nobody
        if early or not self._looking.acquire(blocking=False):
            return
        try:
            self._delivered = False
            self._due_at = now + EVERY_S
            # Not even a mistake of ours may end the thread that delivers.
            with suppress(Exception):
                self._ask(now)
            self._due_at = max(self._due_at, now + _SHARE * (time.monotonic() - now))
        finally:
            self._looking.release()

    def _look_later(self) -> None:
        if not self._awaited:
            self._awaited = True
            timer.schedule(self._due_at, self._due)

    def _due(self) -> None:
        self._awaited = False
        if self._delivered:
            self._wake()

    def _ask(self, now: float) -> None:
        with fork_guard.importing:
            from tracker.budgets.evaluate import send_due_alerts

        def work(connection: Any, target: Any) -> None:
            found = send_due_alerts(
                connection, target.schema, self._runtime, self._alerts.log_and_send, claimers_only=True
            )
            self._found = bool(found.states)
            if not self._found:
                self._due_at = now + _WITHOUT_S

        assert self._delivery is not None  # noqa: S101  for the type checker
        try:
            self._delivery.run_once(work, time.monotonic() + _TIME_S)
        except TrackerError as error:
            logger().debug("Budgets weren't looked at. %s", error)
