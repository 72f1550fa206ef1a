"""The thread that empties an outbox: wakes when something waits, slows down while the database doesn't answer."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Protocol

from tracker.database.watchdog import timer
from tracker.threads import AutoResetEvent, OnDemandThread

# Records that come in this time travel together; it also bounds how often the thread disturbs the others.
GATHER_S = 0.05
_LONGEST_WAIT_S = 5.0
# A generator of our own: a host that has seeded Python's must get the numbers that it would get without us.
_DICE = random.Random()  # noqa: S311  jitter is no secret
_LINGER_S = 60.0
_BUSY_S = 0.25
# How soon the thread looks for itself, if the call that should have woken it was interrupted.
_LOOK_S = 1.0


class DeliveryClient(Protocol):
    """Who has records to deliver. Clients with the same key deliver the same records: the last one is enough."""

    @property
    def key(self) -> object:
        """What its records belong to."""

    @property
    def round_s(self) -> float:
        """How long one round may take, in seconds."""

    @property
    def retry_in_s(self) -> float | None:
        """In how many seconds a round is needed although `deliver` returned False; None without a need."""

    def deliver(self, deadline: float) -> bool | None:
        """Deliver; True when more waits, False when nothing does, None when another process is at it."""

    def on_delivery_failure(self, error: Exception, lasting_s: float) -> None:
        """Delivery fails, for so long."""


class DeliveryWorker:
    """Lets its clients deliver until nothing waits; an exception is followed by a pause.

    A client is referred to while its records wait, and only then. There is no lock: each step is atomic, so that no
    interruption leaves one behind, and a thread that ended is replaced at the next record.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, also in a forked child, where the thread is gone."""
        self._clients: dict[object, DeliveryClient] = {}
        self._later: dict[object, tuple[DeliveryClient, float]] = {}
        self._wake_event = AutoResetEvent()
        self._thread = OnDemandThread(self._run, "tracker-delivery")
        self._skip_wait = False
        self._stopping = False
        self._failing_since: float | None = None
        self._pause_s = 0.0

    def wake(self, client: DeliveryClient, *, now: bool = False) -> None:
        """Something waits; `now` ends a pause."""
        if not now and self._clients.get(client.key) is client and self._thread.is_alive():
            return  # while a client is known the thread looks by itself
        self._stopping = False
        self._clients[client.key] = client
        self._skip_wait = self._skip_wait or now
        if not self._thread.is_alive():
            timer.ensure_thread()  # while the process ends, when the rest is delivered, it couldn't
            self._thread.ensure_running()  # without a thread what waits lies safe, and the next wake tries again
        self._wake_event.set()

    def remove(self, client: DeliveryClient) -> None:
        """This one delivers nothing more."""
        if self._clients.get(client.key) is client:
            self._clients.pop(client.key, None)
        later = self._later.get(client.key)
        if later and later[0] is client:
            self._later.pop(client.key, None)

    def stop(self) -> None:
        """End the thread after its present round."""
        self._stopping = True
        self._wake_event.set()

    def _run(self) -> None:
        try:
            while self._wait_for_work() and self._thread.is_current():
                self._wait(GATHER_S)
                while self._due() and not self._stopping and self._run_round():
                    pass
        finally:
            self._thread.mark_stopped()
            if (self._clients or self._later) and not self._stopping:  # a record came in the meantime
                self._thread.ensure_running()

    def _wait_for_work(self) -> bool:
        """Wait for something to do; False when there was nothing for a while, or nothing is to be done any more."""
        end = time.monotonic() + _LINGER_S
        while not self._due() and not self._stopping and (self._later or time.monotonic() < end):
            waits_s = (max(0.0, at - time.monotonic()) for _, at in list(self._later.values()))
            self._wake_event.wait(min([_LOOK_S, *waits_s]))
        return bool(self._clients) and not self._stopping

    def _due(self) -> bool:
        """Whether a client has a round to do."""
        for key, (client, at) in list(self._later.items()):
            if at <= time.monotonic():
                self._later.pop(key, None)
                self._clients.setdefault(key, client)
        return bool(self._clients)

    def _run_round(self) -> bool:
        """One round of each client; whether another is needed."""
        busy = False
        errors: list[Exception] = []
        for key, client in tuple(self._clients.items()):
            self._clients.pop(key, None)  # a record that comes from now on names it again
            try:
                more = client.deliver(time.monotonic() + client.round_s)
            except Exception as error:  # noqa: BLE001  the thread must outlive whatever happens
                self._clients.setdefault(key, client)
                self._on_delivery_failure(client, error)
                errors.append(error)
                continue
            busy = busy or more is None
            if more is not False:
                self._clients.setdefault(key, client)
            elif (retry_in_s := client.retry_in_s) is not None:
                self._later[key] = (client, time.monotonic() + retry_in_s)
            else:
                self._later.pop(key, None)
        if errors:
            self._pause_s = min(_LONGEST_WAIT_S, self._pause_s * 2 or 0.1)
            self._wait(self._pause_s * _DICE.uniform(0.5, 1))
            return True
        self._failing_since, self._pause_s = None, 0.0
        if busy:
            self._wait(_BUSY_S)  # another process is at it; afterwards we look ourselves
        return True

    def _on_delivery_failure(self, client: DeliveryClient, error: Exception) -> None:
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        with suppress(Exception):  # a handler of the host's own log may raise anything
            client.on_delivery_failure(error, now - self._failing_since)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._skip_wait and not self._stopping and (left_s := end - time.monotonic()) > 0:
            self._wake_event.wait(left_s)
        self._skip_wait = False
