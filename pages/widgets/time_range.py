"""The time range of a page: its picker, its text in the address bar, and its filters."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from pages.support import query_params
from pages.support.currency.display_currency import display_currency
from pages.support.i18n import _, plural
from pages.widgets.time_span import (
    DateSpan,
    format_span,
    has_times,
    parse_instants,
    show_span,
    span_days,
    span_label,
    times_input,
)
from tracker import settings
from tracker.reports import Filters
from tracker.reports.engine import current_reader
from tracker.reports.usage_totals import Extent

NAMES = ("1h", "24h", "today", "7d", "30d", "month", "all", "custom")
DEFAULT = "30d"
_LENGTH_HOURS = {"1h": 1, "24h": 24}
"""The ranges that are a length of time. The others are calendar days of the user's time zone, with today."""
_MAX_DAYS = 3660
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range and the range that it is compared with; None for all time."""

    name: str
    filters: Filters
    previous: Filters | None
    days: DateSpan | None = None

    @property
    def cache_key(self) -> Hashable:
        """A key of the range and the filters that doesn't change while the clock advances."""
        return self.name, self.days, without_times(self.filters)

    @property
    def dates(self) -> str:
        """The first and the last day, with times for a range that doesn't consist of calendar days."""
        start, end = self.filters.start, self.filters.end
        return span_label(start, end, self.filters.timezone, times=self.name in _LENGTH_HOURS or has_times(self.days))

    @property
    def comparison_label(self) -> str | None:
        """The label of the previous range, for a change in percent."""
        if self.name == "custom" and self.days:
            length = span_days(self.days)
            return plural("vs previous day", "vs previous {n} days", length).format(n=length)
        labels = {
            "1h": _("vs previous hour"),
            "24h": _("vs previous 24 h"),
            "today": _("vs yesterday"),
            "7d": _("vs previous 7 days"),
            "30d": _("vs previous 30 days"),
            "month": _("vs last month"),
        }
        return labels.get(self.name)


def without_times(filters: Filters) -> Filters:
    """The filters with a constant range, for cache keys."""
    return replace(filters, start=_EARLIEST, end=_EARLIEST)


@cache
def timezone_names() -> list[str]:
    """The time zones that a user can select. Reading their names from disk takes 5 ms."""
    return sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix", "right"))
    )


def user_timezone() -> str:
    """The user's time zone: the selected one, else TRACKER_TIMEZONE, the browser's, or UTC."""
    return canonical_timezone(query_params.get("tz")) or default_timezone()


def default_timezone() -> str:
    """The time zone of a user who has selected none."""
    return current_reader.settings().timezone or canonical_timezone(st.context.timezone) or "UTC"


def canonical_timezone(name: str | None) -> str | None:
    """The current name of a time zone, also for a renamed zone; None for an unknown name."""
    try:
        return settings.resolve_time_zone_name(name or "")
    except ValueError:
        return None


def unknown_browser_timezone() -> str | None:
    """The browser's time zone if this server doesn't know it and uses UTC instead."""
    browser_zone = st.context.timezone
    return None if current_reader.settings().timezone or canonical_timezone(browser_zone) else browser_zone or None


def now() -> datetime:
    """The current time in the user's time zone."""
    return datetime.now(settings.load_time_zone(user_timezone()))


def range_label(name: str) -> str:
    """The label of a range in the picker."""
    labels = {
        "1h": _("1 h"),
        "24h": _("24 h"),
        "today": _("Today"),
        "7d": _("7 d"),
        "30d": _("30 d"),
        "month": _("This month"),
        "all": _("All"),
        "custom": _("Custom"),
    }
    return labels[name]


def range_picker() -> None:
    """Draw the picker and write its state to the address bar."""
    if query_params.take_dirty("range") or "range" not in st.session_state:
        st.session_state["range"], days = parse_range(query_params.get("range"))
        show_span(days or _default_days(), user_timezone())
    name = st.segmented_control(
        _("Range"),
        NAMES,
        required=True,
        format_func=range_label,
        key="range",
        persist_state="session",
        wrap=True,  # else a phone hides the last ranges
        label_visibility="collapsed",
    )
    if name == "custom":
        if "days" not in st.session_state:
            show_span(_default_days(), user_timezone())
        days = _days_input()
        query_params.set("range", format_span(days, *times_input(), user_timezone()))
    else:
        query_params.set("range", None if name == DEFAULT else name)


def selected_range(extent: Callable[[], Extent], **columns: Any) -> TimeRange:
    """The selected range, ending now; `extent` is called for all time only."""
    name, days = parse_range(query_params.get("range"))
    return resolve_range(name, now(), days or _default_days(), extent, **columns)


def parse_range(text: str | None) -> tuple[str, DateSpan | None]:
    """The range of an address parameter, such as 7d or 2023-11-16..2023-11-18; the default range for other text."""
    if text in NAMES:
        return text, None
    if "T" in (text or ""):
        instants = parse_instants(text or "")
        return ("custom", instants) if instants else (DEFAULT, None)
    first, _dots, last = (text or "").partition("..")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return DEFAULT, None
    is_supported = date(1971, 1, 1) <= days[0] <= days[1] <= date(2199, 12, 31)
    if not is_supported or (days[1] - days[0]).days > _MAX_DAYS:
        return DEFAULT, None
    return "custom", days


def _default_days() -> DateSpan:
    today = now().date()
    return today - timedelta(days=6), today


def _days_input() -> DateSpan:
    selected: Any = st.date_input(
        _("Days"),
        key="days",
        min_value=date(1971, 1, 1),
        max_value=date(2199, 12, 31),
        label_visibility="collapsed",
        width=230,
    )
    days = selected if isinstance(selected, tuple) else (selected,)
    return (days[0], days[-1]) if days else _default_days()


def resolve_range(
    name: str,
    now: datetime,
    days: DateSpan | None,
    extent: Callable[[], Extent],
    **columns: Any,
) -> TimeRange:
    """The range of a name at the time `now`. Days start at midnight in the time zone of `now`."""
    # Includes records of the current second. In UTC, because local arithmetic ends in the first of two equal hours.
    end = (now.astimezone(UTC) + timedelta(seconds=1)).astimezone(now.tzinfo)
    if name == "all":
        all_time = extent()
        start = clamp_time(all_time.first_at or _midnight(now, now.date()))
        last = clamp_time(all_time.last_at or now) + timedelta(seconds=1)
        return TimeRange(name, _filters(min(start, last), last, now, columns), None)
    if name in _LENGTH_HOURS:
        # In UTC: a day of the user's time zone with a clock change doesn't have 24 hours.
        length = timedelta(hours=_LENGTH_HOURS[name])
        start, before = ((end.astimezone(UTC) - n * length).astimezone(now.tzinfo) for n in (1, 2))
        filters = _filters(start, end, now, columns)
        return TimeRange(name, filters, replace(filters, start=before, end=start))
    if name == "custom" and days and isinstance(days[0], datetime) and isinstance(days[1], datetime):
        start = days[0].astimezone(now.tzinfo)
        end = min(days[1].astimezone(now.tzinfo), max(end, start))
        shift = timedelta(days=span_days(days))
    elif name == "custom" and days:
        start = _midnight(now, days[0])
        # An incomplete day is compared with the same part of the previous day.
        end = min(_midnight(now, days[1] + timedelta(days=1)), max(end, start))
        shift = timedelta(days=(days[1] - days[0]).days + 1)
    else:
        days = None
        start, shift = _start_and_shift(name, now)
    filters = _filters(start, end, now, columns)
    # Shifted by whole days, so that the same times of day are compared.
    previous = replace(filters, start=start - shift, end=max(start - shift, min(end - shift, start)))
    return TimeRange(name, filters, previous, days)


def _start_and_shift(name: str, now: datetime) -> tuple[datetime, timedelta]:
    """The start of a range of calendar days that ends now, and the time from the previous range to it."""
    midnight = _midnight(now, now.date())
    if name == "month":
        start = midnight.replace(day=1)
        return start, start - _midnight(now, (start - timedelta(days=1)).date().replace(day=1))
    length_days = {"today": 1, "7d": 7}.get(name, 30)
    return _midnight(now, now.date() - timedelta(days=length_days - 1)), timedelta(days=length_days)


def clamp_time(at: datetime) -> datetime:
    """A time within the range that clocks and charts support. A table may contain infinity or the year 9999."""
    return min(max(at, _EARLIEST), _LATEST)


def _midnight(now: datetime, day: date) -> datetime:
    return datetime.combine(day, time(), now.tzinfo)


def _filters(start: datetime, end: datetime, now: datetime, columns: dict[str, Any]) -> Filters:
    zone = getattr(now.tzinfo, "key", "UTC")
    return Filters(start=start, end=end, timezone=zone, rates=display_currency().rates, **columns)
