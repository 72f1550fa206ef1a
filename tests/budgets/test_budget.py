"""The windows and the progress of a budget, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.budgets.budget import Budget
from tracker.budgets.progress import BudgetState, Spent, describe_budget, format_amount, format_percent
from tracker.errors import SettingError


def budget(**fields: Any) -> Budget:
    return Budget(**{"name": "b", "period": "day", "measure": "tokens", "amount": Decimal(1000), **fields})


def state(used: object, *, passed: float = 0.5, **fields: Any) -> BudgetState:
    its = budget(**fields)
    window = its.window(datetime(2026, 3, 10, 12, tzinfo=UTC))
    spent = Spent(tokens=int(str(used))) if its.measure == "tokens" else Spent(usd=Decimal(str(used)))
    return BudgetState(its, window, spent, window.start + (window.end - window.start) * passed)


@pytest.mark.parametrize(
    ("zone", "period", "now", "start", "end"),
    [
        ("UTC", "day", "2026-03-10T12:00Z", "2026-03-10T00:00Z", "2026-03-11T00:00Z"),
        ("UTC", "month", "2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("UTC", "month", "2028-02-29T12:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("Asia/Seoul", "day", "2026-03-10T15:00Z", "2026-03-10T15:00Z", "2026-03-11T15:00Z"),
        ("Asia/Seoul", "day", "2026-03-10T14:59Z", "2026-03-09T15:00Z", "2026-03-10T15:00Z"),
        ("Asia/Kathmandu", "month", "2026-03-01T00:00Z", "2026-02-28T18:15Z", "2026-03-31T18:15Z"),
        ("Europe/Berlin", "day", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # 23 hours
        ("Europe/Berlin", "day", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # 25 hours
        ("Europe/Berlin", "day", "2026-10-25T01:30Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # the hour twice
        ("Europe/Berlin", "month", "2026-03-15T12:00Z", "2026-02-28T23:00Z", "2026-03-31T22:00Z"),
        ("America/Santiago", "day", "2026-09-06T12:00Z", "2026-09-06T04:00Z", "2026-09-07T03:00Z"),  # no midnight
        ("Pacific/Apia", "day", "2011-12-31T12:00Z", "2011-12-31T10:00Z", "2012-01-01T10:00Z"),  # after a lost day
    ],
)
def test_days_and_months_are_those_of_the_budgets_own_time_zone(zone, period, now, start, end):
    window = budget(timezone=zone, period=period).window(datetime.fromisoformat(now))
    assert (window.start, window.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))


@given(
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    period=st.sampled_from(["day", "month"]),
)
def test_each_time_is_in_its_window_and_windows_are_adjacent(moment, zone, period):
    its = budget(timezone=zone, period=period)
    window = its.window(moment.replace(tzinfo=UTC))
    assert window.start <= moment.replace(tzinfo=UTC) < window.end
    assert its.window(window.end).start == window.end
    assert its.window(window.start - timedelta(microseconds=1)).end == window.start
    # The 15-minute buckets of the rollups then make up the window exactly.
    assert window.start.timestamp() % 900 == window.end.timestamp() % 900 == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "team", "subject": "a"},
        {"scope": "user"},
        {"scope": "user", "subject": ""},
        {"subject": "u_1"},
        {"period": "week"},
        {"measure": "euros"},
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"alert_percent": 0},
        {"alert_percent": 101},
        {"timezone": "Asia/Soul"},
        {"name": " "},
        {"name": "a\nb"},
        {"name": "x" * 201},
    ],
)
def test_a_budget_that_cannot_be_right_is_refused(wrong):
    with pytest.raises(SettingError):
        budget(**wrong)


@pytest.mark.parametrize(
    ("used", "alert_percent", "reached"),
    [
        (799, 80, None),
        (800, 80, 80),
        (999, 80, 80),
        (1000, 80, 100),
        (5000, 80, 100),
        (1000, 100, 100),
        (5000, None, None),
    ],
)
def test_a_threshold_is_reached_exactly(used, alert_percent, reached):
    assert state(used, alert_percent=alert_percent).reached == reached


def test_the_forecast_is_the_windows_pace_and_waits_until_something_is_known():
    assert state(300, passed=0.5).forecast == 600
    assert state(300, passed=0.25, period="month").forecast == 1200
    assert state(300, passed=0.01).forecast is None
    assert state(300, passed=1).forecast == 300


def test_the_description_contains_the_forecast():
    said = describe_budget(state(799, scope="user", subject="u_42"))
    assert said == (
        "Budget 'b' (user u_42): 799 tokens of 1,000 tokens today, 79%."
        " At this pace 1,598 tokens by the end of the day."
    )
    assert "12.50" in describe_budget(state("12.5", measure="usd", amount=Decimal(10), period="month"))
    assert "pace" not in describe_budget(state(1000))


def test_the_description_in_usd_contains_the_calls_without_a_price():
    its = state("1", measure="usd")
    unpriced = BudgetState(its.budget, its.window, Spent(usd=Decimal(1), unpriced_calls=3), its.at)
    assert "3 calls have no price" in describe_budget(unpriced)


def test_figures_are_rounded_for_people_and_never_up_to_a_limit():
    assert format_percent(0.9999) == "99%"
    assert format_percent(1.0) == "100%"
    assert format_amount(Decimal("0.000012"), "usd") == "$0.000012"
    assert format_amount(Decimal(0), "usd") == "$0.00"
