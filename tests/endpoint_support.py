"""Shared by the endpoints of the local API server: what one answer counts, and the body of an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CACHED, REASONING = 512, 64
CACHED_AND_REASONING = {"cache_read_input_tokens": CACHED, "reasoning_output_tokens": REASONING}


@dataclass(frozen=True)
class Served:
    """One generated answer: its id and its counts by the table's names."""

    api: str
    model: str
    stream: bool
    id: str
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_output_tokens: int = 0


def error_body(status: int) -> dict[str, Any]:
    kinds = {429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}
    kind = kinds.get(status, "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": f"The server answers {status}.", "code": status, "status": kind.upper()},
    }
