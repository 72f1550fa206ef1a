"""What recording writes to the log: a line a call, and the whole record where nothing else may hold it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from tracker.threads import fork_guard

if TYPE_CHECKING:
    import logging

    from tracker.outcome import Outcome
    from tracker.usage import TokenUsage

_INFO, WARNING, ERROR = 20, 30, 40  # logging's own
_ENVIRONMENT = ("NODE_ENV", "VERCEL", "VERCEL_ENV")
_warned: set[str] = set()


@cache
def logger() -> logging.Logger:
    """The library's logger; most apps have imported logging anyway, a cold function need not."""
    with fork_guard.importing:
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


def notable(usage: TokenUsage, outcome: Outcome, elapsed_ms: float, slow_ms: float, place: Mapping[str, Any]) -> None:
    """One JSON line for a call that couldn't be recorded at once, or that took long; names are OpenTelemetry's.

    Source: opentelemetry.io/docs/specs/semconv, "Database" and "Generative AI". No user, no address, no secret.
    """
    slow = elapsed_ms >= slow_ms
    if not (slow or outcome.error):
        return
    event = {
        "event": "tracker.record_failed" if outcome.error else "tracker.record_slow",
        "error.type": outcome.status if outcome.error else None,
        "error.message": outcome.error,
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "token_usage",
        "db.client.operation.duration": round(elapsed_ms / 1000, 6),
        "db.client.connection.wait_time": _seconds(outcome.connection_ms),
        "gen_ai.provider.name": usage.provider,
        "gen_ai.operation.name": usage.operation,
        "gen_ai.request.model": usage.model,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "deployment.environment.name": place.get("environment"),
        "cloud.platform": place.get("platform"),
        "cloud.region": place.get("region"),
        "service.version": place.get("deployment"),
        "tracker.record.id": str(outcome.id),
        "tracker.record.status": outcome.status,
        "tracker.retry_count": outcome.retry_count,
        "tracker.slow": slow,
    }
    kept = {name: value for name, value in event.items() if value is not None}
    (logger().error if outcome.status == "failed" else logger().warning)("%s", json.dumps(kept, ensure_ascii=False))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


def log_full_record(status: str, row: Mapping[str, Any], error: str | None, retry_count: int) -> None:
    """The whole record as one JSON line, which `token-tracker import --profile tracker-log` replays by its id.

    It is the last resort of a record that failed, and of a queued one where the disk dies with the instance.
    """
    with fork_guard.importing:
        from tracker.recording.instance import document

    event = {"event": f"token_usage.{status}", "error": error, "retry_count": retry_count}
    line = f'{json.dumps(event)[:-1]}, "record": {document(row)}}}'
    _say_whatever_the_level(ERROR if status == "failed" else WARNING, line)


def alert(line: str, level: int = ERROR) -> None:
    """An alert, as one JSON line; raises nothing."""
    with suppress(Exception):
        logger().log(level, "%s", line)


def _say_whatever_the_level(level: int, line: str) -> None:
    """Write what would be lost otherwise: past the logger, where an app's level for all of its logs drops it.

    Whoever silences this library's own logger means it.
    """
    try:
        if logger().level or logger().isEnabledFor(level):
            logger().log(level, "%s", line)
            return
    except Exception:  # noqa: BLE001, S110  a handler or filter of the host's own may raise anything
        pass
    with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
        sys.stderr.write(line + "\n")


def warn_once(text: str) -> None:
    """A warning that a process writes once."""
    if text not in _warned:
        _warned.add(text)
        logger().warning("%s", text)
