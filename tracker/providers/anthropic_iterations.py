"""Adds Anthropic's compactions, advisors and fallbacks, which the counts of the usage object omit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.providers import multi_model_usage, usage_parts
from tracker.providers.node_access import is_number
from tracker.providers.schemas.provider_schemas import MESSAGES
from tracker.providers.schemas.schema_rules import details_of
from tracker.providers.total_formulas import NormalizedCounts
from tracker.providers.usage_parts import ModelUsage


def with_iterations(
    counted: NormalizedCounts, raw_values: Mapping[str, Any], model: str | None, provider: str | None
) -> tuple[NormalizedCounts, list[ModelUsage]]:
    """The counts including omitted iterations, and the usage by model if several models were used."""
    listed = raw_values.get("iterations")
    if listed is None or counted.problem is not None:
        return counted, []
    entries, replaced = usage_parts.billed_beyond_totals(list(usage_parts.iterations(listed)))
    if not entries:
        return counted, []
    base, _ = details_of(MESSAGES, raw_values, None)
    numbers = {name: value for name, value in base.items() if is_number(value)}
    parts = [] if replaced else [ModelUsage(None, counted.counts, numbers)]
    problem = None
    for entry in entries:
        part, part_problem = multi_model_usage.read_part(MESSAGES, entry.usage, entry.model, provider)
        parts.append(part)
        problem = problem or part_problem
    parts = usage_parts.combine(parts, model)
    counts: dict[str, Any] = {}
    for part in parts:
        counts = usage_parts.sum_entries(counts, part.counts)
    return NormalizedCounts(counts, None, None, problem), parts
