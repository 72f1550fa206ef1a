"""The error sections of the Latency and errors page: the chart, the rates, and the errors grouped by fingerprint."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.support.formats import exact, percentage
from pages.support.i18n import _
from pages.widgets.charts import stacked
from pages.widgets.tables import number_column, selectable_table, short_time_column, table, text_column
from tracker.reports.ai_calls.call_errors import MAX_MESSAGES

_MAX_ROWS = 10


def failed_calls_chart(data: pd.DataFrame, options: dict[str, Any]) -> None:
    """Draw the failed calls over time, stacked by model."""
    names = list(data.groupby("model")["failed_calls"].sum().sort_values(ascending=False).index)
    frame = data.rename(columns={"bucket": "at", "model": "name"})
    frame = frame.assign(failed_calls=frame["failed_calls"].astype(float))
    stacked(
        frame,
        "failed_calls",
        names=names,
        number="count",
        label=_("Failed calls"),
        alt=_("Failed calls over time by model"),
        **options,
    )


def failure_table(data: pd.DataFrame) -> None:
    """Draw the failed calls and the error rate by model and operation."""
    columns = {
        "model": text_column(_("Model"), 124),
        "operation": text_column(_("Operation"), 130),
        "failed_share": number_column(_("Error rate"), percentage, 76),
        "failed_calls": number_column(_("Failed"), exact, 62),
        "calls": number_column(_("Calls"), exact, 66),
    }
    table(data, columns, alt=_("Error rate by model and operation"), max_rows=6)


def error_table(groups: pd.DataFrame, timezone: str) -> None:
    """Draw the errors, newest first; a selected row shows one example with its record id."""
    data = groups.assign(
        error=[text or _("no message") for text in groups["fingerprint"]],
        first=pd.to_datetime(groups["first_at"], utc=True).dt.tz_convert(timezone),
        last=pd.to_datetime(groups["last_at"], utc=True).dt.tz_convert(timezone),
    )
    columns = {
        "calls": number_column(_("Calls"), exact, 58),
        "error": text_column(_("Error"), 242),
        "last": short_time_column(_("Last"), 116),
        "model": text_column(_("Model"), 124),
        "operation": text_column(_("Operation"), 134),
        "first": short_time_column(_("First"), 116),
    }
    selected = selectable_table(data, columns, alt=_("Errors"), key="call_errors", max_rows=_MAX_ROWS)
    grouped_calls = int(groups["calls"].sum())
    if grouped_calls < groups.attrs["all_calls"]:
        text = _("The {n} newest messages are grouped: {grouped} of {all} failed calls.")
        st.caption(
            text.format(n=exact(MAX_MESSAGES), grouped=exact(grouped_calls), all=exact(groups.attrs["all_calls"]))
        )
    if selected is None:
        st.caption(_("Select an error to see an example."))
        return
    row = data.iloc[selected]
    # The texts come from the database: as code and as text they are no Markdown.
    st.text(_("Newest example, record {id}").format(id=row["last_id"]))
    st.code(row["example"] or _("no message"), language=None, wrap_lines=True)
