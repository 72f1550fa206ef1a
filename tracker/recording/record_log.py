"""The recorder's log lines: one for each call, and the full record if the log is the only place that keeps it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from tracker.forks import fork_guard

if TYPE_CHECKING:
    import logging

    from tracker.outcome import Outcome
    from tracker.usage import TokenUsage

_INFO, WARNING, ERROR = 20, 30, 40  # the levels of logging
_ENVIRONMENT = ("NODE_ENV", "VERCEL", "VERCEL_ENV")
_warned: set[str] = set()


@cache
def logger() -> logging.Logger:
    """The library's logger. `logging` is imported at first use, which keeps a cold start short."""
    with fork_guard.importing:
        import logging

    return logging.getLogger("tracker")


def log_recorded(usage: TokenUsage, outcome: Outcome) -> None:
    """Write one INFO line for a call that is stored or queued."""
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


def log_slow_or_error(
    usage: TokenUsage, outcome: Outcome, elapsed_ms: float, slow_ms: float, runtime_fields: Mapping[str, Any]
) -> None:
    """Write one JSON line for a call that wasn't recorded at once or was slow, with OpenTelemetry's attribute names.

    Source: opentelemetry.io/docs/specs/semconv, "Database" and "Generative AI". The line contains no user, no address,
    and no secret.
    """
    is_slow = elapsed_ms >= slow_ms
    if not (is_slow or outcome.error):
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
        "deployment.environment.name": runtime_fields.get("environment"),
        "cloud.platform": runtime_fields.get("platform"),
        "cloud.region": runtime_fields.get("region"),
        "service.version": runtime_fields.get("deployment"),
        "tracker.record.id": str(outcome.id),
        "tracker.record.status": outcome.status,
        "tracker.retry_count": outcome.retry_count,
        "tracker.slow": is_slow,
    }
    fields = {name: value for name, value in event.items() if value is not None}
    (logger().error if outcome.status == "failed" else logger().warning)("%s", json.dumps(fields, ensure_ascii=False))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


def log_full_record(status: str, row: Mapping[str, Any], error: str | None, retry_count: int) -> None:
    """Write the full record as one JSON line, which `token-tracker import --profile tracker-log` records by its id.

    It preserves a failed record, and a queued record if the disk is deleted with the instance.
    """
    with fork_guard.importing:
        from tracker.recording.instance import document

    event = {"event": f"token_usage.{status}", "error": error, "retry_count": retry_count}
    line = f'{json.dumps(event)[:-1]}, "record": {document(row)}}}'
    _log_at_any_level(ERROR if status == "failed" else WARNING, line)


def log_alert(line: str, level: int = ERROR) -> None:
    """Write an alert, which is one JSON line. Never raises."""
    with suppress(Exception):
        logger().log(level, "%s", line)


def _log_at_any_level(level: int, line: str) -> None:
    """Write a line to the log, or to standard error if the root logger's level drops it.

    A level that is set on this library's own logger is respected.
    """
    try:
        if logger().level or logger().isEnabledFor(level):
            logger().log(level, "%s", line)
            return
    except Exception:  # noqa: BLE001, S110  a handler or filter of the host may raise anything
        pass
    with suppress(OSError, ValueError, AttributeError):  # standard error is closed or missing
        sys.stderr.write(line + "\n")


def warn_once(text: str) -> None:
    """Write a warning once for each process."""
    if text not in _warned:
        _warned.add(text)
        logger().warning("%s", text)
