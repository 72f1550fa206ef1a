"""The sections of the Calls page: search controls, table, paging, and export."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd
import streamlit as st

from pages.sections.call_details import call_columns, call_rows, calls_key
from pages.support import auth, query_params
from pages.support.formats import exact, short_date, time_of_day
from pages.support.i18n import _, plural
from pages.widgets.downloads import excel_help
from pages.widgets.empty_state import empty_section
from pages.widgets.filter_pills import column_label, known_properties
from pages.widgets.tables import selectable_table, text_column
from pages.widgets.time_range import clamp_time
from tracker import settings
from tracker.property_names import dimension_of
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls.call_log import TIME_LIMIT_S, CallPage, CallSearch, Position, Row, search_as_json
from tracker.reports.ai_calls.export_app import EXPORT_PATH

_MAX_ERROR_LENGTH = 200
_MAX_VISIBLE_ROWS = 13
_POSITIONS, _POSITIONS_KEY = "call_positions", "call_positions_key"
_SHOWN, _MAX_SHOWN = "shown_properties", 20
_RESULTS = ("all", "failed", "ok")


def search_controls(reader: Reader) -> None:
    """Draw the search fields, and write their state to the address bar."""
    known = [entry.key for entry in known_properties(reader).properties]
    keys = list(dict.fromkeys([*st.session_state.get(_SHOWN, ()), *known]))
    with st.container(horizontal=True, vertical_alignment="bottom", key="call_search"):
        query_params.init_widget("search_text", "text", lambda text: text or "")
        st.text_input(
            _("Search"),
            key="search_text",
            placeholder=_("Operation, user, or session"),
            max_chars=query_params.MAX_LENGTH,
            icon=":material/search:",
            width=280,
        )
        query_params.init_widget("search_result", "result", lambda text: text if text in _RESULTS else "all")
        st.segmented_control(
            _("Result"), _RESULTS, required=True, format_func=_result_label, key="search_result", wrap=False
        )
        query_params.init_widget("search_min_ms", "min_ms", _parse_minimum)
        st.number_input(
            _("Duration from (ms)"), min_value=0.0, step=1000.0, format="%.0f", key="search_min_ms", width=170
        )
        query_params.init_widget("search_min_usd", "min_usd", _parse_minimum)
        st.number_input(_("Cost from (USD)"), min_value=0.0, step=0.01, format="%.4f", key="search_min_usd", width=170)
        st.multiselect(
            _("Properties as columns"),
            keys,
            format_func=lambda key: column_label(dimension_of(key)),
            key=_SHOWN,
            max_selections=_MAX_SHOWN,
            placeholder=_("In the table and in the export"),
            select_all=False,
            persist_state="session",
            width=300,
        )
    state = st.session_state
    query_params.set("text", state["search_text"].strip() or None)
    query_params.set("result", None if state["search_result"] in {None, "all"} else state["search_result"])
    for name in ("min_ms", "min_usd"):
        minimum = state[f"search_{name}"]
        query_params.set(name, format(minimum, "g") if minimum else None)


def selected_search() -> CallSearch:
    """The search in the address bar."""
    result = query_params.get("result")
    return CallSearch(
        text=query_params.get("text"),
        failed={"failed": True, "ok": False}.get(result or ""),
        min_ms=_parse_minimum(query_params.get("min_ms")),
        min_usd=_parse_minimum(query_params.get("min_usd")),
        shown_keys=tuple(st.session_state.get(_SHOWN, ())),
    )


def _parse_minimum(text: str | None) -> float | None:
    """A minimum in the address bar; None for 0 and for other text."""
    try:
        value = float(text or "0")
    except ValueError:
        return None
    return value if 0 < value <= 1e12 else None


def _result_label(name: str) -> str:
    return {"all": _("All"), "failed": _("failed"), "ok": _("ok")}[name]


def page_position(key: Hashable) -> Position | None:
    """The position after which the page starts; None for the newest calls. A new search starts there again."""
    if st.session_state.get(_POSITIONS_KEY) != key:
        st.session_state[_POSITIONS_KEY], st.session_state[_POSITIONS] = key, []
    positions: list[Position] = st.session_state[_POSITIONS]
    return positions[-1] if positions else None


def paging_buttons(page: CallPage) -> None:
    """Draw the buttons for newer and older calls. Nothing is counted, so there are no page numbers."""
    positions: list[Position] = st.session_state[_POSITIONS]
    if st.button(_("Newer"), icon=":material/chevron_left:", disabled=not positions, key="calls_newer"):
        positions.pop()
        st.rerun()
    label = _("Continue the search") if page.stopped_by_time_limit else _("Older")
    is_last = page.position is None
    if st.button(label, icon=":material/chevron_right:", disabled=is_last, key="calls_older") and page.position:
        positions.append(page.position)
        st.rerun()


def search_progress(page: CallPage, filters: Filters, *, is_first: bool) -> None:
    """Draw how many calls the page shows, and how far back the search got."""
    calls = plural("{n} call", "{n} calls", len(page.rows)).format(n=exact(len(page.rows)))
    if page.position is None:
        if not page.rows and is_first:
            empty_section(_("No call matches."))
        else:
            st.caption(_("{calls}. No older call matches.").format(calls=calls))
        return
    local = clamp_time(page.position.created_at).astimezone(settings.load_time_zone(filters.timezone))
    at = f"{short_date(local)}, {time_of_day(local)}"
    if page.stopped_by_time_limit:
        template = _("{calls} so far. The search stopped after {n} s at {time}; older calls are not searched yet.")
        st.caption(f":material/hourglass: {template.format(calls=calls, n=exact(TIME_LIMIT_S), time=at)}")
    else:
        st.caption(_("{calls}, back to {time}").format(calls=calls, time=at))


def calls_log_table(rows: Sequence[Row], timezone: str, shown_keys: Sequence[str] = ()) -> str | None:
    """Draw the calls. Returns the id of the selected call."""
    if not rows:
        return None
    key = calls_key(row["id"] for row in rows)
    data = pd.DataFrame(rows)
    table = call_rows(data, timezone).assign(error=data["error_message"].fillna("").map(_shorten))
    columns = call_columns()
    if table["error"].any():
        columns["error"] = text_column(_("Error"), 150)
    if data["session_id"].notna().any():
        columns["session_id"] = text_column(_("AI session"), 120)
    for number, shown_key in enumerate(shown_keys):
        table[f"property {number}"] = [row["shown_properties"][number] or "" for row in rows]
        columns[f"property {number}"] = text_column(column_label(dimension_of(shown_key)), 120)
    selected = selectable_table(table, columns, alt=_("Calls"), key=key, max_rows=_MAX_VISIBLE_ROWS)
    return str(data["id"].iloc[selected]) if selected is not None else None


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_LENGTH else f"{text[: _MAX_ERROR_LENGTH - 1]}…"


def export_link(filters: Filters, search: CallSearch) -> None:
    """Draw the links that export all matching calls. They are relative, so that a proxy may add a base path."""
    links = (
        (_("Export (CSV)"), False, export_help()),
        (_("Export for Excel"), True, f"{export_help()} {excel_help()}."),
    )
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        for label, with_bom, help_text in links:
            query = auth.signed_links().create(EXPORT_PATH, search_as_json(filters, search, with_bom=with_bom))
            st.link_button(label, f".{EXPORT_PATH}?{query}", icon=":material/download:", help=help_text)


def export_help() -> str:
    """The description of the export."""
    return _("All calls of the range that match, not only this page. Text such as =1+1 is escaped.")
