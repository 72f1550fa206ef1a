"""Test recordings: does recording work, right now, from here?"""

from __future__ import annotations

from typing import cast

import streamlit as st

from pages.sections.recordings import show, show_burst
from pages.support import query_params, test_calls
from pages.support.ai_call import KEY, is_real, library_missing
from pages.support.burst import MOST, MOST_AT_ONCE, Burst, Mode
from pages.support.formats import exact
from pages.support.i18n import _, plural, spoken
from pages.widgets.layout import card, head, question
from tracker.maintenance import delete_test_records
from tracker.reports import Reader
from tracker.reports.engine import current_reader


def main() -> None:
    reader = current_reader.reader()
    head(_("Test recordings"), live=False)
    question(_("Does recording work, right now, from here?"))
    with card(_("Record a call"), _("a real call to Gemini") if is_real() else _("synthetic, no AI is called")):
        one(reader)
    if (made := st.session_state.get("made")) is not None:
        show(reader, made)
    with card(_("Burst"), _("many at once, each checked in the table afterwards")):
        burst(reader)
    with card(_("Clean up")):
        clean_up(reader)


def one(reader: Reader) -> None:
    """Two buttons that record one call each."""
    if is_real():
        st.markdown(_("A button asks Gemini, and records the call through the same tracker that an app uses."))
    else:
        st.markdown(_("A button makes one call's usage up and records it through the same tracker that an app uses."))
    if library_missing():
        st.caption(_("`{key}` is set: with `pip install google-genai` the calls would be real.").format(key=KEY))
    with st.container(horizontal=True):
        for kind, label, icon in (
            ("summary", _("AI summary"), ":material/summarize:"),
            ("tag", _("AI tag"), ":material/sell:"),
        ):
            if st.button(label, type="primary", icon=icon, key=f"record_{kind}", width=220):
                press(reader, kind)


def press(reader: Reader, kind: str) -> None:
    """Record one call and keep what became of it, or say that it is too soon."""
    st.session_state.pop("made", None)
    try:
        with st.spinner(_("Recording")):
            st.session_state["made"] = test_calls.record(reader, kind)
    except test_calls.TooMany as refusal:
        too_many(refusal)
    except test_calls.Busy:
        st.warning(_("Somebody's burst is running. Try again in a moment."))


def too_many(refusal: test_calls.TooMany) -> None:
    """The limit is reached."""
    text = _("Too many test recordings at the moment. The next one can be made in {n} s.")
    st.warning(text.format(n=f"{refusal.wait_s:.0f}"))


def burst(reader: Reader) -> None:
    """The burst's form, and how it goes."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input(_("Records"), 1, MOST, 200, step=50, key="burst_n", width=150)
        at_once = st.number_input(_("At once"), 1, MOST_AT_ONCE, 10, key="burst_c", width=130)
        mode = st.segmented_control(
            _("Mode"),
            ["direct", "background"],
            default="direct",
            required=True,
            format_func=mode_name,
            key="burst_mode",
        )
        if st.button(_("Start"), icon=":material/bolt:", key="start_burst"):
            started = Burst(reader, int(number), int(at_once), cast("Mode", mode))
            try:
                started.start()
                st.session_state["burst"] = started
            except test_calls.TooMany as refusal:
                too_many(refusal)
            except test_calls.Busy:
                st.warning(_("Somebody's burst is running. Try again in a moment."))
    running: Burst | None = st.session_state.get("burst")
    if running is not None:
        every = None if running.done else 0.4
        st.fragment(spoken(follow), run_every=every, key="burst_progress")()


def mode_name(mode: str) -> str:
    """A mode in words."""
    return {"direct": _("direct"), "background": _("background")}[mode]


def follow() -> None:
    """The burst as it stands; once it is done the page stops looking."""
    running: Burst = st.session_state["burst"]
    if running.done and st.session_state.get("burst_seen") != id(running):
        st.session_state["burst_seen"] = id(running)
        st.rerun()
    show_burst(running)


def clean_up(reader: Reader) -> None:
    """Where the test rows show, and how they go."""
    st.markdown(_("Test rows are in no figure unless *Include tests* is on. Nothing else is removed."))
    if (removed := st.session_state.pop("removed", None)) is not None:
        text = plural("{n} test row was removed.", "{n} test rows were removed.", removed)
        st.text(text.format(n=exact(removed)))
    with st.container(horizontal=True):
        if st.button(_("See them in the Overview"), icon=":material/monitoring:", key="see_tests"):
            query_params.put("tests", "true")
            query_params.renew("tests")
            st.switch_page("overview.py")
        if st.button(_("Remove all test rows"), icon=":material/delete:", key="remove_tests"):
            st.session_state["removed"] = delete_test_records.remove_tests(reader)
            for name in ("made", "burst"):
                st.session_state.pop(name, None)
            st.rerun()


main()
