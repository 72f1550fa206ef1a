"""Reads usage by model: the usage of each model in one response, and their sum as one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.providers import usage_parts
from tracker.providers.consistency import CheckedUsage, check_usage, numbers_only
from tracker.providers.model_names import model_from_resource, provider_of
from tracker.providers.schemas.other_schemas import AI_SDK, CONVERSE, LANGCHAIN
from tracker.providers.schemas.provider_schemas import MESSAGES_TOTAL
from tracker.providers.schemas.schema_rules import details_of, matching_schema, read_tree, rules_for
from tracker.providers.schemas.usage_schema import UsageSchema
from tracker.providers.total_formulas import normalize_counts
from tracker.providers.usage_parts import ModelUsage

# LangChain's callback has LangChain's usage by model, Claude's Agent SDK has Bedrock's names.
_BY_MODEL = (AI_SDK, CONVERSE, MESSAGES_TOTAL)


class MultiModelUsage(NamedTuple):
    """The sum of several models' usage; `model` is the one with the most tokens."""

    checked: CheckedUsage
    model: str | None
    details: dict[str, Any]


def read_by_model(usages: Mapping[str, Any], model: str | None) -> MultiModelUsage:
    """The row for usage objects by model."""
    parts, problem = [], None
    for name, usage in usages.items():
        schema = matching_schema(_BY_MODEL, usage, None) or LANGCHAIN
        part, part_problem = read_part(schema, usage, model_from_resource(name), provider_of(name))
        parts.append(part)
        problem = problem or part_problem
    main = model or max(parts, key=lambda part: sum(part.counts.values())).model
    counts: dict[str, Any] = {}
    for part in parts:
        counts = usage_parts.sum_entries(counts, part.counts)
    details = usage_parts.numbers_of(parts)
    if len(parts) > 1:
        details["parts"] = usage_parts.as_metadata(usage_parts.combine(parts, main), main)
    checked = check_usage(counts, stated_total=None, formula_total=None, raw=usages)
    if problem is not None:
        checked = CheckedUsage(checked.counts, problem, numbers_only(usages))
    return MultiModelUsage(checked, main, details)


def read_part(
    schema: UsageSchema, usage: object, model: str | None, provider: str | None
) -> tuple[ModelUsage, str | None]:
    """The usage of one model, and the problem code of its usage object."""
    values: dict[str, Any] = {}
    read_tree(usage, rules_for(schema).tree, values)
    counted = normalize_counts(schema, rules_for(schema).counts, values, provider)
    checked = check_usage(counted.counts, stated_total=counted.stated, formula_total=counted.formula, raw=usage)
    details, problem = details_of(schema, values, checked.counts)
    counts = {name: value for name, value in checked.counts.items() if name != "total_tokens"}
    return ModelUsage(model, counts, details), counted.problem or checked.problem or problem
