"""Repeats delivery rounds in the caller's thread, for a flush and for the command that drains an outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from tracker.errors import DatabaseError, OutboxError, TransientError

_FAILED_PAUSE_S = 0.2


class RoundsResult(NamedTuple):
    """The result of the last successful round, as of `Drainer.run_round`, and the error of the last round."""

    more: bool | None
    error: DatabaseError | OutboxError | None


def run_rounds(
    run_round: Callable[[], bool | None],
    end: float,
    busy_pause_s: float,
    *,
    is_done: Callable[[], bool] = lambda: False,
    retries_failure: Callable[[], bool] = lambda: True,
) -> RoundsResult:
    """Run rounds until no records remain, a round fails permanently, or `end` (`time.monotonic`) is reached.

    `is_done` is called before each round, `retries_failure` after a transient error.
    """
    more: bool | None = False
    error: DatabaseError | OutboxError | None = None
    while not is_done():
        try:
            more, error = run_round(), None
            if more is False:
                break
            pause_s = busy_pause_s if more is None else 0.0
        except TransientError as transient:
            error, pause_s = transient.copy(), _FAILED_PAUSE_S
            if not retries_failure():
                break
        except (DatabaseError, OutboxError) as permanent:
            error = permanent.copy()
            break
        if time.monotonic() + pause_s >= end:
            break
        time.sleep(pause_s)
    return RoundsResult(more, error)
