"""Detects the first chunk of a stream that contains output, and measures the time to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tracker.providers.responses import get

# The fields of a delta or a message that contain output: text, reasoning, tool calls, audio, and images.
_CONTENT_FIELDS = (
    *("content", "text", "thinking", "reasoning_content", "reasoning", "reasoning_text", "refusal"),
    *("tool_calls", "function_call", "tool_call_chunks", "partial_json", "arguments", "input", "toolUse"),
    *("function", "tool_plan"),
    *("audio", "images", "parts", "message", "reasoningContent"),
)
# Containers of the output in chunks without an event type: the chunk itself is searched last.
_CONTAINERS = ("choices", "candidates", "contentBlockDelta", "message", "data", "outputs")
_TYPE_FIELDS = ("type", "event_type", "event")
_MAX_DEPTH = 5


class FirstContentClock:
    """Measures the milliseconds from the start of a call to the first chunk with output, on the monotonic clock."""

    __slots__ = ("elapsed_ms",)

    def __init__(self) -> None:
        self.elapsed_ms: int | None = None

    def observe(self, chunk: object, started_s: float) -> None:
        """Stop the clock if this is the first chunk with output."""
        if self.elapsed_ms is None and has_content(chunk):
            self.elapsed_ms = max(0, round((time.monotonic() - started_s) * 1000))


def has_content(chunk: object) -> bool:
    """Whether a chunk of a stream contains output. The events that only start or end a response contain none."""
    for name in _TYPE_FIELDS:
        kind = get(chunk, name)
        if isinstance(kind, str) and kind:
            return _event_has_content(kind.lower(), chunk)
    if any(_has_output(get(chunk, name)) for name in _CONTAINERS):
        return True
    return any(_is_output(get(chunk, name)) for name in ("content", "text", "response", "tool_call_chunks"))


def _event_has_content(kind: str, chunk: object) -> bool:
    """Whether a chunk with a type contains output: a delta, a part of an image, a text, or LangChain's message."""
    if "partial_image" in kind:
        return True
    if kind in {"text", "thinking", "content", "completion", "aimessagechunk", "ai"}:
        return any(_is_output(get(chunk, name)) for name in (*_CONTENT_FIELDS, "completion"))
    if "delta" not in kind or kind in {"message_delta", "message-delta"}:
        return False
    return any(_has_output(get(chunk, name)) for name in ("delta", "data"))


def _has_output(node: object, depth: int = 0) -> bool:
    """Whether a container of output, at any depth, has a field with output."""
    if node is None or depth > _MAX_DEPTH:
        return False
    if isinstance(node, str | bytes):
        return depth == 0 and bool(node)
    if isinstance(node, list | tuple):
        return any(_has_output(item, depth + 1) for item in node)
    if any(_is_output(get(node, name)) for name in _CONTENT_FIELDS):
        return True
    return any(_has_output(get(node, name), depth + 1) for name in ("delta", "choices") if get(node, name) is not None)


def _is_output(value: Any) -> bool:
    """Whether a field contains output; a nested object contains it if one of its fields does."""
    if value is None or isinstance(value, bool | int | float):
        return False
    if isinstance(value, str | bytes):
        return bool(value)
    if isinstance(value, list | tuple):
        return any(_is_item(item) for item in value)
    if isinstance(value, Mapping) and not value:
        return False
    return any(_is_output(get(value, name)) for name in (*_CONTENT_FIELDS, "data", "id", "transcript"))


def _is_item(item: Any) -> bool:
    """Whether an item of a list is output: a text, a part with a value, or a tool call with a name."""
    if isinstance(item, str | bytes):
        return bool(item)
    fields = item if isinstance(item, Mapping) else getattr(item, "__dict__", {})
    return any(value not in (None, "", [], {}) for name, value in fields.items() if name not in {"type", "index"})
