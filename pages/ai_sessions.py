"""The AI sessions page: the list of sessions of AI calls, and the calls of one session with running sums."""

from __future__ import annotations

from pages.sections.ai_session_view import draw_session
from pages.sections.ai_sessions import list_notes, list_position, paging_buttons, session_table, sort_control
from pages.sections.call_details import call_dialog
from pages.support import query_params
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from pages.widgets.empty_state import empty_section, no_calls, range_sample_notice
from pages.widgets.layout import card, current_range, page_header, page_question
from pages.widgets.live_refresh import auto_refresh, loading_skeleton
from pages.widgets.time_range import TimeRange
from tracker.reports import Reader
from tracker.reports.ai_calls.ai_sessions import SessionPage, SessionPosition, list_sessions
from tracker.reports.engine import current_reader

_REFRESH_S = 30


def main() -> None:
    page_header(_("AI sessions"), current_reader.reader())
    call_dialog(current_reader.reader())
    auto_refresh(draw_page, _REFRESH_S, "ai_sessions")


def draw_page() -> None:
    reader = current_reader.reader()
    range_ = current_range(reader)
    if session_id := query_params.get("session"):
        page_question(_("Which calls does this AI session have, in order, and what do they add up to?"))
        draw_session(reader, range_.filters, session_id)
        return
    page_question(_("Which conversations and agent runs used the most? Select one to see its calls."))
    _draw_list(reader, range_)


def _draw_list(reader: Reader, range_: TimeRange) -> None:
    sort = sort_control()
    key = (range_.cache_key, sort)
    position = list_position(key)
    with loading_skeleton(charts=1):
        page = _load(reader, range_, sort, position)
    if not page.all_sessions and not page.calls_without_session:
        no_calls(reader)
        return
    range_sample_notice(reader, range_)
    with card(_("AI sessions")):
        list_notes(reader, page, range_.filters)
        if not page.sessions:
            empty_section(
                _("No call of this range has a session id. Give each call a `session_id` when you record it.")
            )
            return
        selected = session_table(page.sessions, range_.filters.timezone)
        paging_buttons(page)
    if selected is not None:
        query_params.set_and_rerun(session=selected)


def _load(reader: Reader, range_: TimeRange, sort: str, position: SessionPosition | None) -> SessionPage:
    """A page of the list, cached for all users: it reads every call of the range."""
    key = ("ai_sessions", generation(reader), range_.cache_key, sort, position)
    return cached(key, _REFRESH_S, lambda: list_sessions(reader, range_.filters, sort, position))


main()
