"""What went wrong, on the page: a sentence, a way out, and a page that recovers by itself."""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from collections.abc import Callable

import streamlit as st

from pages.support.i18n import _, spoken
from pages.support.message_text import told
from tracker.errors import DatabaseError, SettingError, TrackerError, TransientError
from tracker.redaction import redact
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")
RETRY_S = 5


def _title(code: str) -> str:
    titles = {
        "password_wrong": _("The database refused the password"),
        "database_missing": _("The database isn't there"),
        "table_missing": _("The table isn't there yet"),
        "column_missing": _("The table needs an update"),
        "right_missing": _("A right is missing"),
        "statement_timeout": _("The question took too long"),
    }
    return titles.get(code, _("The database can't be used"))


def guarded(draw: Callable[[], None], *, recovers: bool = False) -> None:
    """Draw a page or a part of it; in trouble show a box that says what to do, and try again soon by itself.

    What is drawn anew by itself anyway `recovers` without asking, once the database is there.
    """
    try:
        draw()
    except Exception as error:  # noqa: BLE001 - whatever it is, the reader gets a sentence and not a traceback
        show_any(error)
        if isinstance(error, TrackerError):
            if recovers and _is_there_in_spite_of(error):
                st.caption(_("This page goes on by itself."))
            else:
                _recover()


def show_any(error: Exception) -> None:
    """The box for any error; one that nobody foresaw gets a reference that the log has too."""
    if isinstance(error, DatabaseError):
        _box(_title(error.code), told(error.cause), told(error.remedy))
    elif isinstance(error, SettingError):
        _box(_("A setting can't be used"), told(str(error)), _("Correct it and start the dashboard again."))
    else:
        reference = secrets.token_hex(4)
        text = "".join(traceback.format_exception(error))
        log.error("Reference %s. %s", reference, redact(text))
        _box(
            _("Something went wrong here"),
            _("This part of the page couldn't be shown. The other pages are not affected."),
            _("Reload the page. The log of the dashboard says more under the reference {reference}.").format(
                reference=reference
            ),
        )


def _box(title: str, sentence: str, remedy: str) -> None:
    """Sentence and remedy may hold a name out of the database's address: as text, never as Markdown."""
    with st.container(border=True, gap="small"):
        st.markdown(f":red[:material/error:] **{title}**")
        st.text(sentence)
        if remedy:
            with st.container(gap="xxsmall"):
                st.caption(_("What to do"))
                st.text(remedy)


def _recover() -> None:
    st.caption(_("Trying again every {n} seconds; this page goes on by itself.").format(n=RETRY_S))
    st.session_state["failed_at"] = time.monotonic()
    st.fragment(spoken(_try_again), run_every=RETRY_S)()


def _try_again() -> None:
    asked = st.button(_("Try again"), icon=":material/refresh:", key="try_again")
    # The fragment's first run belongs to the page that has just failed; only its later ones ask again.
    if asked or (time.monotonic() - st.session_state["failed_at"] > RETRY_S / 2 and _answers()):
        st.rerun()


def _is_there_in_spite_of(error: TrackerError) -> bool:
    """Whether only this question failed, and would fail again at once; else the page is drawn as soon as it can be."""
    passes = isinstance(error, TransientError) and error.code != "statement_timeout"
    return _answers() and not passes


def _answers() -> bool:
    try:
        current_reader.check()
    except TrackerError:
        return False
    return True
