"""What is on screen stands in the address bar: a link shows a colleague the same view, on every page.

Streamlit empties the query on a change of page and writes labels with its own binding, so the view is kept here: a
text a name, followed when the address changes, written back when a widget does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

LONGEST = 200
_VIEW, _WRITTEN, _PAGE, _FRESH = "link_view", "link_written", "link_page", "link_fresh"


def follow(page: str) -> None:
    """Take over what the address says; the shell calls it before anything is drawn."""
    state = st.session_state
    view: dict[str, str] = state.setdefault(_VIEW, {})
    written: dict[str, str] = state.setdefault(_WRITTEN, {})
    given = {name: text[:LONGEST] for name, text in st.query_params.to_dict().items()}
    fresh: set[str] = state.setdefault(_FRESH, set())
    for name, text in given.items():
        if text != written.get(name):
            view[name] = text
            fresh.add(name)
    # The page's own address came without it: the reader went back. A change of page drops all of them, and means none.
    if state.get(_PAGE) == page:
        for name in written.keys() - given.keys():
            view.pop(name, None)
            fresh.add(name)
    state[_PAGE] = page
    state[_WRITTEN] = given


def text(name: str) -> str | None:
    """What the view says under a name."""
    found: str | None = st.session_state.get(_VIEW, {}).get(name)
    return found


def put(name: str, value: str | None) -> None:
    """Note what a widget shows, and write it into the address; None is the default, which needs no words."""
    view: dict[str, str] = st.session_state.setdefault(_VIEW, {})
    if value is None:
        view.pop(name, None)
    else:
        view[name] = value[:LONGEST]
    _write(name, view.get(name))


def _write(name: str, value: str | None) -> None:
    written: dict[str, str] = st.session_state.setdefault(_WRITTEN, {})
    if written.get(name) == value:
        return
    if value is None:
        st.query_params.pop(name, None)
        written.pop(name, None)
    else:
        st.query_params[name] = written[name] = value


def change(**view: str | None) -> None:
    """Show another view: what a button does. The whole page is drawn anew."""
    for name, value in view.items():
        put(name, value)
        renew(name)
    st.rerun()


def renew(name: str) -> None:
    """Let the widget of a name take over what was put there."""
    st.session_state.setdefault(_FRESH, set()).add(name)


def prepare(key: str, name: str, read: Callable[[str | None], Any]) -> None:
    """Give a widget its value, before it is drawn, where the address or a button said something new."""
    fresh: set[str] = st.session_state.setdefault(_FRESH, set())
    if name in fresh or key not in st.session_state:
        st.session_state[key] = read(text(name))
        fresh.discard(name)
