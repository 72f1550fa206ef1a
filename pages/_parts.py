"""What pages share: the head of a page, cards, the database's name, and notes on the figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st
from _range import zone

from tracker.reports import Reader


def head(title: str, question: str, moment: datetime) -> None:
    """A page's title, the question that it answers, and the moment of its figures."""
    with st.container(gap="xxsmall"):
        st.title(title, anchor=False)
        st.caption(f"{question} · as of {moment:%H:%M:%S}")


@contextmanager
def card(title: str, note: str | None = None) -> Iterator[None]:
    """A bordered part of a page with a title; `note` is small print of ours, never of the database."""
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.markdown(f"**{title}**", width="content")
            if note:
                st.caption(note, width="content")
        yield


def include_tests() -> bool:
    """Whether test recordings count; the same switch on every page."""
    return st.toggle("Include tests", key="tests", bind="query-params", help="Test recordings are in no figure else.")


def database_name(reader: Reader) -> str:
    """Which database this is, in a line."""
    if reader.database.embedded:
        return "Embedded database"
    return reader.database.url.label


def standing_notes(reader: Reader, start: datetime) -> None:
    """What a reader must know about the figures: that they can't be kept up to date, and where single records end."""
    found = reader.standing()
    if found.remedy:
        since = f" since {_local(found.as_of):%d %B, %H:%M}" if found.as_of else ""
        st.caption(
            f":material/info: This database user can't keep the rollups up to date; what changed{since} is read from"
            " the rows, which is slower. What to do:"
        )
        st.code(found.remedy, language=None)
    if found.detail_from and start < found.detail_from:
        st.caption(
            f":material/inventory_2: Single records from before {_local(found.detail_from):%d %B %Y} were pruned:"
            " figures and charts count them, but the list of records, and filters by user, begin there."
        )


def _local(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(zone()))
