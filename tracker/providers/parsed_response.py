"""The result of reading a response."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tracker.providers.stated_cost import Cost


class ParsedResponse(NamedTuple):
    """Counts by column name (input includes cached, output includes reasoning tokens), and the other stated values.

    `details` determine the price besides the counts, by genai-prices' names. `failure` is the error that the response
    itself reports. `problem` is a code of `USAGE_PROBLEMS`; then `raw` are the stated numbers and
    `usage_source` names the reader. `note` is the code of a derived count (`reasoning_from_total`). `calls` is above 1
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
