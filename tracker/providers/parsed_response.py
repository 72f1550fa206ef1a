"""What a response states: the result of reading it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tracker.providers.stated_cost import Cost


class ParsedResponse(NamedTuple):
    """What a response states: counts by the table's names, input with cached and output with reasoning tokens.

    `details` are what determines the price besides the counts, by genai-prices' names. `failure` is the error that
    the response itself reports. `problem` is a code of `USAGE_PROBLEMS`; then `raw` are the stated numbers and
    `usage_source` names the reader. `note` says how a count was derived (`reasoning_from_total`). `calls` is above 1
    for the sum of several responses.
    """

    counts: Mapping[str, int] = MappingProxyType({})
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    cost: Cost | None = None
    details: Mapping[str, Any] = MappingProxyType({})
    failure: str | None = None
    problem: str | None = None
    raw: Mapping[str, Any] | None = None
    usage_source: str | None = None
    note: str | None = None
    calls: int = 1
