"""The rows that a capture calls for: what the local API answered, and what the spans of each call do not state."""

from __future__ import annotations

import json
import re
from typing import Any

PARTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)


def expected(calls: list[dict[str, Any]], fields: dict[str, Any], spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that the answers call for; `lacks` of a row names what no span of its call states."""
    items = []
    for call in calls:
        item = {key: call[key] for key in ("model", "provider") if key in call}
        stated = [span for span in spans if _numbers(span) & _signs(call)]
        if call["success"] and call.get("usage_sent", True):
            item |= {part: call.get(part, 0) for part in PARTS}
            item |= {key: call[key] for key in ("details",) if key in call}
            numbers = set().union(*map(_numbers, stated))
            lacks = [part for part in PARTS if call.get(part) and not _is_said(part, call, numbers)]
            if not numbers >= set(call.get("details", {}).values()):
                lacks.append("details")
        else:
            lacks = ["usage"] if call["success"] or _failed(call, calls, spans) else ["usage", "error"]
        if lacks[:1] != ["usage"]:
            lacks = [*lacks, "model"] if stated and not _any_text(stated, item["model"]) else lacks
            lacks = lacks if stated else ["usage"] if spans else ["call"]
        item |= {"success": call["success"], **fields}
        if call.get("user_id") and "user_id" not in fields and lacks[:1] not in (["usage"], ["call"]):
            item["user_id"] = call["user_id"]
            lacks += [] if any(_names_user(span, call["user_id"]) for span in stated) else ["user_id"]
        items.append({**item, "lacks": lacks} if lacks else item)
    return items


def _any_text(spans: list[dict[str, Any]], model: str) -> bool:
    return any(re.search(rf'"{re.escape(model)}(?=[\\\\"])', json.dumps(span["attributes"])) for span in spans)


def _failed(call: dict[str, Any], calls: list[dict[str, Any]], spans: list[dict[str, Any]]) -> bool:
    """Whether a span states this call's failure. A scenario's failing calls are made one after the other."""
    groups = _consecutive(spans)
    failures = [any(_states_failure(span) for span in group) for group in groups]
    if len(groups) == len(calls):
        return failures[next(index for index, other in enumerate(calls) if other is call)]
    return any(failures)


def _consecutive(spans: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Spans by the call that they cover: those that overlap."""
    groups: list[list[dict[str, Any]]] = []
    for span in sorted(spans, key=lambda span: span["start_ns"]):
        if groups and span["start_ns"] <= max(other["end_ns"] for other in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _states_failure(span: dict[str, Any]) -> bool:
    return bool(
        span["status"]["code"] == 2
        or "error.type" in span["attributes"]
        or span["attributes"].get("langfuse.observation.level") == "ERROR"
    )


def _names_user(span: dict[str, Any], user: str) -> bool:
    return any("user" in key and value == user for key, value in span["attributes"].items())


def _signs(call: dict[str, Any]) -> set[int]:
    """Counts that only this call of a scenario has."""
    read, write = call.get("cache_read_input_tokens", 0), call.get("cache_write_input_tokens", 0)
    value, out = call.get("input_tokens", 0), call.get("output_tokens", 0)
    return {value, value - read, value - read - write, out, out - call.get("reasoning_output_tokens", 0)} - {0}


def _numbers(span: dict[str, Any]) -> set[int]:
    text = json.dumps([span["attributes"], [event["attributes"] for event in span["events"]]])
    return {int(number) for number in re.findall(r"(?<![\w.])\d{1,9}(?![\w]|\.[1-9])", text)}


def _is_said(part: str, call: dict[str, Any], said: set[int]) -> bool:
    """Whether a span has the count, or the parts from which it follows."""
    value, read, write = call[part], call.get("cache_read_input_tokens", 0), call.get("cache_write_input_tokens", 0)
    if value in said:
        return True
    if part == "input_tokens":
        return value - read - write in said and {read, write} - {0} <= said
    if part == "output_tokens":
        reasoning = call.get("reasoning_output_tokens", 0)
        total = call["input_tokens"] + value
        return value - reasoning in said and (reasoning in said or total in said)
    return False
