"""Shared by the tests of recording: programs of other processes, queued records, log lines about losses, deadlines."""

from __future__ import annotations

import json
import time

from support import a_call

from tracker import Tracker
from tracker.recording.outbox.store import QueuedRecord

ENDS = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
recorder.record_many([a_call() for _ in range(50)])
"""
LEAVES = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="background", log_records=False)
for _ in range(30):
    assert recorder.record(a_call()).status == "queued"
print(recorder.instance_id, flush=True)
os._exit(0)
"""


def a_record(number: int = 1, instance: str = "one") -> QueuedRecord:
    return QueuedRecord(f"{instance}-{number:06}", instance, number, f'{{"n": {number}}}')


def failures(caplog) -> list[dict]:
    """The JSON lines about lost records."""
    return [json.loads(line) for line in caplog.messages if "token_usage.failed" in line]


def in_time(recorder: Tracker, deadline_s: float, usage=None):
    started = time.monotonic()
    outcome = recorder.record(usage or a_call(), deadline_s)
    took = time.monotonic() - started
    assert took <= deadline_s * 1.2, f"{took:.2f} s for a deadline of {deadline_s} s"
    return outcome
