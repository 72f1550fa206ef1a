"""What pages share: the head of a page, cards, and the database's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import streamlit as st

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
