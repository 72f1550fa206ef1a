"""Runs this process's background tasks and keeps their status: last run, last success, and last error."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tracker.errors import TrackerError
from tracker.redaction import redact

log = logging.getLogger("tracker.dashboard")
# A task that fails each minute is logged once an hour.
_LOG_AGAIN_S = 3600.0


class TaskRunner:
    """Runs tasks so that an exception ends one run and never the task, and keeps the status of each task."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, dict[str, Any]] = {}
        self._logged_at_s: dict[tuple[str, str], float] = {}

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Run a task once and keep its status; an exception is logged, see `record_failure`."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  the next run may work, and other tasks don't depend on this one
            self.record_failure(name, error)
        else:
            self.record_success(name)

    def record_success(self, name: str) -> None:
        """Store a successful run of a task that runs in its own thread."""
        self._update(name, failures_in_a_row=0, error=None, last_success_at=_now())

    def record_failure(self, name: str, error: Exception) -> None:
        """Store a failed run of a task that runs in its own thread, and log it at most once an hour for each type.

        A `TrackerError` is logged as its message, any other exception with its traceback.
        """
        kind = type(error).__name__
        # Only the messages of this library are known to contain no data of users.
        text = redact(str(error)) if isinstance(error, TrackerError) else kind
        with self._lock:
            failures = self._states.get(name, {}).get("failures_in_a_row", 0) + 1
            last_s = self._logged_at_s.get((name, kind))
            is_due = last_s is None or self._clock() - last_s >= _LOG_AGAIN_S
            if is_due:
                self._logged_at_s[name, kind] = self._clock()
        self._update(name, failures_in_a_row=failures, error=text[:300])
        if is_due:
            _log_failure(name, error)

    def _update(self, name: str, **changes: Any) -> None:
        with self._lock:
            state = self._states.get(name, {"name": name, "last_success_at": None})
            self._states[name] = {**state, **changes, "last_run_at": _now()}

    def states(self) -> list[Mapping[str, Any]]:
        """The status of all tasks, sorted by name, as the debug report shows it."""
        with self._lock:
            return [
                {
                    "name": name,
                    "lastRunAt": state["last_run_at"],
                    "lastSuccessAt": state["last_success_at"],
                    "failuresInARow": state["failures_in_a_row"],
                    "error": state["error"],
                }
                for name, state in sorted(self._states.items())
            ]


def _log_failure(name: str, error: Exception) -> None:
    if isinstance(error, TrackerError):
        log.warning("The background task %s failed; it runs again later. %s", name, redact(str(error)))
    else:
        log.error("The background task %s failed; it runs again later.", name, exc_info=error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


background_tasks = TaskRunner()
"""The background tasks of this process."""
