"""Rules that compute a column from a record's values: one value, a sum, a duration, or several values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker.errors import SettingError, UsageError
from tracker.importing.time_parsers import parse_time
from tracker.providers.frameworks.metadata_keys import is_application_key
from tracker.providers.model_names import provider_named

OPTIONS = frozenset(
    {
        "first",
        "sum",
        "cents",
        "containing",
        "between",
        "unless_equal",
        "object",
        "unless",
        "before",
        "zero_is_unknown",
        "is_provider",
        "keys_of",
    }
)
"""The options of a rule in a profile's TOML."""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """The rule for one column. Exactly one of the kinds is set.

    `first`: the first of these names that has a value. `sum`: the sum of these. `containing`: the sum of the values
    in the object `first` whose names contain this text. `between`: the milliseconds from one time to the next, for
    the first pair that has both; none if the two values of a pair in `unless_equal` are equal. `object`: these
    values as a JSON object; in an inner table, the first number of each list that is not 0. `unless`: false if the
    first value is one of these, else true. `cents`: hundredths to add to the sum. `before`: the part of the first
    value before this text. `is_provider`: the first value is a provider's name in any spelling. `keys_of`: the scalars
    and the lists of scalars in these objects, which are added to `object`.
    """

    first: Sequence[str] = ()
    sum: Sequence[str] = ()
    containing: str | None = None
    between: Sequence[str] = ()
    unless_equal: Sequence[str] = ()
    object: Mapping[str, Any] = field(default_factory=dict)
    unless: Sequence[str] = ()
    cents: Sequence[str] = ()
    before: str | None = None
    zero_is_unknown: bool = False
    is_provider: bool = False
    keys_of: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """All names that the rule reads."""
        inner = [name for names in self.object.values() for name in _names_of(names)]
        return (*self.first, *self.sum, *self.cents, *self.between, *self.unless_equal, *inner, *self.keys_of)

    def text(self, values: Mapping[str, Any], column: str) -> str:
        """The cell's text; empty if the record has no value for it. Raises `UsageError`."""
        if self.sum or self.cents:
            hundredths = [_hundredth(pick(values, name)) for name in self.cents]
            return _sum([*(pick(values, name) for name in self.sum), *hundredths], column)
        if self.between:
            pairs = zip(self.between[::2], self.between[1::2], strict=True)
            equal = zip(self.unless_equal[::2], self.unless_equal[1::2], strict=True)
            if any(_is_equal(pick(values, one), pick(values, other)) for one, other in equal):
                return ""
            spans = (_milliseconds(pick(values, start), pick(values, end)) for start, end in pairs)
            return next((span for span in spans if span), "")
        if self.object or self.keys_of:
            picked = _scalars_of(values, self.keys_of)
            picked |= {
                name: value for name, names in self.object.items() if has_value(value := _pick_any(values, names))
            }
            if (calls := _number(str(picked.get("calls", "")))) is not None:
                picked["calls"] = int(calls)  # text in a CSV file
            return json.dumps(picked, ensure_ascii=False, default=str) if picked else ""
        value = next((value for name in self.first if has_value(value := pick(values, name))), None)
        if self.containing is not None:
            parts = as_object(value)
            return _sum([part for name, part in parts.items() if self.containing in name.lower()], column)
        if self.unless:
            return "" if value is None else str(str(value).lower() not in self.unless).lower()
        text = _plain(value)
        if self.before is not None:
            text = text.partition(self.before)[0].strip()
        if self.is_provider:
            return provider_named(text) if text else ""
        return "" if self.zero_is_unknown and text and _number(text) == 0 else text


def _scalars_of(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        for key, value in as_object(pick(values, name)).items():
            value = list_of(value)
            if has_value(value) and not isinstance(value, dict) and is_application_key(key):
                found[key] = value
    return found


def list_of(value: Any) -> Any:
    """The value; the JSON text of a list as a list, None for an empty list or one of other values than scalars."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, list):
        return value if value and all(isinstance(item, str | int | float) for item in value) else None
    return value


def parse_rule(given: object, where: str) -> ColumnRule:
    """Parse a rule from a profile's TOML: a name, a list of names, or a table. Raises `SettingError`."""
    if isinstance(given, str):
        return ColumnRule(first=(given,))
    if isinstance(given, list) and given and all(isinstance(name, str) for name in given):
        return ColumnRule(first=tuple(given))
    if not isinstance(given, dict) or not given or set(given) - OPTIONS:
        raise SettingError(f"{where} must be a name, a list of names, or a table of {', '.join(sorted(OPTIONS))}.")
    options = dict(given)
    for name in ("first", "sum", "cents", "between", "unless_equal", "unless", "keys_of"):
        texts = [options[name]] if isinstance(options.get(name), str) else options.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise SettingError(f"{where}: {name} is not a list of names.")
        options[name] = tuple(texts)
    is_object = isinstance(options.get("object", {}), dict) and all(
        _names_of(w) for w in options.get("object", {}).values()
    )
    if len(options["between"]) % 2 or len(options["unless_equal"]) % 2 or not is_object:
        raise SettingError(f"{where} needs pairs of names for between and unless_equal, and a table for object.")
    return ColumnRule(**options)


def _names_of(where: Any) -> list[str]:
    """The names in a name, a list of names or a table of them; empty for anything else."""
    if isinstance(where, dict):
        inner = [_names_of(value) for value in where.values()]
        return [name for names in inner for name in names] if all(inner) else []
    names = [where] if isinstance(where, str) else where
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _pick_any(values: Mapping[str, Any], where: Any) -> Any:
    if isinstance(where, str):
        return list_of(pick(values, where))
    if isinstance(where, dict):
        return {name: value for name, inner in where.items() if (value := _pick_any(values, inner)) is not None} or None
    return next((number for name in where if (number := _positive(pick(values, name))) is not None), None)


def _positive(value: Any) -> int | float | None:
    number = None if isinstance(value, bool) else _number(str(value))
    if number is None or not 0 < number < 10**15:
        return None
    return int(number) if number == int(number) else float(number)


def pick(values: Mapping[str, Any], name: str) -> Any:
    """The value with this name; `a.b` is b in the object a, which can also be JSON text, as in a CSV file."""
    if name in values:
        return values[name]
    outer, dot, inner = name.partition(".")
    if not dot or outer not in values:
        return None
    return pick(as_object(values[outer]), inner)


def has(values: Mapping[str, Any], name: str) -> bool:
    """Whether a record has this name, with or without a value."""
    outer, dot, inner = name.partition(".")
    return name in values or (bool(dot) and outer in values and has(as_object(values[outer]), inner))


def as_object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def has_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _plain(value: Any) -> str:
    if not has_value(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Some exports write a whole number as 3.0; repr is the shortest text of a float.
        return format(Decimal(repr(value)), "f")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value).strip()


def _sum(values: Sequence[Any], column: str) -> str:
    numbers = []
    for value in values:
        if has_value(value):
            number = _number(_plain(value))
            if number is None:
                raise UsageError(f"{column} is a sum, and {str(value)[:60]!r} is not a number")
            numbers.append(number)
    return format(sum(numbers, Decimal(0)), "f") if numbers else ""


def _is_equal(one: Any, other: Any) -> bool:
    return has_value(one) and _plain(one) == _plain(other)


def _hundredth(value: Any) -> Any:
    number = _number(_plain(value))
    return value if number is None else number / 100


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 30 else None


def _milliseconds(start: Any, end: Any) -> str:
    """The milliseconds between two times; empty if one is missing, or only one of them has a time zone."""
    if not (has_value(start) and has_value(end)):
        return ""
    try:
        spans = {parse_time(_plain(end), zone) - parse_time(_plain(start), zone) for zone in ("UTC", "Etc/GMT+5")}
    except ValueError:
        return ""
    return str(max(0, round(spans.pop() / timedelta(milliseconds=1)))) if len(spans) == 1 else ""
