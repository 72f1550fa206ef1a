"""The filters of a page as pills: columns, the clock, and properties. All pages share them, in the address bar."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import streamlit as st

from pages.support import query_params
from pages.support.formats import weekdays
from pages.support.i18n import _
from pages.support.property_labels import property_label, property_value_label
from pages.support.ttl_cache import cached, generation
from tracker.errors import DatabaseError
from tracker.property_names import NOT_SET, PREFIX, dimension_of, key_of, value_from_text, value_to_text
from tracker.reports import Reader
from tracker.reports.filter_choices import COLUMNS, choices
from tracker.reports.properties.discovery import PropertyList, read_properties

CLOCK_FILTERS = {"weekday": 7, "hour_of_day": 24}
"""The filters on the reader's clock, with the number of their values: 0 (Monday) to 6, and 0 to 23."""
FILTERS = (*COLUMNS, *CLOCK_FILTERS)
WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KEY = "filters"
_TTL_S, _PROPERTIES_TTL_S = 30.0, 60.0
_MAX_PROPERTY_CHOICES = 1_000
_SEPARATORS = (":", "=")
Pair = tuple[str, str]


def includes_tests() -> bool:
    """Whether test calls are included."""
    return query_params.get("tests") == "true"


def active_filters() -> dict[str, str]:
    """The value of each active filter by column or property (`metadata.KEY`), as in the address."""
    filters = {column: text for column in FILTERS if (text := query_params.get(column))}
    valid = {column: text for column, text in filters.items() if _is_valid(column, text)}
    return valid | {name: query_params.get(name) or "" for name in query_params.properties()}


def _is_valid(column: str, text: str) -> bool:
    return column not in CLOCK_FILTERS or text in map(str, range(CLOCK_FILTERS[column]))


def filter_arguments() -> dict[str, Any]:
    """The keyword arguments of the reports' `Filters`, except the range."""
    filters = active_filters()
    properties = tuple((name.removeprefix(PREFIX), value_from_text(filters.pop(name))) for name in _properties(filters))
    values = {column: int(text) if column in CLOCK_FILTERS else text for column, text in filters.items()}
    return {**values, "include_tests": includes_tests(), "properties": properties}


def _properties(filters: Iterable[str]) -> list[str]:
    return [name for name in filters if key_of(name) is not None]


def column_label(column: str) -> str:
    """The label of a column or a property."""
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
    if key_of(column) is not None:
        return property_label(column, {*labels, *labels.values()})
    return labels[column]


def clock_label(column: str, value: str) -> str:
    """The label of a weekday or an hour of the day."""
    return weekdays()[int(value)] if column == "weekday" else f"{int(value):02}:00"


def filter_bar(reader: Reader) -> None:
    """Draw the filter pills and the *Include tests* toggle, and write their state to the address bar."""
    current = [*active_filters().items()]
    known = known_properties(reader)
    keys = [entry.key for entry in known.properties]
    is_dirty = {column for column in FILTERS if query_params.take_dirty(column)}
    if query_params.take_dirty_properties() or is_dirty or _KEY not in st.session_state:
        st.session_state[_KEY] = current
    clock_choices = [(column, str(value)) for column, count in CLOCK_FILTERS.items() for value in range(count)]
    offered = [*_filter_choices(reader), *clock_choices, *_property_choices(known)]
    options = dict.fromkeys([*current, *st.session_state[_KEY], *offered])
    options = dict.fromkeys(sorted(options, key=_option_order))
    selected = st.multiselect(
        _("Filters"),
        list(options),
        format_func=_pill_label,
        key=_KEY,
        placeholder=_("Filter by model, user, property = value …"),
        accept_new_options=True,
        select_all=False,
        label_visibility="collapsed",
        persist_state="session",
        on_change=_keep_last_of_column,
        args=(keys,),
    )
    pairs = dict(_to_pair(choice, keys) for choice in selected)
    for column in (*FILTERS, *query_params.properties(), *_properties(pairs)):
        query_params.set(column, pairs.get(column))
    query_params.init_widget("tests", "tests", lambda text: text == "true")
    is_on = st.toggle(
        _("Include tests"),
        key="tests",
        persist_state="session",
        help=_("Test calls are excluded unless this is on."),
    )
    query_params.set("tests", "true" if is_on else None)


def long_filter_note() -> None:
    """Draw a note if the address does not contain a filter, because its value is too long."""
    if not all(map(query_params.fits_address, query_params.properties())):
        st.caption(
            ":material/info: "
            + _("A filter is too long for the address: a link or a reload of this page does not contain it.")
        )


def _option_order(choice: Any) -> tuple[int, str, str]:
    """Sorts the choices by dimension, then by value; the values of the clock in the order of time."""
    column, value = _to_pair(choice)
    if column not in FILTERS:
        return len(FILTERS), f"{column.casefold()}\0{column}\0{value.casefold()}", value
    return FILTERS.index(column), value.zfill(2) if column in CLOCK_FILTERS else value.casefold(), value


def _pill_label(choice: Any) -> str:
    column, value = _to_pair(choice)
    if column not in FILTERS:
        return f"{column_label(column)}: {property_value_label(value)}"
    return f"{column_label(column)}: {clock_label(column, value) if column in CLOCK_FILTERS else value}"


def _to_pair(choice: Any, keys: Collection[str] = ()) -> Pair:
    """A choice as column and value. Typed text has a colon or an equals sign; without a known name it is a user.

    `keys` are those of the properties; `metadata.KEY = VALUE` is a property in any case.
    """
    if isinstance(choice, tuple):
        return choice[0], choice[1]
    text = str(choice)
    for separator in _SEPARATORS:
        head, found, tail = text.partition(separator)
        if found and (pair := _typed_column(head.strip().lower(), tail.strip())):
            return pair
    return _typed_property(text, keys) or ("user", text)


def _typed_column(head: str, tail: str) -> Pair | None:
    for column in COLUMNS:
        if head in {column, column_label(column)} and tail:
            return column, tail
    for column, count in CLOCK_FILTERS.items():
        for value in map(str, range(count)):
            if _is_clock_value(column, value, head, tail.lower()):
                return column, value
    return None


def _typed_property(text: str, keys: Collection[str]) -> Pair | None:
    """The property of typed text such as `team = growth`; a key can contain a separator."""
    has_prefix = text.startswith(PREFIX)
    rest = text.removeprefix(PREFIX)
    for key in sorted(keys, key=len, reverse=True):
        tail = rest.removeprefix(key).lstrip()
        if rest.startswith(key) and tail.startswith(_SEPARATORS):
            return dimension_of(key), tail[1:].strip()
    for separator in _SEPARATORS[::-1]:
        key, found, tail = rest.partition(separator)
        if has_prefix and found:
            return dimension_of(key.strip()), tail.strip()
    return None


def _is_clock_value(column: str, value: str, head: str, tail: str) -> bool:
    """Whether typed text such as `weekday: monday` or `hour of day: 9` is this value."""
    texts = {clock_label(column, value).lower()}
    texts |= {WEEKDAY_NAMES[int(value)], WEEKDAY_NAMES[int(value)][:3]} if column == "weekday" else {value, f"0{value}"}
    return head in {column, column_label(column)} and tail in texts


def _keep_last_of_column(keys: Collection[str]) -> None:
    """Keep one value per column and property: the one selected last."""
    selected: Sequence[Any] = st.session_state[_KEY]
    st.session_state[_KEY] = list(dict(_to_pair(choice, keys) for choice in selected).items())


def known_properties(reader: Reader) -> PropertyList:
    """The properties of the newest calls, loaded once for all users; none if the database does not respond."""
    include_tests = includes_tests()
    key = ("properties", generation(reader), include_tests)
    try:
        return cached(key, _PROPERTIES_TTL_S, lambda: read_properties(reader, include_tests=include_tests))
    except DatabaseError:
        return PropertyList(is_complete=False)  # the page shows the error


def _property_choices(known: PropertyList) -> list[Pair]:
    """The values that the filters offer for properties. A key of high cardinality, such as a request id, has none."""
    pairs: list[Pair] = []
    for entry in known.properties:
        if not entry.has_high_cardinality:
            values = [*map(value_to_text, entry.values), NOT_SET]
            pairs += [(dimension_of(entry.key), text) for text in values]
    return pairs[:_MAX_PROPERTY_CHOICES]


def _filter_choices(reader: Reader) -> tuple[Pair, ...]:
    """The values that the filters offer, loaded once for all users."""
    include_tests = includes_tests()
    key = ("filter_choices", generation(reader), include_tests)
    try:
        return cached(key, _TTL_S, lambda: choices(reader, include_tests=include_tests))
    except DatabaseError:
        return ()  # the page shows the error
