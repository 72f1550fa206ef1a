"""Connections: do we run out, and who holds them?"""

from __future__ import annotations

import streamlit as st

from pages.sections.connections import (
    applications,
    client_pools,
    history,
    limited_view,
    pooler,
    session_table,
    slot_bar,
    slot_figures,
    states,
    users,
    verdict,
)
from pages.support.connections_data import prepare
from pages.support.formats import seconds
from pages.support.i18n import _, spoken
from pages.widgets.layout import card, head, question
from pages.widgets.live_refresh import live
from pages.widgets.time_range import zone
from tracker.reports.connections import sampler, sessions
from tracker.reports.connections.sessions import Session
from tracker.reports.engine import current_reader

_EVERY_S = 5


def main() -> None:
    head(_("Connections"))
    if (ending := st.session_state.pop("ending", None)) is not None:
        title = _("Terminate the session?") if ending[1] else _("Cancel the statement?")
        st.dialog(title)(spoken(confirm))(*ending)
    live(draw, _EVERY_S, "connections")


def draw() -> None:
    reader = current_reader.reader()
    sample = sampler.shared(reader).latest()
    prepared = prepare(sample)
    question(_("Do we run out, and who holds them?"))
    verdict(sample)
    slot_figures(sample)
    left, right = st.columns(2)
    with left, card(_("Slots of the whole server")):
        slot_bar(sample.slots)
        client_pools(reader)
    with right, card(_("By application"), _("of all databases of this server")):
        applications(prepared)
    left, right = st.columns(2)
    with left, card(_("By state, the last hours")):
        history(prepared, zone())
    with right, card(_("By state now"), _("one of the active is this look itself")):
        states(sample)
    if sample.pools is not None or sample.pools_error:
        with card("PgBouncer", "SHOW POOLS"):
            pooler(sample)
    with card(_("Sessions"), _("select one to see what can be done")):
        if (message := st.session_state.pop("ended", None)) is not None:
            st.text(message)
        if (chosen := session_table(prepared)) is not None:
            actions(chosen, sample.slots.signal_grant)
    with card(_("By user and database")):
        users(prepared)
    limited_view(sample.slots)


def actions(session: Session, grant: str) -> None:
    """What the reader may do to the selected session."""
    reader = current_reader.reader()
    if session.query:
        st.code(session.query, language="sql", wrap_lines=True)
    if sessions.may_end(reader, session):
        with st.container(horizontal=True):
            if st.button(_("Cancel its statement"), icon=":material/cancel:", disabled=session.state != "active"):
                ask(session, terminate=False)
            if st.button(_("Terminate the session"), icon=":material/power_settings_new:"):
                ask(session, terminate=True)
    elif sessions.is_own(reader, session):
        st.caption(_("One of this dashboard's own."))
    elif session.is_superuser:
        st.caption(_("A superuser's session, or one whose role is hidden: it can't be ended from here."))
    else:
        st.caption(_("This role may not end it; a superuser allows it with:"))
        st.code(grant, language="sql")


def ask(session: Session, *, terminate: bool) -> None:
    """Ask for a confirmation, outside of the part that is drawn anew all the time."""
    st.session_state["ending"] = (session, terminate)
    st.rerun()


def confirm(session: Session, terminate: bool) -> None:
    """The dialog: which session, what happens to it, and the button that does it."""
    st.text(f"pid {session.pid} · {session.application_name}\n{session.user_name} · {session.database_name}")
    st.text(f"{session.state}, {seconds(session.state_s)}")
    if terminate:
        st.markdown(_("Its connection is closed and its transaction rolled back."))
    else:
        st.markdown(_("Its statement is cancelled; the connection stays."))
    if st.button(_("Terminate") if terminate else _("Cancel the statement"), type="primary", key="confirm_end"):
        done = sessions.end_session(current_reader.reader(), session, terminate=terminate)
        st.session_state["ended"] = (
            _("Done: pid {pid}.").format(pid=session.pid) if done else _("That session was gone already.")
        )
        st.rerun()


main()
