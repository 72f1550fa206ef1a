"""The layout that all pages share: the page header with its controls, cards, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import streamlit as st

from pages.support.formats import long_date
from pages.support.i18n import _
from pages.widgets import filter_pills, live_refresh
from pages.widgets.time_range import TimeRange, range_picker, selected_range, user_timezone
from tracker import settings
from tracker.reports import Filters, Reader, usage_totals
from tracker.reports.engine.query_rollups import reads_calls
from tracker.reports.engine.reader import STATEMENT_TIMEOUT_MS

_DATES = "range_dates"


def page_header(title: str, reader: Reader | None = None, *, live: bool = True) -> None:
    """Draw the page title and controls; with a reader also the time range and the filters."""
    if reader is None:
        with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
            st.title(title, anchor=False, width="stretch")
            if live:
                live_refresh.live_toggle()
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        with st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content", key="range_bar"
        ):
            st.session_state[_DATES] = st.empty()
            range_picker()
            if live:
                live_refresh.live_toggle()
    with st.container(horizontal=True, vertical_alignment="center", key="filter_bar"):
        filter_pills.filter_bar(reader)
    filter_pills.long_filter_note()


def page_question(text: str) -> None:
    """Draw the question that the page answers, and the time of its data."""
    with st.container(horizontal=True, key="question", gap="small"):
        st.caption(text, width="content")
        st.space("stretch")
        live_refresh.as_of_caption()


def current_range(reader: Reader) -> TimeRange:
    """The selected time range with the active filters. Draws its dates next to the picker."""
    columns = filter_pills.filter_arguments()
    include_tests = bool(columns["include_tests"])
    range_ = selected_range(lambda: usage_totals.extent(reader, include_tests=include_tests), **columns)
    st.session_state[_DATES].caption(range_.dates, width="content")
    if reads_calls(range_.filters):
        reads_calls_note(reader, range_.filters)
    return range_


def reads_calls_note(reader: Reader, filters: Filters) -> None:
    """Draw that the page reads the calls because of a property, and whether some of them were pruned."""
    text = _(
        "Properties are read from the calls, not from the rollups: a long range takes longer, and a query ends with an"
        " error after {n} s."
    ).format(n=STATEMENT_TIMEOUT_MS // 1000)
    detail_from = reader.freshness().detail_from
    if detail_from and filters.start < detail_from:
        day = long_date(_to_local(detail_from))
        text += " " + _("Calls before {day} were pruned, so the result does not include them.").format(day=day)
    st.caption(f":material/info: {text}")


@contextmanager
def card(title: str, note: str | None = None, control: Callable[[], None] | None = None) -> Iterator[None]:
    """A bordered section with a title. `note` is Markdown, so it must not contain text from the database.

    `control` draws a widget to the right of the title, where it takes no height from the section.
    """
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.markdown(f"**{title}**", width="content")
            if note:
                st.caption(note, width="content")
            if control:
                st.space("stretch")
                control()
        yield


def database_name(reader: Reader) -> str:
    """The label of the dashboard's database."""
    if reader.database.embedded:
        return _("Embedded database")
    return reader.database.url.label


def freshness_notes(reader: Reader, start: datetime) -> None:
    """Draw notes on the data: rollups that this role can't refresh, and the date before which rows were pruned."""
    freshness = reader.freshness()
    if freshness.remedy:
        text = _(
            "This database user can't refresh the rollups. Changes since then are read from the rows, which is slower."
            " What to do:"
        )
        if freshness.as_of:
            as_of = _to_local(freshness.as_of)
            text = _("Rollups as of {day}.").format(day=f"{long_date(as_of)}, {as_of:%H:%M}") + f" {text}"
        st.caption(f":material/info: {text}")
        st.code(freshness.remedy, language=None)
    if freshness.detail_from and start < freshness.detail_from:
        text = _(
            "Records before {day} were pruned. The totals and charts include them; the list of records and the user"
            " filter do not."
        )
        st.caption(f":material/inventory_2: {text.format(day=long_date(_to_local(freshness.detail_from)))}")


def _to_local(time: datetime) -> datetime:
    return time.astimezone(settings.load_time_zone(user_timezone()))
