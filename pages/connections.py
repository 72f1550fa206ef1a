"""The Connections page: how many server connections are used, and by whom."""

from __future__ import annotations

import streamlit as st

from pages.sections.connections import (
    advice_boxes,
    application_table,
    client_pool_table,
    history_chart,
    limited_view_notice,
    pgbouncer_table,
    session_table,
    slot_bar,
    slot_metrics,
    state_table,
    user_table,
)
from pages.support.connections_data import build_tables
from pages.support.formats import age
from pages.support.i18n import _, keep_language
from pages.support.ttl_cache import cached, generation
from pages.widgets.layout import card, page_header, page_question
from pages.widgets.live_refresh import auto_refresh
from pages.widgets.time_range import user_timezone
from tracker.reports.connections import sampler, sessions
from tracker.reports.connections.sample_history import has_sample_calls
from tracker.reports.connections.sessions import Session
from tracker.reports.engine import current_reader

_REFRESH_S = 5
_SAMPLES_TTL_S = 20.0


def main() -> None:
    page_header(_("Connections"))
    if (request := st.session_state.pop("confirmation", None)) is not None:
        title = _("Terminate the session?") if request[1] else _("Cancel the query?")
        st.dialog(title)(keep_language(confirmation_dialog))(*request)
    auto_refresh(draw_page, _REFRESH_S, "connections")


def draw_page() -> None:
    reader = current_reader.reader()
    sample = sampler.shared(reader).latest()
    # Without sample data the chart would be empty until the sampler has run for a minute.
    has_samples = cached(("has samples", generation(reader)), _SAMPLES_TTL_S, lambda: has_sample_calls(reader))
    tables = build_tables(sample, with_sample_data=has_samples)
    page_question(_("How many connections are used, and by whom?"))
    advice_boxes(sample)
    slot_metrics(sample)
    left, right = st.columns(2)
    with left, card(_("Slots of the server")):
        slot_bar(sample.slots)
        client_pool_table(reader)
    with right, card(_("By application"), _("all databases of this server")):
        application_table(tables)
    left, right = st.columns(2)
    with left, card(_("Recent sessions by state")):
        history_chart(tables, user_timezone())
    with right, card(_("Sessions by state now"), _("one active session is this page's query")):
        state_table(sample)
    if sample.pools is not None or sample.pools_error:
        with card("PgBouncer", "SHOW POOLS"):
            pgbouncer_table(sample)
    with card(_("Sessions"), _("select a session to see its query and actions")):
        if (message := st.session_state.pop("action_result", None)) is not None:
            st.text(message)
        if (selected := session_table(tables)) is not None:
            session_actions(selected, sample.slots.signal_grant)
    with card(_("By user and database")):
        user_table(tables)
    limited_view_notice(sample.slots)


def session_actions(session: Session, grant: str) -> None:
    """Draw the query of the selected session, and the actions that the role allows."""
    query_text(session)
    if session.ending == "allowed":
        with st.container(horizontal=True):
            if st.button(_("Cancel the query"), icon=":material/cancel:", disabled=session.state != "active"):
                request_confirmation(session, terminate=False)
            if st.button(_("Terminate the session"), icon=":material/power_settings_new:"):
                request_confirmation(session, terminate=True)
    elif session.ending == "own":
        st.caption(
            _("A session of a dashboard, or of a Tracker with the same application_name. It can't be terminated here.")
        )
    elif session.ending == "superuser":
        st.caption(_("A superuser's session or a session with a hidden role can't be terminated here."))
    else:
        st.caption(_("This role may not terminate it. A superuser can allow it with:"))
        st.code(grant, language="sql")


def query_text(session: Session) -> None:
    """Draw the query with masked values, or with them if the user asks: they may be keys or personal data."""
    if not session.query:
        return
    is_raw = st.toggle(
        _("Show values"), key=f"show_values_{session.pid}", help=_("Values may be keys or personal data.")
    )
    st.code(session.raw_query if is_raw else session.query, language="sql", wrap_lines=True)


def request_confirmation(session: Session, *, terminate: bool) -> None:
    """Rerun the page with the confirmation dialog, which can't be opened in the refreshed fragment."""
    st.session_state["confirmation"] = (session, terminate)
    st.rerun()


def confirmation_dialog(session: Session, terminate: bool) -> None:
    """Draw the dialog: the session, the effect of the action, and its button."""
    st.text(f"pid {session.pid} · {session.application_name}\n{session.user_name} · {session.database_name}")
    st.text(f"{session.state}, {age(session.state_s)}")
    if terminate:
        st.markdown(_("The connection is closed and the transaction is rolled back."))
    else:
        st.markdown(_("The query is cancelled. The connection stays open."))
    if st.button(_("Terminate") if terminate else _("Cancel the query"), type="primary", key="confirm_end"):
        if not sessions.end_session(current_reader.reader(), session, terminate=terminate):
            message = _("The session no longer exists.")
        elif terminate:
            message = _("Session {pid} was terminated.").format(pid=session.pid)
        else:
            message = _("The query of session {pid} was cancelled.").format(pid=session.pid)
        st.session_state["action_result"] = message
        st.rerun()


main()
