"""Formats of numbers, money, durations, times, and changes, in the user's language."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from pages.support.i18n import _, language, plural

_MARKDOWN_CHARACTERS = frozenset(r"\`*_{}[]()<>#+-.!|~$:&@/")
# Markdown turns URLs into links without any markup; a word joiner after these prefixes prevents it.
_LINK_PREFIXES, _WORD_JOINER = ("://", "www", "@"), "\u2060"
_STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "en": ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")),
    "ko": ((1e12, "조"), (1e8, "억"), (1e4, "만")),
}


def count(value: float) -> str:
    """A short count: 28,185 · 123K · 97.2M; in Korean 9,721만."""
    if abs(value) < 100_000:
        return f"{value:,.0f}"
    step, unit = next(entry for entry in _STEPS[language()] if abs(value) >= entry[0])
    scaled = value / step
    if abs(scaled) >= 100:
        return f"{scaled:,.0f}{unit}"
    number = f"{scaled:.1f}"
    return (number.removesuffix(".0") if language() == "ko" else number) + unit


def exact(value: float) -> str:
    """A count with all digits: 97,214,003."""
    return f"{value:,.0f}"


def records(value: float) -> str:
    """1 record · 46,102 records."""
    return plural("{n} record", "{n} records", value).format(n=exact(value))


def calls(value: float) -> str:
    """1 call · 46,102 calls."""
    return plural("{n} call", "{n} calls", value).format(n=exact(value))


def usd(value: Decimal | float | None) -> str:
    """An amount in US dollars with its significant decimals: $4,610 · $50.78 · $0.0042. None is *unpriced*, not 0."""
    if value is None or value != value:  # NaN
        return _("unpriced")
    amount = abs(float(value))
    sign = "−" if value < 0 else ""
    unit = "US$" if language() == "ko" else "$"
    if amount == 0:
        return f"{unit}0"
    if amount >= 0.01:
        return f"{sign}{unit}{amount:,.{0 if amount >= 1000 else 2}f}"
    if amount >= 0.001:
        return f"{sign}{unit}{amount:.4f}"
    return f"{sign}{unit}{amount:.6f}".rstrip("0") if amount >= 0.000001 else f"< {unit}0.000001"


def percentage(value: float | None) -> str:
    """A share (0 to 1) in percent; a dash for None."""
    if value is None:
        return "–"
    return f"{value * 100:.1f}%" if 0 < value < 0.1 else f"{value * 100:.0f}%"


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


def point_change(now: float | None, before: float | None) -> str | int | None:
    """The change of a share in percentage points."""
    if now is None or before is None:
        return None
    difference = (now - before) * 100
    return 0 if abs(difference) < 0.05 else _("{n} pt").format(n=f"{difference:+.1f}")


def milliseconds(value: float | None) -> str:
    """A duration given in ms: 3.4 ms · 380 ms · 1.8 s · 15 s."""
    if value is None or value != value:  # NaN
        return "–"
    if value >= 9_950:
        return seconds(value / 1000)
    if value >= 995:
        return _("{n} s").format(n=f"{value / 1000:.1f}")
    if 0 < value < 0.05:
        return "< 0.1 ms"
    return f"{value:.0f} ms" if value >= 9.95 else f"{value:.1f} ms"


def seconds(value: float | None) -> str:
    """A duration given in seconds: 40 ms · 41 s · 3 min · 2 h · 5 days."""
    if value is None or value != value:  # NaN
        return "–"
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
    return _("now") if age_s < 1 else _("{time} ago").format(time=seconds(age_s))


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


def escape_markdown(value: str) -> str:
    """Text with escaped Markdown, for labels and metric values, which Streamlit renders as Markdown."""
    for prefix in _LINK_PREFIXES:
        value = value.replace(prefix, prefix + _WORD_JOINER)
    return "".join(f"\\{char}" if char in _MARKDOWN_CHARACTERS else char for char in value)
