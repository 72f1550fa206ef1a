"""The filters of a page as pills. They are kept in the address bar and shared by all pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.support import query_params
from pages.support.formats import weekdays
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from tracker.errors import DatabaseError
from tracker.reports import Reader
from tracker.reports.filter_choices import COLUMNS, choices

CLOCK_FILTERS = {"weekday": 7, "hour_of_day": 24}
"""The filters on the reader's clock, with the number of their values: 0 (Monday) to 6, and 0 to 23."""
FILTERS = (*COLUMNS, *CLOCK_FILTERS)
WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KEY = "filters"
_TTL_S = 30.0
Pair = tuple[str, str]


def includes_tests() -> bool:
    """Whether test calls are included."""
    return query_params.get("tests") == "true"


def active_filters() -> dict[str, str]:
    """The value of each active filter by column."""
    filters = {column: text for column in FILTERS if (text := query_params.get(column))}
    return {column: text for column, text in filters.items() if _is_valid(column, text)}


def _is_valid(column: str, text: str) -> bool:
    return column not in CLOCK_FILTERS or text in map(str, range(CLOCK_FILTERS[column]))


def filter_arguments() -> dict[str, Any]:
    """The keyword arguments of the reports' `Filters`, except the range."""
    filters = active_filters().items()
    values = {column: int(text) if column in CLOCK_FILTERS else text for column, text in filters}
    return {**values, "include_tests": includes_tests()}


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
        "hour": _("hour"),
        "day": _("day"),
        "week": _("week"),
        "month": _("month"),
        "weekday": _("weekday"),
        "hour_of_day": _("hour of day"),
    }
    return labels[column]


def clock_label(column: str, value: str) -> str:
    """The label of a weekday or an hour of the day."""
    return weekdays()[int(value)] if column == "weekday" else f"{int(value):02}:00"


def filter_bar(reader: Reader) -> None:
    """Draw the filter pills and the *Include tests* toggle, and write their state to the address bar."""
    current = [*active_filters().items()]
    if {column for column in FILTERS if query_params.take_dirty(column)} or _KEY not in st.session_state:
        st.session_state[_KEY] = current
    clock_choices = [(column, str(value)) for column, count in CLOCK_FILTERS.items() for value in range(count)]
    options = dict.fromkeys([*current, *st.session_state[_KEY], *_filter_choices(reader), *clock_choices])
    options = dict.fromkeys(sorted(options, key=_option_order))
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
    for column in FILTERS:
        query_params.set(column, dict(_to_pair(choice) for choice in selected).get(column))
    query_params.init_widget("tests", "tests", lambda text: text == "true")
    is_on = st.toggle(
        _("Include tests"),
        key="tests",
        persist_state="session",
        help=_("Test calls are excluded unless this is on."),
    )
    query_params.set("tests", "true" if is_on else None)


def _option_order(choice: Any) -> tuple[int, str, str]:
    """Sorts the choices by dimension, then by value; the values of the clock in the order of time."""
    column, value = _to_pair(choice)
    return FILTERS.index(column), value.zfill(2) if column in CLOCK_FILTERS else value.casefold(), value


def _pill_label(choice: Any) -> str:
    column, value = _to_pair(choice)
    return f"{column_label(column)}: {clock_label(column, value) if column in CLOCK_FILTERS else value}"


def _to_pair(choice: Any) -> Pair:
    """A choice as column and value. Typed text without a column is a user."""
    if isinstance(choice, tuple):
        return choice[0], choice[1]
    head, colon, tail = str(choice).partition(":")
    for column in COLUMNS:
        if colon and head.strip().lower() in {column, column_label(column)} and tail.strip():
            return column, tail.strip()
    for column, count in CLOCK_FILTERS.items():
        for value in map(str, range(count)):
            if colon and _is_clock_value(column, value, head.strip().lower(), tail.strip().lower()):
                return column, value
    return "user", str(choice)


def _is_clock_value(column: str, value: str, head: str, tail: str) -> bool:
    """Whether typed text such as `weekday: monday` or `hour of day: 9` is this value."""
    texts = {clock_label(column, value).lower()}
    texts |= {WEEKDAY_NAMES[int(value)], WEEKDAY_NAMES[int(value)][:3]} if column == "weekday" else {value, f"0{value}"}
    return head in {column, column_label(column)} and tail in texts


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
