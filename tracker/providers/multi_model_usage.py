"""Usage by model: what each model of one response used, and the row that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.providers import usage_parts
from tracker.providers.consistency import CheckedUsage, check_usage, numbers_only
from tracker.providers.model_names import model_from_resource, provider_of
from tracker.providers.schemas.other_schemas import AI_SDK, CONVERSE, LANGCHAIN
from tracker.providers.schemas.provider_schemas import MESSAGES_TOTAL
from tracker.providers.schemas.schema_rules import details_of, matching_shape, read_tree, rules_of
from tracker.providers.schemas.usage_schema import Shape
from tracker.providers.total_formulas import count
from tracker.providers.usage_parts import Part

# LangChain's callback has LangChain's usage by model, Claude's Agent SDK has Bedrock's names.
_BY_MODEL = (AI_SDK, CONVERSE, MESSAGES_TOTAL)


class ByModel(NamedTuple):
    """The sum of several models' usage; `model` is the one with the most tokens."""

    checked: CheckedUsage
    model: str | None
    details: dict[str, Any]


def read_by_model(usages: Mapping[str, Any], model: str | None) -> ByModel:
    """The row for usage objects by model."""
    parts, problem = [], None
    for name, usage in usages.items():
        shape = matching_shape(_BY_MODEL, usage, None) or LANGCHAIN
        part, part_problem = read_part(shape, usage, model_from_resource(name), provider_of(name))
        parts.append(part)
        problem = problem or part_problem
    main = model or max(parts, key=lambda part: sum(part.counts.values())).model
    counts: dict[str, Any] = {}
    for part in parts:
        counts = usage_parts.add(counts, part.counts)
    details = usage_parts.numbers_of(parts)
    if len(parts) > 1:
        details["parts"] = usage_parts.as_metadata(usage_parts.combine(parts, main), main)
    checked = check_usage(counts, stated_total=None, formula_total=None, raw=usages)
    if problem is not None:
        checked = CheckedUsage(checked.counts, problem, numbers_only(usages))
    return ByModel(checked, main, details)


def read_part(shape: Shape, usage: object, model: str | None, provider: str | None) -> tuple[Part, str | None]:
    """One model's part, and the problem code of its usage."""
    found: dict[str, Any] = {}
    read_tree(usage, rules_of(shape).tree, found)
    counted = count(shape, rules_of(shape).counts, found, provider)
    checked = check_usage(counted.counts, stated_total=counted.stated, formula_total=counted.formula, raw=usage)
    details, problem = details_of(shape, found, checked.counts)
    counts = {name: value for name, value in checked.counts.items() if name != "total_tokens"}
    return Part(model, counts, details), counted.problem or checked.problem or problem
