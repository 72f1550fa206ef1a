"""The range of time that a page shows, as people say it, kept in the address bar and shared between pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import streamlit as st

from tracker import settings
from tracker.reports import Filters, source
from tracker.reports.usage import Extent

_NAMES = {
    "24h": "24 h",
    "today": "Today",
    "7d": "7 d",
    "30d": "30 d",
    "month": "This month",
    "all": "All",
    "custom": "Custom",
}
_BEFORE = {
    "24h": "vs 24 h before",
    "today": "vs yesterday",
    "7d": "vs 7 d before",
    "30d": "vs 30 d before",
    "month": "vs last month",
    "custom": "vs days before",
}
DEFAULT = "30d"
_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Range:
    """What is shown and what it is compared with; nothing came before all time."""

    name: str
    filters: Filters
    before: Filters | None

    @property
    def against(self) -> str | None:
        return _BEFORE.get(self.name)


def zone() -> str:
    """The reader's time zone: TRACKER_TIMEZONE, else the browser's, else UTC."""
    name = source.settings().timezone or st.context.timezone or "UTC"
    try:
        settings.zone(name)
    except ValueError:  # a browser may know a newer one
        return "UTC"
    return name


def now() -> datetime:
    """This moment on the reader's clock."""
    return datetime.now(settings.zone(zone()))


def pick(extent: Callable[[], Extent], *, include_tests: bool) -> Range:
    """Draw the picker and return what it says; `extent` is asked only for all time."""
    _follow_link()
    name = st.segmented_control(
        "Range",
        list(_NAMES),
        required=True,
        format_func=_NAMES.__getitem__,
        key="range",
        persist_state="session",
        wrap=True,
        label_visibility="collapsed",
    )
    _write_link(name or DEFAULT)
    days = _pick_days() if name == "custom" else None
    return resolve(name or DEFAULT, now(), days, extent, include_tests=include_tests)


def _follow_link() -> None:
    """Take the range of the address bar when the reader came by a link; Streamlit's own binding would write labels."""
    asked = st.query_params.get("range")
    if asked in _NAMES and asked != st.session_state.get("range_in_link"):
        st.session_state["range"] = asked
    st.session_state.setdefault("range", DEFAULT)


def _write_link(name: str) -> None:
    st.session_state["range_in_link"] = name
    if name == DEFAULT:
        st.query_params.pop("range", None)
    else:
        st.query_params["range"] = name


def _pick_days() -> tuple[date, date]:
    today = now().date()
    chosen = st.date_input(
        "Days",
        value=(today - timedelta(days=6), today),
        key="days",
        bind="query-params",
        label_visibility="collapsed",
        width=230,
    )
    days = chosen if isinstance(chosen, tuple) else (chosen,)
    return (days[0], days[-1]) if days else (today, today)


def show_day(day: date) -> None:
    """Point the picker at one day; for a button's on_click."""
    st.session_state["range"] = "custom"
    st.session_state["days"] = (day, day)


def resolve(
    name: str,
    moment: datetime,
    days: tuple[date, date] | None,
    extent: Callable[[], Extent],
    *,
    include_tests: bool = False,
) -> Range:
    """The filters of a range's name at a moment of the reader's clock. Days begin at the reader's midnight."""
    midnight = _midnight(moment, moment.date())
    end = moment + timedelta(seconds=1)  # what was recorded in this very second counts
    if name == "all":
        covered = extent()
        start, last = charted(covered.first_at or midnight), charted(covered.last_at or moment)
        return Range(name, _filters(start, last + timedelta(seconds=1), moment, include_tests), None)
    if name == "custom" and days:
        start, end = _midnight(moment, days[0]), _midnight(moment, days[1] + timedelta(days=1))
        shift = timedelta(days=(days[1] - days[0]).days + 1)
    elif name == "24h":
        start, shift = (
            moment.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23),
            timedelta(days=1),
        )
    elif name == "month":
        start = midnight.replace(day=1)
        shift = start - _midnight(moment, (start - timedelta(days=1)).date().replace(day=1))
    else:
        length = {"today": 1, "7d": 7}.get(name, 30)
        start, shift = _midnight(moment, moment.date() - timedelta(days=length - 1)), timedelta(days=length)
    shown = _filters(start, end, moment, include_tests)
    # Shifted by whole days, so that a Tuesday morning is compared with Tuesday mornings.
    return Range(name, shown, replace(shown, start=start - shift, end=min(end - shift, start)))


def charted(moment: datetime) -> datetime:
    """A call's time within what clocks can show and charts draw: a table may hold infinity and the year 9999."""
    return min(max(moment, _EARLIEST), _LATEST)


def _midnight(moment: datetime, day: date) -> datetime:
    return datetime.combine(day, time(), moment.tzinfo)


def _filters(start: datetime, end: datetime, moment: datetime, include_tests: bool) -> Filters:
    zone_name = getattr(moment.tzinfo, "key", "UTC")
    return Filters(start=start, end=end, timezone=zone_name, include_tests=include_tests)
