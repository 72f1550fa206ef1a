"""Recording needs no more memory, file descriptors, threads or disk the longer a state lasts."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from support import a_call

from tracker import Tracker
from tracker.errors import DatabaseError, OutboxError, TransientError
from tracker.recording.breaker import Breaker


def depth(error: BaseException | None) -> int:
    return 0 if error is None else len(list(traceback.walk_tb(error.__traceback__)))


@pytest.mark.parametrize(
    "error",
    [TransientError("refused", "Nothing answers.", "Try again.", "08001"), OutboxError("busy", "It is locked.")],
)
def test_a_copy_of_an_error_says_the_same_without_a_traceback(error):
    try:
        raise error
    except type(error) as raised:
        made = raised.copy()
    assert (type(made), str(made), vars(made), depth(made)) == (type(error), str(error), vars(error), 0)
    assert depth(error) == 1


@pytest.mark.parametrize("url", ["", "postgresql//nonsense"])
def test_no_stored_error_grows_with_each_record(tmp_path: Path, url: str):
    with Tracker(mode="direct", database_url=url, outbox=tmp_path / "outbox.db", log_records=False) as recorder:
        for _ in range(5):
            assert recorder.record(a_call()).status == "queued"
        assert depth(recorder._direct._trouble) == 0


def test_the_circuit_breaker_keeps_no_frame_of_a_failed_call(new_tracker, proxy):
    proxy.swallow = True
    recorder: Tracker = new_tracker(database_url=proxy.url, max_retries=0, platform="vercel", log_records=False)
    for _ in range(3):
        assert recorder.record(a_call(), 0.3).status == "queued"
    error = recorder._breaker.error
    assert isinstance(error, DatabaseError)
    assert (depth(error), error.__context__, error.__cause__) == (0, None, None)
    assert isinstance(recorder._breaker, Breaker)
    proxy.swallow = False
