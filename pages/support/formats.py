"""Formats of numbers, costs, durations, times, and changes, in the user's language.

Pages and charts use only these formats: counts and durations have three significant digits, costs below 1 two, and
percentages one decimal below 10%. `pages/components/chart/chart.js` has the same rules; downloads have raw numbers.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

from pages.support.currency.display_currency import currency_decimals, currency_sign, display_currency, is_usd
from pages.support.i18n import _, language, plural

_MARKDOWN_CHARACTERS = frozenset(r"\`*_{}[]()<>#+-.!|~$:&@/")
# Markdown turns URLs into links without any markup; a word joiner after these prefixes prevents it.
_LINK_PREFIXES, _WORD_JOINER = ("://", "www", "@"), "\u2060"
DASH = "–"
_SHORT_FROM = 100_000
# 999.6 K has three digits only as 1 M: a value that rounds up to the next unit gets that unit.
_ROUNDS_UP = 0.9995
_SMALLEST_COST = Decimal("0.000001")
# A currency without decimals has large numbers: from this amount on, they are short.
_SHORT_MONEY_FROM = 100_000_000
_STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "en": ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")),
    "ko": ((1e12, "조"), (1e8, "억"), (1e4, "만")),
}


def three_digits(value: float) -> str:
    """A number with at most three significant digits before or after the point: 1,234 · 123 · 12.3 · 1.2 · 0.04."""
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return _without_zeros(f"{value:,.{decimals}f}")


def _without_zeros(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def count(value: float | None) -> str:
    """A short count: 28,185 · 123K · 97.2M; in Korean 9,721만. A dash for None."""
    if value is None or value != value:  # NaN
        return DASH
    if abs(value) < _SHORT_FROM - 0.5:
        return f"{value:,.0f}"
    step, unit = next(entry for entry in _STEPS[language()] if abs(value) >= entry[0] * _ROUNDS_UP)
    return three_digits(value / step) + unit


def exact(value: float | None) -> str:
    """A count with all digits: 97,214,003. A dash for None."""
    return DASH if value is None or value != value else f"{value:,.0f}"


def records(value: float) -> str:
    """1 record · 46,102 records."""
    return plural("{n} record", "{n} records", value).format(n=exact(value))


def calls(value: float) -> str:
    """1 call · 46,102 calls."""
    return plural("{n} call", "{n} calls", value).format(n=exact(value))


def cost(value: Decimal | float | None, *, all_digits: bool = False) -> str:
    """A cost in the display currency: $4,610 · $0.0042 · ₩6,385 · ₩0.42. None is *unpriced*, not 0.

    Every displayed cost goes through this function or `usd`; charts get the sign from `currency_sign`. Costs below 1
    have two significant digits, larger ones the decimals of their currency. `all_digits` is for help texts.
    """
    return _money(value, currency_sign(), currency_decimals(), all_digits=all_digits)


def usd(value: Decimal | float | None, *, all_digits: bool = False) -> str:
    """An amount in US dollars, for budgets, prices and stored costs; as `cost`."""
    return _money(value, currency_sign("USD"), 2, all_digits=all_digits)


def _money(value: Decimal | float | None, unit: str, decimals: int, *, all_digits: bool) -> str:
    if value is None or value != value:  # NaN
        return _("unpriced")
    amount = abs(Decimal(str(value)))
    sign = ("−" if value < 0 else "") + unit
    if amount == 0:
        return f"{sign}0"
    if all_digits:
        return sign + _with_cents(round(amount, 6) if unit != currency_sign("USD") else amount)
    if not decimals and amount >= _SHORT_MONEY_FROM:
        return sign + count(float(amount))
    if amount >= Decimal("999.995"):
        return f"{sign}{amount:,.0f}"
    if amount >= 1:
        return f"{sign}{amount:.{decimals}f}"
    if amount < _SMALLEST_COST:
        return f"< {sign}{_SMALLEST_COST:f}"
    rounded = Decimal(f"{amount:.1e}")
    return f"{sign}{rounded:.{decimals}f}" if rounded >= 1 else f"{sign}{rounded:f}"


def currency_label() -> str:
    """The name of the display currency for a title: US dollars · KRW."""
    return _("US dollars") if is_usd() else display_currency().code


def usd_rate(rate: Decimal | None) -> str:
    """A list price or a limit in US dollars with all its digits: $0.50 · $0.075; a dash for None."""
    return DASH if rate is None else currency_sign("USD") + _with_cents(rate)


def exchange_rate(rate: Decimal) -> str:
    """The value of a US dollar in the display currency, with all digits: $1 = ₩1,385.5."""
    whole, point, digits = f"{rate.normalize():f}".partition(".")
    return f"{currency_sign('USD')}1 = {currency_sign()}{int(whole):,}{point}{digits}"


def _with_cents(amount: Decimal) -> str:
    """All digits of an amount, at least two after the point."""
    whole, _point, digits = f"{amount.normalize():f}".partition(".")
    return f"{int(whole):,}.{digits.ljust(2, '0')}"


def percentage(share: float | None, *, round_down: bool = False) -> str:
    """A share (0 to 1) in percent: 0.7% · 44% · 99.9%; a dash for None.

    With `round_down`, the use of a limit: 100% only when the limit is reached.
    """
    if share is None or share != share:  # NaN
        return DASH
    percent = percent_number(share, round_down=round_down)
    return "< 0.1%" if percent == 0 < share else f"{three_digits(percent)}%"


def percent_number(share: float, *, round_down: bool = False) -> float:
    """The number that `percentage` displays: one decimal below 10% and between 99.5% and 100%, else none."""
    percent = share * 100
    has_decimal = abs(percent) < 9.95 or 99.5 <= percent < 100
    if round_down or 99.5 <= percent < 100:
        factor = 10 if has_decimal else 1
        return math.floor(percent * factor + 1e-9) / factor
    return round(percent, 1 if has_decimal else 0)


def times(ratio: float) -> str:
    """A ratio: 3.1 · 12."""
    return three_digits(round(ratio, 1 if ratio < 9.95 else 0))


def percent_change(now: float, before: float) -> str | int | None:
    """The change from `before` in percent, for a metric's delta; None if `before` is 0."""
    if not before:
        return None
    percent = (now - before) / before * 100
    if abs(percent) < 0.5:
        return 0
    if percent >= 1000:
        return _("{n} × as much").format(n=f"{now / before:,.0f}")
    return f"{percent:+.0f}%"


def signed_percentage(share: float | None) -> str:
    """A change as a share of the value before: +12% · −3%; a dash for None."""
    return DASH if share is None else f"{share:+.0%}".replace("-", "−")


def point_change(now: float | None, before: float | None) -> str | int | None:
    """The change of a share in percentage points."""
    if now is None or before is None:
        return None
    difference = (now - before) * 100
    return 0 if abs(difference) < 0.05 else _("{n} pt").format(n=f"{difference:+.1f}")


def milliseconds(value: float | None) -> str:
    """A duration given in ms: 3.4 ms · 380 ms · 3.19 s; a dash for None."""
    return DASH if value is None or value != value else seconds(value / 1000)


def seconds(value: float | None) -> str:
    """A duration given in seconds with three significant digits: 40 ms · 41.2 s · 3.5 min · 2.1 h; a dash for None."""
    if value is None or value != value:  # NaN
        return DASH
    if 0 < value < 0.000005:
        return "< 0.01 ms"
    for limit, step, text in duration_units():
        if value >= limit * _ROUNDS_UP:
            return text.format(n=three_digits(value / step))
    return f"{three_digits(value * 1000)} ms"


def duration_units() -> tuple[tuple[int, int, str], ...]:
    """For each unit of a duration: from how many seconds it is used, its seconds, and its text; ms below 1 s."""
    return (
        (2 * 86_400, 86_400, _("{n} days")),
        (3600, 3600, _("{n} h")),
        (60, 60, _("{n} min")),
        (1, 1, _("{n} s")),
    )


def age(value: float | None) -> str:
    """An age or a remaining time given in seconds, in whole units: 40 ms · 41 s · 3 min · 2 h · 5 days."""
    if value is None or value != value:  # NaN
        return DASH
    if value < 1:
        return milliseconds(value * 1000)
    steps = (
        (730 * 86_400, 365.25 * 86_400, _("{n} years")),
        (2 * 86_400, 86_400, _("{n} days")),
        (2 * 3600, 3600, _("{n} h")),
        (120, 60, _("{n} min")),
    )
    for limit, step, text in steps:
        if value >= limit:
            return text.format(n=f"{value / step:.0f}")
    return _("{n} s").format(n=f"{value:.0f}")


def ago(time: datetime, now: datetime | None = None) -> str:
    """The age of a time: 3 s ago · 2 h ago · 5 days ago; *now* for a time in the future (clock skew)."""
    age_s = ((now or datetime.now(UTC)) - time).total_seconds()
    return _("now") if age_s < 1 else _("{time} ago").format(time=age(age_s))


def time_of_day(time: datetime) -> str:
    """The time of day: 14:05:09."""
    return f"{time:%H:%M:%S}"


def long_date(day: date) -> str:
    """17 November 2023 · 2023년 11월 17일."""
    return f"{day:{_('%d %B %Y')}}".lstrip("0")


def short_date(day: date) -> str:
    """17 Nov 2023 · 2023. 11. 17."""
    return f"{day:{_('%d %b %Y')}}".lstrip("0")


def weekdays() -> list[str]:
    """Monday to Sunday, short."""
    return [_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun")]


def to_json_value(value: object) -> object:
    """A value of a row as a JSON value."""
    return value if isinstance(value, str | int | float | bool | dict) else str(value)


def escape_dollars(text: str) -> str:
    """Text for Markdown, in which two dollar signs start a formula."""
    return text.replace("$", "\\$")


def escape_markdown(value: str) -> str:
    """Text with escaped Markdown, for labels and metric values, which Streamlit renders as Markdown."""
    for prefix in _LINK_PREFIXES:
        value = value.replace(prefix, prefix + _WORD_JOINER)
    return "".join(f"\\{char}" if char in _MARKDOWN_CHARACTERS else char for char in value)
