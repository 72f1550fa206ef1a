"""The Calls page: the request log, with search, paging by key, call details, and an export of all matching calls."""

from __future__ import annotations

import streamlit as st

from pages.sections.call_details import call_dialog, open_call
from pages.sections.calls import (
    calls_log_table,
    export_link,
    page_position,
    paging_buttons,
    search_controls,
    search_progress,
    selected_search,
)
from pages.support.i18n import _, keep_language
from pages.widgets.empty_state import no_calls, range_sample_notice
from pages.widgets.layout import card, current_range, page_header, page_question
from pages.widgets.live_refresh import auto_refresh, loading_skeleton
from tracker.reports.ai_calls.call_log import CallSearch, search_calls
from tracker.reports.engine import current_reader

_REFRESH_S = 30
_LINK_REFRESH_S = 120


def main() -> None:
    page_header(_("Calls"), current_reader.reader())
    search_controls(current_reader.reader())
    call_dialog(current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "calls")


def draw_page() -> None:
    reader = current_reader.reader()
    range_, search = current_range(reader), selected_search()
    page_question(_("Every call, newest first. Select a row to see its details."))
    key = (range_.cache_key, search)
    position = page_position(key)
    with loading_skeleton(charts=1):
        page = search_calls(reader, range_.filters, search, position)
    if (
        not page.rows
        and page.position is None
        and position is None
        and search == CallSearch(shown_keys=search.shown_keys)
    ):
        no_calls(reader)
        return
    range_sample_notice(reader, range_)
    with card(_("Calls")):
        search_progress(page, range_.filters, is_first=position is None)
        selected = calls_log_table(page.rows, range_.filters.timezone, search.shown_keys)
        with st.container(horizontal=True, vertical_alignment="center"):
            paging_buttons(page)
            st.space("stretch")
            # A link expires, so it is made again while the page is open.
            st.fragment(keep_language(export_link), run_every=_LINK_REFRESH_S)(range_.filters, search)
    open_call(selected)


main()
