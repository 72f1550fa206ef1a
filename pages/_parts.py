"""What pages share: the head of a page with its controls, cards, and the database's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import _filters
import _live
import streamlit as st
from _range import Range, picked, picker
from _words import _

from tracker.reports import Reader, usage


def head(title: str, reader: Reader | None = None, *, live: bool = True) -> None:
    """A page's title and its controls; with a reader also the range and the filters."""
    if reader is None:
        with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
            st.title(title, anchor=False, width="stretch")
            if live:
                _live.switch()
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="head"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        with st.container(
            horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content", key="range_bar"
        ):
            picker()
            _live.switch()
    with st.container(horizontal=True, vertical_alignment="center", key="filter_bar"):
        _filters.bar(reader)


def question(text: str) -> None:
    """The question that the page answers, and when its answer was true."""
    with st.container(horizontal=True, horizontal_alignment="distribute", key="question", gap="small"):
        st.caption(text, width="content")
        _live.as_of()


def shown(reader: Reader) -> Range:
    """The range and the filters of this moment."""
    columns = _filters.columns()
    return picked(lambda: usage.extent(reader, include_tests=bool(columns["include_tests"])), **columns)


@contextmanager
def card(title: str, note: str | None = None) -> Iterator[None]:
    """A bordered part of a page with a title; `note` is small print of ours, never of the database."""
    with st.container(border=True, height="stretch", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.markdown(f"**{title}**", width="content")
            if note:
                st.caption(note, width="content")
        yield


def database_name(reader: Reader) -> str:
    """Which database this is, in a line."""
    if reader.database.embedded:
        return _("Embedded database")
    return reader.database.url.label
