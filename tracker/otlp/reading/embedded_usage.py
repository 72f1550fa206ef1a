"""Reads the provider's own usage from the JSON texts of a span: response bodies, usage objects, `providerMetadata`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading.response_texts import RESPONSE_TEXTS, carries_response
from tracker.providers.responses import ParsedResponse, ResponseReader, parse_text

# Texts of usage objects, with the key under which a response has them.
_USAGE_TEXTS: tuple[tuple[str, str], ...] = (
    ("gen_ai.usage.raw", "usage"),  # Logfire
    ("metadata.usage_object", "usage"),  # LiteLLM
    ("langsmith.metadata.usage_metadata", "usage_metadata"),
)
# The other top-level fields of a response. A model's output text may also be JSON with a usage.
_RESPONSE_FIELDS = frozenset(
    {"id", "response_id", "choices", "content", "candidates", "generations", "output", "message", "embeddings", "data"}
)
# Fields in which the reader looks for a response inside an event. In a span they can only be the application's data.
_EVENT_FIELDS = frozenset({"response", "result", "interaction", "delta", "metadata", "model_usage", "modelUsage"})
_LANGSMITH_DETAILS = ("gen_ai.usage.input_token_details", "gen_ai.usage.output_token_details")
_PARTS: Mapping[str, str] = {
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cachedPromptTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_write_input_tokens",
    "cacheCreationInputTokens": "cache_write_input_tokens",
    "cacheWriteTokens": "cache_write_input_tokens",
    "reasoningTokens": "reasoning_output_tokens",
}
# A text without these words contains no usage of any provider, and is not parsed.
_MENTIONS_USAGE = re.compile("[Tt]oken|usage|eval_count")
# A longer text is a document, not a usage object.
_MAX_TEXT_CHARS = 1_000_000
_MAX_LITERAL_CHARS = 20_000


class EmbeddedUsage(NamedTuple):
    """The provider's own usage in a span: a complete one, or only parts that its attributes lack.

    `is_response` is True for a response body, False for a usage object.
    """

    parsed: ParsedResponse | None = None
    parts: Mapping[str, int] = {}
    details: Mapping[str, Any] = {}
    is_response: bool = False


def read_embedded(span: Span, *, provider: str | None, embedding: bool) -> EmbeddedUsage:
    """The usage that a span contains as text; empty if there is none or no text can be parsed."""
    attributes = span.attributes
    usage = _from_provider_metadata(attributes.get("ai.response.providerMetadata"), provider)
    if usage.parsed is not None or usage.parts or usage.details:
        return usage
    for node in _usage_objects(attributes):
        parsed = _read_top_level(node, provider)
        if is_complete(parsed, embedding=embedding):
            # An instrumentation may have added a cost that it computed itself.
            return EmbeddedUsage(parsed._replace(cost=None))
    for node in _responses(span):
        parsed = _read_top_level(node, provider)
        if is_complete(parsed, embedding=embedding):
            response_id = _provider_response_id(parsed, node)
            return EmbeddedUsage(parsed._replace(response_id=response_id), is_response=True)
    return EmbeddedUsage()


def _read_top_level(node: Mapping[str, Any], provider: str | None) -> ParsedResponse:
    """The usage at the top level of a response; nested objects are not read as responses."""
    reader = ResponseReader(provider)
    reader.add({name: value for name, value in node.items() if name not in _EVENT_FIELDS})
    return reader.result()


def is_complete(parsed: ParsedResponse, *, embedding: bool = False) -> bool:
    """Whether a response's usage states both counts without a contradiction."""
    needed = {"input_tokens"} if embedding else {"input_tokens", "output_tokens"}
    return parsed.problem is None and needed <= parsed.counts.keys()


def parse_usage_text(value: object) -> Any:
    """The object that a text attribute describes; None if it cannot be parsed.

    A long text is read as JSON only: parsing a Python literal of that size takes seconds.
    """
    if not isinstance(value, str) or len(value) > _MAX_TEXT_CHARS:
        return None
    if len(value) <= _MAX_LITERAL_CHARS:
        return parse_text(value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _usage_objects(attributes: Attributes) -> Iterator[Any]:
    for name, key in _USAGE_TEXTS:
        if (node := parse_usage_text(attributes.get(name))) is not None:
            yield {key: node}
    if (node := _langsmith_usage(attributes)) is not None:
        yield node


def _responses(span: Span) -> Iterator[Mapping[str, Any]]:
    for name in RESPONSE_TEXTS:
        text = span.attributes.get(name)
        if not isinstance(text, str) or not _MENTIONS_USAGE.search(text) or not carries_response(span, name):
            continue
        node = parse_usage_text(text)
        node = _langchain_message(node) or _mistral_chunk(node) or node
        if isinstance(node, Mapping) and not _RESPONSE_FIELDS.isdisjoint(node):
            yield node


def _langsmith_usage(attributes: Attributes) -> dict[str, Any] | None:
    """LangChain's usage metadata from LangSmith's attributes, whose details are Python literals."""
    details = [parse_usage_text(attributes.get(name)) for name in _LANGSMITH_DETAILS]
    if not any(details):
        return None
    usage = {name: attributes.get(f"gen_ai.usage.{name}") for name in ("input_tokens", "output_tokens", "total_tokens")}
    return {"usage_metadata": {**usage, "input_token_details": details[0], "output_token_details": details[1]}}


def _langchain_message(node: Any) -> Any:
    """The message with usage in LangChain's LLMResult, also serialized with `kwargs`; None for another node."""
    try:
        message = node["generations"][0][0]["message"]
    except (KeyError, IndexError, TypeError):
        return None
    return message.get("kwargs", message) if isinstance(message, Mapping) else None


def _mistral_chunk(node: Any) -> Any:
    """The last event of a stream of Mistral's client, which has the response in `data`; None for another node."""
    data = node.get("data") if isinstance(node, Mapping) and len(node) == 1 else None
    return data if isinstance(data, Mapping) else None


def _provider_response_id(parsed: ParsedResponse, node: Any) -> str | None:
    """The provider's id of the response: LangChain's own ids of messages are runs, not responses."""
    if not (parsed.response_id or "").startswith(("lc_run-", "run-")):
        return parsed.response_id
    metadata = node.get("response_metadata") if isinstance(node, Mapping) else None
    response_id = metadata.get("id") if isinstance(metadata, Mapping) else None
    return response_id if isinstance(response_id, str) else None


def _from_provider_metadata(value: object, provider: str | None) -> EmbeddedUsage:
    """The AI SDK's providerMetadata: an entry per provider with its usage, or with parts of it.

    Sources: vercel/ai, packages/anthropic, packages/google, packages/amazon-bedrock, packages/openai.
    """
    node = parse_usage_text(value)
    parts: dict[str, int] = {}
    details: dict[str, Any] = {}
    for entry in node.values() if isinstance(node, Mapping) else ():
        if not isinstance(entry, Mapping):
            continue
        tier = entry.get("serviceTier")
        parsed = _read_top_level(entry, provider)
        if is_complete(parsed):
            return EmbeddedUsage(parsed, {}, _tier_details(tier))
        usage = entry.get("usage")
        for source in (entry, usage if isinstance(usage, Mapping) else {}):
            _add_parts(source, parts, details)
        details.update(_tier_details(tier))
    return EmbeddedUsage(None, parts, details)


def _add_parts(source: Mapping[Any, Any], parts: dict[str, int], details: dict[str, Any]) -> None:
    for key, name in _PARTS.items():
        if type(value := source.get(key)) is int and value >= 0:
            parts[name] = value
    cache_details = source.get("cacheDetails")
    for item in cache_details if isinstance(cache_details, list) else ():
        if isinstance(item, Mapping) and item.get("ttl") == "1h" and type(count := item.get("inputTokens")) is int:
            details["cache_write_1h_tokens"] = count


def _tier_details(tier: object) -> dict[str, Any]:
    return {"service_tier": tier.strip()[:40]} if isinstance(tier, str) and tier.strip() else {}
