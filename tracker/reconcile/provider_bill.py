"""A provider's bill or usage report, added up by day and model."""

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
from tracker.importing.profile import Profile
from tracker.importing.profile_rules import ColumnRule, has, pick
from tracker.importing.time_parsers import parse_time

FIGURES = ("input_tokens", "output_tokens", "calls", "cost")
COLUMNS = ("day", "model", *FIGURES)
MOST_DAYS = 400
Key = tuple[date, str]

_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


def model_key(name: str) -> str:
    """What is the same model, however a bill calls it.

    >>> model_key("Claude Haiku 4.5") == model_key("anthropic/claude-haiku-4-5-20251001")
    True
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower().rpartition("/")[2]).strip("-")
    return _DATED.sub("", plain)


@dataclass(slots=True)
class Bill:
    """Sums by day and model key; `names` is how the bill calls each. `figures` are those that it has."""

    measures: tuple[str, ...] = ()
    sums: dict[Key, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Decimal)))
    names: dict[str, str] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)

    @property
    def days(self) -> list[date]:
        return sorted({day for day, _ in self.sums})


def rules(profile: Profile) -> dict[str, ColumnRule]:
    """What a profile says about a bill's columns: those of an import do as well. Raises `SettingError`."""
    found = dict(profile.mapping)
    if "day" not in found and "created_at" in found:
        found["day"] = found["created_at"]
    if "calls" not in found and (calls := found.get("metadata", ColumnRule()).object.get("calls")):
        found["calls"] = ColumnRule(first=(calls,))
    return {column: rule for column, rule in found.items() if column in COLUMNS}


def read_bill(
    file: InputFile, profile: Profile, aliases: Mapping[str, str], asked: frozenset[str] = frozenset()
) -> Bill:
    """Add a bill up. `aliases` maps model keys of theirs to ours; the columns in `asked` must be there.

    Raises `SettingError` for a file that doesn't fit.
    """
    mapping = rules(profile)
    figures = tuple(figure for figure in FIGURES if figure in mapping)
    if "day" not in mapping or not figures:
        raise SettingError(f"Say --map day=NAME, and at least one of {', '.join(FIGURES)}; or --profile NAME.")
    bill = Bill(figures)
    there: set[str] = set()
    numeric = {name for column, rule in mapping.items() if column in FIGURES for name in rule.names}
    for found in records.read(file, profile.within, numeric=numeric):
        if found.problem:
            bill.rejected.append((found.line, found.problem))
            continue
        there |= {column for column, rule in mapping.items() if any(has(found.values, name) for name in rule.names)}
        try:
            _add(bill, found.values, mapping, profile, aliases)
        except UsageError as error:
            bill.rejected.append((found.line, str(error)))
    _check(mapping, there, asked, profile)
    bill.measures = tuple(figure for figure in figures if any(figure in sums for sums in bill.sums.values()))
    if len(days := bill.days) > 1 and (days[-1] - days[0]).days >= MOST_DAYS:
        raise SettingError(f"The bill reaches from {days[0]} to {days[-1]}; at most {MOST_DAYS} days are compared.")
    return bill


def _check(mapping: Mapping[str, ColumnRule], there: set[str], asked: frozenset[str], profile: Profile) -> None:
    """Refuse a file that has no record, or not the names that its records must have."""
    if not there:
        raise SettingError(f"The file has no record of a bill, or none of its names.{_meant(profile)}")
    for column in ("day", *sorted(asked)):
        if column not in there:
            wanted = " or ".join(mapping[column].names)[:200]
            raise SettingError(f"The file has no {wanted!r} (for {column}).{_meant(profile)}")
    if not there & set(FIGURES):
        raise SettingError(f"The file has none of the figures that are compared.{_meant(profile)}")


def _meant(profile: Profile) -> str:
    return f" The profile is for {profile.title}." if profile.title else ""


def _add(
    bill: Bill,
    values: Mapping[str, Any],
    mapping: Mapping[str, ColumnRule],
    profile: Profile,
    aliases: Mapping[str, str],
) -> None:
    for name, wanted in profile.only.items():
        if str(pick(values, name) or "").strip().lower() not in wanted:
            return
    texts = {column: rule.text(values, column) for column, rule in mapping.items()}
    if not any(texts[figure] for figure in bill.measures):
        return  # a day without use
    name = texts.get("model", "")
    key = model_key(name)
    key = aliases.get(key, key)
    bill.names.setdefault(key, name)
    numbers = {figure: _number(figure, texts[figure]) for figure in bill.measures if texts[figure]}
    sums = bill.sums[_day(texts["day"], profile.timezone), key]
    for figure, number in numbers.items():
        sums[figure] += number


def _number(figure: str, text: str) -> Decimal:
    try:
        number = Decimal(text.replace(",", "").lstrip("$"))
    except InvalidOperation:
        raise UsageError(f"{figure} holds {text[:60]!r}, which is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise UsageError(f"{figure} holds {text[:60]!r}, which is no amount")
    return number


def _day(text: str, zone: str) -> date:
    """The bill's day that a time lies in."""
    try:
        moment = parse_time(text, zone)
    except ValueError:
        raise UsageError(f"day holds {text[:60]!r}, which is no day such as 2026-09-01") from None
    return moment.astimezone(settings.load_time_zone(zone)).date()
