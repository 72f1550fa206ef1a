"""The worker thread that delivers an outbox: wakes for new records and backs off while delivery fails."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Protocol

from tracker.database.watchdog import timer
from tracker.threads import AutoResetEvent, OnDemandThread

# Records that are enqueued within this time are delivered together; it also limits how often the thread runs.
BATCHING_DELAY_S = 0.05
_MAX_PAUSE_S = 5.0
# A separate generator: a host that has seeded Python's global one must get the same numbers as without this library.
_RANDOM = random.Random()  # noqa: S311  jitter is no secret
_LINGER_S = 60.0
_BUSY_PAUSE_S = 0.25
# How often the thread checks for work, in case the call that should have woken it was interrupted.
_POLL_S = 1.0


class DeliveryClient(Protocol):
    """A queue with records to deliver. Clients with the same key deliver the same records, so the last one suffices."""

    @property
    def key(self) -> object:
        """Identifies the client's records."""

    @property
    def round_s(self) -> float:
        """The time limit of one round, in seconds."""

    @property
    def retry_in_s(self) -> float | None:
        """The seconds until a round is needed although `deliver` returned False; None if none is needed."""

    def deliver(self, deadline: float) -> bool | None:
        """Run one round; True if records remain, False if none do, None if another process drains the outbox."""

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """Report that delivery has failed for `lasting_s`."""


class DeliveryWorker:
    """Runs delivery rounds of its clients until no records remain; pauses after an exception.

    It refers to a client only while the client has queued records. There is no lock, which an interruption could leave
    locked: each step is atomic. A thread that ended is replaced at the next record.

    It is no `PeriodicWorker`: records wake it, not a clock, and it must survive forks and interruptions, which a
    `threading.Condition` does not.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Reset, also in a forked child, where the thread doesn't exist."""
        self._clients: dict[object, DeliveryClient] = {}
        self._scheduled: dict[object, tuple[DeliveryClient, float]] = {}
        self._wake_event = AutoResetEvent()
        self._thread = OnDemandThread(self._run, "tracker-delivery")
        self._skip_wait = False
        self._stopping = False
        self._failing_since: float | None = None
        self._pause_s = 0.0

    def wake(self, client: DeliveryClient, *, now: bool = False) -> None:
        """Start delivering the records of a client; `now` ends a pause."""
        if not now and self._clients.get(client.key) is client and self._thread.is_alive():
            return  # the thread already delivers for this client
        self._stopping = False
        self._clients[client.key] = client
        self._skip_wait = self._skip_wait or now
        if not self._thread.is_alive():
            timer.ensure_thread()  # it can't start while the process ends, when the last records are delivered
            self._thread.ensure_running()  # without a thread the records stay queued, and the next `wake` tries again
        self._wake_event.set()

    def remove(self, client: DeliveryClient) -> None:
        """Remove a client."""
        if self._clients.get(client.key) is client:
            self._clients.pop(client.key, None)
        later = self._scheduled.get(client.key)
        if later and later[0] is client:
            self._scheduled.pop(client.key, None)

    def stop(self) -> None:
        """End the thread after its current round."""
        self._stopping = True
        self._wake_event.set()

    def _run(self) -> None:
        """The thread: deliver in rounds until no client is due, wait for more, end after a while without work."""
        try:
            # A second thread that was started at the same time isn't the current one and ends.
            while self._wait_for_work() and self._thread.is_current():
                self._wait(BATCHING_DELAY_S)
                while self._has_due_client() and not self._stopping:
                    self._run_round()
        finally:
            self._thread.mark_stopped()
            if (self._clients or self._scheduled) and not self._stopping:  # records were enqueued since
                self._thread.ensure_running()

    def _wait_for_work(self) -> bool:
        """Wait for work; returns False when the thread was idle for a while or has to stop."""
        end = time.monotonic() + _LINGER_S
        while not self._has_due_client() and not self._stopping and (self._scheduled or time.monotonic() < end):
            waits_s = (max(0.0, at - time.monotonic()) for _, at in list(self._scheduled.values()))
            self._wake_event.wait(min([_POLL_S, *waits_s]))
        return bool(self._clients) and not self._stopping

    def _has_due_client(self) -> bool:
        """Whether a client has records to deliver."""
        for key, (client, at) in list(self._scheduled.items()):
            if at <= time.monotonic():
                self._scheduled.pop(key, None)
                self._clients.setdefault(key, client)
        return bool(self._clients)

    def _run_round(self) -> None:
        """Run one round of each client."""
        busy = False
        errors: list[Exception] = []
        for key, client in tuple(self._clients.items()):
            self._clients.pop(key, None)  # the next record adds the client again
            try:
                more = client.deliver(time.monotonic() + client.round_s)
            except Exception as error:  # noqa: BLE001  the thread must survive every error
                self._clients.setdefault(key, client)
                self._on_delivery_failure(client, error)
                errors.append(error)
                continue
            busy = busy or more is None
            if more is not False:
                self._clients.setdefault(key, client)
            elif (retry_in_s := client.retry_in_s) is not None:
                self._scheduled[key] = (client, time.monotonic() + retry_in_s)
            else:
                self._scheduled.pop(key, None)
        if errors:
            self._pause_s = min(_MAX_PAUSE_S, self._pause_s * 2 or 0.1)
            self._wait(self._pause_s * _RANDOM.uniform(0.5, 1))
            return
        self._failing_since, self._pause_s = None, 0.0
        if busy:
            self._wait(_BUSY_PAUSE_S)  # another process drains the outbox; try again later

    def _on_delivery_failure(self, client: DeliveryClient, error: Exception) -> None:
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        with suppress(Exception):  # a log handler of the host may raise anything
            client.on_delivery_failure(error, now - self._failing_since)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._skip_wait and not self._stopping and (left_s := end - time.monotonic()) > 0:
            self._wake_event.wait(left_s)
        self._skip_wait = False
