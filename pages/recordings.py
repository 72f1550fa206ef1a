"""The Test recordings page: record a test call, run a load test, and remove test rows."""

from __future__ import annotations

from typing import cast

import streamlit as st

from pages.sections.recordings import burst_result, outcome_card, read_back
from pages.support import burst, query_params, test_calls
from pages.support.ai_call import API_KEY_VARIABLE, calls_gemini, is_library_missing
from pages.support.burst import MAX_PARALLEL, MAX_RECORDS, Burst, Mode
from pages.support.formats import exact
from pages.support.i18n import _, keep_language, plural
from pages.widgets.layout import card, page_header, page_question
from tracker.maintenance import delete_test_records
from tracker.reports import Reader
from tracker.reports.engine import current_reader

_BURST_REFRESH_S = 0.4
_QUEUED_REFRESH_S = 2.0


def main() -> None:
    reader = current_reader.reader()
    page_header(_("Test recordings"), live=False)
    page_question(_("Does recording work right now?"))
    with card(_("Record a call"), _("a real Gemini call") if calls_gemini() else _("synthetic, no AI is called")):
        single_call(reader)
    if "recorded_call" in st.session_state:
        recorded_call_progress(reader)
    with card(_("Load test"), _("many parallel calls; then each row is checked")):
        burst_form(reader)
    with card(_("Clean up")):
        clean_up_section(reader)


def single_call(reader: Reader) -> None:
    """Draw two buttons that record one call each."""
    if calls_gemini():
        st.markdown(_("Each button calls Gemini and records the call with a Tracker, as an app does."))
    else:
        st.markdown(_("Each button records one synthetic call with a Tracker, as an app does."))
    if is_library_missing():
        st.caption(_("`{key}` is set. Run `pip install google-genai` to make real calls.").format(key=API_KEY_VARIABLE))
    with st.container(horizontal=True):
        for kind, label, icon in (
            ("summary", _("AI summary"), ":material/summarize:"),
            ("tag", _("AI tag"), ":material/sell:"),
        ):
            if st.button(label, type="primary", icon=icon, key=f"record_{kind}", width=220):
                record_call(reader, kind)


def record_call(reader: Reader, kind: str) -> None:
    """Record one call and keep its result, or draw why that isn't possible now."""
    st.session_state.pop("recorded_call", None)
    try:
        with st.spinner(_("Recording")):
            st.session_state["recorded_call"] = test_calls.record(reader, kind)
    except test_calls.RateLimited as error:
        rate_limit_warning(error)
    except test_calls.RecorderBusy:
        st.warning(_("Another load test is running. Try again later."))


def recorded_call_progress(reader: Reader) -> None:
    """Draw the result of the recorded call. A queued record is read again until it is delivered."""
    call: test_calls.RecordedCall = st.session_state["recorded_call"]
    is_queued = call.outcome.status == "queued" and st.session_state.get("delivered_call") is not call

    def draw() -> None:
        row = read_back(reader, call.outcome)
        if is_queued and isinstance(row, dict):
            st.session_state["delivered_call"] = call
            st.rerun()  # ends the refresh
        outcome_card(call, row)

    st.fragment(keep_language(draw), run_every=_QUEUED_REFRESH_S if is_queued else None, key="recorded_call_card")()


def rate_limit_warning(error: test_calls.RateLimited) -> None:
    """Draw that the rate limit is reached."""
    text = _("Too many test recordings. Try again in {n} s.")
    st.warning(text.format(n=exact(error.wait_s)))


def burst_form(reader: Reader) -> None:
    """Draw the form of the load test, and its progress, also after a reload of the page."""
    if "burst" not in st.session_state and (latest := burst.latest(reader)) is not None:
        st.session_state["burst"] = latest
    latest_burst: Burst | None = st.session_state.get("burst")
    for key, value in _burst_settings(latest_burst).items():
        st.session_state.setdefault(key, value)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input(_("Records"), 1, MAX_RECORDS, step=50, key="burst_n", width=150)
        parallel = st.number_input(_("Parallel"), 1, MAX_PARALLEL, key="burst_c", width=130)
        mode = st.segmented_control(
            _("Mode"),
            ["direct", "background"],
            required=True,
            format_func=mode_label,
            key="burst_mode",
        )
        if st.button(_("Start"), icon=":material/bolt:", key="start_burst"):
            new_burst = Burst(reader, int(number), int(parallel), cast("Mode", mode))
            try:
                new_burst.start()
                st.session_state["burst"] = new_burst
            except test_calls.RateLimited as error:
                rate_limit_warning(error)
            except test_calls.RecorderBusy:
                st.warning(_("Another load test is running. Try again later."))
    shown = st.session_state.get("burst")
    if shown is not None:
        refresh_s = _BURST_REFRESH_S if not shown.done else None if shown.is_complete else _QUEUED_REFRESH_S
        st.fragment(keep_language(burst_progress), run_every=refresh_s, key="burst_progress")()


def _burst_settings(shown: Burst | None) -> dict[str, object]:
    """The settings of the form by widget key: those of the load test that is shown."""
    if shown is None:
        return {"burst_n": 200, "burst_c": 10, "burst_mode": "direct"}
    return {"burst_n": shown.records, "burst_c": shown.parallel, "burst_mode": shown.mode}


def mode_label(mode: str) -> str:
    """The label of a recording mode."""
    return {"direct": _("direct"), "background": _("background")}[mode]


def burst_progress() -> None:
    """Draw the progress or the result. Reruns the page once after the end, so that the refresh stops."""
    shown: Burst = st.session_state["burst"]
    if shown.done and not shown.is_complete:
        shown.check_again()
    if shown.is_complete and st.session_state.get("finished_burst") is not shown:
        st.session_state["finished_burst"] = shown
        st.rerun()
    burst_result(shown)


def clean_up_section(reader: Reader) -> None:
    """Draw the buttons that show and remove the test rows."""
    st.markdown(_("Test calls are excluded unless *Include tests* is on. Only test rows are removed."))
    if (removed := st.session_state.pop("removed", None)) is not None:
        text = plural("{n} test row was removed.", "{n} test rows were removed.", removed)
        st.text(text.format(n=exact(removed)))
    with st.container(horizontal=True):
        if st.button(_("Show in the Overview"), icon=":material/monitoring:", key="see_tests"):
            query_params.set("tests", "true")
            query_params.mark_dirty("tests")
            st.switch_page("overview.py")
        if st.button(_("Remove all test rows"), icon=":material/delete:", key="remove_tests"):
            st.dialog(_("Remove all test rows?"))(keep_language(removal_dialog))(reader)


def removal_dialog(reader: Reader) -> None:
    """Draw the dialog: how many rows are removed, and the button that removes them."""
    number = delete_test_records.count_tests(reader)
    text = plural(
        "{n} test row of all users and apps is deleted. This can't be undone.",
        "{n} test rows of all users and apps are deleted. This can't be undone.",
        number,
    )
    st.markdown(text.format(n=exact(number)))
    if st.button(_("Remove"), type="primary", key="confirm_remove_tests"):
        st.session_state["removed"] = delete_test_records.remove_tests(reader)
        burst.discard_latest()
        for name in ("recorded_call", "burst"):
            st.session_state.pop(name, None)
        st.rerun()


main()
