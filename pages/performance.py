"""Performance: does recording itself work, and what does it cost the caller?"""

from __future__ import annotations

from typing import Any

import streamlit as st
from _charts import lines
from _formats import exact, milliseconds, seconds, share
from _parts import card, head, include_tests, standing_notes
from _performance_parts import environments, no_recordings, verdict
from _range import now, pick

from tracker.reports import performance, source, usage
from tracker.reports.frames import every_bucket


def main() -> None:
    reader = source.reader()
    title, controls = st.columns([2, 3], vertical_alignment="bottom")
    with title:
        head("Performance", "Does recording work, and what does it cost the caller?", now())
    with controls, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        tests = include_tests()
        shown = pick(lambda: usage.extent(reader, include_tests=tests), include_tests=tests)

    quality = performance.by_environment(reader, shown.filters)
    found = performance.verdict(quality)
    if not found.records:
        no_recordings()
        return
    verdict(found, shown.name)
    main_environment = quality.iloc[0]
    with st.grid(4, min_column_width=170):
        st.metric(
            "Connection, p50",
            milliseconds(main_environment["connection_p50_ms"]),
            border=True,
            help="Half of the records of the busiest environment had a usable connection in this time",
        )
        st.metric(
            "Connection, p95",
            milliseconds(main_environment["connection_p95_ms"]),
            border=True,
            help="19 of 20 records of the busiest environment had one in this time; the rest are cold starts, mostly",
        )
        st.metric(
            "Retried",
            share(found.retried_records / found.records),
            border=True,
            help=f"{exact(found.retried_records)} records needed {exact(found.retries)} attempts after the first",
        )
        st.metric(
            "Worst delay",
            seconds(found.worst_lag_s),
            border=True,
            help="From the end of an AI call to its row in the database",
        )
    trend = performance.connection_time(reader, shown.filters)
    bucket = shown.filters.bucket
    over_time = trend.rename(columns={"bucket": "at", "environment": "name"})
    axis: dict[str, Any] = {"buckets": every_bucket(shown.filters), "bucket": bucket}
    left, right = st.columns(2)
    with left, card("Connection time, p95", f"by {bucket} and environment"):
        lines(over_time, "connection_p95_ms", number="ms", label="p95", alt="Connection time p95 over time", **axis)
    with right, card("Retries", f"by {bucket} and environment"):
        lines(over_time, "retries", number="count", label="Retries", alt="Retries over time", **axis)
    with card("Environments"):
        environments(quality)
    standing_notes(reader, shown.filters.start)


main()
