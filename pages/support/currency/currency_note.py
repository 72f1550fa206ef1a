"""The rate of the display currency and its day, which each page with a range states beside the range."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pages.support.currency.display_currency import display_currency
from pages.support.formats import exchange_rate, short_date
from pages.support.i18n import _
from tracker import settings
from tracker.prices.currency_rates import Currency
from tracker.reports import Filters


def currency_note(filters: Filters) -> tuple[str, str]:
    """The rates of a range with their days, and a help text. Plain text, with dollar signs."""
    currency = display_currency()
    first, last = (_local_day(time, filters.timezone) for time in (filters.start, filters.end - timedelta(seconds=1)))
    texts = [_rate_text(currency, first, max(first, last))]
    if currency.first_day is not None and first < currency.first_day:
        texts.append(_("earlier days at the rate of {day}").format(day=short_date(currency.first_day)))
    return ", ".join(texts), _help(currency)


def _local_day(time: datetime, timezone: str) -> date:
    return time.astimezone(settings.load_time_zone(timezone)).date()


def _rate_text(currency: Currency, first: date, last: date) -> str:
    if currency.is_fixed:
        day = short_date(currency.stated_on) if currency.stated_on else _("fixed rate")
        return f"{exchange_rate(currency.rates[0][1])} ({day})"
    changes = [day for day, _rate in currency.rates if first < day <= last]
    days = [max((day for day, _rate in currency.rates if day <= first), default=currency.rates[0][0]), *changes]
    texts = [f"{exchange_rate(currency.rate_on(day))} ({short_date(day)})" for day in (days[0], days[-1])]
    return texts[0] if days[0] == days[-1] else f"{texts[0]} … {texts[1]}"


def _help(currency: Currency) -> str:
    text = _("Costs are stored in US dollars and displayed in {code}.").format(code=currency.code)
    if currency.is_fixed:
        return f"{text} {_('The rate is that of TRACKER_CURRENCY.')}"
    return f"{text} {_('Each day is converted at its rate in the file of TRACKER_PRICES before it is added up.')}"
