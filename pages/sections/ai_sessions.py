"""The list of the AI sessions page: its order, notes, table, and paging."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.support.formats import cost, exact, long_date, seconds, short_date, time_of_day
from pages.support.i18n import _, plural
from pages.widgets.tables import number_column, right_aligned, selectable_table, text_column, time_column
from pages.widgets.time_range import clamp_time
from tracker import settings
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls.ai_sessions import SORTS, AiSession, SessionPage, SessionPosition

_MAX_VISIBLE_ROWS = 15
_POSITIONS, _POSITIONS_KEY = "session_positions", "session_positions_key"
_GENERATION = "session_table_generation"


def sort_control() -> str:
    """Draw the order of the list, and write it to the address bar. Returns one of `SORTS`."""
    query_params.init_widget("session_sort", "sort", lambda text: text if text in SORTS else SORTS[0])
    selected = st.segmented_control(
        _("Sort by"), SORTS, required=True, format_func=_sort_label, key="session_sort", wrap=True
    )
    sort = selected or SORTS[0]
    query_params.set("sort", None if sort == SORTS[0] else sort)
    return sort


def _sort_label(name: str) -> str:
    labels = {
        "cost_usd": _("Cost"),
        "total_tokens": _("Tokens"),
        "calls": _("Calls"),
        "duration_s": _("Duration"),
        "last_at": _("Last activity"),
    }
    return labels[name]


def list_position(key: Hashable) -> SessionPosition | None:
    """The position after which the page starts; None for the first page. Another range or order starts there again."""
    if st.session_state.get(_POSITIONS_KEY) != key:
        st.session_state[_POSITIONS_KEY], st.session_state[_POSITIONS] = key, []
    positions: list[SessionPosition] = st.session_state[_POSITIONS]
    return positions[-1] if positions else None


def paging_buttons(page: SessionPage) -> None:
    """Draw the buttons for the pages of the list."""
    positions: list[SessionPosition] = st.session_state[_POSITIONS]
    with st.container(horizontal=True):
        if st.button(_("Previous"), icon=":material/chevron_left:", disabled=not positions, key="sessions_previous"):
            positions.pop()
            st.rerun()
        is_last = page.position is None
        if st.button(_("Next"), icon=":material/chevron_right:", disabled=is_last, key="sessions_next"):
            if page.position:
                positions.append(page.position)
            st.rerun()


def list_notes(reader: Reader, page: SessionPage, filters: Filters) -> None:
    """Draw the number of sessions, the calls without one, and what the list does not contain."""
    texts = [plural("{n} AI session", "{n} AI sessions", page.all_sessions).format(n=exact(page.all_sessions))]
    if page.calls_without_session:
        text = plural("{n} call has no session id", "{n} calls have no session id", page.calls_without_session)
        texts.append(text.format(n=exact(page.calls_without_session)))
    st.caption(" · ".join(texts))
    if page.is_cut:
        local = page.start.astimezone(settings.load_time_zone(filters.timezone))
        text = _("The range has more calls than can be read in time. Only the calls since {time} are counted.")
        st.caption(f":material/hourglass: {text.format(time=f'{short_date(local)}, {time_of_day(local)}')}")
    detail_from = reader.freshness().detail_from
    if detail_from and page.start < detail_from:
        local = detail_from.astimezone(settings.load_time_zone(filters.timezone))
        text = _("Records before {day} were pruned; AI sessions do not contain them.")
        st.caption(f":material/inventory_2: {text.format(day=long_date(local))}")
    began = [session.began_earlier for session in page.sessions]
    if None in began:
        st.caption(f":material/info: {index_note()}")
    elif any(began):
        st.caption(_("“began earlier”: the AI session has calls before the range, which are not counted."))


def index_note() -> str:
    """The note that the table has no index for sessions."""
    return _(
        "Whether an AI session began before the range is unknown, because the index of AI sessions is missing."
        " Create it: `token-tracker migrate`"
    )


def session_table(sessions: Sequence[AiSession], timezone: str) -> str | None:
    """Draw the sessions. Returns the id of the selected session."""
    data = pd.DataFrame(
        {
            "session_id": [session.session_id for session in sessions],
            "cost": [cost_text(session.cost_local, session.unpriced_calls) for session in sessions],
            "total_tokens": [session.total_tokens for session in sessions],
            "calls": [session.calls for session in sessions],
            "failed_calls": [session.failed_calls for session in sessions],
            "duration": [seconds(session.duration_s) for session in sessions],
            "last_at": pd.to_datetime([clamp_time(s.last_at) for s in sessions], utc=True).tz_convert(timezone),
            "user": [_user_text(session) for session in sessions],
            "began": [_("began earlier") if session.began_earlier else "" for session in sessions],
        }
    )
    columns = {
        "session_id": text_column(_("AI session"), 132),
        "cost": right_aligned(_("Cost"), width=75),
        "total_tokens": number_column(_("Tokens"), exact, 80),
        "calls": number_column(_("Calls"), exact, 70),
        "last_at": time_column(_("Last activity"), 160),
        "duration": right_aligned(_("Duration"), _("From the end of the first call to that of the last one"), 80),
        "user": text_column(_("User"), 140),
        "failed_calls": number_column(_("Failed"), exact, 70),
    }
    if any(data["began"]):
        columns["began"] = text_column(_("Note"), 110)
    # Other sessions, and a closed session, reset the selection, which is a row number.
    ids = hash(tuple(session.session_id for session in sessions))
    key = f"ai_sessions_{ids}_{st.session_state.get(_GENERATION, 0)}"
    selected = selectable_table(data, columns, alt=_("AI sessions"), key=key, max_rows=_MAX_VISIBLE_ROWS)
    return sessions[selected].session_id if selected is not None else None


def reset_selection() -> None:
    """Let the next list have no selected row."""
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1


def _user_text(session: AiSession) -> str:
    user = session.user_id or ""
    return _("{user} and others").format(user=user) if session.has_several_users else user


def cost_text(amount: Any, unpriced_calls: int) -> str:
    """A cost in the display currency; `≥` if some of its calls have no price."""
    return f"≥ {cost(amount)}" if amount is not None and unpriced_calls else cost(amount)
