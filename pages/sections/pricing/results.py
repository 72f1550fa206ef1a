"""After a change: a message for the runs of the next seconds, and tables without a selected row."""

from __future__ import annotations

import time

import streamlit as st

# Reruns that follow a change at once keep the message; the next action of the reader removes it.
_SHOWN_S = 3.0
_CHANGES = "setting_changes"


def set_result(key: str, text: str) -> None:
    """Show a message, which is Markdown, at the next runs of the page, and reset the selections of its tables."""
    st.session_state[key] = text, time.monotonic()
    st.session_state[_CHANGES] = st.session_state.get(_CHANGES, 0) + 1


def table_key(name: str) -> str:
    """The key of a table; a new one after each change, because another row would be at the selected position."""
    return f"{name}_{st.session_state.get(_CHANGES, 0)}"


def show_result(key: str) -> None:
    """Draw the message; nothing after some seconds."""
    text, set_at_s = st.session_state.get(key, ("", 0.0))
    if text and time.monotonic() - set_at_s < _SHOWN_S:
        st.success(text, icon=":material/check_circle:")
