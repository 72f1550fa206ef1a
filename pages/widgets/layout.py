"""What pages share: the head of a page with its controls, cards, and the database's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import streamlit as st

from pages.support.formats import day
from pages.support.i18n import _
from pages.widgets import filter_pills, live_refresh
from pages.widgets.time_range import Range, picked, picker, zone
from tracker import settings
from tracker.reports import Reader, usage_totals


def head(title: str, reader: Reader | None = None, *, live: bool = True) -> None:
    """A page's title and its controls; with a reader also the range and the filters."""
    if reader is None:
        with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
            st.title(title, anchor=False, width="stretch")
            if live:
                live_refresh.switch()
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        with st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content", key="range_bar"
        ):
            picker()
            live_refresh.switch()
    with st.container(horizontal=True, vertical_alignment="center", key="filter_bar"):
        filter_pills.bar(reader)


def question(text: str) -> None:
    """The question that the page answers, and when its answer was true."""
    with st.container(horizontal=True, key="question", gap="small"):
        st.caption(text, width="content")
        st.space("stretch")
        live_refresh.as_of()


def shown(reader: Reader) -> Range:
    """The range and the filters of this moment."""
    columns = filter_pills.columns()
    return picked(lambda: usage_totals.extent(reader, include_tests=bool(columns["include_tests"])), **columns)


@contextmanager
def card(title: str, note: str | None = None, control: Callable[[], None] | None = None) -> Iterator[None]:
    """A bordered part of a page with a title; `note` is small print of ours, never of the database.

    `control` draws a widget at the right of the title, where it takes no height from what comes below.
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
    """Which database this is, in a line."""
    if reader.database.embedded:
        return _("Embedded database")
    return reader.database.url.label


def standing_notes(reader: Reader, start: datetime) -> None:
    """What a reader must know about the figures: that they can't be kept up to date, and where single records end."""
    found = reader.freshness()
    if found.remedy:
        text = _(
            "This database user can't keep the rollups up to date; what changed since is read from the rows, which is"
            " slower. What to do:"
        )
        if found.as_of:
            moment = _local(found.as_of)
            text = _("Rollups of {day}.").format(day=f"{day(moment)}, {moment:%H:%M}") + f" {text}"
        st.caption(f":material/info: {text}")
        st.code(found.remedy, language=None)
    if found.detail_from and start < found.detail_from:
        text = _(
            "Single records from before {day} were pruned: figures and charts count them, but the list of records, and"
            " filters by user, begin there."
        )
        st.caption(f":material/inventory_2: {text.format(day=day(_local(found.detail_from)))}")


def _local(moment: datetime) -> datetime:
    return moment.astimezone(settings.load_time_zone(zone()))
