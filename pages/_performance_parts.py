"""The Performance page's verdict and table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from _formats import exact, seconds

from tracker.reports.performance import Verdict
from tracker.rollups.tables import LATE_S

_WHEN = {
    "24h": "In the last 24 h",
    "today": "Today",
    "7d": "In the last 7 days",
    "30d": "In the last 30 days",
    "month": "This month",
    "all": "In all time",
    "custom": "In these days",
}


def verdict(found: Verdict, range_name: str) -> None:
    """The range's recording in one sentence."""
    parts = [f"{exact(found.records - found.retried_records)} at the first try"]
    parts.append(f"{exact(found.retried_records)} after a retry")
    late = f"{exact(found.late_records)} late (worst {seconds(found.worst_lag_s)})"
    parts.append(late if found.late_records else "none late")
    records = "1 record" if found.records == 1 else f"{exact(found.records)} records"
    sentence = f"{_WHEN[range_name]} **{records}** arrived: {', '.join(parts)}."
    if found.late_records:
        st.warning(sentence, icon=":material/schedule:")
    else:
        st.success(sentence, icon=":material/check_circle:")


def environments(quality: pd.DataFrame) -> None:
    """Every environment's figures, the busiest first."""

    def ms(label: str, help_text: str | None = None) -> Any:
        return st.column_config.NumberColumn(label, format="%.1f ms", help=help_text)

    config: dict[str, Any] = {
        "environment": st.column_config.TextColumn("Environment"),
        "records": st.column_config.NumberColumn("Records", format="localized"),
        "connection_p50_ms": ms("p50", "Time to get a usable connection: half of the records were faster"),
        "connection_p95_ms": ms("p95"),
        "connection_p99_ms": ms("p99"),
        "connection_max_ms": ms("Slowest"),
        "retried_records": st.column_config.NumberColumn("Retried", format="localized"),
        "retries": st.column_config.NumberColumn("Retries", format="localized", help="Attempts after the first"),
        "late_records": st.column_config.NumberColumn(
            "Late", format="localized", help=f"More than {LATE_S} s after the call's end"
        ),
    }
    st.dataframe(
        quality,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=34,
        height="content",
        alt="Recording by environment",
    )


def no_recordings() -> None:
    """Nothing was recorded here in this range; imported and sample rows don't count."""
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        st.markdown("**No recordings in this range**", width="content")
        st.caption(
            "Only calls that a tracker recorded tell how well recording works; imported and sample calls don't.",
            text_alignment="center",
        )
        if st.button("Record a test call", type="primary", icon=":material/science:"):
            st.switch_page("recordings.py")
        st.space("small")
