"""Runs this process's background tasks and keeps their status: last run, last success, last error, and next run."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
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

    def run(self, name: str, work: Callable[[], object], is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Run a task once and keep its status; an exception is logged, see `record_failure`.

        An exception of a stopped task is ignored: stopping may close the connection that the task uses.
        """
        try:
            work()
        except Exception as error:  # noqa: BLE001  the next run may work, and other tasks don't depend on this one
            if not is_stopped():
                self.record_failure(name, error)
        else:
            self._update(name, failures_in_a_row=0, error=None, last_success_at=_now())

    def record_failure(self, name: str, error: Exception) -> None:
        """Store a failed run of a task, and log it at most once an hour for each type of exception.

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
            state = self._states.get(name, {"name": name, "last_success_at": None, "next_run_at": None})
            self._states[name] = {**state, **changes, "last_run_at": _now()}

    def set_next_run(self, name: str, in_s: float | None) -> None:
        """Store in how many seconds the task runs again; None: when something requests it."""
        with self._lock:
            if state := self._states.get(name):
                state["next_run_at"] = None if in_s is None else _now(in_s)

    def states(self) -> list[Mapping[str, Any]]:
        """The status of all tasks, sorted by name, as the debug report shows it."""
        with self._lock:
            return [
                {
                    "name": name,
                    "lastRunAt": state["last_run_at"],
                    "lastSuccessAt": state["last_success_at"],
                    "nextRunAt": state["next_run_at"],
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


def _now(plus_s: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=plus_s)).isoformat(timespec="seconds")


background_tasks = TaskRunner()
"""The background tasks of this process."""


class PeriodicWorker:
    """Runs tasks one after the other, again and again, in a daemon thread that exists only while it is needed.

    `pause_s` returns the pause after a run, from the run's duration; it is called again at each `wake`, which can so
    end a pause. `is_needed` returns whether another run follows; if not, the thread ends until `wake`. `jitter` is the
    share by which each pause varies, so that several processes don't run their tasks at the same time.

    It is for processes that don't fork: the dashboard. The recorder's threads wait for work instead of time.
    """

    def __init__(
        self,
        thread_name: str,
        tasks: Mapping[str, Callable[[], object]],
        pause_s: Callable[[float], float],
        *,
        is_needed: Callable[[], bool] = lambda: True,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thread_name = thread_name
        self._tasks = tasks
        self._pause_s = pause_s
        self._is_needed = is_needed
        self._jitter = jitter
        self._clock = clock
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended_at = float("-inf")
        self._run_s = 0.0
        self._pause_factor = 1.0
        self._stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def is_due(self) -> bool:
        """Whether no run is active and the pause after the last one is over."""
        return not self._is_running() and self._remaining_s() <= 0

    def wake(self) -> None:
        """Start the thread unless it runs, and let it call `pause_s` and `is_needed` again."""
        with self._condition:
            if not self._is_running() and not self._stopped:
                self._thread = threading.Thread(target=self._run, name=self._thread_name, daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Start no other run, and wait for the current one to end."""
        with self._condition:
            self._stopped = True
            thread = self._thread
            self._condition.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while self._wait_until_due():
            started_at = self._clock()
            for name, work in self._tasks.items():
                if not self._stopped:
                    background_tasks.run(name, work, lambda: self._stopped)
            self._ended_at = self._clock()
            self._run_s = self._ended_at - started_at
            self._pause_factor = random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311  no secret
            next_run_in_s = self._remaining_s() if self._is_needed() else None
            for name in self._tasks:
                background_tasks.set_next_run(name, next_run_in_s)

    def _wait_until_due(self) -> bool:
        """Wait for the next run's time; returns False, and resets the thread, if no run follows."""
        with self._condition:
            while not self._stopped and self._is_needed():
                if (remaining_s := self._remaining_s()) <= 0:
                    return True
                self._condition.wait(remaining_s)
            self._thread = None
            return False

    def _remaining_s(self) -> float:
        return self._ended_at + self._pause_factor * self._pause_s(self._run_s) - self._clock()
