"""The rows that a capture calls for: what the local API answered, and what the spans of each call do not state."""

from __future__ import annotations

import json
import re
from typing import Any

from tracker.usage import TOKEN_COLUMNS

# Texts that a call took and gave. They may contain an answer with its usage, but no format says so.
_CONTENT = re.compile(
    r"span(In|Out)puts|raw_llm_response|^gen_ai\.(prompt|completion)|entity\.(in|out)put|(in|out)put\.messages"
    r"|observation\.(in|out)put|input\.value|json_schema|_messages|events$"
)
_NO_CALLS = (
    "invoke_agent",
    "invoke_workflow",
    "create_agent",
    "execute_tool",
    "agent_step",
    "execute_event_loop_cycle",
)


def expected(calls: list[dict[str, Any]], fields: dict[str, Any], spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that the answers call for; `lacks` of a row names what no span of its call states."""
    return [_item(index, calls, fields, spans) for index in range(len(calls))]


def _item(
    index: int, calls: list[dict[str, Any]], fields: dict[str, Any], spans: list[dict[str, Any]]
) -> dict[str, Any]:
    call = calls[index]
    item = {key: call[key] for key in ("model", "provider") if key in call}
    if call["success"] and call.get("usage_sent", True):
        item |= {part: call.get(part, 0) for part in TOKEN_COLUMNS}
        item |= {key: call[key] for key in ("details", "user_id") if key in call}
    item |= {"success": call["success"], **fields}
    lacks = _lacks(call, item, spans) if "input_tokens" in item else _lacks_of_failure(index, calls, spans)
    return {**item, "lacks": lacks} if lacks else item


def _lacks(call: dict[str, Any], item: dict[str, Any], spans: list[dict[str, Any]]) -> list[str]:
    stating = [span for span in spans if _numbers(span) & _signs(call)]
    if not stating:
        return ["usage"] if any(map(_is_call, spans)) else ["call"]
    numbers = set().union(*map(_numbers, stating))
    lacks = [part for part in TOKEN_COLUMNS if call.get(part) and not _is_said(part, call, numbers)]
    lacks += [] if numbers >= set(call.get("details", {}).values()) else ["details"]
    lacks += [] if any(_names_model(span, call["model"]) for span in stating) else ["model"]
    names_user = "user_id" not in call or any(_names_user(span, call["user_id"]) for span in stating)
    return lacks if names_user else [*lacks, "user_id"]


def _lacks_of_failure(index: int, calls: list[dict[str, Any]], spans: list[dict[str, Any]]) -> list[str]:
    """What the spans of a call without usage lack. A scenario's failing calls are made one after the other."""
    groups = _consecutive(list(filter(_is_call, spans)))
    own = groups[index:] if index == len(calls) - 1 else groups[index : index + 1]
    group = [span for spans_of_one in own for span in spans_of_one]
    failed = any(map(_states_failure, group))
    lacks = ["usage"] if calls[index]["success"] or failed else ["usage", "error"]
    if group and not any(_names_request(span, calls[index]["model"]) for span in group):
        lacks.append("model")
    return lacks


def _is_call(span: dict[str, Any]) -> bool:
    """Whether a span is one call to a model, not an agent, a step, a tool or an HTTP request."""
    attributes = span["attributes"]
    operation, kind = attributes.get("gen_ai.operation.name"), attributes.get("openinference.span.kind", "LLM")
    sdk = attributes.get("ai.operationId", ".do")
    inner = attributes.get("traceloop.span.kind", "") not in ("workflow", "agent", "task", "tool")
    telling = any(re.search("model|gen_ai|llm|langfuse|mlflow", key) for key in attributes)
    return operation not in _NO_CALLS and kind in ("LLM", "EMBEDDING") and ".do" in sdk and inner and telling


def _names_model(span: dict[str, Any], model: str) -> bool:
    return any("model" in key and str(value).strip('"') == model for key, value in _said(span).items())


def _names_request(span: dict[str, Any], model: str) -> bool:
    """Whether a span names the requested model, of which the answering one is a version."""
    names = [str(value).strip('"') for key, value in _said(span).items() if "model" in key and value]
    return any(model.startswith(name) or model.endswith(name) for name in names)


def _said(span: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in span["attributes"].items() if not _CONTENT.search(key)}


def _numbers(span: dict[str, Any]) -> set[int]:
    text = json.dumps({key: _figures(value) if key == "output.value" else value for key, value in _said(span).items()})
    return {int(number) for number in re.findall(r"(?<![\w.])\d{1,9}(?![\w]|\.[1-9])", text)}


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


def _figures(answer: Any) -> Any:
    """An answer as JSON without its texts: a usage inside a text is not stated."""
    try:
        return json.loads(answer, object_hook=_without_texts)
    except (TypeError, ValueError):
        return None


def _without_texts(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not isinstance(value, str)}
