"""Reads fields of a response, besides its usage, that the record or its price depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracker.providers.node_access import Path, follow, get, is_number, text

_BILLED_BY_RESPONSE = re.compile(r"gemini-[12]\.")
# Server-side tools of OpenAI, which cost extra. Source: developers.openai.com, pricing, tools.
_TOOL_CALLS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
    "image_generation_call": "image_generations",
}


# The fields that only Anthropic's usage has. Source: anthropic-sdk-python, types/usage.py.
ANTHROPIC_FIELDS = frozenset(
    {
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
        "cache_creation.ephemeral_5m_input_tokens",
        "server_tool_use.web_search_requests",
        "iterations",
        "inference_geo",
    }
)
# Prefixes of Claude's ids show which platform served the message.
# Source: anthropic-sdk-python, AnthropicBedrock, AnthropicVertex.
HOSTED_IDS = (("msg_bdrk_", "aws"), ("msg_vrtx_", "google"))
MESSAGE_TYPES = frozenset({"message", "message_start", "message_delta"})
LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


def failure_of(node: object) -> str | None:
    """The error that a response itself reports, by its status, type and code; None if it reports none."""
    error = get(node, "error")
    if error is None or isinstance(error, str | int | float):
        return None
    inner = get(error, "error")
    error = error if inner is None or isinstance(inner, str | int | float) else inner
    values = [get(error, name) for name in ("status", "type", "code")]
    words = [str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool) and value]
    return " ".join(dict.fromkeys(words))[:200] if words else None


def tool_calls(output: object) -> dict[str, int]:
    calls: dict[str, int] = {}
    for item in output if isinstance(output, list) else ():
        kind = text(item, "type") or ""
        # Opening a page or searching in it is free.
        if kind == "web_search_call" and (text(get(item, "action"), "type") or "search") != "search":
            continue
        if (name := _TOOL_CALLS.get(kind)) is not None:
            calls[name] = calls.get(name, 0) + 1
    return calls


def is_batch_line(chunk: object) -> bool:
    """Whether this is a line of a Gemini batch's output, which has the request's key or the request."""
    return get(chunk, "key") is not None or get(chunk, "request") is not None


def items_of(node: object, name: str) -> list[Any]:
    items = get(node, name)
    return items[:10_000] if isinstance(items, list) else []


def embedding_counts(chunk: object) -> list[Any]:
    """The token count that Vertex AI states for each embedding; empty if it states none.

    Source: cloud.google.com/vertex-ai, text embeddings API.
    """
    statistics = [get(item, "statistics") for item in items_of(chunk, "embeddings")]
    statistics += [follow(item, ("embeddings", "statistics")) for item in items_of(chunk, "predictions")]
    if all(item is None for item in statistics):
        return []
    return [get(item, "token_count") for item in statistics]


def sum_of_embeddings(values: list[Any]) -> Any:
    if values and all(is_number(value) for value in values):
        return sum(values)
    return -1 if values else None  # one embedding without a count: the sum is unknown, which is no valid count


def langchain_tier(raw_values: Mapping[str, Any]) -> str | None:
    """The tier that langchain-openai puts before the names of a call's parts."""
    return next(
        (tier for tier in ("flex", "priority") for key in raw_values if key.rpartition(".")[2].startswith(tier)), None
    )


def langchain_model(node: object) -> str | None:
    metadata = get(node, "response_metadata")
    return None if metadata is None else text(metadata, "model_name") or text(metadata, "model")


def grounding_searches(node: object, model: str | None) -> int:
    """Google bills each query since Gemini 3, before each response with one. Source: ai.google.dev, pricing."""
    queries = 0
    for candidate in items_of(node, "candidates"):
        stated = get(get(candidate, "grounding_metadata"), "web_search_queries")
        queries += len([query for query in stated if query]) if isinstance(stated, list) else 0
    by_response = _BILLED_BY_RESPONSE.search(text(node, "model_version") or model or "") is not None
    return min(queries, 1) if by_response else queries


def usage_at(node: object, fields: Mapping[str, Any] | None, path: Path) -> Any:
    """The value at a path of a response; `fields` are those of a pydantic object."""
    if not path:
        return node
    if fields is None:
        return get(node, path[0]) if len(path) == 1 else follow(node, path)
    usage = fields.get(path[0])
    return usage if usage is None or len(path) == 1 else follow(usage, path[1:])
