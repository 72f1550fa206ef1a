"""Overview: what did we use, what did it cost, is anything odd?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from _charts import stacked
from _empty import greet, nothing_here
from _overview_parts import Users, by_model, by_operation, figures, last_records, sample_notice, top_users
from _parts import card, head, include_tests, standing_notes
from _range import now, pick

from tracker.reports import source, usage
from tracker.reports.frames import every_bucket


def main() -> None:
    reader = source.reader()
    moment = now()
    title, controls = st.columns([2, 3], vertical_alignment="bottom")
    with title:
        head("Overview", "What did we use, what did it cost?", moment)
    with controls, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        tests = include_tests()
        shown = pick(lambda: usage.extent(reader, include_tests=tests), include_tests=tests)

    totals = usage.totals(reader, shown.filters)
    if not totals.calls:
        last_at = usage.extent(reader, include_tests=tests).last_at
        if last_at:
            nothing_here(last_at)
        else:
            greet(reader)
        return
    before = usage.totals(reader, shown.before) if shown.before else None
    users = Users(
        usage.users(reader, shown.filters),
        usage.users(reader, shown.before) if shown.before else None,
        usage.users_over_time(reader, shown.filters),
    )
    models = usage.by_model_over_time(reader, shown.filters)

    sample_notice(reader, totals)
    figures(totals, before, users, usage.trend(reader, shown.filters), shown)
    over_time = models.rename(columns={"bucket": "at", "model": "name"})
    bucket = shown.filters.bucket
    names = list(models.groupby("model")["total_tokens"].sum().sort_values(ascending=False).index)
    shared: dict[str, Any] = {
        "names": names,
        "buckets": every_bucket(shown.filters),
        "bucket": bucket,
        "now": pd.Timestamp(moment.replace(tzinfo=None)),
    }
    left, right = st.columns(2)
    with left, card("Tokens by model", f"by {bucket}"):
        stacked(over_time, "total_tokens", number="count", label="Tokens", alt="Tokens over time by model", **shared)
    with right, card("Cost by model", f"by {bucket}, USD"):
        priced = over_time.dropna(subset=["cost_usd"])
        if len(priced):
            stacked(priced, "cost_usd", number="usd", label="Cost", alt="Cost over time by model", **shared)
        else:
            st.caption("No call in this range has a price.")
    models_place, operations_place, users_place = st.columns([11, 13, 11])
    with models_place, card("Models"):
        by_model(models)
    with operations_place, card("Operations"):
        by_operation(usage.by_operation(reader, shown.filters, count=6))
    with users_place, card("Top users"):
        top_users(usage.top_users(reader, shown.filters, count=6))
    with card("Last records"):
        last_records(usage.last_records(reader, shown.filters, count=12), shown.filters.timezone)
    standing_notes(reader, shown.filters.start)


main()
