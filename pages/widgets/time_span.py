"""A custom range: whole days, or two instants that the reader dragged or typed; as a link has it and as widgets do."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta

import streamlit as st

from pages.support.formats import short_date
from pages.support.i18n import _
from tracker import settings

DateSpan = tuple[date, date]
"""The first and the last day, or the first instant and the one after the last: then both are datetimes of UTC."""
_MAX_LENGTH = timedelta(days=3660)
_FIRST, _LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def span_days(days: DateSpan) -> int:
    """How many days a range has; a part of a day counts as one."""
    if isinstance(days[0], datetime) and isinstance(days[1], datetime):
        return max(1, math.ceil((days[1] - days[0]) / timedelta(days=1)))
    return (days[1] - days[0]).days + 1


def has_times(days: DateSpan | None) -> bool:
    """Whether a custom range has two times instead of whole days."""
    return days is not None and isinstance(days[0], datetime)


def span_label(start: datetime, end: datetime, zone: str, *, times: bool) -> str:
    """The text of a range in a time zone: 21 Nov 2026 – 27 Nov 2026, or with the times of day; one day once."""
    first, last = to_local(start, zone), to_local(end if times else max(start, end - timedelta(microseconds=1)), zone)
    first_day, last_day = short_date(first), short_date(last)
    if not times:
        return first_day if first_day == last_day else f"{first_day} – {last_day}"
    last_text = f"{last:%H:%M}" if first_day == last_day else f"{last_day}, {last:%H:%M}"
    return f"{first_day}, {first:%H:%M} – {last_text}"


def parse_instants(text: str) -> tuple[datetime, datetime] | None:
    """The instants of 2026-11-26T01:00Z..2026-11-26T04:30Z; None for anything else."""
    first, _dots, last = text.partition("..")
    try:
        start, end = (datetime.fromisoformat(part).astimezone(UTC) for part in (first, last))
    except (ValueError, OverflowError):
        return None
    return (start, end) if _FIRST <= start < end <= _LAST and end - start <= _MAX_LENGTH else None


def format_days(days: DateSpan) -> str:
    """Days as a link names them."""
    return days[0].isoformat() if days[0] == days[1] else f"{days[0].isoformat()}..{days[1].isoformat()}"


def format_instants(start: datetime, end: datetime) -> str:
    """Two instants as a link names them: 2026-11-26T01:00Z..2026-11-26T04:30Z."""
    return "..".join(f"{instant.astimezone(UTC):%Y-%m-%dT%H:%MZ}" for instant in (start, end))


def format_span(days: DateSpan, start_time: time, end_time: time, zone: str) -> str:
    """Days and times of a time zone's clock as a link names them; an end at 00:00 is the end of the last day."""
    if start_time == end_time == time():
        return format_days(days)
    last = days[1] + timedelta(days=1) if end_time == time() else days[1]
    start = to_utc(datetime.combine(days[0], start_time), zone)
    end = to_utc(datetime.combine(last, end_time), zone)
    return format_instants(start, end) if start < end else format_days(days)


def show_span(days: DateSpan, zone: str) -> None:
    """Let the widgets of the custom range show these days and times."""
    start_time = end_time = time()
    if isinstance(days[0], datetime) and isinstance(days[1], datetime):
        start, end = to_local(days[0], zone), to_local(days[1], zone)
        start_time, end_time = start.time(), end.time()
        days = start.date(), (end - timedelta(microseconds=1)).date() if end_time == time() else end.date()
    st.session_state["days"] = days
    st.session_state["start_time"], st.session_state["end_time"] = start_time, end_time


def times_input() -> tuple[time, time]:
    """The times of day at which the custom range starts and ends, with the widgets that change them."""
    start = st.session_state.setdefault("start_time", time())
    end = st.session_state.setdefault("end_time", time())
    whole = start == end == time()
    label = _("Times") if whole else f"{start:%H:%M}–{'24:00' if end == time() else f'{end:%H:%M}'}"
    with st.popover(label, icon=":material/schedule:"):
        start = st.time_input(_("From"), key="start_time", step=60)
        end = st.time_input(_("To (00:00 is the end of the day)"), key="end_time", step=60)
    return start or time(), end or time()


def to_local(instant: datetime, zone: str) -> datetime:
    """What the clock of a time zone shows at an instant."""
    return instant.astimezone(settings.load_time_zone(zone)).replace(tzinfo=None)


def to_utc(wall_clock: datetime, zone: str) -> datetime:
    """The instant at which the clock of a time zone first shows a time, or the next one that it shows."""
    instant = wall_clock.replace(tzinfo=settings.load_time_zone(zone), fold=0)
    return instant.astimezone(UTC)
