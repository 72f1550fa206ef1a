"""Sums several responses to one row, with a part for each model and tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tracker.providers import usage_parts
from tracker.providers.consistency import check_usage
from tracker.providers.node_access import is_number
from tracker.providers.parsed_response import ParsedResponse
from tracker.providers.stated_cost import Cost

_PRICE_FIELDS = ("service_tier", "speed", "inference_geo")
_Key = tuple[str | None, str | None, tuple[tuple[str, Any], ...]]


def sum_responses(responses: Iterable[ParsedResponse]) -> ParsedResponse:
    """The sum of these responses; its model is the one with the most tokens.

    Responses of different models or tiers are in `details["parts"]`, since each has its own price. A problem of one
    response marks the sum; the stated numbers of one response are omitted, since they are not those of the sum.
    """
    listed = list(responses)
    if len(listed) == 1:
        return listed[0]
    groups: dict[_Key, dict[str, Any]] = {}
    for parsed in listed:
        for key, counts, numbers in _parts_of(parsed):
            group = groups.setdefault(key, {"counts": {}, "details": {}})
            group["counts"] = usage_parts.sum_entries(group["counts"], counts)
            group["details"] = usage_parts.sum_entries(group["details"], numbers)
    provider, model, price_fields = max(groups, key=lambda key: sum(groups[key]["counts"].values()))
    checked = check_usage(_sum_of_counts(listed), stated_total=None, formula_total=None, raw=None)
    details: dict[str, Any] = {}
    for group in groups.values():
        details = usage_parts.sum_entries(details, group["details"])
    if len(groups) == 1:
        details |= dict(price_fields)
    else:
        details["parts"] = [
            _entry(key, group, provider) for key, group in _main_first(groups, (provider, model, price_fields))
        ]
    return ParsedResponse(
        counts=checked.counts,
        provider=provider,
        model=model,
        response_id=listed[-1].response_id,
        cost=_sum_of_costs(listed),
        details=details,
        failure=next((parsed.failure for parsed in reversed(listed) if parsed.failure), None),
        problem=next((parsed.problem for parsed in listed if parsed.problem), checked.problem),
        note=next((parsed.note for parsed in listed if parsed.note), None),
        calls=sum(parsed.calls for parsed in listed),
    )


def _parts_of(parsed: ParsedResponse) -> list[tuple[_Key, dict[str, Any], dict[str, Any]]]:
    """For each model of a response: the group that it belongs to, its counts and its numbers."""
    common_fields = {name: parsed.details[name] for name in _PRICE_FIELDS if name in parsed.details}
    parts = parsed.details.get("parts")
    if not parts:
        numbers = {name: value for name, value in parsed.details.items() if is_number(value)}
        counts = {name: count for name, count in parsed.counts.items() if name != "total_tokens"}
        return [((parsed.provider, parsed.model, _sorted(common_fields)), counts, numbers)]
    usages = []
    for part in parts:
        details = part.get("details", {})
        price_fields = common_fields | {name: details[name] for name in _PRICE_FIELDS if name in details}
        numbers = {name: value for name, value in details.items() if is_number(value)}
        usages.append(
            ((part.get("provider", parsed.provider), part["model"], _sorted(price_fields)), part["counts"], numbers)
        )
    return usages


def _sorted(price_fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(price_fields.items()))


def _main_first(groups: Mapping[_Key, dict[str, Any]], main: _Key) -> list[tuple[_Key, dict[str, Any]]]:
    return sorted(groups.items(), key=lambda item: item[0] != main)


def _entry(key: _Key, group: Mapping[str, Any], provider: str | None) -> dict[str, Any]:
    """One entry of `metadata.usage.parts`."""
    part_provider, model, price_fields = key
    entry: dict[str, Any] = {"model": model or usage_parts.UNKNOWN, "counts": group["counts"]}
    if part_provider != provider:
        entry["provider"] = part_provider or ""
    details = {**group["details"], **dict(price_fields)}
    return entry | ({"details": details} if details else {})


def _sum_of_counts(responses: list[ParsedResponse]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for parsed in responses:
        counts = usage_parts.sum_entries(counts, parsed.counts)
    counts.pop("total_tokens", None)
    return counts


def _sum_of_costs(responses: list[ParsedResponse]) -> Cost | None:
    """The sum of the stated costs; None unless each response states one."""
    costs = [Decimal(str(parsed.cost)) for parsed in responses if parsed.cost is not None]
    return sum(costs, Decimal(0)) if len(costs) == len(responses) else None
