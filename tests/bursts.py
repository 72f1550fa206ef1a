"""Recording while something fails, and counting afterwards: nothing lost, nothing doubled, every caller answered."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from support import ROOT, a_call, child_environment, rows

from tracker import Tracker


@dataclass
class Result:
    """One line of the table of faults. Times are seconds."""

    fault: str
    mode: str
    records: int = 0
    lost: int = 0
    doubled: int = 0
    deadline_s: float = 0.0
    worst_s: float = 0.0
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        return (
            self.fault,
            self.mode,
            f"{self.records:,}",
            str(self.lost),
            str(self.doubled),
            f"{self.worst_s:.2f} of {self.deadline_s:g}" if self.deadline_s else "",
            self.note,
        )


RESULTS: list[Result] = []
SETTLE_S = 60.0
HEADINGS = ("fault", "mode", "records", "lost", "duplicate", "slowest outcome, s of the deadline", "details")


def table() -> str:
    """The results so far, as Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(result.cells() for result in RESULTS)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass
class Burst:
    """Calls that were handed to `record`: each knows its number, which its row carries as `session_id`."""

    deadline_s: float
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    answered: list[int] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0
    retries: int = 0

    def record(self, recorder: Tracker, **fields: Any) -> str:
        """Record one call and note the outcome and how long it took."""
        number = next(self.numbers)
        usage = a_call(session_id=str(number), **fields)
        started = time.monotonic()
        outcome = recorder.record(usage, self.deadline_s)
        self.worst_s = max(self.worst_s, time.monotonic() - started)
        self.statuses[outcome.status] += 1
        self.retries += outcome.retry_count
        if outcome.status != "failed":
            self.answered.append(number)
        return outcome.status

    @contextmanager
    def going_on(self, recorder: Tracker, threads: int, pause_s: float = 0.0) -> Iterator[None]:
        """Record from several threads for as long as the block lasts."""
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                self.record(recorder)
                ended.wait(pause_s)

        with ThreadPoolExecutor(threads) as pool:
            working = [pool.submit(work) for _ in range(threads)]
            try:
                yield
            finally:
                ended.set()
            for future in working:
                future.result(timeout=120)

    def settle(self, url: str, result: Result) -> Result:
        """Wait until all that was answered is in the table, and count what is not, or twice."""

        def missing() -> set[str]:
            found = {session for (session,) in rows(url, "SELECT session_id FROM token_usage")}
            return {str(number) for number in self.answered} - found

        end = time.monotonic() + SETTLE_S
        while missing() and time.monotonic() < end:
            time.sleep(0.1)
        result.records = len(self.answered)
        result.lost = len(missing())
        result.doubled = count_doubled(url)
        result.deadline_s, result.worst_s = self.deadline_s, self.worst_s
        RESULTS.append(result)
        return result


def count_doubled(url: str) -> int:
    """Calls that have more than one row."""
    question = (
        "SELECT coalesce(sum(n - 1), 0)::int FROM (SELECT count(*) AS n FROM token_usage GROUP BY session_id) AS t"
    )
    return int(rows(url, question)[0][0])


def held(result: Result) -> None:
    """Fail unless nothing was lost or doubled and every caller had an answer in time."""
    assert (result.lost, result.doubled) == (0, 0), result
    assert result.worst_s <= max(result.deadline_s * 1.2, 0.3), result


class Recording:
    """A process of its own that records until it is killed, and says each number whose `record` has returned."""

    _CODE = """
import itertools, os, sys
from tracker import Tracker, TokenUsage
recorder = Tracker(mode=sys.argv[1], log_records=False)
for number in itertools.count(int(sys.argv[2])):
    usage = TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164, session_id=str(number))
    if recorder.record(usage).status != "failed":
        os.write(1, b"%d\\n" % number)
"""

    def __init__(self, mode: str, first: int, env: dict[str, str]) -> None:
        command = [sys.executable, "-c", self._CODE, mode, str(first)]
        self._process = subprocess.Popen(
            command, env=child_environment(env), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self, records: int) -> list[int]:
        """Wait for so many records to return; their numbers."""
        lines = [self._process.stdout.readline() for _ in range(records)]
        if not lines[-1]:
            raise AssertionError(self._process.communicate(timeout=30)[1].decode())
        return [int(line) for line in lines]

    def killed_after(self, records: int) -> list[int]:
        """SIGKILL it once so many more records have returned; the numbers of all that had."""
        said = self.said(records)
        self._process.kill()
        rest, errors = self._process.communicate(timeout=30)
        # What it alerted of while the database was away belongs there.
        assert b"Traceback" not in errors, errors.decode()
        return said + [int(line) for line in rest.split(b"\n")[:-1]]
