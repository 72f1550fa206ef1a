"""The currency in which the pages display costs: a fixed rate of TRACKER_CURRENCY, or dated rates of the prices file.

Costs are stored in US dollars. `TRACKER_CURRENCY` takes precedence over the file; with a code alone, it selects the
file's rates of this currency, or US dollars.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracker.currencies import CODES
from tracker.errors import SettingError
from tracker.messages import Message
from tracker.setting_parsers import CurrencySetting
from tracker.settings import Settings
from tracker.small_files import parse_toml, read_text

Rates = tuple[tuple[date, Decimal], ...]
"""Units of the currency for one US dollar, each from a local day on, in the order of the days."""
MAX_RATE = 10**9
_FIRST_DAY, _LAST_DAY = date(1971, 1, 1), date(2199, 12, 31)


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency with its rates; US dollars have none. `is_fixed`: one rate for all days, stated on `stated_on`."""

    code: str = "USD"
    rates: Rates = ()
    is_fixed: bool = False
    stated_on: date | None = None

    @property
    def first_day(self) -> date | None:
        """The first day with a rate of its own; None for a fixed rate. Earlier days have the same rate."""
        return self.rates[0][0] if self.rates and not self.is_fixed else None

    def rate_on(self, day: date) -> Decimal:
        """The rate of a day; before the first rate, the first one."""
        return rate_on(self.rates, day)


USD = Currency()


def rate_on(rates: Rates, day: date) -> Decimal:
    """The rate of a day; before the first rate, the first one. Without rates 1, for US dollars."""
    if not rates:
        return Decimal(1)
    return rates[max(0, bisect_right(rates, day, key=lambda rate: rate[0]) - 1)][1]


def resolve_currency(settings: Settings) -> Currency:
    """The currency of the settings. Raises `SettingError` for an invalid section of the prices file."""
    setting = settings.currency
    if setting is not None and setting.rate is not None:
        return _fixed(setting, setting.rate)
    if setting is not None and setting.code == "USD":
        return USD
    currency = load_currency(settings.prices)
    if setting is not None and (currency is None or currency.code != setting.code):
        raise SettingError(Message("prices.currency.no_rate", code=setting.code))
    return currency or USD


def currency_problem(settings: Settings) -> str | None:
    """Why the settings name no usable currency, so that costs are in US dollars; None if they are valid."""
    try:
        resolve_currency(settings)
    except SettingError as error:
        return str(error)
    return None


def _fixed(setting: CurrencySetting, rate: Decimal) -> Currency:
    if setting.code == "USD":
        return USD
    return Currency(setting.code, ((date.min, rate),), is_fixed=True, stated_on=setting.day)


def load_currency(path: str | None) -> Currency | None:
    """The currency of the prices file; None without one. Raises `SettingError` for an invalid file or section."""
    if not path:
        return None
    label = Message("prices.file.label")
    section = parse_toml(read_text(Path(path), label), label, parse_float=Decimal).get("currency")
    return None if section is None else _parse_section(section)


def _parse_section(section: Any) -> Currency:
    if not isinstance(section, dict) or set(section) != {"code", "rates"}:
        raise SettingError(Message("prices.currency.content"))
    code, entries = section["code"], section["rates"]
    if not isinstance(code, str) or code.upper() not in CODES:
        raise SettingError(Message("prices.currency.code_unknown", code=repr(code)[:60]))
    if not isinstance(entries, dict) or not entries:
        raise SettingError(Message("prices.currency.content"))
    rates = tuple(sorted((_parse_day(day), _parse_rate(day, rate)) for day, rate in entries.items()))
    if len({day for day, _ in rates}) < len(rates):
        raise SettingError(Message("prices.currency.content"))
    return USD if code.upper() == "USD" else Currency(code.upper(), rates)


def _parse_day(text: str) -> date:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  a day has no zone
    except ValueError:
        day = date.min
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise SettingError(Message("prices.currency.day_invalid", day=repr(text)[:60]))
    return day


def _parse_rate(day: str, value: object) -> Decimal:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not is_valid_rate(Decimal(str(value))):
        raise SettingError(Message("prices.currency.rate_invalid", day=repr(day)[:60]))
    return Decimal(str(value))


def is_valid_rate(rate: Decimal) -> bool:
    """Whether it is a rate that a currency can have."""
    return rate.is_finite() and 0 < rate <= MAX_RATE
