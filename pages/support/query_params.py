"""What is on screen stands in the address bar: a link shows a colleague the same view, on every page.

Streamlit empties the query on a change of page and writes labels with its own binding, so the view is kept here: a
text a name, followed when the address changes, written back when a widget does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from tracker.usage import replace_unstorable

LONGEST = 200
_READER = ("range", "tests", "tz", "lang")
_FILTERS = ("model", "provider", "operation", "user", "environment")
NAMES = frozenset((*_READER, *_FILTERS, "rows", "columns", "measure", "tokens"))
"""Those that a widget shows."""
_VIEW, _WRITTEN, _SEEN, _PAGE, _FRESH = "link_view", "link_written", "link_seen", "link_page", "link_fresh"


def follow(page: str) -> None:
    """Take over what the address says; the shell calls it before anything is drawn."""
    state = st.session_state
    view: dict[str, str] = state.setdefault(_VIEW, {})
    written: dict[str, str] = state.setdefault(_WRITTEN, {})
    given = {name: replace_unstorable(text[:LONGEST]) for name, text in st.query_params.to_dict().items()}
    fresh: set[str] = state.setdefault(_FRESH, set())
    # What the address said in the run before is old news: a button may have written since, and a run that it asked
    # for itself still carries the address from before.
    seen: dict[str, str] = state.get(_SEEN, {})
    for name, text in given.items():
        if text not in {seen.get(name), written.get(name)}:
            view[name] = text
            fresh.add(name)
    # The page's own address lost it: the reader went back. A change of page drops all of them, and means none.
    if state.get(_PAGE) == page:
        for name in (seen.keys() & written.keys()) - given.keys():
            view.pop(name, None)
            fresh.add(name)
    state[_WRITTEN] = dict(given)
    if state.get(_PAGE) != page:
        # A change of page empties the browser's address, whatever this run was told of it, and widgets forget.
        state[_WRITTEN] = {}
        fresh |= NAMES
        for name in view.keys() - NAMES - given.keys():
            del view[name]  # what was open on another page
    state[_PAGE], state[_SEEN] = page, given


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
        view[name] = replace_unstorable(value[:LONGEST])
    _write(name, view.get(name))


def _write(name: str, value: str | None) -> None:
    written: dict[str, str] = st.session_state.setdefault(_WRITTEN, {})
    if written.get(name) == value and (value is not None or name not in st.query_params):
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
    if is_fresh(name) or key not in st.session_state:
        st.session_state[key] = read(text(name))


def is_fresh(name: str) -> bool:
    """Whether the address or a button said something new under a name since it was asked last."""
    fresh: set[str] = st.session_state.setdefault(_FRESH, set())
    found = name in fresh
    fresh.discard(name)
    return found
