"""Reads the usage of a span: its attributes by its sender's rules, and an embedded usage of the provider."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading import genai_attributes as names
from tracker.otlp.reading.call_attributes import family_of
from tracker.otlp.reading.embedded_usage import EmbeddedUsage, parse_usage_text, read_embedded
from tracker.otlp.reading.sender_omissions import note_of
from tracker.otlp.reading.senders import Counting, Sender, find_sender, sender_named
from tracker.otlp.reading.span_counts import StatedUsage, count_usage, read_stated
from tracker.otlp.reading.span_role import Role
from tracker.providers.consistency import RereadUsage
from tracker.providers.frameworks.langfuse_usage import read_langfuse_usage
from tracker.providers.responses import ParsedResponse
from tracker.usage import TOKEN_COLUMNS

_LANGFUSE = "langfuse.observation.usage_details"
_MLFLOW = "mlflow.chat.tokenUsage"
_PARTS = TOKEN_COLUMNS[2:]
# A tier that has the list price is not recorded.
_LIST_PRICE_TIERS = frozenset({"standard", "default", "auto"})
# OpenLIT's LiteLLM instrumentation writes the system fingerprint of the response as its tier.
_NO_TIER = re.compile(r"(?:fp_.*|none|null|undefined)\Z", re.IGNORECASE)


def read_usage(span: Span, role: Role, *, provider: str | None, model: str | None) -> ParsedResponse | None:
    """The span's usage, None if it states none.

    The order is: the provider's own usage inside the span; the attributes by the sender's entry in the table; by the
    stated total; by the semantic conventions.
    """
    attributes = span.attributes
    embedding = role == "embedding"
    family = family_of(span, provider, model)
    embedded = read_embedded(span, provider=provider, embedding=embedding)
    stated = _read_attributes(span, family, embedded, is_call=role in {"call", "embedding"}, embedding=embedding)
    if stated and embedded.parsed and embedded.is_response and not _is_same_usage(stated, embedded.parsed):
        embedded = EmbeddedUsage()
        stated = stated if stated.problem else stated._replace(note="response_differs")
    parsed = _merge(stated, embedded.parsed)
    if parsed is None:
        return None
    details = {**parsed.details, **embedded.details, **_tier(attributes)}
    tier = details.get("service_tier")
    if tier in _LIST_PRICE_TIERS or (isinstance(tier, str) and _NO_TIER.match(tier)):
        del details["service_tier"]
    # LiteLLM's response bodies contain a cost that LiteLLM computed.
    cost = None if "litellm" in span.scope_name else parsed.cost
    return parsed._replace(details=details, cost=cost)


def _read_attributes(
    span: Span, family: str, embedded: EmbeddedUsage, *, is_call: bool, embedding: bool
) -> ParsedResponse | None:
    if (details := parse_usage_text(span.attributes.get(_LANGFUSE))) is not None:
        return read_langfuse_usage(details, family, embedding=embedding)
    if isinstance(usage := parse_usage_text(span.attributes.get(_MLFLOW)), Mapping):
        sender = sender_named("mlflow")
        stated, counting = _stated_by(sender, usage, family)
        if stated is None:
            return None
        parsed = count_usage(stated, counting, family, f"otlp:mlflow/{family}", embedding=embedding)
        return parsed if embedding else _with_note(parsed, note_of(sender, span, family, stated.counts, counting))
    sender = find_sender(span)
    stated, counting = _stated_by(sender, span.attributes, family)
    if stated is None or (not is_call and stated.counts.keys() <= {"total_tokens"} | set(_PARTS)):
        return None
    for name, value in embedded.parts.items():
        if not stated.counts.get(name):
            stated.counts[name] = value
            stated.raw[name] = value
    stated.details.update(embedded.details)
    parsed = count_usage(stated, counting, family, usage_source(sender, span, family), embedding=embedding)
    return parsed if embedding else _with_note(parsed, note_of(sender, span, family, stated.counts, counting))


def _with_note(parsed: ParsedResponse, note: str | None) -> ParsedResponse:
    """The usage with a note about omitted counts; a note about a derived count is not replaced."""
    return parsed if note is None or parsed.problem or parsed.note else parsed._replace(note=note)


def _stated_by(sender: Sender, attributes: Mapping[str, Any], family: str) -> tuple[StatedUsage | None, Counting]:
    """The counts in the sender's vocabulary; in the general one if the span has only that."""
    stated = read_stated(attributes, sender.counts)
    if stated is None and sender.counts is not names.GENERAL_COUNTS:
        stated = read_stated(attributes, names.GENERAL_COUNTS)
    return stated, sender.counting_of(family)


def usage_source(sender: Sender, span: Span, family: str) -> str:
    """The rules that read the span: the sender's name or, for an unknown sender, the scope; and the provider family."""
    name = sender.name if sender.name != "unknown" else span.scope_name or "unknown"
    return f"otlp:{name}/{family}"[:200]


def _tier(attributes: Attributes) -> dict[str, Any]:
    """The tier that the response states; Langfuse has it among the model's parameters."""
    for name in names.SERVICE_TIER:
        if isinstance(tier := attributes.get(name), str) and tier.strip():
            return {"service_tier": tier.strip()[:40]}
    parameters = parse_usage_text(attributes.get("langfuse.observation.model.parameters"))
    tier = parameters.get("service_tier") if isinstance(parameters, Mapping) else None
    return {"service_tier": tier.strip()[:40]} if isinstance(tier, str) and tier.strip() else {}


def _merge(stated: ParsedResponse | None, embedded: ParsedResponse | None) -> ParsedResponse | None:
    """The provider's own usage, with what only the attributes state; the attributes without one."""
    if embedded is None or stated is None:
        return embedded or stated
    if any(stated.counts.get(name, 0) != embedded.counts.get(name, 0) for name in ("input_tokens", "output_tokens")):
        return embedded
    counts = {
        **embedded.counts,
        **{name: most for name in _PARTS if (most := max(_count(stated, name), _count(embedded, name)))},
    }
    # A body that states no parts confirms input and output only.
    note = embedded.note or (None if embedded.counts.keys() & set(_PARTS) else stated.note)
    merged = embedded._replace(counts=counts, details={**stated.details, **embedded.details}, note=note)
    return merged if _is_possible(counts) else embedded


def _is_same_usage(stated: ParsedResponse, embedded: ParsedResponse) -> bool:
    """Whether a response and the attributes state one usage, apart from parts that are omitted or counted twice."""
    return all(
        not (count := _count(stated, side))
        or any(count == _count(embedded, side) + difference for difference in _differences(stated, embedded, parts))
        for side, parts in (("input_tokens", _PARTS[:2]), ("output_tokens", _PARTS[2:]))
    )


def _differences(stated: ParsedResponse, embedded: ParsedResponse, parts: Sequence[str]) -> set[int]:
    """By how much a count can differ if one side includes these parts and the other does not."""
    sums = {0}
    for name in parts:
        values = {_count(stated, name), _count(embedded, name)}
        sums = sums | {one + sign * value for one in sums for value in values for sign in (1, -1)}
    return sums


def _count(parsed: ParsedResponse, name: str) -> int:
    return parsed.counts.get(name, 0)


def _is_possible(counts: Mapping[str, int]) -> bool:
    """Whether the parts are within their counts."""
    cached = counts.get("cache_read_input_tokens", 0) + counts.get("cache_write_input_tokens", 0)
    return cached <= counts.get("input_tokens", 0) and counts.get("reasoning_output_tokens", 0) <= counts.get(
        "output_tokens", 0
    )


def reread_attributes(metadata: Mapping[str, Any]) -> RereadUsage | None:
    """Read the stored numbers of a marked row with the current rules; None if it has none."""
    source, raw = metadata.get("usage_source"), metadata.get("usage_raw")
    if not isinstance(source, str) or not source.startswith("otlp:") or not isinstance(raw, Mapping) or not raw:
        return None
    name, _, family = source.removeprefix("otlp:").rpartition("/")
    if name == "langfuse":
        parsed = read_langfuse_usage(raw, family)
    else:
        stated, counting = _stated_by(sender_named(name), raw, family)
        parsed = stated and count_usage(stated, counting, family, source)
    if parsed is None:
        return None
    return RereadUsage(dict(parsed.counts), dict(parsed.details), parsed.problem)
