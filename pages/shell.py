"""The frame of every page: navigation, which database this is, the reader's time zone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import streamlit as st
from _parts import database_name
from _problems import guarded
from _range import zone

from tracker.errors import TrackerError
from tracker.reports import source

HERE = Path(__file__).parent


def main() -> None:
    st.set_page_config(page_title="Token Tracker", page_icon=str(HERE / "logo.svg"), layout="wide")
    st.logo(str(HERE / "wordmark.svg"), size="large", icon_image=str(HERE / "logo.svg"))
    page = st.navigation(
        {
            "Usage": [st.Page("overview.py", title="Overview", icon=":material/monitoring:", default=True)],
            "Live": [
                st.Page("connections.py", title="Connections", icon=":material/cable:", url_path="connections"),
                st.Page("performance.py", title="Performance", icon=":material/speed:", url_path="performance"),
            ],
            "Setup": [
                st.Page("environment.py", title="Environment", icon=":material/checklist:", url_path="environment"),
                st.Page("recordings.py", title="Test recordings", icon=":material/science:", url_path="recordings"),
            ],
        }
    )
    with st.sidebar:
        where()
    guarded(lambda: at_one_moment(page.run))


def at_one_moment(run: Callable[[], None]) -> None:
    """A page's figures are all of one state of the rollups, which is looked up once."""
    try:
        moment = source.reader().one_moment()
    except TrackerError:  # the page says so, if it needs a database
        moment = nullcontext()
    with moment:
        run()


def where() -> None:
    """Which database the figures come from, and in whose days they are counted."""
    with st.container(gap="xxsmall"):
        st.caption("Database")
        try:
            reader = source.reader()
        except TrackerError:
            st.text("None that can be used")
        else:
            st.text(database_name(reader))
            if reader.database.embedded:
                st.caption("Your data stays on this machine.")
    with st.container(gap="xxsmall"):
        st.caption("Time zone")
        st.text(zone())


main()
