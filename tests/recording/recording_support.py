"""Shared by the tests of recording: the log lines about lost records, and a call with a deadline."""

from __future__ import annotations

import json
import time

from support import a_call

from tracker import Tracker


def failures(caplog) -> list[dict]:
    """The JSON lines about lost records."""
    return [json.loads(line) for line in caplog.messages if "token_usage.failed" in line]


def in_time(recorder: Tracker, deadline_s: float, usage=None):
    started = time.monotonic()
    outcome = recorder.record(usage or a_call(), deadline_s)
    took = time.monotonic() - started
    assert took <= deadline_s * 1.2, f"{took:.2f} s for a deadline of {deadline_s} s"
    return outcome
