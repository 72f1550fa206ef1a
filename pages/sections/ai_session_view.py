"""One AI session: its totals, its users, and its calls in order with running sums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.ai_sessions import cost_text, index_note, reset_selection
from pages.sections.call_details import call_columns, call_rows, calls_key, open_call
from pages.support import query_params
from pages.support.formats import count, exact, seconds, short_date
from pages.support.i18n import _, plural
from pages.widgets.empty_state import empty_section
from pages.widgets.layout import card
from pages.widgets.tables import number_column, right_aligned, selectable_table
from pages.widgets.time_range import clamp_time
from pages.widgets.time_span import format_instants
from tracker import settings
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls.ai_sessions import (
    CallsOutside,
    SessionCalls,
    SessionTotals,
    calls_outside,
    session_calls,
    session_totals,
)
from tracker.reports.ai_calls.call_log import Row

_MAX_VISIBLE_ROWS = 15
_LONG_ID = 300
_MINUTE = timedelta(minutes=1)
_PAGE, _PAGE_KEY = "session_page", "session_page_key"
_FIRST_PAGE: dict[str, Any] = {}


def draw_session(reader: Reader, filters: Filters, session_id: str) -> None:
    """Draw a session. Its figures count the calls of the range that the filters select."""
    _heading(session_id)
    totals = session_totals(reader, filters, session_id)
    outside = calls_outside(reader, filters, session_id)
    _outside_note(outside, totals, filters)
    if totals is None:
        empty_section(_("No call of this AI session is in the range and matches the filters."))
        return
    _metrics(totals)
    if totals.all_users > 1:
        _users(totals)
    if st.session_state.get(_PAGE_KEY) != session_id:
        st.session_state[_PAGE_KEY], st.session_state[_PAGE] = session_id, _FIRST_PAGE
    calls = session_calls(reader, filters, session_id, **st.session_state[_PAGE])
    if not calls.rows:  # a page of another range
        st.session_state[_PAGE] = _FIRST_PAGE
        calls = session_calls(reader, filters, session_id)
    with card(_("Calls in order")):
        selected = _calls_table(calls.rows, filters.timezone)
        _paging(calls, totals.calls)
    open_call(selected)


def _heading(session_id: str) -> None:
    if st.button(_("All AI sessions"), icon=":material/arrow_back:", key="all_sessions"):
        reset_selection()
        query_params.set_and_rerun(session=None, call=None)
    # As code it is no Markdown. Streamlit removes one newline at each end.
    st.code(
        f"\n{session_id}\n", language=None, wrap_lines=True, height=120 if len(session_id) > _LONG_ID else "content"
    )
    if not query_params.fits_address("session"):
        st.caption(
            ":material/info: "
            + _("The session id is too long for the address: a link or a reload of this page does not contain it.")
        )


def _outside_note(outside: CallsOutside | None, totals: SessionTotals | None, filters: Filters) -> None:
    if outside is None:
        st.caption(f":material/info: {index_note()}")
        return
    if outside.first_at is None or outside.last_at is None:
        return
    first_at = min(filter(None, (outside.first_at, totals.first_at if totals else None)))
    last_at = max(filter(None, (outside.last_at, totals.last_at if totals else None)))
    local = clamp_time(outside.first_at).astimezone(settings.load_time_zone(filters.timezone))
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="session_outside"):
        parts = []
        if outside.calls_before:
            text = plural(
                "{n} call of this AI session is before the range, since {time}.",
                "{n} calls of this AI session are before the range, since {time}.",
                outside.calls_before,
            )
            time = f"{short_date(local)}, {local:%H:%M:%S}"
            parts.append(text.format(n=exact(outside.calls_before), time=time))
        if outside.calls_after:
            text = plural("{n} call is after it.", "{n} calls are after it.", outside.calls_after)
            if not outside.calls_before:
                text = plural(
                    "{n} call of this AI session is after the range.",
                    "{n} calls of this AI session are after the range.",
                    outside.calls_after,
                )
            parts.append(text.format(n=exact(outside.calls_after)))
        parts.append(_("All figures count the range only."))
        st.markdown(f":material/info: {' '.join(parts)}", width="stretch")
        if st.button(_("Show the whole AI session"), key="whole_session"):
            span = format_instants(clamp_time(first_at), clamp_time(last_at) + _MINUTE)
            query_params.set_and_rerun(range=span)


def _metrics(totals: SessionTotals) -> None:
    with st.grid(5, min_column_width=150):
        st.metric(
            _("Tokens"),
            count(totals.total_tokens),
            border=True,
            help=_("{n} tokens").format(n=exact(totals.total_tokens)),
        )
        cost = cost_text(totals.cost_local, totals.unpriced_calls)
        st.metric(_("Cost"), cost, border=True)
        st.metric(_("Calls"), exact(totals.calls), border=True)
        st.metric(_("Failed"), exact(totals.failed_calls), border=True)
        duration_s = (totals.last_at - totals.first_at).total_seconds()
        help_text = _("From the end of the first call to that of the last one")
        st.metric(_("Duration"), seconds(duration_s), border=True, help=help_text)


def _users(totals: SessionTotals) -> None:
    """The users, as text: their names come from the database."""
    names = [f"{user or _('unknown')} ({exact(calls)})" for user, calls in totals.users]
    if totals.all_users > len(names):
        names.append(_("{n} more").format(n=exact(totals.all_users - len(names))))
    with st.container(gap="xxsmall"):
        label = plural("{n} user, with the number of calls", "{n} users, with the number of calls", totals.all_users)
        st.caption(label.format(n=exact(totals.all_users)))
        st.text(", ".join(names))


def _calls_table(rows: Sequence[Row], timezone: str) -> str | None:
    data = pd.DataFrame(rows)
    table = call_rows(data, timezone).assign(
        running_cost=[
            cost_text(cost, unpriced)
            for cost, unpriced in zip(data["running_cost_local"], data["running_unpriced_calls"], strict=True)
        ]
    )
    columns = call_columns()
    # The most important columns first, as a phone shows only these.
    config = {
        "at": columns["at"],
        "cost_local": columns["cost_local"],
        "running_cost": right_aligned(_("Running cost"), _("The cost of the calls up to this one"), 105),
        "model": columns["model"],
        "total_tokens": columns["total_tokens"],
        "running_tokens": number_column(_("Running tokens"), exact, 115, _("The tokens of the calls up to this one")),
        **{name: columns[name] for name in ("result", "operation", "user_id", "processing_time")},
        "number": number_column(_("No."), exact, 60),
    }
    selected = selectable_table(
        table, config, alt=_("Calls in order"), key=f"session_{calls_key(data['id'])}", max_rows=_MAX_VISIBLE_ROWS
    )
    return str(data["id"].iloc[selected]) if selected is not None else None


def _paging(calls: SessionCalls, all_calls: int) -> None:
    first, last = calls.rows[0]["number"], calls.rows[-1]["number"]
    is_first, is_last = first <= 1, last >= all_calls
    buttons: tuple[tuple[str, str, str, bool, dict[str, Any]], ...] = (
        ("first", _("First"), "first_page", is_first, _FIRST_PAGE),
        ("earlier", _("Earlier"), "chevron_left", is_first, {"before": calls.first}),
        ("later", _("Later"), "chevron_right", is_last, {"after": calls.last}),
        ("last", _("Last"), "last_page", is_last, {"from_end": True}),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, label, icon, is_disabled, page in buttons:
            if st.button(label, icon=f":material/{icon}:", disabled=is_disabled, key=f"session_{name}"):
                st.session_state[_PAGE] = page
                st.rerun()
        text = _("{first} to {last} of {all} calls")
        st.caption(text.format(first=exact(first), last=exact(last), all=exact(all_calls)), width="content")
