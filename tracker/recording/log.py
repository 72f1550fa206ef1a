"""What recording writes to the log: a line a call, and the whole record where nothing else holds it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from tracker.recording.outcome import Outcome

logger = logging.getLogger("tracker")
_ENVIRONMENT = ("NODE_ENV", "VERCEL", "VERCEL_ENV")


def recorded(row: Mapping[str, Any], outcome: Outcome) -> None:
    """One INFO line for a call that is in the database."""
    if not logger.isEnabledFor(logging.INFO):
        return
    fields = {
        "id": str(outcome.id),
        "operation": row["operation"],
        "total_tokens": row["total_tokens"],
        **{name: os.environ.get(name) for name in _ENVIRONMENT},
        "retry_count": outcome.retry_count,
        "connection_ms": outcome.connection_ms,
        "write_ms": outcome.write_ms,
    }
    logger.info("token_usage.%s %s", outcome.status, json.dumps(fields))


def failed(row: Mapping[str, Any], outcome: Outcome) -> None:
    """The last resort: the whole record as one JSON line, from which it can be recorded again with the same id."""
    record = {
        name: value if isinstance(value, bool | int | float | dict | None) else str(value)
        for name, value in row.items()
    }
    event = {
        "event": "token_usage.failed",
        "error": outcome.error,
        "retry_count": outcome.retry_count,
        "record": record,
    }
    logger.error("%s", json.dumps(event, default=str))
