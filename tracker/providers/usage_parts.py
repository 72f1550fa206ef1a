"""The usage of several models in one response: the counts of each model, and their sum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tracker.providers.node_access import get, is_number, text

UNKNOWN = "unknown"
# The iterations that produced the message. Source: anthropic-sdk-python, types/beta/beta_iterations_usage.py.
_SERVED = ("message", "fallback_message")


class ModelUsage(NamedTuple):
    """The usage of one model; None is the response's own model."""

    model: str | None
    counts: Mapping[str, int]
    details: Mapping[str, Any]


class Iteration(NamedTuple):
    """One entry of Anthropic's `usage.iterations`."""

    kind: str
    model: str | None
    usage: Any


def iterations(value: object) -> Iterator[Iteration]:
    """The entries of `usage.iterations`; in stored numbers they are grouped by kind, without models."""
    if isinstance(value, Mapping):
        for kind, usages in value.items():
            for usage in usages if isinstance(usages, list) else ():
                yield Iteration(str(kind), None if kind in {"message", "compaction"} else UNKNOWN, usage)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield Iteration(text(entry, "type") or "", text(entry, "model"), entry)


def billed_beyond_totals(entries: list[Iteration]) -> tuple[list[Iteration], bool]:
    """The entries whose tokens are not in the usage's counts, and whether they replace those counts.

    A compaction and an advisor are billed in addition to the counts. After a fallback, the counts are those of the
    attempt that served the message, but each attempt is billed: the usage is then the sum of all entries.
    Sources: platform.claude.com/docs, advisor tool, compaction, refusals and fallback.
    """
    if any(entry.kind == "fallback_message" for entry in entries):
        return [_attempt(entry) for entry in entries], True
    return [entry for entry in entries if entry.kind not in _SERVED and entry.kind], False


def _attempt(entry: Iteration) -> Iteration:
    # A declined attempt that names no model used the requested one, which the response does not state.
    return entry._replace(model=entry.model or UNKNOWN) if entry.kind == "message" else entry


def combine(parts: list[ModelUsage], model: str | None) -> list[ModelUsage]:
    """The parts by model, the response's own model first."""
    sums: dict[str | None, ModelUsage] = {}
    for part in parts:
        name = None if part.model == model else part.model
        total = sums.get(name, ModelUsage(name, {}, {}))
        sums[name] = ModelUsage(name, sum_entries(total.counts, part.counts), sum_entries(total.details, part.details))
    return sorted(sums.values(), key=lambda part: part.model is not None)


def sum_entries(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of both: numbers with the same name are added, of two texts the first is kept; None is no value."""
    total = dict(one)
    for name, value in other.items():
        first = total.get(name)
        if first is None:
            total[name] = value
        elif isinstance(first, int | float):
            total[name] = first + value
    return total


def numbers_of(parts: list[ModelUsage]) -> dict[str, Any]:
    """The sums of the parts' numeric details."""
    details: dict[str, Any] = {}
    for part in parts:
        details = sum_entries(details, {name: value for name, value in part.details.items() if is_number(value)})
    return details


def as_metadata(parts: list[ModelUsage], model: str | None) -> list[dict[str, Any]]:
    """The parts as the value of `metadata.usage.parts`."""
    return [
        {"model": part.model or model or UNKNOWN, "counts": dict(part.counts)}
        | ({"details": dict(part.details)} if part.details else {})
        for part in parts
    ]


def usages_by_model(node: object) -> dict[str, Any] | None:
    """An object that maps models to usage objects (LangChain's callback, Claude's Agent SDK); None for any other."""
    if not isinstance(node, Mapping) or not 0 < len(node) <= 100:
        return None
    usages = {name: usage for name, usage in node.items() if isinstance(name, str) and _is_usage(usage)}
    return usages if len(usages) == len(node) else None


def _is_usage(usage: object) -> bool:
    return isinstance(usage, Mapping) and (get(usage, "input_tokens") is not None)
