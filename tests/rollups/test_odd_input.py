"""What nobody means to ask or to store gets an empty answer, never a traceback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import Store
from support import run

from tracker.reports import Filters, hour_heatmap, latency, recording_quality, usage_totals
from tracker.reports.explorer_query import explore, matching_calls

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def answers(store: Store, asked: Filters) -> list[int]:
    """How many calls each report counts."""
    return [
        usage_totals.totals(store.reader, asked).calls,
        int(usage_totals.trend(store.reader, asked)["calls"].sum()),
        int(usage_totals.by_model_over_time(store.reader, asked)["calls"].sum()),
        int(usage_totals.by_operation(store.reader, asked)["calls"].sum()),
        int(usage_totals.top_users(store.reader, asked)["calls"].sum()),
        len(usage_totals.last_records(store.reader, asked)),
        int(explore(store.reader, asked, "model", "user")["calls"].sum()),
        len(matching_calls(store.reader, asked, {"model": "gpt"})),
    ]


@pytest.mark.parametrize("covered", [False, True])
@pytest.mark.parametrize(
    "asked",
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
def test_a_range_or_a_filter_that_holds_nothing_has_an_empty_answer(
    store: Store, asked: Filters, covered: bool
) -> None:
    store.call(created_at=NOON)
    if covered:
        store.catch_up()
    assert answers(store, asked) == [0] * 8
    assert usage_totals.users(store.reader, asked) == 0
    assert not hour_heatmap.by_hour_and_weekday(store.reader, asked)["calls"].any()
    assert latency.overall(store.reader, asked).empty
    assert recording_quality.totals(recording_quality.by_environment(store.reader, asked)).records == 0


def test_a_range_of_a_thousand_years_is_answered(store: Store) -> None:
    store.call(created_at=NOON)
    store.catch_up()
    asked = Filters(start=datetime(1970, 1, 1, tzinfo=UTC), end=datetime(2970, 1, 1, tzinfo=UTC), timezone="Asia/Seoul")
    assert answers(store, asked) == [1] * 8
    widest = Filters(start=datetime(1, 1, 3, tzinfo=UTC), end=datetime(9999, 12, 29, tzinfo=UTC), timezone="Asia/Seoul")
    assert usage_totals.totals(store.reader, widest).calls == 1


@pytest.mark.parametrize(
    "moment", ["9999-12-31 23:59:59+00", "12000-01-01 00:00+00", "0044-03-15 12:00+00 BC", "1969-01-01 00:00:07+00"]
)
def test_a_call_of_a_time_that_cannot_be_breaks_nothing(store: Store, moment: str) -> None:
    store.call(created_at=NOON)
    store.call(created_at=moment)
    asked = Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1))
    for _ in range(2):
        assert answers(store, asked) == [1] * 8
        assert usage_totals.extent(store.reader).first_at is not None
        store.catch_up()
    assert store.differences() == []


def test_values_that_no_call_of_ours_has_are_added_up(store: Store) -> None:
    names = ("model", "provider", "operation", "user_id", "environment", "is_test", "success", "total_tokens")
    run(store.url, *(f"ALTER TABLE token_usage ALTER {name} DROP NOT NULL" for name in names))
    store.call(created_at=NOON, **dict.fromkeys(names))
    store.call(created_at=NOON, user_id="")
    asked = Filters(start=NOON - timedelta(days=1), end=NOON + timedelta(days=1))
    for _ in range(2):
        assert usage_totals.totals(store.reader, asked).calls == 2
        assert set(usage_totals.top_users(store.reader, asked)["user_id"]) == {"unknown", ""}
        assert set(usage_totals.by_operation(store.reader, asked)["operation"]) == {"unknown", "chat"}
        store.catch_up()
    assert store.differences() == []
