"""What stands out today, in a sentence, with the way to the calls behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import streamlit as st

from pages.support import query_params
from pages.support.formats import count, exact, usd
from pages.support.i18n import _
from pages.support.ttl_cache import shared
from pages.widgets.charts import weekdays
from pages.widgets.time_range import now
from tracker.errors import DatabaseError
from tracker.reports import Filters, Reader
from tracker.reports.anomalies import Anomaly, find_anomaly

_FRESH_S = 60.0
_SAME = datetime(2000, 1, 1, tzinfo=UTC)


def unusual_today(reader: Reader, filters: Filters) -> None:
    """The box that says so; nothing on a day like others."""
    moment = now()
    key = ("unusual", id(reader), replace(filters, start=_SAME, end=_SAME))
    try:
        found = shared(key, _FRESH_S, lambda: find_anomaly(reader, filters, moment))
    except DatabaseError:
        return  # the figures beside it say what is wrong, if anything is
    if found is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="unusual"):
        st.markdown(f":orange[:material/trending_up:] **{_('Today stands out')}**", width="content")
        st.text(sentence(found, weekdays()[moment.weekday()]), width="stretch")
        if st.button(_("Show the calls"), key="show_unusual"):
            query_params.put("range", "today")
            query_params.put("rows", "user" if found.model else "operation")
            query_params.put("measure", {"cost": "cost_usd", "errors": "failed_calls"}.get(found.measure))
            if found.model:
                query_params.put("model", found.model)
            for name in ("range", "rows", "measure", "model"):
                query_params.renew(name)
            st.switch_page("explorer.py")


def sentence(found: Anomaly, weekday: str) -> str:
    """The finding in words. As text, since it names models and users of the database."""
    texts = {
        "cost": _("The cost of {model} is {today}, {times} × its usual {usual} by this time on {weekday}."),
        "tokens": _("{model} used {today} tokens, {times} × its usual {usual} by this time on {weekday}."),
        "errors": _("{today} calls failed, {times} × the usual {usual} by this time on {weekday}."),
    }
    show = {"cost": usd, "tokens": count, "errors": exact}[found.measure]
    text = texts[found.measure]
    if found.measure == "errors" and found.usual < 1:
        text = _("{today} calls failed, where usually hardly any do by this time on {weekday}.")
    text = text.format(
        model=found.model, today=show(found.today), usual=show(found.usual), times=f"{found.ratio:.1f}", weekday=weekday
    )
    who = _("Most of it from {users}.").format(users=", ".join(found.users)) if found.users else ""
    return f"{text} {who}".strip()
