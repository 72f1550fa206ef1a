"""Unusual ranges, filters and rows give an empty result, never a traceback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import Store
from support import run

from tracker.reports import Filters, hour_heatmap, latency, recording_quality, usage_totals
from tracker.reports.explorer.explorer_query import explore, matching_calls

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def counts(store: Store, filters: Filters) -> list[int]:
    """The number of calls in each report."""
    return [
        usage_totals.totals(store.reader, filters).calls,
        int(usage_totals.trend(store.reader, filters)["calls"].sum()),
        int(usage_totals.by_model_over_time(store.reader, filters)["calls"].sum()),
        int(usage_totals.by_operation(store.reader, filters)["calls"].sum()),
        int(usage_totals.top_users(store.reader, filters)["calls"].sum()),
        len(usage_totals.last_records(store.reader, filters)),
        int(explore(store.reader, filters, "model", "user")["calls"].sum()),
        len(matching_calls(store.reader, filters, {"model": "gpt"})),
    ]


@pytest.mark.parametrize("covered", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        Filters(start=NOON, end=NOON),
        Filters(start=NOON - timedelta(days=900), end=NOON - timedelta(days=800), timezone="Asia/Kathmandu"),
        Filters(start=NOON + timedelta(days=800), end=NOON + timedelta(days=900)),
        Filters(start=datetime(1900, 1, 1, tzinfo=UTC), end=datetime(1901, 1, 1, tzinfo=UTC), timezone="Europe/Berlin"),
        Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1), model="no-such-model"),
        Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1), user="'; DROP TABLE token_usage; --"),
        Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1), environment=""),
        Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1), user="u\x00", operation="\udfff"),
    ],
)
def test_a_range_or_a_filter_without_calls_has_an_empty_result(store: Store, filters: Filters, covered: bool) -> None:
    store.call(created_at=NOON)
    if covered:
        store.catch_up()
    assert counts(store, filters) == [0] * 8
    assert usage_totals.users(store.reader, filters) == 0
    assert not hour_heatmap.by_hour_and_weekday(store.reader, filters)["calls"].any()
    assert latency.overall(store.reader, filters).empty
    assert recording_quality.totals(recording_quality.by_environment(store.reader, filters)).records == 0


def test_a_range_of_a_thousand_years_has_a_result(store: Store) -> None:
    store.call(created_at=NOON)
    store.catch_up()
    filters = Filters(
        start=datetime(1970, 1, 1, tzinfo=UTC), end=datetime(2970, 1, 1, tzinfo=UTC), timezone="Asia/Seoul"
    )
    assert counts(store, filters) == [1] * 8
    widest = Filters(start=datetime(1, 1, 3, tzinfo=UTC), end=datetime(9999, 12, 29, tzinfo=UTC), timezone="Asia/Seoul")
    assert usage_totals.totals(store.reader, widest).calls == 1


@pytest.mark.parametrize(
    "moment", ["9999-12-31 23:59:59+00", "12000-01-01 00:00+00", "0044-03-15 12:00+00 BC", "1969-01-01 00:00:07+00"]
)
def test_a_call_with_an_impossible_time_causes_no_error(store: Store, moment: str) -> None:
    store.call(created_at=NOON)
    store.call(created_at=moment)
    filters = Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1))
    for _ in range(2):
        assert counts(store, filters) == [1] * 8
        assert usage_totals.extent(store.reader).first_at is not None
        store.catch_up()
    assert store.differences() == []


def test_values_that_the_recorder_never_writes_are_counted(store: Store) -> None:
    names = ("model", "provider", "operation", "user_id", "environment", "is_test", "success", "total_tokens")
    run(store.url, *(f"ALTER TABLE token_usage ALTER {name} DROP NOT NULL" for name in names))
    store.call(created_at=NOON, **dict.fromkeys(names))
    store.call(created_at=NOON, user_id="")
    filters = Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1))
    for _ in range(2):
        assert usage_totals.totals(store.reader, filters).calls == 2
        assert set(usage_totals.top_users(store.reader, filters)["user_id"]) == {"unknown", ""}
        assert set(usage_totals.by_operation(store.reader, filters)["operation"]) == {"unknown", "chat"}
        store.catch_up()
    assert store.differences() == []
