"""What recording writes to the log: a line a call, and the whole record where nothing else may hold it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from tracker.recording.outcome import Outcome
    from tracker.usage import TokenUsage

_INFO = 20  # logging.INFO
_ENVIRONMENT = ("NODE_ENV", "VERCEL", "VERCEL_ENV")
_warned: set[str] = set()


@cache
def logger() -> logging.Logger:
    """The library's logger; most apps have imported logging anyway, a cold function need not."""
    import logging

    return logging.getLogger("tracker")


def recorded(usage: TokenUsage, outcome: Outcome) -> None:
    """One INFO line for a call that is in the database, or on its way."""
    if not logger().isEnabledFor(_INFO):
        return
    fields = {
        "id": str(outcome.id),
        "operation": usage.operation,
        "total_tokens": usage.total_tokens,
        **{name: os.environ.get(name) for name in _ENVIRONMENT},
        "retry_count": outcome.retry_count,
        "connection_ms": outcome.connection_ms,
        "write_ms": outcome.write_ms,
    }
    logger().info("token_usage.%s %s", outcome.status, json.dumps(fields))


def whole_record(status: str, row: Mapping[str, Any], error: str | None, retry_count: int) -> None:
    """The whole record as one JSON line, which `token-tracker import --profile tracker-log` replays by its id.

    It is the last resort of a record that failed, and of a queued one where the disk dies with the instance.
    """
    from tracker.recording.instance import document

    event = {"event": f"token_usage.{status}", "error": error, "retry_count": retry_count}
    line = f'{json.dumps(event)[:-1]}, "record": {document(row)}}}'
    (logger().error if status == "failed" else logger().warning)("%s", line)


def warn_once(text: str) -> None:
    """A warning that a process writes once."""
    if text not in _warned:
        _warned.add(text)
        logger().warning("%s", text)
