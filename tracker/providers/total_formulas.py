"""Normalizes the counts of a usage object, and computes the total by the formula of its sender."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, NamedTuple

from tracker.providers.consistency import MAX_COUNT, CountError, to_count
from tracker.providers.schemas.schema_table import UsageSchema

# The values of a usage object by the keys of their paths, and rules as the terms of a sum, each a choice of keys.
RawValues = Mapping[str, Any]
Terms = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
REASONING_FROM_TOTAL = "reasoning_from_total"
AUDIO_FROM_TOTAL = "audio_from_total"


class NormalizedCounts(NamedTuple):
    """Counts with inclusive input and output. `formula` is the expected total of the sender; None: input + output."""

    counts: dict[str, int]
    stated: int | None = None
    formula: int | None = None
    problem: str | None = None
    note: str | None = None


def normalize_counts(
    schema: UsageSchema, rules: Terms, raw_values: RawValues, provider: str | None
) -> NormalizedCounts:
    """The counts by a schema's rules for the values of a usage object. Never raises."""
    counts, problem = _sums(rules, raw_values)
    stated = counts.pop("total_tokens", None)
    writes = counts.pop("writes_5m", 0) + counts.pop("writes_1h", 0)
    if writes > counts.get("cache_write_input_tokens", 0):
        counts["cache_write_input_tokens"] = writes
    if problem is None and _input_is_missing(rules, raw_values, counts, stated):
        problem = "input_missing"
    counted = _FORMULAS[schema.counting](counts, stated, raw_values, provider)
    return counted if problem is None else counted._replace(problem=problem)


def _sums(rules: Terms, raw_values: RawValues) -> tuple[dict[str, int], str | None]:
    """The sum of each rule's terms, where a term is its first alternative that is not 0; unstated counts are omitted.

    One loop for speed, since it runs for each response.
    """
    counts: dict[str, int] = {}
    problem = None
    for name, terms in rules:
        total = None
        try:
            for choices in terms:
                stated = None
                for key in choices:
                    if key in raw_values:
                        value = raw_values[key]
                        stated = value if type(value) is int and 0 <= value <= MAX_COUNT else to_count(value)
                        if stated:
                            break
                if stated is not None:
                    total = stated if total is None else total + stated
        except CountError as error:
            problem = problem or error.code
            continue
        if total is not None:
            counts[name] = total
    return counts, problem


def _input_is_missing(rules: Terms, raw_values: RawValues, counts: Mapping[str, int], stated: int | None) -> bool:
    if "input_tokens" in counts:
        return False
    terms = next((terms for name, terms in rules if name == "input_tokens"), None)
    if terms is None or any(key in raw_values for key in terms[0]):
        return False
    # A total that equals the output states that there was no input.
    return stated != counts.get("output_tokens", 0) if stated is not None else any(counts.values())


def _no_total(counts: dict[str, int], stated: int | None, _: RawValues, __: str | None) -> NormalizedCounts:
    return NormalizedCounts(counts, stated)


def _inclusive(
    counts: dict[str, int], stated: int | None, raw_values: RawValues, provider: str | None
) -> NormalizedCounts:
    """OpenAI's formula, input + output, and variants of it, which the total or the provider reveals."""
    input_tokens, output_tokens = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
    reasoning = counts.get("reasoning_output_tokens", 0)
    if "citation_tokens" in raw_values or (provider == "perplexity" and "reasoning_tokens" in raw_values):
        # Perplexity bills citations and reasoning besides its output; its total is input + output without them.
        counts["output_tokens"] = output_tokens + reasoning + _whole(raw_values.get("citation_tokens"))
        return NormalizedCounts(counts, stated, input_tokens + output_tokens)
    if stated is None:
        if provider == "x-ai":  # xAI counts reasoning apart. Source: docs.x.ai, reasoning; genai-prices.
            counts["output_tokens"] = output_tokens + reasoning
        return NormalizedCounts(counts)
    if stated == input_tokens + output_tokens:
        return NormalizedCounts(counts, stated)
    if stated > input_tokens + output_tokens and _whole(raw_values.get("prompt_audio_seconds")):
        # Mistral's transcriptions state the tokens of the audio in the total only. Source: docs.mistral.ai, audio.
        counts["input_tokens"] = stated - output_tokens
        return NormalizedCounts(counts, stated, note=AUDIO_FROM_TOTAL)
    if (variant := _variant(counts, stated)) is not None:
        return NormalizedCounts(variant, stated)
    if provider == "google" and not reasoning:
        return _reasoning_from_total(counts, stated)
    return NormalizedCounts(counts, stated)


def _variant(counts: Mapping[str, int], stated: int) -> dict[str, int] | None:
    """The counts with cached tokens, reasoning or both added, if exactly one such reading gives the stated total."""
    cached = counts.get("cache_read_input_tokens", 0) + counts.get("cache_write_input_tokens", 0)
    reasoning = counts.get("reasoning_output_tokens", 0)
    readings = []
    for more_input, more_output in product({0, cached}, {0, reasoning}):
        input_tokens = counts.get("input_tokens", 0) + more_input
        output_tokens = counts.get("output_tokens", 0) + more_output
        if input_tokens + output_tokens == stated and cached <= input_tokens and reasoning <= output_tokens:
            readings.append({**counts, "input_tokens": input_tokens, "output_tokens": output_tokens})
    return readings[0] if len(readings) == 1 else None


def _gemini(counts: dict[str, int], stated: int | None, raw_values: RawValues, _: str | None) -> NormalizedCounts:
    """Gemini's formula: prompt + tool use + candidates + thoughts."""
    thoughts_stated = "thoughts_token_count" in raw_values or "total_thought_tokens" in raw_values
    if stated is None or thoughts_stated:
        return NormalizedCounts(counts, stated)
    return _reasoning_from_total(counts, stated)


def _reasoning_from_total(counts: dict[str, int], stated: int) -> NormalizedCounts:
    """A Gemini sender that states thoughts in the total only: the difference is output and reasoning."""
    hidden = stated - counts.get("input_tokens", 0) - counts.get("output_tokens", 0)
    if hidden <= 0 or "input_tokens" not in counts:
        return NormalizedCounts(counts, stated)
    counts["output_tokens"] = counts.get("output_tokens", 0) + hidden
    counts["reasoning_output_tokens"] = hidden
    return NormalizedCounts(counts, stated, note=REASONING_FROM_TOTAL)


def _exclusive(counts: dict[str, int], stated: int | None, _: RawValues, provider: str | None) -> NormalizedCounts:
    """Anthropic's and Bedrock's counting: input excludes cached tokens. Bedrock's total includes them."""
    read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_write_input_tokens", 0)
    if written:
        counts["input_tokens"] = counts.get("input_tokens", 0) + written
    full = counts.get("input_tokens", 0) + counts.get("output_tokens", 0)
    if provider == "anthropic" and stated is not None and stated == full - read - written:
        return NormalizedCounts(
            counts, stated, stated
        )  # Anthropic states no total: this one leaves out the cached tokens.
    return NormalizedCounts(counts, stated, full)


def _cohere(counts: dict[str, int], _: int | None, raw_values: RawValues, __: str | None) -> NormalizedCounts:
    if cached := _whole(raw_values.get("cached_tokens")):
        counts["input_tokens"] = _whole(raw_values.get("tokens.input_tokens"))
        counts["output_tokens"] = _whole(raw_values.get("tokens.output_tokens"))
        counts["cache_read_input_tokens"] = cached
    return NormalizedCounts(counts)


def _whole(value: object) -> int:
    try:
        return to_count(value)
    except CountError:
        return 0


_FORMULAS: Mapping[str, Callable[[dict[str, int], int | None, RawValues, str | None], NormalizedCounts]] = {
    "inclusive": _inclusive,
    "exclusive": _exclusive,
    "gemini": _gemini,
    "cohere": _cohere,
    "none": _no_total,
}
