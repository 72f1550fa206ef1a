"""Alerts about recording failures: written to the log and sent to each of TRACKER_ALERT_URLS."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tracker import threads
from tracker.forks import fork_guard
from tracker.platforms import Runtime
from tracker.recording import record_log

TYPE = "token_tracking_failure"
# During an outage, one alert a minute is sent for each reason, with the number of suppressed ones.
QUIET_S = 60.0
_MAX_QUEUE = 100
_LINGER_S = 30.0
_POLL_S, _WAIT_PAUSE_S = 1.0, 0.01


class Alerts:
    """Raises alerts: rate-limited for each reason, and sent by a separate thread, so that no record waits for them.

    `store` is called with each alert that is sent, to write it to the database later.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        runtime: Runtime,
        store: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = urls
        self._runtime = runtime
        self._store = store
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Return to the initial state, also in a forked child."""
        self._lock = threads.CallLock()
        self._wake_event = threads.AutoResetEvent()
        self._thread = threads.OnDemandThread(self._run, "tracker-alerts")
        self._sent_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}
        self._queue: deque[dict[str, Any]] = deque(maxlen=_MAX_QUEUE)
        self._sending = False

    def raise_alert(
        self,
        reason: str,
        error: str,
        *,
        record_id: str | None = None,
        attempts: int | None = None,
        elapsed_ms: float | None = None,
        depth: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Raise an alert: `reason` is a stable code, `error` a message of this library, never the driver's text."""
        with self._lock:
            now = self._clock()
            if now - self._sent_at.get(reason, -QUIET_S) < QUIET_S:
                self._suppressed[reason] = self._suppressed.get(reason, 0) + 1
                return
            self._sent_at[reason] = now
            held_back = self._suppressed.pop(reason, 0)
        runtime = self._runtime
        alert = {
            "type": TYPE,
            "environment": runtime.environment,
            "error": error,
            "reason": reason,
            "record_id": record_id,
            "attempts": attempts,
            "elapsed_ms": elapsed_ms,
            "outbox_depth": depth(),
            "held_back": held_back,
            "platform": runtime.platform,
            "region": runtime.region,
            "deployment": runtime.deployment,
            "raised_at": datetime.now(UTC).isoformat(),
        }
        record_log.log_alert(json.dumps(alert, ensure_ascii=False))
        self._store(alert)
        self.send(alert)

    def log_and_send(self, alert: dict[str, Any]) -> None:
        """Log and send an alert that another module created, for example about a budget."""
        record_log.log_alert(json.dumps(alert, ensure_ascii=False), record_log.WARNING)
        self.send(alert)

    def send(self, alert: dict[str, Any]) -> None:
        """Send the alert to the URLs in the alert thread."""
        if self._urls:
            self._enqueue(alert)

    def _enqueue(self, alert: dict[str, Any]) -> None:
        self._queue.append(alert)
        self._thread.ensure_running()  # if no thread can be started, the next alert sends this one too
        self._wake_event.set()

    def _run(self) -> None:
        with fork_guard.importing:
            from tracker.recording.alerts.channels import send

        try:
            idle_since = time.monotonic()
            while self._thread.is_current() and time.monotonic() - idle_since < _LINGER_S:
                if not self._queue:
                    self._wake_event.wait(_POLL_S)
                    continue
                self._sending = True
                alert = self._queue.popleft()
                for url in self._urls:
                    send(url, alert)
                self._sending = False
                idle_since = time.monotonic()
        finally:
            self._sending = False
            self._thread.mark_stopped()
            if self._queue:  # an alert was added since
                self._thread.ensure_running()

    def wait(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` until all alerts are sent."""
        end = time.monotonic() + timeout_s
        while (self._queue or self._sending) and time.monotonic() < end:
            if not self._thread.ensure_running():
                return
            time.sleep(_WAIT_PAUSE_S)
