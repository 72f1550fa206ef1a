"""A load test with test recordings: many calls in parallel, their outcomes, and a check of the rows."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import tracker
from pages.support import ai_call, test_calls
from tracker.errors import TrackerError
from tracker.reports import Reader

MAX_RECORDS = 1000
MAX_PARALLEL = 50
Mode = Literal["direct", "background"]
_FLUSH_TIMEOUT_S = 30.0
_KEPT_S = 600.0
_latest: Burst | None = None


@dataclass(slots=True)
class Burst:
    """A load test of `records` recordings, `parallel` at a time. It runs in its own thread."""

    reader: Reader
    records: int
    parallel: int
    mode: Mode
    started_at: float = field(default_factory=time.monotonic)
    outcomes: list[tracker.Outcome] = field(default_factory=list)
    durations_ms: list[float] = field(default_factory=list)
    done_s: float | None = None
    """From the start until all records were delivered and checked."""
    undelivered: int = 0
    rows: int | None = None
    ids: int | None = None
    error: TrackerError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the load test. Raises `RateLimited`, or `RecorderBusy` while another one runs."""
        test_calls.check_rate_limit(burst=True)
        ready, refused = threading.Event(), threading.Event()
        threading.Thread(target=self._run, args=(ready, refused), name="burst", daemon=True).start()
        ready.wait()
        if refused.is_set():
            raise test_calls.RecorderBusy
        global _latest
        _latest = self

    @property
    def progress(self) -> float:
        """The share of calls that are recorded, 0 to 1."""
        return len(self.outcomes) / self.records

    @property
    def done(self) -> bool:
        return self.done_s is not None

    @property
    def is_complete(self) -> bool:
        """Whether the result is final: no record waits in the outbox."""
        return self.done and (self.error is not None or self.undelivered == 0)

    @property
    def exactly_once(self) -> bool:
        """Whether every acknowledged record has exactly one row."""
        return self.rows == self.ids == len(self.outcomes) and self.undelivered == 0

    def check_again(self) -> None:
        """Count the rows again: the outbox may have been delivered since. Keeps the last result on a database error."""
        with suppress(TrackerError):
            self._check()
            accepted = sum(outcome.status != "failed" for outcome in self.outcomes)
            self.undelivered = max(0, accepted - (self.ids or 0))

    def statuses(self) -> dict[str, int]:
        """The number of outcomes so far by status."""
        with self._lock:
            return dict(Counter(outcome.status for outcome in self.outcomes))

    def percentile_ms(self, quantile: float) -> float:
        """The duration (ms) that the share `quantile` (0 to 1) of the `record` calls did not exceed."""
        with self._lock:
            ordered = sorted(self.durations_ms)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else float("nan")

    def _run(self, ready: threading.Event, refused: threading.Event) -> None:
        try:
            with test_calls.exclusive_recording():
                ready.set()
                self._record_all()
                self._check()
        except test_calls.RecorderBusy:
            refused.set()
        except TrackerError as error:
            self.error = error
        finally:
            self.done_s = time.monotonic() - self.started_at
            ready.set()

    def _record_all(self) -> None:
        direct = self.mode == "direct"
        recorder = test_calls.shared_tracker(self.reader) if direct else test_calls.background_tracker(self.reader)
        try:
            with ThreadPoolExecutor(self.parallel, thread_name_prefix="burst") as workers:
                for _ in workers.map(self._record_one(recorder), range(self.records)):
                    pass
            self.undelivered = recorder.flush(_FLUSH_TIMEOUT_S)
        finally:
            if not direct:
                recorder.close()

    def _record_one(self, recorder: tracker.Tracker) -> Callable[[int], None]:
        def record(number: int) -> None:
            usage = ai_call.synthetic_usage("tag" if number % 2 else "summary", burst=True)
            started_at = time.perf_counter()
            outcome = recorder.record(usage)
            duration_ms = (time.perf_counter() - started_at) * 1000
            with self._lock:
                self.outcomes.append(outcome)
                self.durations_ms.append(duration_ms)

        return record

    def _check(self) -> None:
        """Count the rows and the distinct ids of the outcomes in the database."""
        counts = self.reader.rows("recorded_ids", {"ids": [str(outcome.id) for outcome in self.outcomes]})[0]
        self.rows, self.ids = int(counts["records"]), int(counts["ids"])


def latest(reader: Reader) -> Burst | None:
    """The load test that runs on this database, or the last one for some minutes after its end; for all sessions."""
    burst = _latest
    if burst is None or burst.reader is not reader:
        return None
    ended_at = burst.started_at + burst.done_s if burst.done_s is not None else time.monotonic()
    return burst if time.monotonic() - ended_at < _KEPT_S else None


def discard_latest() -> None:
    """Forget the last load test, because its rows are removed."""
    global _latest
    _latest = None
