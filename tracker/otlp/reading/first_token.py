"""Reads the time to the first token of a stream from a span."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from tracker.otlp.decode import Span
from tracker.otlp.reading.genai_attributes import FIRST_TOKEN_AT, FIRST_TOKEN_MS, FIRST_TOKEN_S

_TOLERANCE_MS = 1000
"""Instrumentations start their clock shortly before or after the span."""


def time_to_first_token_ms(span: Span) -> int | None:
    """The milliseconds from the span's start to the first content; None if no attribute states a possible time.

    A value above the duration of the span has another unit or is wrong.
    """
    attributes = span.attributes
    candidates = [
        *(_scaled(attributes.get(name), 1000) for name in FIRST_TOKEN_S),
        *(_scaled(attributes.get(name), 1) for name in FIRST_TOKEN_MS),
        *(_since_start(attributes.get(name), span.start_ns) for name in FIRST_TOKEN_AT),
    ]
    duration_ms = (span.end_ns - span.start_ns) / 1_000_000
    possible = (value for value in candidates if value is not None and 0 < value <= duration_ms + _TOLERANCE_MS)
    return next((min(round(value), max(0, int(duration_ms))) for value in possible), None)


def _scaled(value: object, factor: int) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value * factor


def _since_start(value: object, start_ns: int) -> float | None:
    """The milliseconds from the start to an ISO time, which Langfuse writes as a JSON text with quotes."""
    if not isinstance(value, str) or start_ns <= 0:
        return None
    try:
        time = datetime.fromisoformat(value.strip().strip('"'))
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return time.timestamp() * 1000 - start_ns / 1_000_000
    except (ValueError, OverflowError):
        return None
