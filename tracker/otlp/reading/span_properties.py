"""Reads the properties that an application set on a span: metadata, tags and copied baggage.

Sources: arize-ai.github.io/openinference/spec (`metadata`, `tag.tags`); langfuse, `_client/attributes.py`
(`langfuse.trace.*`, whose values are JSON); traceloop-sdk, `set_association_properties`; ai-sdk.dev, telemetry
(`ai.telemetry.metadata.*`); langsmith, `_internal/otel/_otel_exporter.py`; litellm, `integrations/opentelemetry.py`;
opentelemetry-processor-baggage, which copies each entry of the baggage under its own name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading.embedded_usage import parse_usage_text
from tracker.otlp.reading.genai_attributes import (
    PROPERTY_NAMES,
    PROPERTY_OBJECTS,
    PROPERTY_PREFIXES,
    PROPERTY_TAGS,
    SESSION_KEYS,
    USER_KEYS,
)
from tracker.providers.frameworks.metadata_keys import is_application_key

MAX_PROPERTIES = 100
MAX_PROPERTY_CHARS = 32_768
"""The limit of the keys and values of one span together; what does not fit is not stored."""
# LangSmith also writes the request's parameters there.
_LANGSMITH = "langsmith.metadata."
_LANGSMITH_PARAMETERS = re.compile(
    r"(_type|max_retries|max_tokens|model|model_kwargs|model_name|n|stop|stream|stream_options|streaming|temperature|"
    r"top_k|top_p|tool_call_id|usage_metadata)$"
)
_COLUMN_KEYS = frozenset({*USER_KEYS, *SESSION_KEYS})
_NO_VALUE = frozenset({"", "undefined", "null", "None"})


def read_properties(span: Span, names: Sequence[str] = ()) -> dict[str, Any]:
    """The properties by key: scalars, and lists of scalars. `names` are further attributes, `app.*` by their prefix."""
    properties: dict[str, Any] = {}
    left = MAX_PROPERTY_CHARS
    for key, given in _candidates(span, names):
        if key in properties or key in _COLUMN_KEYS or len(properties) >= MAX_PROPERTIES:
            continue
        if (value := _value(given)) is None:
            continue
        size = len(key) + len(str(value))
        if size <= left:
            properties[key] = value
            left -= size
    return properties


def _candidates(span: Span, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values, those that name their key most exactly first."""
    for attributes in (span.attributes, span.resource):
        yield from _named(attributes, names)
    for name, value in span.attributes.items():
        if _plain(name) in PROPERTY_NAMES:
            yield name, value
        elif name in PROPERTY_TAGS:
            yield "tags", _tags(value)
        elif (prefix := next(filter(name.startswith, PROPERTY_PREFIXES), None)) is not None:
            key = name.removeprefix(prefix)
            if prefix != _LANGSMITH or not _LANGSMITH_PARAMETERS.match(key):
                yield from _application_keys({key: value})
    for name in PROPERTY_OBJECTS:
        if isinstance(node := parse_usage_text(span.attributes.get(name)), Mapping):
            yield from _application_keys(node)


def _named(attributes: Attributes, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    exact = {name for name in names if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    for name, value in attributes.items() if names else ():
        if name in exact or name.startswith(prefixes):
            yield name, value


def _application_keys(values: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in values.items() if isinstance(key, str) and is_application_key(key))


def _plain(name: str) -> str:
    return name.removeprefix("baggage.").replace(".", "_").replace("-", "_").lower()


def _value(value: Any) -> Any:
    """The scalar or the list of scalars, which may be a JSON text; None for anything else, and for no value."""
    if isinstance(value, str) and value.lstrip()[:1] in {'"', "["}:
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, list):
        return value if value and all(map(_is_scalar, value)) else None
    if isinstance(value, str):
        text = value.strip()
        return None if text in _NO_VALUE or text.startswith("{") else value
    return value if _is_scalar(value) else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _tags(value: Any) -> Any:
    """A list of tags; LangSmith writes one text with commas, LiteLLM a Python literal."""
    if not isinstance(value, str) or value.strip()[:1] != "[":
        return [tag for part in str(value).split(",") if (tag := part.strip())] or None
    return parse_usage_text(value)
