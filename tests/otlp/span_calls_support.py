"""Shared by the tests in which several sources report one AI call: spans to send, and the rows that are stored."""

from __future__ import annotations

import json
import time
from contextlib import closing
from datetime import UTC, datetime

from support import connect, rows
from traces_support import GENAI, export_of, post, span

from tracker import TokenUsage
from tracker.otlp.storing.late_rows import compare

SDK, WRAPPER = "com.anthropic.sdk.python", "opentelemetry.instrumentation.anthropic"
NOW_NS = time.time_ns()
CALL = {**GENAI, "gen_ai.response.id": "chatcmpl-A1b2"}


def report(number, attributes, *, trace=1, end_ns=NOW_NS, duration_ms=1500, **fields):
    times = {"startTimeUnixNano": str(end_ns - duration_ms * 1_000_000), "endTimeUnixNano": str(end_ns)}
    return {**span(number, attributes, **fields), **times, "traceId": f"{trace:032x}"}


def send(app, *scopes, **resource):
    status, _, answer = post(app, export_of(*scopes, **resource))
    assert status == 200, answer
    return json.loads(answer)


def stored(url, columns="input_tokens, output_tokens"):
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")


def recorded(**fields):
    """A call as a recorder in the application has it."""
    usage = {"model": "gpt-4.1-2025-04-14", "input_tokens": 100, "output_tokens": 20, "processing_time": 1495}
    ended = datetime.fromtimestamp(NOW_NS / 1e9, UTC)
    return TokenUsage(**{**usage, "provider": "azure", "created_at": ended, **fields})


def compared(url):
    with closing(connect(url)) as connection:
        return compare(connection, None)
