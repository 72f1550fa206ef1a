"""The consistency check of token usage: counts that contradict each other are stored with a mark, never silently."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from tracker.messages import Message
from tracker.usage import TOKEN_COLUMNS

MAX_COUNT = 2**31 - 1  # PostgreSQL's integer
MAX_RAW_BYTES = 4096
_MAX_RAW_DEPTH = 5
_MAX_RAW_ENTRIES = 60
_MAX_KEY_CHARS = 60

AGGREGATED = "usage_aggregated"
"""The code of `USAGE_PROBLEMS` for a row of a usage export that is the sum of many calls."""
# The text that earlier versions stored instead of the code.
_EARLIER_AGGREGATED_TEXT = "the sum of many calls, which has no price of one call"

USAGE_PROBLEMS = frozenset(
    {
        "usage_missing",
        "stream_usage_missing",
        "stream_not_read",
        "response_missing",
        "unit_not_tokens",
        "response_never_retrieved",
        "response_unreadable",
        "input_missing",
        "count_invalid",
        "count_too_large",
        "total_mismatch",
        "details_exceed_counts",
        "parts_exceed_input",
        "reasoning_exceeds_output",
        AGGREGATED,
    }
)
"""The codes of `metadata.usage_problem`; their sentences are in `tracker/messages/prices_texts.py`."""

_CACHED = ("cache_read_input_tokens", "cache_write_input_tokens")


class CheckedUsage(NamedTuple):
    """Counts that `TokenUsage` accepts; `problem` is a code of `USAGE_PROBLEMS`, `raw` the stated numbers if marked."""

    counts: dict[str, int]
    problem: str | None
    raw: dict[str, Any] | None


class RereadUsage(NamedTuple):
    """A marked row's stored numbers, read with the current rules; `problem` is None if they are consistent."""

    counts: dict[str, int]
    details: dict[str, Any]
    problem: str | None


class CountError(ValueError):
    """A value that is not a storable count; `code` is a code of `USAGE_PROBLEMS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def problem_text(code: str) -> str:
    """The sentence for a code of `USAGE_PROBLEMS`; any other text unchanged."""
    known_code = AGGREGATED if is_aggregated(code) else code
    return Message(f"prices.problem.{known_code}") if known_code in USAGE_PROBLEMS else code


def is_aggregated(problem: object) -> bool:
    """Whether a `metadata.usage_problem`, also of an earlier version, marks the sum of many calls."""
    return problem in (AGGREGATED, _EARLIER_AGGREGATED_TEXT)


def to_count(value: object) -> int:
    """A stated count as an int: a whole number, or its decimal text as protobuf's JSON writes it.

    Raises `CountError` for everything else.
    """
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    if (isinstance(value, float) and math.isfinite(value) and value.is_integer()) or _is_decimal_text(value):
        value = int(value)  # type: ignore[call-overload]  # a float or a str
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CountError("count_invalid")
    if value > MAX_COUNT:
        raise CountError("count_too_large")
    return int(value)


def _is_decimal_text(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18


def whole_number(value: object) -> int | None:
    """A count as senders write it: a whole number, also as a double or as text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_usage(
    counts: Mapping[str, int], *, stated_total: int | None, formula_total: int | None, raw: object
) -> CheckedUsage:
    """The counts as they can be stored, with a problem code and the raw numbers if they contradict each other.

    `counts` are the table's counts by name: input includes cached and output includes reasoning tokens.
    `formula_total` is the sum by the sender's own formula for its total, None if it is input + output. A stated
    total that equals it is consistent, even if it differs from input + output.
    """
    checked, problem = _storable_counts(counts)
    problem = problem or _contradiction(checked)
    floor = checked.get("input_tokens", 0) + checked.get("output_tokens", 0)
    if floor > MAX_COUNT:
        checked, floor, problem = {}, 0, "count_too_large"
    if stated_total is not None:
        expected = floor if formula_total is None else formula_total
        total, total_problem = _stated_total(stated_total, expected)
        problem = problem or total_problem
        checked["total_tokens"] = max(floor, total)
    if problem is None:
        return CheckedUsage(checked, None, None)
    _remove_contradictions(checked)
    return CheckedUsage(checked, problem, numbers_only(raw))


def _storable_counts(counts: Mapping[str, Any]) -> tuple[dict[str, int], str | None]:
    checked: dict[str, int] = {}
    problem = None
    for name in TOKEN_COLUMNS:
        if (value := counts.get(name)) is None:
            continue
        if type(value) is int and 0 <= value <= MAX_COUNT:  # as nearly every response states it
            checked[name] = value
            continue
        try:
            checked[name] = to_count(value)
        except CountError as error:
            problem = problem or error.code
    return checked, problem


def _contradiction(counts: Mapping[str, int]) -> str | None:
    cached = counts.get("cache_read_input_tokens", 0) + counts.get("cache_write_input_tokens", 0)
    if cached > counts.get("input_tokens", 0):
        return "parts_exceed_input"
    if counts.get("reasoning_output_tokens", 0) > counts.get("output_tokens", 0):
        return "reasoning_exceeds_output"
    return None


def _stated_total(stated: object, expected: int) -> tuple[int, str | None]:
    try:
        total = to_count(stated)
    except CountError as error:
        return 0, error.code
    return total, None if total == expected else "total_mismatch"


def _remove_contradictions(counts: dict[str, int]) -> None:
    if sum(counts.get(name, 0) for name in _CACHED) > counts.get("input_tokens", 0):
        counts.update(dict.fromkeys(_CACHED, 0))
    if counts.get("reasoning_output_tokens", 0) > counts.get("output_tokens", 0):
        counts["reasoning_output_tokens"] = 0


def numbers_only(node: object) -> dict[str, Any]:
    """The numbers of a usage object under their own names, at most 4 kB of JSON.

    A list whose entries name a modality or a time to live becomes an object by that name: Gemini's
    [{"modality": "AUDIO", "tokenCount": 5}] is {"AUDIO": 5}.
    """
    try:
        numbers = _numbers(node, 0)
    except Exception:  # noqa: BLE001  a foreign object may raise anything when it is read
        return {}
    kept = numbers if isinstance(numbers, dict) else {"values": numbers} if numbers is not None else {}
    if _bytes(kept) > MAX_RAW_BYTES:
        kept = {name: value for name, value in kept.items() if isinstance(value, int | float)}
    while _bytes(kept) > MAX_RAW_BYTES:
        kept.popitem()
    return kept


def _bytes(value: object) -> int:
    return len(json.dumps(value))


def _numbers(node: Any, depth: int) -> Any:
    if isinstance(node, bool) or node is None or depth > _MAX_RAW_DEPTH:
        return None
    if isinstance(node, int):
        return int(node) if abs(node) < 2**63 else None
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    if isinstance(node, str):
        return int(node) if _is_decimal_text(node) else None
    if isinstance(node, list | tuple):
        return _numbers_of_list(node, depth)
    fields = _fields(node)
    numbers_by_name = {}
    for name, value in list(fields.items())[:_MAX_RAW_ENTRIES]:
        if isinstance(name, str) and len(name) <= _MAX_KEY_CHARS and name.isprintable():
            numbers = _numbers(value, depth + 1)
            if numbers is not None:
                numbers_by_name[name] = numbers
    return numbers_by_name or None


def _numbers_of_list(items: list[Any] | tuple[Any, ...], depth: int) -> Any:
    by_label: dict[str, Any] = {}
    unlabelled = []
    for item in items[:_MAX_RAW_ENTRIES]:
        numbers = _numbers(item, depth + 1)
        label = _label(item)
        if label is None or not isinstance(numbers, dict):
            unlabelled.append(numbers)
        elif len(numbers) == 1 and not isinstance(number := next(iter(numbers.values())), dict | list):
            by_label[label] = by_label.get(label, 0) + number
        else:
            by_label[label] = [*by_label.get(label, []), numbers]
    return by_label or [value for value in unlabelled if value is not None] or None


def _label(item: object) -> str | None:
    fields = {} if isinstance(item, str | int | float | bool | list | tuple) or item is None else _fields(item)
    for name in ("modality", "ttl", "type"):
        label = getattr(fields.get(name), "value", fields.get(name))
        if isinstance(label, str) and 0 < len(label) <= _MAX_KEY_CHARS:
            return label if name == "type" else label.upper()
    return None


def _fields(node: Any) -> Mapping[str, Any]:
    if isinstance(node, Mapping):
        return node
    fields = getattr(node, "__dict__", None)
    if not isinstance(fields, dict):
        return {}
    return {**fields, **(getattr(node, "__pydantic_extra__", None) or {})}


def reread_usage(metadata: Mapping[str, Any]) -> RereadUsage | None:
    """Read a marked row's `usage_raw` with the current rules; None if the row has no readable numbers."""
    source, raw = metadata.get("usage_source"), metadata.get("usage_raw")
    if not isinstance(source, str) or not isinstance(raw, Mapping) or not raw:
        return None
    if source.startswith("otlp:"):
        return _reread_span(metadata)
    if source.startswith("response:"):
        from tracker.providers.responses import reread

        return reread(source.removeprefix("response:"), raw)
    return None


def _reread_span(metadata: Mapping[str, Any]) -> RereadUsage | None:
    try:
        from tracker.otlp.reading.span_reader import reread_attributes
    except ImportError:
        return None
    result: RereadUsage | None = reread_attributes(metadata)
    return result
