"""The error box of a page: the cause, the remedy, and an automatic retry."""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from collections.abc import Callable

import streamlit as st

from pages.support.i18n import _, keep_language
from pages.support.message_text import translate
from tracker.errors import DatabaseError, SettingError, TrackerError, TransientError
from tracker.redaction import redact
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")
RETRY_S = 5


def _title(code: str) -> str:
    titles = {
        "password_wrong": _("The database refused the password"),
        "database_missing": _("The database doesn't exist"),
        "table_missing": _("The table doesn't exist yet"),
        "column_missing": _("The table needs an update"),
        "right_missing": _("A privilege is missing"),
        "statement_timeout": _("The query took too long"),
    }
    return titles.get(code, _("The database can't be used"))


def draw_guarded(draw: Callable[[], None], *, recovers: bool = False) -> None:
    """Draw a page or a part of it. On an error, show an error box and retry automatically.

    `recovers`: the part is refreshed automatically anyway, so it needs no retry when the database works.
    """
    try:
        draw()
    except Exception as error:  # noqa: BLE001 - the user gets an error box for every error, never a traceback
        show_error(error)
        if isinstance(error, TrackerError):
            if recovers and _fails_again(error):
                st.caption(_("The page recovers automatically."))
            else:
                _retry_automatically()


def show_error(error: Exception) -> None:
    """Show the box of an error. An unexpected error gets a reference number that the log contains too."""
    if isinstance(error, DatabaseError):
        _box(_title(error.code), translate(error.cause), translate(error.remedy))
    elif isinstance(error, SettingError):
        _box(_("A setting can't be used"), translate(str(error)), _("Correct it and restart the dashboard."))
    else:
        reference = secrets.token_hex(4)
        text = "".join(traceback.format_exception(error))
        log.error("Reference %s. %s", reference, redact(text))
        _box(
            _("An unexpected error occurred"),
            _("This part of the page can't be shown. The other pages are not affected."),
            _("Reload the page. The dashboard's log contains details under the reference {reference}.").format(
                reference=reference
            ),
        )


def _box(title: str, cause: str, remedy: str) -> None:
    """Cause and remedy may contain a name from the database URL, so they are text and not Markdown."""
    with st.container(border=True, gap="small"):
        st.markdown(f":red[:material/error:] **{title}**")
        st.text(cause)
        if remedy:
            with st.container(gap="xxsmall"):
                st.caption(_("What to do"))
                st.text(remedy)


def _retry_automatically() -> None:
    st.caption(_("Retrying every {n} seconds. The page recovers automatically.").format(n=RETRY_S))
    st.session_state["failed_at"] = time.monotonic()
    st.fragment(keep_language(_retry_button), run_every=RETRY_S)()


def _retry_button() -> None:
    is_clicked = st.button(_("Try again"), icon=":material/refresh:", key="try_again")
    # The fragment's first run belongs to the page run that failed. Only later runs check the database.
    if is_clicked or (time.monotonic() - st.session_state["failed_at"] > RETRY_S / 2 and _database_responds()):
        st.rerun()


def _fails_again(error: TrackerError) -> bool:
    """Whether the database responds, so that an immediate retry of this query would fail again."""
    is_transient = isinstance(error, TransientError) and error.code != "statement_timeout"
    return _database_responds() and not is_transient


def _database_responds() -> bool:
    try:
        current_reader.check()
    except TrackerError:
        return False
    return True
