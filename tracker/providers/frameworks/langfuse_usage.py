"""Reads Langfuse's `usage_details`: a provider's usage object, or Langfuse's own keys, which do not overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.providers.consistency import check_usage, numbers_only, whole_number
from tracker.providers.responses import ParsedResponse, read_usage_object

# Langfuse sums every key of `usage_details` but the total, and prices each by itself: `input` is the uncached input.
# Sources: langfuse.com/docs/observability/features/token-and-cost-tracking; BerriAI/litellm#26919;
# langfuse/langchain/CallbackHandler.py, _parse_usage_model (input_* and output_* are subtracted from their count).
_READ = frozenset(
    {
        "cache_read",
        "cache_read_input_tokens",
        "input_cache_read",
        "input_cache_read_input_tokens",
        "input_cached_tokens",
    }
)
_WRITE = frozenset(
    {
        "cache_creation",
        "cache_creation_input_tokens",
        "cache_write_input_tokens",
        "input_cache_creation",
        "input_cache_creation_input_tokens",
        "input_cache_write",
    }
)
# Cache writes by time to live: parts of the cache write if it is stated too, as by the LangChain handler for Anthropic.
_WRITE_BY_TTL = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "input_", "cache_creation_", "input_cache_creation_")
    for ttl in ("5m", "1h")
    for name in (f"ephemeral_{ttl}_input_tokens", ttl)
)
_REASONING = frozenset(
    {
        "output_reasoning",
        "output_reasoning_tokens",
        "output_thoughts_token_count",
        "reasoning",
        "reasoning_tokens",
        "thoughts_token_count",
    }
)
_DETAILS = {
    "input_audio": "input_audio_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "input_modality_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_modality_audio": "output_audio_tokens",
    "input_image": "input_image_tokens",
    "input_modality_image": "input_image_tokens",
    "output_image": "output_image_tokens",
    "output_modality_image": "output_image_tokens",
}
# Prefixes by which LangChain names a service tier.
_TIERS = ("flex", "priority")
_SIDES = {"input": "input_tokens", "output": "output_tokens"}
_PARTS = {
    "read": "cache_read_input_tokens",
    "write": "cache_write_input_tokens",
    "reasoning": "reasoning_output_tokens",
}


def read_langfuse_usage(details: Any, family: str, *, embedding: bool = False) -> ParsedResponse | None:
    """The counts of `usage_details` in any of its forms; None if it has none."""
    if not isinstance(details, Mapping):
        return None
    numbers = {str(key): number for key, value in details.items() if (number := whole_number(value)) is not None}
    if not numbers.keys() & _SIDES.keys():
        for key in ("usage", "usage_metadata"):
            parsed = read_usage_object({key: details})
            if parsed is not None and (parsed.problem or _has_both_sides(parsed, embedding=embedding)):
                return parsed
    return _read_keys(numbers, family, embedding=embedding) if numbers else None


def _has_both_sides(parsed: ParsedResponse, *, embedding: bool) -> bool:
    return parsed.counts.keys() >= ({"input_tokens"} if embedding else {"input_tokens", "output_tokens"})


def read_exported_usage(details: Any, *, embedding: bool = False) -> dict[str, Any]:
    """The usage of an exported observation: the columns of its counts, and `details`, `problem`, `raw` and `source`.

    Only counts of tokens are read: an observation can state its usage in characters, seconds, images or requests.
    """
    if not isinstance(details, Mapping):
        return {}
    if str(details.get("unit") or "TOKENS").upper() != "TOKENS":
        unread = ParsedResponse(
            {}, problem="unit_not_tokens", raw=numbers_only(details), usage_source="import:langfuse"
        )
        return _exported({"input_tokens": 0, "output_tokens": 0}, unread)
    parsed = read_langfuse_usage(details, "", embedding=embedding)
    if parsed is None:
        return {}
    return _exported({"output_tokens": 0, **parsed.counts}, parsed._replace(usage_source="import:langfuse"))


def _exported(counts: Mapping[str, int], parsed: ParsedResponse) -> dict[str, Any]:
    read: dict[str, Any] = {**counts, "details": dict(parsed.details) or None}
    if parsed.problem:
        read |= {"problem": parsed.problem, "raw": parsed.raw, "source": parsed.usage_source}
    return read


def _read_keys(numbers: Mapping[str, int], family: str, *, embedding: bool) -> ParsedResponse:
    counts = dict.fromkeys((*_SIDES.values(), *_PARTS.values()), 0)
    details: dict[str, Any] = {}
    writes_stated = any(numbers.get(key) for key in _WRITE)
    for key, value in numbers.items():
        tier, plain = _without_tier(key.lower())
        if (side := _side(plain)) is None:
            continue
        details |= _details(tier, plain, value)
        if plain in _WRITE_BY_TTL and writes_stated:
            continue
        # The handler does not subtract the priority part from its count.
        if tier != "priority":
            counts[_SIDES[side]] += value
        if (part := _part(plain)) is not None:
            counts[_PARTS[part]] += value
    total = numbers.get("total", numbers.get("total_tokens"))
    as_stated = numbers.get("input", 0) + numbers.get("output", 0)
    if total is not None and total == as_stated:
        # The total shows that this application includes the parts in its counts.
        counts.update({count: numbers.get(side, 0) for side, count in _SIDES.items()})
    if embedding and total and not numbers.keys() & _SIDES.keys() and not any(counts.values()):
        counts["input_tokens"] = total
    return _checked(counts, total, details, numbers, family)


def _details(tier: str | None, key: str, value: int) -> dict[str, Any]:
    """The fields that only the price depends on."""
    details: dict[str, Any] = {"service_tier": tier} if tier else {}
    if value > 0 and key in _DETAILS:
        details[_DETAILS[key]] = value
    if value > 0 and key in _WRITE_BY_TTL and "1h" in key:
        details["cache_write_1h_tokens"] = value
    return details


def _without_tier(key: str) -> tuple[str | None, str]:
    """A key without LangChain's prefix of a service tier: input_flex_cache_read, input_flex."""
    for tier in _TIERS:
        for side in _SIDES:
            if key == f"{side}_{tier}":
                return tier, key
            if key.startswith(f"{side}_{tier}_"):
                return tier, f"{side}_{key.removeprefix(f'{side}_{tier}_')}"
    return None, key


def _side(key: str) -> str | None:
    if key.startswith("output") or key in _REASONING or key == "completion_tokens":
        return "output"
    if key.startswith(("input", "cached_modality_")) or key in _READ | _WRITE | _WRITE_BY_TTL or key == "prompt_tokens":
        return "input"
    return None


def _part(key: str) -> str | None:
    if key in _READ or key.startswith("cached_modality_"):
        return "read"
    return "write" if key in _WRITE | _WRITE_BY_TTL else "reasoning" if key in _REASONING else None


def _checked(
    counts: Mapping[str, int], total: int | None, details: Mapping[str, Any], numbers: Mapping[str, int], family: str
) -> ParsedResponse:
    checked = check_usage(counts, stated_total=total, formula_total=None, raw=dict(numbers))
    return ParsedResponse(
        counts=checked.counts,
        details=details,
        problem=checked.problem,
        raw=checked.raw,
        usage_source=f"otlp:langfuse/{family}" if checked.problem else None,
    )
