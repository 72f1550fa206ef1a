"""The currency in which the pages display costs, and conversion of single costs. Sums are converted by the reports."""

from __future__ import annotations

import os
import time
from datetime import date, datetime
from decimal import Decimal

import pandas as pd

from pages.support.i18n import language
from tracker import settings
from tracker.currencies import decimals_of
from tracker.errors import SettingError
from tracker.prices.currency_rates import USD, Currency, resolve_currency
from tracker.reports.engine import current_reader
from tracker.reports.engine.local_costs import times

_TTL_S = 10.0
# Signs that a reader of any language knows; all others are the code.
_SIGNS = {"KRW": "₩", "JPY": "¥", "EUR": "€", "GBP": "£", "INR": "₹", "CNY": "CN¥", "VND": "₫", "THB": "฿"}
_DOLLAR_SIGNS = {"en": "$", "ko": "US$"}
_latest: tuple[float, tuple[str | None, str | None], Currency] | None = None


def display_currency() -> Currency:
    """The currency of the settings; US dollars if they are invalid, which the page Environment states."""
    global _latest
    key = os.environ.get("TRACKER_CURRENCY"), os.environ.get("TRACKER_PRICES")
    if _latest is None or _latest[1] != key or time.monotonic() - _latest[0] > _TTL_S:
        try:
            currency = resolve_currency(current_reader.settings())
        except SettingError:
            currency = USD
        _latest = time.monotonic(), key, currency
    return _latest[2]


def is_usd() -> bool:
    """Whether costs are displayed in US dollars."""
    return not display_currency().rates


def currency_sign(code: str | None = None) -> str:
    """The sign before an amount, by default of the display currency: $ · US$ · ₩ · CHF and a space."""
    code = code or display_currency().code
    if code == "USD":
        return _DOLLAR_SIGNS[language()]
    return _SIGNS.get(code, f"{code}\N{NO-BREAK SPACE}")


def currency_decimals() -> int:
    """The number of decimals of the display currency."""
    return decimals_of(display_currency().code)


def convert(cost_usd: Decimal | float | None, at: date | datetime, timezone: str) -> Decimal | float | None:
    """A cost in the display currency, at the rate of a local day; None if it is unknown."""
    if isinstance(at, datetime):
        at = at.astimezone(settings.load_time_zone(timezone)).date()
    converted: Decimal | float | None = times(cost_usd, display_currency().rate_on(at))
    return converted


def convert_column(data: pd.DataFrame, timezone: str) -> list[Decimal | float | None]:
    """The `cost_usd` of calls in the display currency, each at the rate of the local day of `created_at`."""
    return [convert(cost, at, timezone) for cost, at in zip(data["cost_usd"], data["created_at"], strict=True)]


def with_local_column(data: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """Calls for a download: beside `cost_usd` also the cost in the display currency, such as `cost_krw`."""
    if is_usd() or "cost_usd" not in data:
        return data
    costs = pd.Series(convert_column(data, timezone), index=data.index, dtype=float)
    return data.assign(**{local_name("cost_usd"): costs})


def local_name(column: str) -> str:
    """The name of a column of costs in the display currency: cost_krw for cost_usd."""
    return column.removesuffix("_usd") + f"_{display_currency().code.lower()}"
