"""The anomaly notice: unusual cost, tokens, or errors today, with a button that shows the calls."""

from __future__ import annotations

import streamlit as st

from pages.sections.explorer_links import open_explorer
from pages.support.currency.display_currency import convert
from pages.support.formats import cost, count, exact, times, weekdays
from pages.support.i18n import _
from pages.support.ttl_cache import cached, generation
from pages.widgets.time_range import now, user_timezone, without_times
from tracker.errors import DatabaseError
from tracker.reports import Filters, Reader
from tracker.reports.anomalies import Anomaly, find_anomaly

_TTL_S = 60.0


def today_anomaly(reader: Reader, filters: Filters) -> None:
    """Draw the notice if today is unusual."""
    time = now()
    key = ("unusual", generation(reader), without_times(filters))
    try:
        anomaly = cached(key, _TTL_S, lambda: find_anomaly(reader, filters, time))
    except DatabaseError:
        return  # the metrics of the page show the error
    if anomaly is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="unusual"):
        st.markdown(f":orange[:material/trending_up:] **{_('Unusual today')}**", width="content")
        st.text(anomaly_text(anomaly, weekdays()[time.weekday()]), width="stretch")
        if st.button(_("Show the calls"), key="show_unusual"):
            changed = {"range": "today", **({"model": anomaly.model} if anomaly.model else {})}
            open_explorer(
                changed=changed,
                rows="user" if anomaly.model else "operation",
                measure={"cost": "cost_usd", "errors": "failed_calls"}.get(anomaly.measure, "total_tokens"),
            )


def anomaly_text(anomaly: Anomaly, weekday: str) -> str:
    """The description of an anomaly. Not Markdown, because it contains names from the database."""
    texts = {
        "cost": _("The cost of {model} is {today}, {times} × its usual {usual} by this time on {weekday}."),
        "tokens": _("{model} used {today} tokens, {times} × its usual {usual} by this time on {weekday}."),
        "errors": _("{today} calls failed, {times} × the usual {usual} by this time on {weekday}."),
    }
    format_value = {"cost": _cost_today, "tokens": count, "errors": exact}[anomaly.measure]
    text = texts[anomaly.measure]
    if anomaly.measure == "errors" and anomaly.usual < 1:
        text = _("{today} calls failed. Usually almost none fail by this time on {weekday}.")
    text = text.format(
        model=anomaly.model,
        today=format_value(anomaly.today),
        usual=format_value(anomaly.usual),
        times=times(anomaly.ratio),
        weekday=weekday,
    )
    users = _("Most of it comes from {users}.").format(users=", ".join(anomaly.users)) if anomaly.users else ""
    return f"{text} {users}".strip()


def _cost_today(cost_usd: float) -> str:
    """A cost in the display currency at today's rate, also of earlier weeks, so that the ratio is that of the costs."""
    return cost(convert(cost_usd, now().date(), user_timezone()))
