"""TokenUsage: the usage of one AI call with its id, validated at construction."""

from __future__ import annotations

import json
import operator
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any
from uuid import UUID

from tracker.errors import UsageError, UsageTypeError
from tracker.immutable import Immutable
from tracker.setting_parsers import require_plain_number

MAX_INTEGER = 2**31 - 1  # PostgreSQL's integer
MAX_COST_USD = Decimal(10) ** 9
# More digits than calculations with Decimal produce, fewer than PostgreSQL's numeric can store.
_MAX_COST_DIGITS = 400
# An index entry for user_id has at most 2,704 bytes.
_MAX_USER_ID_BYTES = 2000

TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)
"""The token columns of `token_usage` except `total_tokens`, in the order that all modules use."""
_REQUIRED_TEXT = ("model", "user_id", "operation")
_OPTIONAL_TEXT = ("session_id", "provider", "error_message", "cost_source")
# PostgreSQL's text can't contain NUL or lone surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def replace_unstorable(text: str) -> str:
    """The text as it is stored: NUL and lone surrogates, which PostgreSQL refuses, become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds, 12 bits of their fraction, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


def _now() -> datetime:
    return datetime.now(UTC)


# The default of a field whose value is created for each record.
_NEW: Any = type("_New", (), {"__repr__": lambda _: "new"})()
_FACTORIES: dict[str, Callable[[], Any]] = {"created_at": _now, "metadata": dict, "id": new_id}


class TokenUsage(Immutable):
    """One AI call, as a validated row of `token_usage` that the database can store.

    Tokens are counts as OpenTelemetry's GenAI conventions define them: input includes cached tokens, output
    includes reasoning tokens, `total_tokens` is their sum unless given. `cost` is USD (Decimal, int, str, or float
    read by its shortest form), None when unknown. `processing_time` is milliseconds of the AI call,
    `time_to_first_token_ms` those until the first content of its stream, `created_at` its end (aware; now unless
    given). `id` is a UUIDv7 generated here, before any attempt: the idempotency key.
    NUL and lone surrogates in text become U+FFFD, since PostgreSQL can't store them.

    Raises `UsageError` (a ValueError) and `UsageTypeError` (a TypeError) for invalid values.

    >>> TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164).total_tokens
    976
    """

    model: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_input_tokens: int
    cache_write_input_tokens: int
    reasoning_output_tokens: int
    user_id: str
    session_id: str | None
    provider: str | None
    operation: str
    cost: Decimal | None
    cost_source: str | None
    processing_time: int | None
    time_to_first_token_ms: int | None
    success: bool
    error_message: str | None
    created_at: datetime
    is_test: bool
    metadata: Mapping[str, Any]
    id: UUID
    __slots__ = tuple(__annotations__)

    def __init__(
        self,
        *,
        model: str,
        input_tokens: int = 0,
        output_tokens: int = 0,
        total_tokens: int | None = None,
        cache_read_input_tokens: int = 0,
        cache_write_input_tokens: int = 0,
        reasoning_output_tokens: int = 0,
        user_id: str = "anonymous",
        session_id: str | None = None,
        provider: str | None = None,
        operation: str = "chat",
        cost: Decimal | float | str | None = None,
        cost_source: str | None = None,
        processing_time: int | None = None,
        time_to_first_token_ms: int | None = None,
        success: bool = True,
        error_message: str | None = None,
        created_at: datetime = _NEW,
        is_test: bool = False,
        metadata: Mapping[str, Any] = _NEW,
        id: UUID | str = _NEW,  # noqa: A002  the column's name
    ) -> None:
        row = dict(locals())
        for name, make in _FACTORIES.items():
            if row[name] is _NEW:
                row[name] = make()
        self._set(_validate(row))

    def __hash__(self) -> int:
        return hash(self.id)

    def as_row(self) -> dict[str, Any]:
        """The record's columns by name, as Python values."""
        return self._values()


FIELDS: tuple[str, ...] = TokenUsage.__slots__
# The values of fields that aren't given; `id` and `created_at` are required.
DEFAULTS: dict[str, Any] = {
    "model": None,
    **{n: None if default is _NEW else default for n, default in (TokenUsage.__init__.__kwdefaults__ or {}).items()},
}
DEFAULTS["metadata"] = {}


def _validate(row: dict[str, Any]) -> dict[str, Any]:
    for name, check, default in _CHECKS_AND_DEFAULTS:
        value = row[name]
        if value is not default:
            row[name] = check(value)
    return complete_row(row)


def complete_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its derived fields, after validation across fields; each field must be validated before."""
    row["total_tokens"] = _total_tokens(row)
    _check_subsets(row)
    if row["cost"] is not None and row["cost_source"] is None:
        row["cost_source"] = "provided"
    return row


def _total_tokens(row: Mapping[str, Any]) -> int:
    floor: int = row["input_tokens"] + row["output_tokens"]
    total: int = floor if row["total_tokens"] is None else row["total_tokens"]
    if total > MAX_INTEGER:
        raise UsageError(f"total_tokens is {total}; it must be at most {MAX_INTEGER}.")
    if total < floor:
        raise UsageError(f"total_tokens is {total}, less than input_tokens + output_tokens = {floor}.")
    return total


def _check_subsets(row: Mapping[str, Any]) -> None:
    cached = row["cache_read_input_tokens"] + row["cache_write_input_tokens"]
    if cached > row["input_tokens"]:
        raise UsageError(
            f"cache_read_input_tokens + cache_write_input_tokens is {cached}, above input_tokens"
            f" {row['input_tokens']}, which includes them."
        )
    if row["reasoning_output_tokens"] > row["output_tokens"]:
        raise UsageError(
            f"reasoning_output_tokens is {row['reasoning_output_tokens']}, above output_tokens"
            f" {row['output_tokens']}, which includes them."
        )


def invalid_row_indices(columns: Sequence[Sequence[Any]]) -> set[int]:
    """The indices of the rows that `complete_row` would refuse; `columns` are `TOKEN_COLUMNS` and `total_tokens`."""
    return {
        index
        for index, (input_, output, read, write, reasoning, total) in enumerate(zip(*columns, strict=True))
        if not (input_ + output <= (input_ + output if total is None else total) <= MAX_INTEGER)
        or read + write > input_
        or reasoning > output
    }


def _text(name: str, value: object) -> str:
    # A fast path for the values of most records; an import validates millions.
    if type(value) is str and value.isprintable() and len(value) < 200 and not value.isspace() and value:
        return value
    if not isinstance(value, str):
        raise UsageTypeError(f"{name} is {type(value).__name__}; it must be a str.")
    if not value.strip() and name in _REQUIRED_TEXT:
        raise UsageError(f"{name} is empty.")
    text = replace_unstorable(value)
    if name == "user_id" and len(text) * 4 > _MAX_USER_ID_BYTES < len(text.encode()):
        raise UsageError(f"user_id is longer than {_MAX_USER_ID_BYTES} bytes, which the table's index can't store.")
    return text


def _count(name: str, value: object) -> int:
    if type(value) is int and 0 <= value <= MAX_INTEGER:
        return value
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        raise UsageTypeError(f"{name} is a bool; it must be a whole number.")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # takes NumPy's integers, refuses floats
    except TypeError:
        raise UsageTypeError(f"{name} is {type(value).__name__}; it must be a whole number.") from None
    if not 0 <= number <= MAX_INTEGER:
        # Python refuses to format a number of some thousand digits.
        value_text = number if abs(number) < 10**20 else "out of range"
        raise UsageError(f"{name} is {value_text}; it must be from 0 to {MAX_INTEGER}.")
    return number


def _bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageTypeError(f"{name} is {type(value).__name__}; it must be True or False.")
    return value


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _cost(value: object) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str | float):
        raise UsageTypeError(f"cost is {type(value).__name__}; it must be a Decimal, or None when unknown.")
    try:
        if isinstance(value, str):
            value = require_plain_number(value)
        cost = Decimal(str(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        raise UsageError("cost is not a number.") from None
    if not cost.is_finite() or not 0 <= cost < MAX_COST_USD:
        raise UsageError(f"cost is {str(cost)[:40]}; it must be USD from 0 to {MAX_COST_USD:,}.")
    if not cost:
        return Decimal(0)
    if int(cost.as_tuple().exponent) < -_MAX_COST_DIGITS:
        raise UsageError(f"cost has more than {_MAX_COST_DIGITS} digits after the point.")
    return cost


def _utc_time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise UsageTypeError(f"created_at is {type(value).__name__}; it must be a datetime.")
    if value.tzinfo is UTC:
        return value
    try:
        offset = value.utcoffset()
    except ValueError:  # pandas' NaT, which is a datetime
        raise UsageError("created_at is not a time.") from None
    if offset is None:
        raise UsageError("created_at has no time zone; use datetime.now(UTC) or give it a tzinfo.")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise UsageError("created_at is outside the years 1 to 9999.") from None


def _metadata(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageTypeError(f"metadata is {type(value).__name__}; it must be a mapping.")
    if not value:
        return {}
    if all(type(key) is type(text) is str and key.isprintable() and text.isprintable() for key, text in value.items()):
        return dict(value)  # the metadata of most records needs no JSON round trip
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        metadata: dict[str, Any] = _replace_in_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"metadata can't be stored as JSON: {error}.") from None
    except TypeError as error:
        raise UsageTypeError(f"metadata can't be stored as JSON: {error}.") from None
    return metadata


def _replace_in_json(value: Any) -> Any:
    """The JSON value with unstorable characters replaced in every text, including keys."""
    if isinstance(value, str):
        return replace_unstorable(value)
    if isinstance(value, list):
        return [_replace_in_json(item) for item in value]
    if isinstance(value, dict):
        return {_replace_in_json(key): _replace_in_json(item) for key, item in value.items()}
    return value


def _uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise UsageTypeError(f"id is {type(value).__name__}; it must be a UUID.")
    try:
        return UUID(value)
    except ValueError:
        raise UsageError("id is not a UUID.") from None


CHECKS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(_text, name) for name in _REQUIRED_TEXT},
    **{name: _optional(partial(_text, name)) for name in _OPTIONAL_TEXT},
    **{name: partial(_count, name) for name in TOKEN_COLUMNS},
    "total_tokens": _optional(partial(_count, "total_tokens")),
    "processing_time": _optional(partial(_count, "processing_time")),
    "time_to_first_token_ms": _optional(partial(_count, "time_to_first_token_ms")),
    "success": partial(_bool, "success"),
    "is_test": partial(_bool, "is_test"),
    "cost": _cost,
    "created_at": _utc_time,
    "metadata": _metadata,
    "id": _uuid,
}
"""The validator of each field, which returns the value to store. An import calls it once for each distinct text."""
# Most fields have their default value, which needs no validation; these have none, or one that must be copied.
_ALWAYS_CHECKED = frozenset({"model", "metadata", "id", "created_at"})
_CHECKS_AND_DEFAULTS = tuple(
    (name, check, object() if name in _ALWAYS_CHECKED else DEFAULTS[name]) for name, check in CHECKS.items()
)
