"""Converts the counts that a span states to the table's counts, by its sender's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.otlp.reading.genai_attributes import CACHE_WRITE_1H, CACHE_WRITE_5M, DETAILS, TIER_PREFIXES, Names
from tracker.otlp.reading.senders import REASONING_EXCLUDED_FAMILIES, Counting, Parts, Total
from tracker.providers.consistency import check_usage, whole_number
from tracker.providers.responses import ParsedResponse

_CACHED = ("cache_read_input_tokens", "cache_write_input_tokens")
_REASONING = "reasoning_output_tokens"
# Provider families whose API excludes cached tokens from the input.
# Sources: platform.claude.com/docs (prompt caching); docs.aws.amazon.com/bedrock (prompt caching, TokenUsage).
EXCLUDING_FAMILIES = frozenset({"anthropic", "aws"})


class StatedUsage(NamedTuple):
    """A span's counts before its sender's rules, the details for the price, and the raw numbers by attribute name."""

    counts: dict[str, int]
    details: dict[str, Any]
    raw: dict[str, int]


def read_stated(values: Mapping[str, Any], names: Mapping[str, Names]) -> StatedUsage | None:
    """The counts that attributes or a usage object state; None if there is neither input, output nor total."""
    stated = StatedUsage({}, {}, {})
    tiers = [tier for tier in TIER_PREFIXES if any(f"{tier}_" in name for name in values)]
    for count, choices in names.items():
        if (number := _first(values, choices, tiers, stated)) is not None:
            stated.counts[count] = number
    for detail, choices in DETAILS.items():
        if (number := _first(values, choices, tiers, stated)) is not None and number > 0:
            stated.details[detail] = number
    if not stated.counts.get("cache_write_input_tokens"):
        parts = [_first(values, choices, tiers, stated) for choices in (CACHE_WRITE_5M, CACHE_WRITE_1H)]
        if any(part is not None for part in parts):
            stated.counts["cache_write_input_tokens"] = sum(part or 0 for part in parts)
    return stated if stated.counts.keys() & {"input_tokens", "output_tokens", "total_tokens"} else None


def _first(values: Mapping[str, Any], choices: Names, tiers: list[str], stated: StatedUsage) -> int | None:
    for name in choices:
        if (number := whole_number(values.get(name))) is not None:
            stated.raw[name] = number
            return number
        head, dot, last = name.rpartition(".")
        for tier in tiers:
            prefixed = f"{head}{dot}{tier}_{last}"
            if (number := whole_number(values.get(prefixed))) is not None:
                stated.raw[prefixed] = number
                stated.details["service_tier"] = tier
                return number
    return None


def count_usage(
    stated: StatedUsage, counting: Counting, family: str, usage_source: str, *, embedding: bool = False
) -> ParsedResponse:
    """The table's counts by the sender's rules; marked with a problem if they contradict each other."""
    counts = {name: value for name, value in stated.counts.items() if name != "total_tokens"}
    total = stated.counts.get("total_tokens")
    if embedding and "input_tokens" not in counts and total is not None:
        counts["input_tokens"] = total
    if any(value < 0 for value in stated.counts.values()):
        return _checked(counts, stated, total, None, usage_source)
    as_stated = _sum(counts, "input_tokens", "output_tokens")
    cached, reasoning = _parts(counts, total, counting, family)
    if cached is Parts.EXCLUDED:
        counts["input_tokens"] = _sum(counts, "input_tokens", *_CACHED)
    if reasoning is Parts.EXCLUDED:
        counts["output_tokens"] = _sum(counts, "output_tokens", _REASONING)
    complete = _sum(counts, "input_tokens", "output_tokens")
    note = None
    if _states_reasoning_in_total_only(counts, total, counting, family, complete):
        counts[_REASONING] = (total or 0) - complete
        counts["output_tokens"] = _sum(counts, "output_tokens", _REASONING)
        complete, note = total or 0, "reasoning_from_total"
    formula = as_stated if _is_total_as_stated(counting, total, as_stated, complete) else complete
    return _checked(counts, stated, total, formula, usage_source, note)


def _parts(counts: Mapping[str, int], total: int | None, counting: Counting, family: str) -> tuple[Parts, Parts]:
    """Whether cached and reasoning tokens are included or excluded, by the sender's entry or by the total."""
    cached, reasoning = counting.cached, counting.reasoning
    choices = [
        (cached_choice, reasoning_choice)
        for cached_choice in _choices(cached)
        for reasoning_choice in _choices(reasoning)
    ]
    if len(choices) == 1:
        return choices[0]
    if total is not None:
        for choice in choices:
            if _total_of(counts, choice) == total and not _contradicts(counts, choice):
                return choice
    # If the total does not decide, parts that exceed their count are excluded, for providers that count so.
    excluded = (
        cached is not Parts.INCLUDED and family in EXCLUDING_FAMILIES and _contradicts(counts, choices[0], "input"),
        reasoning is not Parts.INCLUDED
        and family in REASONING_EXCLUDED_FAMILIES
        and _contradicts(counts, choices[0], "output"),
    )
    return (
        Parts.EXCLUDED if excluded[0] or cached is Parts.EXCLUDED else Parts.INCLUDED,
        Parts.EXCLUDED if excluded[1] or reasoning is Parts.EXCLUDED else Parts.INCLUDED,
    )


def _choices(parts: Parts) -> tuple[Parts, ...]:
    return (Parts.INCLUDED, Parts.EXCLUDED) if parts is Parts.BY_TOTAL else (parts,)


def _total_of(counts: Mapping[str, int], choice: tuple[Parts, Parts]) -> int:
    names = ["input_tokens", "output_tokens"]
    names += _CACHED if choice[0] is Parts.EXCLUDED else ()
    names += [_REASONING] if choice[1] is Parts.EXCLUDED else []
    return _sum(counts, *names)


def _contradicts(counts: Mapping[str, int], choice: tuple[Parts, Parts], side: str = "either") -> bool:
    cached = choice[0] is Parts.INCLUDED and _sum(counts, *_CACHED) > counts.get("input_tokens", 0)
    reasoning = choice[1] is Parts.INCLUDED and counts.get(_REASONING, 0) > counts.get("output_tokens", 0)
    return (side != "output" and cached) or (side != "input" and reasoning)


def _states_reasoning_in_total_only(
    counts: Mapping[str, int], total: int | None, counting: Counting, family: str, complete: int
) -> bool:
    """Whether reasoning is only in the total: Gemini's total contains the thoughts, which some senders omit elsewhere.

    Source: ai.google.dev/api/generate-content#UsageMetadata.
    """
    possible = family == "google" and counting.total is not Total.STATED
    return possible and total is not None and total > complete and not counts.get(_REASONING)


def _is_total_as_stated(counting: Counting, total: int | None, as_stated: int, complete: int) -> bool:
    if counting.total is Total.EITHER:
        return total == as_stated != complete
    return counting.total is Total.STATED


def _sum(counts: Mapping[str, int], *names: str) -> int:
    return sum(counts.get(name, 0) for name in names)


def _checked(
    counts: Mapping[str, int],
    stated: StatedUsage,
    total: int | None,
    formula: int | None,
    usage_source: str,
    note: str | None = None,
) -> ParsedResponse:
    checked = check_usage(counts, stated_total=total, formula_total=formula, raw=stated.raw)
    problem, raw = checked.problem, checked.raw
    if problem is None and "input_tokens" not in counts:
        problem, raw = "input_missing", dict(stated.raw)
    marked = problem is not None
    return ParsedResponse(
        counts=checked.counts,
        details=stated.details,
        problem=problem,
        raw=raw,
        usage_source=usage_source if marked else None,
        note=None if marked else note,
    )
