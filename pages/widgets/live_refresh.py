"""The automatic refresh of a page, its pause toggle, and the loading skeleton."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

import streamlit as st

from pages.support.formats import time_of_day
from pages.support.i18n import _, keep_language
from pages.widgets.error_box import draw_guarded
from pages.widgets.time_range import now

_refreshing: ContextVar[bool] = ContextVar("refreshing", default=False)


def auto_refresh(draw: Callable[[], None], every_s: float, key: str) -> None:
    """Draw a part of the page now and every `every_s` seconds, unless paused. Its errors stay in an error box."""
    is_first_run = True

    def draw_fragment() -> None:
        nonlocal is_first_run
        _refreshing.set(not is_first_run)
        is_first_run = False
        draw_guarded(draw, recovers=not is_paused())

    st.fragment(keep_language(draw_fragment), run_every=None if is_paused() else every_s, key=key)()


def live_toggle() -> None:
    """Draw the toggle that pauses the refresh."""
    st.toggle(_("Live"), value=True, key="live", persist_state="session", help=_("Refreshes automatically"))


def is_paused() -> bool:
    """Whether the user has paused the refresh."""
    return not st.session_state.get("live", True)


def as_of_caption() -> None:
    """Draw the time of the page's data."""
    text = _("as of {time}, paused") if is_paused() else _("as of {time}")
    exception = _("Figures that take long to compute can be up to one minute older, or state their own time.")
    st.caption(text.format(time=time_of_day(now())), width="content", help=exception)


def computed_at_text(at: datetime) -> str:
    """The text of the time of data that is older than the rest of the page, in the user's time zone."""
    return _("computed at {time}").format(time=time_of_day(at.astimezone(now().tzinfo)))


@contextmanager
def loading_skeleton(metrics: int = 0, charts: int = 2) -> Iterator[None]:
    """Show a skeleton of the page while its first data loads. A refresh keeps the previous content instead."""
    if _refreshing.get():
        st.empty()  # what follows keeps its position, so that charts are not mounted again
        yield
        return
    placeholder = st.empty()
    with placeholder.container():
        if metrics:
            with st.grid(metrics, min_column_width=140):
                for _metric in range(metrics):
                    st.skeleton(height=104)
        for column in st.columns(charts):
            column.skeleton(height=300)
    try:
        yield
    finally:
        placeholder.empty()
