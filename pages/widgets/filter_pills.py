"""Which calls a page shows: filters as pills, in the address bar, the same on every page."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.support import query_params
from pages.support.i18n import _
from tracker.errors import DatabaseError
from tracker.reports import Reader
from tracker.reports.filter_choices import COLUMNS, choices

_KEY = "filters"
_FRESH_S = 30.0
Pair = tuple[str, str]

_lock = threading.Lock()
_known: dict[tuple[int, bool], tuple[float, tuple[Pair, ...]]] = {}


def tests_included() -> bool:
    """Whether test recordings count."""
    return query_params.text("tests") == "true"


def active() -> dict[str, str]:
    """The filters by column."""
    return {column: text for column in COLUMNS if (text := query_params.text(column))}


def columns() -> dict[str, Any]:
    """What the reports' `Filters` take besides a range."""
    return {**active(), "include_tests": tests_included()}


def column_label(column: str) -> str:
    """A column's name for people."""
    words = {
        "model": _("model"),
        "provider": _("provider"),
        "operation": _("operation"),
        "user": _("user"),
        "environment": _("environment"),
        "platform": _("platform"),
        "deployment": _("deployment"),
    }
    return words[column]


def bar(reader: Reader) -> None:
    """Draw the pills and the switch for test recordings; what they say is in the link from here on."""
    shown = [*active().items()]
    if {column for column in COLUMNS if query_params.is_fresh(column)} or _KEY not in st.session_state:
        st.session_state[_KEY] = shown
    options = dict.fromkeys([*shown, *st.session_state[_KEY], *_choices(reader)])
    chosen = st.multiselect(
        _("Filters"),
        list(options),
        format_func=_pill,
        key=_KEY,
        placeholder=_("Filter by model, operation, user …"),
        accept_new_options=True,
        select_all=False,
        label_visibility="collapsed",
        persist_state="session",
        on_change=_one_each,
    )
    for column in COLUMNS:
        query_params.put(column, dict(_pair(choice) for choice in chosen).get(column))
    query_params.prepare("tests", "tests", lambda text: text == "true")
    on = st.toggle(
        _("Include tests"), key="tests", persist_state="session", help=_("Test recordings are in no figure otherwise.")
    )
    query_params.put("tests", "true" if on else None)


def _pill(choice: Any) -> str:
    column, value = _pair(choice)
    return f"{column_label(column)}: {value}"


def _pair(choice: Any) -> Pair:
    """A choice as column and value; what was typed without a column is a user."""
    if isinstance(choice, tuple):
        return choice[0], choice[1]
    head, colon, tail = str(choice).partition(":")
    for column in COLUMNS:
        if colon and head.strip().lower() in {column, column_label(column)} and tail.strip():
            return column, tail.strip()
    return "user", str(choice)


def _one_each() -> None:
    """A column has one value: the one that was chosen last."""
    chosen: Sequence[Any] = st.session_state[_KEY]
    st.session_state[_KEY] = list(dict(_pair(choice) for choice in chosen).items())


def _choices(reader: Reader) -> tuple[Pair, ...]:
    """What can be chosen, asked for all readers together and not at every click."""
    key = (id(reader), tests_included())
    with _lock:
        asked_at, found = _known.get(key, (float("-inf"), ()))
        if time.monotonic() - asked_at > _FRESH_S:
            try:
                found = choices(reader, include_tests=tests_included())
            except DatabaseError:
                return found  # the page itself says what is wrong
            _known.clear()
            _known[key] = (time.monotonic(), found)
    return found
