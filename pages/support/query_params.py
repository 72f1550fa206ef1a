"""The view of a page in the address bar: filters, range, and selection, so that a link shows the same view.

Streamlit clears the query string when the page changes, and its own widget binding writes labels instead of values.
So this module keeps the view in the session: it reads changes of the address and writes changes of the widgets.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, MutableSet
from typing import Any
from urllib.parse import quote

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from tracker.property_names import PREFIX
from tracker.usage import replace_unstorable

MAX_LENGTH = 200
"""The length to which a value is cut, except the values of properties and AI sessions, which are exact."""
MAX_ADDRESS_LENGTH = 6_000
"""A longer parameter stays out of the address, because servers and proxies refuse long addresses."""
_USER_SETTINGS = ("range", "tests", "tz", "lang")
_FILTERS = ("model", "provider", "operation", "user", "environment", "weekday", "hour_of_day")
NAMES = frozenset((*_USER_SETTINGS, *_FILTERS, "rows", "columns", "measure", "tokens"))
"""The parameters that a widget shows. Others belong to one page, for example the selected row."""
_EXACT = ("rows", "columns", "row", "column", "session")
_VIEW, _WRITTEN, _LAST_READ, _PAGE, _DIRTY = "query_view", "query_written", "query_read", "query_page", "query_dirty"
_SWITCHED = "query_switched"


def sync_from_address(page: str) -> None:
    """Read the changes of the address bar into the view. The shell calls this before it draws a widget."""
    state = st.session_state
    view: dict[str, str] = state.setdefault(_VIEW, {})
    written: dict[str, str] = state.setdefault(_WRITTEN, {})
    address = {name: _clean(name, value) for name, value in st.query_params.to_dict().items()}
    dirty = _dirty()
    if _is_history_navigation():
        # The address is an earlier view, with all of its parameters: a missing one has its default value.
        dirty |= NAMES | view.keys() | address.keys()
        state[_VIEW], state[_WRITTEN] = dict(address), dict(address)
        state[_PAGE], state[_LAST_READ] = page, address
        return
    if state.get(_PAGE) != page:
        _undo_switch(page, address)
    # An unchanged value of the previous run is old: a button may have set another one since, and a rerun that the
    # script requests still has the previous address.
    last_read: dict[str, str] = state.get(_LAST_READ, {})
    for name, value in address.items():
        if value not in {last_read.get(name), written.get(name)}:
            view[name] = value
            dirty.add(name)
    state[_WRITTEN] = dict(address)
    if state.get(_PAGE) != page:
        # A page change clears the browser's address and resets the widgets, so write and read everything again.
        state[_WRITTEN] = {}
        dirty |= NAMES | builtins.set(properties())
        for name in view.keys() - NAMES - builtins.set(properties()) - address.keys():
            del view[name]  # a selection on the previous page
    state[_PAGE], state[_LAST_READ] = page, address


def _is_history_navigation() -> bool:
    """Whether the browser's Back or Forward button caused this run."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def get(name: str) -> str | None:
    """The value of a parameter of the view."""
    value: str | None = st.session_state.get(_VIEW, {}).get(name)
    return value


def properties() -> list[str]:
    """The names of the parameters that filter by a property, such as `metadata.team`."""
    return [name for name in st.session_state.get(_VIEW, {}) if name.startswith(PREFIX)]


def fits_address(name: str) -> bool:
    """Whether a parameter of the view is short enough for the address, so that a link contains it."""
    return _fits(name, get(name) or "")


def _fits(name: str, value: str) -> bool:
    return len(quote(name)) + len(quote(value)) <= MAX_ADDRESS_LENGTH


def _clean(name: str, value: str) -> str:
    is_exact = name in _EXACT or name.startswith(PREFIX)
    return replace_unstorable(value if is_exact else value[:MAX_LENGTH])


def view() -> Mapping[str, str]:
    """A copy of all parameters of the view."""
    return dict(st.session_state.get(_VIEW, {}))


def set(name: str, value: str | None) -> None:  # noqa: A001 - the counterpart of `get`
    """Set a parameter of the view and of the address; None is the default value, which the address omits."""
    view: dict[str, str] = st.session_state.setdefault(_VIEW, {})
    if value is None:
        view.pop(name, None)
    else:
        view[name] = _clean(name, value)
    _write(name, view.get(name))


def switch_page(path: str, parameters: Mapping[str, str | None]) -> None:
    """Open another page with the view of this one and changed parameters; None is the default value.

    When the reader returns to this page, the parameters have their present values again, unless they were changed.
    """
    view: dict[str, str] = st.session_state.setdefault(_VIEW, {})
    previous = {name: view.get(name) for name in parameters}
    # Without `set`: each write to the address of this page would be one more entry of the browser's history.
    for name, value in parameters.items():
        _replace(view, name, None if value is None else _clean(name, value))
    st.session_state[_SWITCHED] = st.session_state.get(_PAGE), {name: view.get(name) for name in parameters}, previous
    st.switch_page(path, query_params={name: value for name, value in view.items() if _fits(name, value)})


def _undo_switch(page: str, address: dict[str, str]) -> None:
    """On return to the page that called `switch_page`, restore its parameters in the view and in the address.

    Streamlit writes the parameters into the address of that page, too, to which the browser's Back returns.
    """
    view: dict[str, str] = st.session_state[_VIEW]
    origin, switched, previous = st.session_state.get(_SWITCHED, (None, {}, {}))
    if origin != page:
        return
    for name, value in switched.items():
        for values in (view, address):
            if values.get(name) == value and value is not None:
                _replace(values, name, previous[name])
        _write(name, view.get(name))


def _replace(values: dict[str, str], name: str, value: str | None) -> None:
    values.pop(name, None)
    if value is not None:
        values[name] = value


def _write(name: str, value: str | None) -> None:
    written: dict[str, str] = st.session_state.setdefault(_WRITTEN, {})
    if value is not None and not _fits(name, value):
        value = None
    if written.get(name) == value and (value is not None or name not in st.query_params):
        return
    if value is None:
        st.query_params.pop(name, None)
        written.pop(name, None)
    elif st.query_params.get(name) == value:
        written[name] = value  # writing it again would add an entry to the browser's history
    else:
        st.query_params[name] = written[name] = value


def set_and_rerun(**parameters: str | None) -> None:
    """Set parameters from a button, update their widgets, and run the page again."""
    for name, value in parameters.items():
        set(name, value)
        mark_dirty(name)
    st.rerun()


def mark_dirty(name: str) -> None:
    """Make the widget of a parameter read the view at its next run."""
    _dirty().add(name)


def init_widget(key: str, name: str, parse: Callable[[str | None], Any]) -> None:
    """Set a widget's state from the view before it is drawn, if it has none or the parameter is dirty."""
    if take_dirty(name) or key not in st.session_state:
        st.session_state[key] = parse(get(name))


def take_dirty(name: str) -> bool:
    """Whether a parameter is dirty. Clears the mark."""
    dirty = _dirty()
    is_dirty = name in dirty
    dirty.discard(name)
    return is_dirty


def take_dirty_properties() -> bool:
    """Whether a filter of a property is dirty. Clears the marks."""
    names = [name for name in _dirty() if name.startswith(PREFIX)]
    for name in names:
        _dirty().discard(name)
    return bool(names)


def _dirty() -> MutableSet[str]:
    dirty: MutableSet[str] = st.session_state.setdefault(_DIRTY, builtins.set())
    return dirty
