"""Pages that stay true while they are open: drawn anew by themselves, until the reader pauses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import streamlit as st

from pages.support.formats import clock
from pages.support.i18n import _, spoken
from pages.widgets.error_box import guarded
from pages.widgets.time_range import now

_refreshing: ContextVar[bool] = ContextVar("refreshing", default=False)


def live(draw: Callable[[], None], every_s: float, key: str) -> None:
    """Draw a part of the page now, and every so often unless it is paused; trouble stays within it and passes."""
    drawn: list[bool] = []

    def part() -> None:
        _refreshing.set(bool(drawn))
        drawn[:] = [True]
        guarded(draw, recovers=not paused())

    st.fragment(spoken(part), run_every=None if paused() else every_s, key=key)()


def switch() -> None:
    """The switch that pauses the page."""
    st.toggle(_("Live"), value=True, key="live", persist_state="session", help=_("Draws this page anew by itself"))


def paused() -> bool:
    """Whether the reader wants the figures to stand still."""
    return not st.session_state.get("live", True)


def as_of() -> None:
    """When these figures were true."""
    moment = clock(now())
    words = _("as of {time}, paused") if paused() else _("as of {time}")
    st.caption(words.format(time=moment), width="content")


@contextmanager
def waiting(figures: int = 0, charts: int = 2) -> Iterator[None]:
    """A skeleton in the shape of what comes, while the page's first figures are asked for.

    A refresh keeps the old ones on screen instead.
    """
    if _refreshing.get():
        st.empty()  # what follows keeps its position, so that charts are not mounted again
        yield
        return
    place = st.empty()
    with place.container():
        if figures:
            with st.grid(figures, min_column_width=140):
                for _figure in range(figures):
                    st.skeleton(height=104)
        for column in st.columns(charts):
            column.skeleton(height=300)
    try:
        yield
    finally:
        place.empty()
