"""Test recordings: does recording work, right now, from here?"""

from __future__ import annotations

import streamlit as st
from _formats import exact, milliseconds
from _parts import card, head
from _range import now
from _recorder import NOTE, TooMany, record_test

from tracker import Outcome
from tracker.reports import Reader, removal, source, usage


def main() -> None:
    reader = source.reader()
    head("Test recordings", "Does recording work, right now, from here?", now())
    with card("Record a call", NOTE):
        st.markdown("A button makes one call's usage up and records it through the same tracker that an app uses.")
        with st.container(horizontal=True):
            for kind, label, icon in (
                ("summary", "AI summary", ":material/summarize:"),
                ("tag", "AI tag", ":material/sell:"),
            ):
                if st.button(label, type="primary", icon=icon, key=f"record_{kind}", width=220):
                    press(reader, kind)
    if (outcome := st.session_state.get("outcome")) is not None:
        show(reader, outcome)
    with card("Clean up"):
        st.markdown("Test rows are in no figure unless *Include tests* is on. Nothing else is removed.")
        if (removed := st.session_state.pop("removed", None)) is not None:
            st.text(f"{exact(removed)} test rows were removed.")
        if st.button("Remove all test rows", icon=":material/delete:", key="remove_tests"):
            st.session_state["removed"] = removal.remove_tests(reader)
            st.session_state.pop("outcome", None)
            st.rerun()


def press(reader: Reader, kind: str) -> None:
    """Record one call and keep what became of it, or say that it is too soon."""
    try:
        st.session_state["outcome"] = record_test(reader, kind)
    except TooMany as refusal:
        st.warning(f"Too many test recordings at the moment. The next one can be made in {refusal.wait_s:.0f} s.")


def show(reader: Reader, outcome: Outcome) -> None:
    """The outcome, and the row as it stands in the table."""
    with card("Outcome"):
        with st.grid(4, min_column_width=150):
            st.metric("Status", outcome.status, border=True)
            st.metric("Connection", milliseconds(outcome.connection_ms), border=True)
            st.metric("Write", milliseconds(outcome.write_ms), border=True)
            st.metric("Retries", exact(outcome.retry_count), border=True)
        if outcome.error:
            st.text(outcome.error)
        st.text(f"id {outcome.id}")
    row = usage.record(reader, outcome.id)
    with card("The row, read back"):
        if row is None:
            st.markdown("There is no row with that id in the table.")
        else:
            st.json({name: _plain(value) for name, value in row.items() if value is not None}, expanded=True)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | dict) else str(value)


main()
