"""The filters of a page as pills. They are kept in the address bar and shared by all pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.support import query_params
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from tracker.errors import DatabaseError
from tracker.reports import Reader
from tracker.reports.filter_choices import COLUMNS, choices

_KEY = "filters"
_TTL_S = 30.0
Pair = tuple[str, str]


def includes_tests() -> bool:
    """Whether test calls are included."""
    return query_params.get("tests") == "true"


def active_filters() -> dict[str, str]:
    """The value of each active filter by column."""
    return {column: text for column in COLUMNS if (text := query_params.get(column))}


def filter_arguments() -> dict[str, Any]:
    """The keyword arguments of the reports' `Filters`, except the range."""
    return {**active_filters(), "include_tests": includes_tests()}


def column_label(column: str) -> str:
    """The label of a column."""
    labels = {
        "model": _("model"),
        "provider": _("provider"),
        "operation": _("operation"),
        "user": _("user"),
        "environment": _("environment"),
        "platform": _("platform"),
        "deployment": _("deployment"),
    }
    return labels[column]


def filter_bar(reader: Reader) -> None:
    """Draw the filter pills and the *Include tests* toggle, and write their state to the address bar."""
    current = [*active_filters().items()]
    if {column for column in COLUMNS if query_params.take_dirty(column)} or _KEY not in st.session_state:
        st.session_state[_KEY] = current
    options = dict.fromkeys([*current, *st.session_state[_KEY], *_filter_choices(reader)])
    selected = st.multiselect(
        _("Filters"),
        list(options),
        format_func=_pill_label,
        key=_KEY,
        placeholder=_("Filter by model, operation, user …"),
        accept_new_options=True,
        select_all=False,
        label_visibility="collapsed",
        persist_state="session",
        on_change=_keep_last_of_column,
    )
    for column in COLUMNS:
        query_params.set(column, dict(_to_pair(choice) for choice in selected).get(column))
    query_params.init_widget("tests", "tests", lambda text: text == "true")
    is_on = st.toggle(
        _("Include tests"),
        key="tests",
        persist_state="session",
        help=_("Test calls are excluded unless this is on."),
    )
    query_params.set("tests", "true" if is_on else None)


def _pill_label(choice: Any) -> str:
    column, value = _to_pair(choice)
    return f"{column_label(column)}: {value}"


def _to_pair(choice: Any) -> Pair:
    """A choice as column and value. Typed text without a column is a user."""
    if isinstance(choice, tuple):
        return choice[0], choice[1]
    head, colon, tail = str(choice).partition(":")
    for column in COLUMNS:
        if colon and head.strip().lower() in {column, column_label(column)} and tail.strip():
            return column, tail.strip()
    return "user", str(choice)


def _keep_last_of_column() -> None:
    """Keep one value per column: the one selected last."""
    selected: Sequence[Any] = st.session_state[_KEY]
    st.session_state[_KEY] = list(dict(_to_pair(choice) for choice in selected).items())


def _filter_choices(reader: Reader) -> tuple[Pair, ...]:
    """The values that the filters offer, loaded once for all users."""
    include_tests = includes_tests()
    key = ("filter_choices", generation(reader), include_tests)
    try:
        return cached(key, _TTL_S, lambda: choices(reader, include_tests=include_tests))
    except DatabaseError:
        return ()  # the page shows the error
