"""The sum of several responses: one row with a part for each model and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tracker.providers import usage_parts
from tracker.providers.consistency import check_usage
from tracker.providers.node_access import is_number
from tracker.providers.parsed_response import ParsedResponse
from tracker.providers.stated_cost import Cost

_FACTS = ("service_tier", "speed", "inference_geo")
_Key = tuple[str | None, str | None, tuple[tuple[str, Any], ...]]


def sum_responses(answers: Iterable[ParsedResponse]) -> ParsedResponse:
    """The sum of these responses; its model is the one with the most tokens.

    Responses of different models or tiers are in `details["parts"]`, since each has its own price. A problem of one
    response marks the sum; its stated numbers are not kept, since they are not those of the sum.
    """
    listed = list(answers)
    if len(listed) == 1:
        return listed[0]
    groups: dict[_Key, dict[str, Any]] = {}
    for answer in listed:
        for key, counts, numbers in _parts_of(answer):
            known = groups.setdefault(key, {"counts": {}, "details": {}})
            known["counts"] = usage_parts.add(known["counts"], counts)
            known["details"] = usage_parts.add(known["details"], numbers)
    provider, model, facts = max(groups, key=lambda key: sum(groups[key]["counts"].values()))
    checked = check_usage(_sum_of_counts(listed), stated_total=None, formula_total=None, raw=None)
    details: dict[str, Any] = {}
    for group in groups.values():
        details = usage_parts.add(details, group["details"])
    if len(groups) == 1:
        details |= dict(facts)
    else:
        details["parts"] = [
            _entry(key, group, provider) for key, group in _main_first(groups, (provider, model, facts))
        ]
    return ParsedResponse(
        counts=checked.counts,
        provider=provider,
        model=model,
        response_id=listed[-1].response_id,
        cost=_sum_of_costs(listed),
        details=details,
        failure=next((answer.failure for answer in reversed(listed) if answer.failure), None),
        problem=next((answer.problem for answer in listed if answer.problem), checked.problem),
        note=next((answer.note for answer in listed if answer.note), None),
        calls=sum(answer.calls for answer in listed),
    )


def _parts_of(answer: ParsedResponse) -> list[tuple[_Key, dict[str, Any], dict[str, Any]]]:
    """What each model of a response used: the group that it belongs to, its counts and its numbers."""
    own = {name: answer.details[name] for name in _FACTS if name in answer.details}
    parts = answer.details.get("parts")
    if not parts:
        numbers = {name: value for name, value in answer.details.items() if is_number(value)}
        counts = {name: count for name, count in answer.counts.items() if name != "total_tokens"}
        return [((answer.provider, answer.model, _sorted(own)), counts, numbers)]
    found = []
    for part in parts:
        details = part.get("details", {})
        facts = own | {name: details[name] for name in _FACTS if name in details}
        numbers = {name: value for name, value in details.items() if is_number(value)}
        found.append(((part.get("provider", answer.provider), part["model"], _sorted(facts)), part["counts"], numbers))
    return found


def _sorted(facts: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(facts.items()))


def _main_first(groups: Mapping[_Key, dict[str, Any]], main: _Key) -> list[tuple[_Key, dict[str, Any]]]:
    return sorted(groups.items(), key=lambda item: item[0] != main)


def _entry(key: _Key, group: Mapping[str, Any], provider: str | None) -> dict[str, Any]:
    """One part as `metadata.usage.parts` has it."""
    own, model, facts = key
    entry: dict[str, Any] = {"model": model or usage_parts.UNKNOWN, "counts": group["counts"]}
    if own != provider:
        entry["provider"] = own or ""
    details = {**group["details"], **dict(facts)}
    return entry | ({"details": details} if details else {})


def _sum_of_counts(answers: list[ParsedResponse]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for answer in answers:
        counts = usage_parts.add(counts, answer.counts)
    counts.pop("total_tokens", None)
    return counts


def _sum_of_costs(answers: list[ParsedResponse]) -> Cost | None:
    """The sum of the stated costs; None unless each response states one."""
    costs = [Decimal(str(answer.cost)) for answer in answers if answer.cost is not None]
    return sum(costs, Decimal(0)) if len(costs) == len(answers) else None
