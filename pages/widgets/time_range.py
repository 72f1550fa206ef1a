"""The range of time that a page shows, as people say it, kept in the address bar and shared between pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from pages.support import query_params
from pages.support.i18n import _, plural
from pages.widgets.time_span import Days, pick_times, read_instants, show_span, span_days, write_span
from tracker import settings
from tracker.reports import Filters
from tracker.reports.engine import current_reader
from tracker.reports.usage_totals import Extent

NAMES = ("1h", "24h", "today", "7d", "30d", "month", "all", "custom")
DEFAULT = "30d"
_LONGEST_DAYS = 3660
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Range:
    """What is shown and what it is compared with; nothing came before all time."""

    name: str
    filters: Filters
    before: Filters | None
    days: Days | None = None

    @property
    def against(self) -> str | None:
        """What a change is against, in words."""
        if self.name == "custom" and self.days:
            length = span_days(self.days)
            return plural("vs the day before", "vs {n} days before", length).format(n=length)
        words = {
            "1h": _("vs the hour before"),
            "24h": _("vs 24 h before"),
            "today": _("vs yesterday"),
            "7d": _("vs 7 days before"),
            "30d": _("vs 30 days before"),
            "month": _("vs last month"),
        }
        return words.get(self.name)


def zone() -> str:
    """The reader's time zone: the one chosen on the page, else TRACKER_TIMEZONE, the browser's, UTC."""
    return known_zone(query_params.text("tz")) or home_zone()


def home_zone() -> str:
    """The time zone of a reader who has chosen none."""
    return current_reader.settings().timezone or known_zone(st.context.timezone) or "UTC"


def known_zone(name: str | None) -> str | None:
    """The name, or the current one of a zone that was renamed, if it is one of a time zone."""
    try:
        return settings.zone_name(name or "")
    except ValueError:
        return None


def foreign_zone() -> str | None:
    """The browser's time zone where it isn't known here, so that UTC stands in for it."""
    browsers = st.context.timezone
    return None if current_reader.settings().timezone or known_zone(browsers) else browsers or None


def now() -> datetime:
    """This moment on the reader's clock."""
    return datetime.now(settings.zone(zone()))


def label(name: str) -> str:
    """A range's name on its button."""
    words = {
        "1h": _("1 h"),
        "24h": _("24 h"),
        "today": _("Today"),
        "7d": _("7 d"),
        "30d": _("30 d"),
        "month": _("This month"),
        "all": _("All"),
        "custom": _("Custom"),
    }
    return words[name]


def picker() -> None:
    """Draw the picker; what it says is in the link from here on."""
    if query_params.is_fresh("range") or "range" not in st.session_state:
        st.session_state["range"], days = read(query_params.text("range"))
        show_span(days or _last_days(), zone())
    name = st.segmented_control(
        _("Range"),
        NAMES,
        required=True,
        format_func=label,
        key="range",
        persist_state="session",
        wrap=False,
        label_visibility="collapsed",
    )
    if name == "custom":
        if "days" not in st.session_state:
            show_span(_last_days(), zone())
        days = _pick_days()
        query_params.put("range", write_span(days, *pick_times(), zone()))
    else:
        query_params.put("range", None if name == DEFAULT else name)


def picked(extent: Callable[[], Extent], **columns: Any) -> Range:
    """What the picker says at this moment; `extent` is asked only for all time."""
    name, days = read(query_params.text("range"))
    return resolve(name, now(), days or _last_days(), extent, **columns)


def read(text: str | None) -> tuple[str, Days | None]:
    """The range that a link names, such as 7d or 2023-11-16..2023-11-18; anything else is the default one."""
    if text in NAMES:
        return text, None
    if "T" in (text or ""):
        instants = read_instants(text or "")
        return ("custom", instants) if instants else (DEFAULT, None)
    first, _dots, last = (text or "").partition("..")
    try:
        days = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return DEFAULT, None
    sensible = date(1971, 1, 1) <= days[0] <= days[1] <= date(2199, 12, 31)
    if not sensible or (days[1] - days[0]).days > _LONGEST_DAYS:
        return DEFAULT, None
    return "custom", days


def _last_days() -> Days:
    today = now().date()
    return today - timedelta(days=6), today


def _pick_days() -> Days:
    chosen: Any = st.date_input(
        _("Days"),
        key="days",
        min_value=date(1971, 1, 1),
        max_value=date(2199, 12, 31),
        label_visibility="collapsed",
        width=230,
    )
    days = chosen if isinstance(chosen, tuple) else (chosen,)
    return (days[0], days[-1]) if days else _last_days()


def resolve(
    name: str,
    moment: datetime,
    days: Days | None,
    extent: Callable[[], Extent],
    **columns: Any,
) -> Range:
    """The filters of a range's name at a moment of the reader's clock. Days begin at the reader's midnight."""
    end = moment + timedelta(seconds=1)  # what was recorded in this very second counts
    if name == "all":
        covered = extent()
        start = charted(covered.first_at or _midnight(moment, moment.date()))
        last = charted(covered.last_at or moment) + timedelta(seconds=1)
        return Range(name, _filters(min(start, last), last, moment, columns), None)
    if name == "custom" and days and isinstance(days[0], datetime) and isinstance(days[1], datetime):
        start = days[0].astimezone(moment.tzinfo)
        end = min(days[1].astimezone(moment.tzinfo), max(end, start))
        shift = timedelta(days=span_days(days))
    elif name == "custom" and days:
        start = _midnight(moment, days[0])
        # A day that is still running is compared with as much of a day, not with a whole one.
        end = min(_midnight(moment, days[1] + timedelta(days=1)), max(end, start))
        shift = timedelta(days=(days[1] - days[0]).days + 1)
    else:
        days = None
        start, shift = _named(name, moment)
    shown = _filters(start, end, moment, columns)
    # Shifted by whole days, so that a Tuesday morning is compared with Tuesday mornings.
    before = replace(shown, start=start - shift, end=max(start - shift, min(end - shift, start)))
    return Range(name, shown, before, days)


def _named(name: str, moment: datetime) -> tuple[datetime, timedelta]:
    """When a range that ends now began, and how far before it the one lies that it is compared with."""
    midnight = _midnight(moment, moment.date())
    if name == "1h":
        return moment.replace(second=0, microsecond=0) - timedelta(minutes=59), timedelta(hours=1)
    if name == "24h":
        return moment.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23), timedelta(days=1)
    if name == "month":
        start = midnight.replace(day=1)
        return start, start - _midnight(moment, (start - timedelta(days=1)).date().replace(day=1))
    length = {"today": 1, "7d": 7}.get(name, 30)
    return _midnight(moment, moment.date() - timedelta(days=length - 1)), timedelta(days=length)


def charted(moment: datetime) -> datetime:
    """A call's time within what clocks can show and charts draw: a table may hold infinity and the year 9999."""
    return min(max(moment, _EARLIEST), _LATEST)


def _midnight(moment: datetime, day: date) -> datetime:
    return datetime.combine(day, time(), moment.tzinfo)


def _filters(start: datetime, end: datetime, moment: datetime, columns: dict[str, Any]) -> Filters:
    return Filters(start=start, end=end, timezone=getattr(moment.tzinfo, "key", "UTC"), **columns)
