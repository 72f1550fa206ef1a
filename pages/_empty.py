"""What a page says when there is nothing to show, and the ways on from there."""

from __future__ import annotations

from datetime import datetime

import streamlit as st
from _formats import ago
from _range import charted, show_day, zone

from tracker import settings
from tracker.reports import Reader, removal


def nothing_here(last_at: datetime) -> None:
    """There are calls, but none in this range: say when the last one was and offer to go there."""
    local = charted(last_at).astimezone(settings.zone(zone()))
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        st.markdown("**No calls in this range**", width="content")
        st.caption(f"The last one was on {local:%d %B %Y at %H:%M}, {ago(last_at)}.", width="content")
        st.button("Show that day", type="primary", on_click=show_day, args=(local.date(),))
        st.space("small")


def greet(reader: Reader) -> None:
    """The table is empty: what this is, and two ways on."""
    with st.container(border=True, gap="medium"):
        st.subheader("Nothing recorded yet", anchor=False)
        st.markdown(
            "The database is reached and its table is ready. As soon as your app records its first AI call,"
            " this page shows tokens, cost and users."
        )
        st.code(
            "from tracker import Tracker, TokenUsage\n\n"
            'Tracker().record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164))',
            language="python",
        )
        with st.container(horizontal=True):
            if st.button("Record a test call", type="primary", icon=":material/science:", key="greet_test"):
                st.switch_page("recordings.py")
            if st.button(
                "Load sample data",
                icon=":material/dataset:",
                key="greet_sample",
                help="30 days of invented calls, marked as sample data. One click removes them again.",
            ):
                with st.spinner("Inventing calls"):
                    removal.add_samples(reader)
                st.rerun()
