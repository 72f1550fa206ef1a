"""A burst of test recordings: many at once, with its progress, its outcomes, and the proof that each is there once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import tracker
from pages.support import ai_call, test_calls
from tracker.errors import TrackerError
from tracker.reports import Reader

MOST = 1000
MOST_AT_ONCE = 50
Mode = Literal["direct", "background"]
_DELIVERED_WITHIN_S = 30.0


@dataclass(slots=True)
class Burst:
    """`records` recordings, `at_once` of them at the same time, running in a thread of its own. Times are ms."""

    reader: Reader
    records: int
    at_once: int
    mode: Mode
    began_at: float = field(default_factory=time.monotonic)
    outcomes: list[tracker.Outcome] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    recorded_s: float | None = None
    """How long all `record` calls took together."""
    done_s: float | None = None
    """How long until everything was delivered and checked."""
    undelivered: int = 0
    rows: int | None = None
    ids: int | None = None
    trouble: TrackerError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Run it. Raises `TooMany`, or `Busy` while another one runs."""
        test_calls.admit(burst=True)
        ready, refused = threading.Event(), threading.Event()
        threading.Thread(target=self._run, args=(ready, refused), name="burst", daemon=True).start()
        ready.wait()
        if refused.is_set():
            raise test_calls.Busy

    @property
    def progress(self) -> float:
        """0 to 1."""
        return len(self.outcomes) / self.records

    @property
    def done(self) -> bool:
        return self.done_s is not None

    @property
    def exactly_once(self) -> bool:
        """Whether every record that was acknowledged can be read, and none of them twice."""
        return self.rows == self.ids == len(self.outcomes) and self.undelivered == 0

    def statuses(self) -> dict[str, int]:
        """How many ended in which way, of those that did so far."""
        with self._lock:
            return dict(Counter(outcome.status for outcome in self.outcomes))

    def percentile(self, part: float) -> float:
        """So long took `part` (0 to 1) of the calls of `record`."""
        with self._lock:
            ordered = sorted(self.took_ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")

    def _run(self, ready: threading.Event, refused: threading.Event) -> None:
        try:
            with test_calls.turn():
                ready.set()
                self._record_all()
                self._check()
        except test_calls.Busy:
            refused.set()
        except TrackerError as error:
            self.trouble = error
        finally:
            self.done_s = time.monotonic() - self.began_at
            ready.set()

    def _record_all(self) -> None:
        direct = self.mode == "direct"
        chosen = test_calls.recorder(self.reader) if direct else test_calls.background(self.reader)
        try:
            with ThreadPoolExecutor(self.at_once, thread_name_prefix="burst") as workers:
                for _ in workers.map(self._one(chosen), range(self.records)):
                    pass
            self.recorded_s = time.monotonic() - self.began_at
            self.undelivered = chosen.flush(_DELIVERED_WITHIN_S)
        finally:
            if not direct:
                chosen.close()

    def _one(self, chosen: tracker.Tracker) -> Callable[[int], None]:
        def record(number: int) -> None:
            usage = ai_call.synthetic("tag" if number % 2 else "summary", burst=True)
            began = time.perf_counter()
            outcome = chosen.record(usage)
            took_ms = (time.perf_counter() - began) * 1000
            with self._lock:
                self.outcomes.append(outcome)
                self.took_ms.append(took_ms)

        return record

    def _check(self) -> None:
        """Ask the database for every id."""
        found = self.reader.rows("recorded_ids", {"ids": [str(outcome.id) for outcome in self.outcomes]})[0]
        self.rows, self.ids = int(found["records"]), int(found["ids"])
