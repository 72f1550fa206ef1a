"""Reads a provider's bill or usage report and sums it by day, model and properties."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker import settings
from tracker.errors import SettingError, UsageError
from tracker.importing import records
from tracker.importing.input_file import InputFile
from tracker.importing.metadata_rules import property_key
from tracker.importing.profile import Profile
from tracker.importing.profile_rules import ColumnRule, has, pick
from tracker.importing.time_parsers import parse_time

MEASURES = ("input_tokens", "output_tokens", "calls", "cost")
COLUMNS = ("day", "model", *MEASURES)
MAX_DAYS = 400
Key = tuple[date, str, tuple[str, ...]]
"""A day, the key of a model, and the values of the bill's properties."""

_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


def model_key(name: str) -> str:
    """A key that is equal for different names of the same model.

    >>> model_key("Claude Haiku 4.5") == model_key("anthropic/claude-haiku-4-5-20251001")
    True
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower().rpartition("/")[2]).strip("-")
    return _DATED.sub("", plain)


@dataclass(slots=True)
class Bill:
    """Sums by day, model key and values of `properties`, which are keys of metadata.

    `names` are the bill's names of the models, `measures` the measures that it has.
    """

    measures: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    sums: dict[Key, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Decimal)))
    names: dict[str, str] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)

    @property
    def days(self) -> list[date]:
        return sorted({day for day, *_ in self.sums})


def bill_rules(profile: Profile) -> dict[str, ColumnRule]:
    """A profile's rules for the columns of a bill; the columns of an import also apply. Raises `SettingError`."""
    rules = dict(profile.mapping)
    if "day" not in rules and "created_at" in rules:
        rules["day"] = rules["created_at"]
    if "calls" not in rules and (calls := rules.get("metadata", ColumnRule()).object.get("calls")):
        rules["calls"] = ColumnRule(first=(calls,))
    return {column: rule for column, rule in rules.items() if column in COLUMNS or property_key(column)}


def read_bill(
    file: InputFile, profile: Profile, aliases: Mapping[str, str], required: frozenset[str] = frozenset()
) -> Bill:
    """Sum a bill. `aliases` maps the bill's model keys to recorded ones; the columns in `required` must exist.

    Raises `SettingError` for a file without the required columns.
    """
    mapping = bill_rules(profile)
    measures = tuple(measure for measure in MEASURES if measure in mapping)
    if "day" not in mapping or not measures:
        raise SettingError(f"Give --map day=NAME, and at least one of {', '.join(MEASURES)}; or --profile NAME.")
    bill = Bill(measures, tuple(key for column in mapping if (key := property_key(column))))
    present: set[str] = set()
    numeric = {name for column, rule in mapping.items() if column in MEASURES for name in rule.names}
    for record in records.read(file, profile.within, numeric=numeric):
        if record.problem:
            bill.rejected.append((record.line, record.problem))
            continue
        present |= {column for column, rule in mapping.items() if any(has(record.values, name) for name in rule.names)}
        try:
            _add(bill, record.values, mapping, profile, aliases)
        except UsageError as error:
            bill.rejected.append((record.line, str(error)))
    _check_columns(mapping, present, required, profile)
    bill.measures = tuple(measure for measure in measures if any(measure in sums for sums in bill.sums.values()))
    if len(days := bill.days) > 1 and (days[-1] - days[0]).days >= MAX_DAYS:
        raise SettingError(f"The bill covers {days[0]} to {days[-1]}; at most {MAX_DAYS} days are compared.")
    return bill


def _check_columns(
    mapping: Mapping[str, ColumnRule], present: set[str], required: frozenset[str], profile: Profile
) -> None:
    """Raise `SettingError` for a file without records or without required columns."""
    if not present:
        raise SettingError(f"The file has no record of a bill, or none of its columns.{_profile_hint(profile)}")
    for column in ("day", *sorted(required)):
        if column not in present:
            names = " or ".join(mapping[column].names)[:200]
            raise SettingError(f"The file has no {names!r} (for {column}).{_profile_hint(profile)}")
    if not present & set(MEASURES):
        raise SettingError(f"The file has none of the compared columns.{_profile_hint(profile)}")


def _profile_hint(profile: Profile) -> str:
    return f" The profile is for {profile.title}." if profile.title else ""


def _add(
    bill: Bill,
    values: Mapping[str, Any],
    mapping: Mapping[str, ColumnRule],
    profile: Profile,
    aliases: Mapping[str, str],
) -> None:
    for name, allowed in profile.only.items():
        if str(pick(values, name) or "").strip().lower() not in allowed:
            return
    texts = {column: rule.text(values, column) for column, rule in mapping.items()}
    if not any(texts[measure] for measure in bill.measures):
        return  # a day without usage
    name = texts.get("model", "")
    key = model_key(name)
    key = aliases.get(key, key)
    bill.names.setdefault(key, name)
    numbers = {measure: _parse_number(measure, texts[measure]) for measure in bill.measures if texts[measure]}
    properties = tuple(texts[f"metadata.{name}"] for name in bill.properties)
    sums = bill.sums[_parse_day(texts["day"], profile.timezone), key, properties]
    for measure, number in numbers.items():
        sums[measure] += number


def _parse_number(measure: str, text: str) -> Decimal:
    try:
        number = Decimal(text.replace(",", "").lstrip("$"))
    except InvalidOperation:
        raise UsageError(f"{measure} is {text[:60]!r}, which is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise UsageError(f"{measure} is {text[:60]!r}, which is not an amount")
    return number


def _parse_day(text: str, zone: str) -> date:
    """The bill's day of a time."""
    try:
        time = parse_time(text, zone)
    except ValueError:
        raise UsageError(f"day is {text[:60]!r}, which is not a day such as 2026-09-01") from None
    return time.astimezone(settings.load_time_zone(zone)).date()
