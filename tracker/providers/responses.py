"""A provider's response, whole or as a stream's chunks, as an object or as JSON → what it used and who answered."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from tracker.providers.consistency import Reread
from tracker.providers.node_access import follow, get
from tracker.providers.parsed_response import ParsedResponse
from tracker.providers.response_reader import ResponseReader
from tracker.providers.schemas.schema_table import SHAPES

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
    """Read a whole response, or a list of a stream's chunks. Never raises: what cannot be read is a `problem`."""
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
    answer = None if node is None else read_usage_object(node, provider=provider)
    return answer if answer is None or answer.model or not model else answer._replace(model=model)


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
        answer = read(node)
        return answer if _has_usage(answer) else None
    for candidate, named in _candidates(node):
        reader = ResponseReader(provider or named)
        reader.add(candidate)
        answer = reader.result()
        if _has_usage(answer):
            return answer
    return None


def _candidates(node: object) -> list[tuple[object, str | None]]:
    found: list[tuple[object, str | None]] = [(node, None), ({"usage_metadata": node}, None), ({"usage": node}, None)]
    if isinstance(node, Mapping):
        for name, inner in list(node.items())[:20]:
            if isinstance(inner, Mapping):
                named = _PROVIDER_METADATA.get(str(name))
                found += [(inner, named), ({"usage_metadata": inner}, named), ({"usage": inner}, named)]
    return found


# The AI SDK's names in providerMetadata. Source: github.com/vercel/ai, packages/*.
_PROVIDER_METADATA = {"anthropic": "anthropic", "google": "google", "vertex": "google", "bedrock": "aws", "xai": "x-ai"}


def _has_usage(answer: ParsedResponse) -> bool:
    return answer.usage_source is not None or bool(answer.counts or answer.details)


def reread(shape_name: str, raw: Mapping[str, Any]) -> Reread | None:
    """What today's rules of a shape read from the stored numbers of a marked row."""
    shape = next((shape for shape in SHAPES if shape.name == shape_name), None)
    reader = ResponseReader()
    if shape is None:
        answer = read_usage_object(raw)
    else:
        reader.add_usage(shape, raw)
        answer = reader.result()
    return None if answer is None else Reread(dict(answer.counts), dict(answer.details), answer.problem)
