"""Reads the usage, model and provider of a response: an object or JSON, whole or as a stream's chunks."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from tracker.providers.consistency import RereadUsage
from tracker.providers.node_access import follow, get
from tracker.providers.parsed_response import ParsedResponse
from tracker.providers.response_reader import ResponseReader
from tracker.providers.schemas.schema_table import SCHEMAS

__all__ = [
    "ParsedResponse",
    "ResponseReader",
    "follow",
    "get",
    "parse_text",
    "read",
    "read_usage_object",
    "read_usage_text",
    "reread",
]

_MAX_TEXT_CHARS = 1_000_000


def read(response: object) -> ParsedResponse:
    """Read a whole response, or a list of a stream's chunks. Never raises: unreadable usage sets `problem`."""
    reader = ResponseReader()
    if isinstance(response, list | tuple):
        for chunk in response:
            reader.add(chunk)
        return reader.result(streamed=True)
    reader.add(response)
    return reader.result()


def read_usage_text(source: str, *, provider: str | None = None, model: str | None = None) -> ParsedResponse | None:
    """The usage in a text that is JSON or a Python literal of a response, a usage object or `providerMetadata`.

    None if the text is longer than 1,000,000 characters, cannot be parsed or contains no usage.
    """
    node = parse_text(source)
    parsed = None if node is None else read_usage_object(node, provider=provider)
    return parsed if parsed is None or parsed.model or not model else parsed._replace(model=model)


def parse_text(source: str) -> Any:
    """The object that a JSON text or a Python literal describes; None for any other text."""
    if len(source) > _MAX_TEXT_CHARS or source.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(source)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(source.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def read_usage_object(node: object, *, provider: str | None = None) -> ParsedResponse | None:
    """The usage in a response, a bare usage object or the AI SDK's `providerMetadata`; None if it contains none."""
    if isinstance(node, list | tuple):
        parsed = read(node)
        return parsed if _has_usage(parsed) else None
    for candidate, stated_provider in _candidates(node):
        reader = ResponseReader(provider or stated_provider)
        reader.add(candidate)
        parsed = reader.result()
        if _has_usage(parsed):
            return parsed
    return None


def _candidates(node: object) -> list[tuple[object, str | None]]:
    candidates: list[tuple[object, str | None]] = [
        (node, None),
        ({"usage_metadata": node}, None),
        ({"usage": node}, None),
    ]
    if isinstance(node, Mapping):
        for name, inner in list(node.items())[:20]:
            if isinstance(inner, Mapping):
                provider = _PROVIDER_METADATA.get(str(name))
                candidates += [(inner, provider), ({"usage_metadata": inner}, provider), ({"usage": inner}, provider)]
    return candidates


# The AI SDK's names in providerMetadata. Source: github.com/vercel/ai, packages/*.
_PROVIDER_METADATA = {"anthropic": "anthropic", "google": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}


def _has_usage(parsed: ParsedResponse) -> bool:
    return parsed.usage_source is not None or bool(parsed.counts or parsed.details)


def reread(schema_name: str, raw: Mapping[str, Any]) -> RereadUsage | None:
    """Read the stored numbers of a marked row with the current rules of a schema."""
    schema = next((schema for schema in SCHEMAS if schema.name == schema_name), None)
    reader = ResponseReader()
    if schema is None:
        parsed = read_usage_object(raw)
    else:
        reader.add_usage(schema, raw)
        parsed = reader.result()
    return None if parsed is None else RereadUsage(dict(parsed.counts), dict(parsed.details), parsed.problem)
