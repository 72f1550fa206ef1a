"""Cache savings and the projected cost of the month, and the clock filters of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from dashboard_support import Execute, OpenPage, figures, texts

from tracker import settings
from tracker.budgets.budget import Budget, period_window
from tracker.budgets.progress import BudgetState, Spent
from tracker.cli import main
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.prices.price_catalog import PriceCatalog
from tracker.reports import Filters, Reader
from tracker.reports.cache_savings import cache_savings
from tracker.reports.cost_projection import project_month

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
MARCH = Filters(start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 4, 1, tzinfo=UTC))
HALF_MONTH = datetime(2026, 3, 16, 12, tzinfo=UTC)
CLAUDE = {"provider": "anthropic", "model": "claude-sonnet-4-5", "created_at": NOON}


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def test_cache_writes_reduce_the_savings_of_cache_reads(reader: Reader, call: Execute) -> None:
    # Input is $3, a cache read $0.30 and a cache write $3.75 per million tokens.
    call(**CLAUDE, input_tokens=1_000_000, cache_read_input_tokens=600_000, cache_write_input_tokens=200_000)
    savings = cache_savings(reader, MARCH, PriceCatalog())
    assert savings.usd == Decimal("0.6") * Decimal("2.70") - Decimal("0.2") * Decimal("0.75")
    assert (savings.read_tokens, savings.write_tokens, savings.unpriced_tokens) == (600_000, 200_000, 0)


def test_savings_are_negative_if_the_cache_is_never_read(reader: Reader, call: Execute) -> None:
    call(**CLAUDE, input_tokens=1_000_000, cache_write_input_tokens=1_000_000)
    assert cache_savings(reader, MARCH, PriceCatalog()).usd == Decimal("-0.75")


def test_tokens_without_a_known_price_are_counted_and_not_part_of_the_savings(reader: Reader, call: Execute) -> None:
    call(model="my-finetune", input_tokens=900, cache_read_input_tokens=700, created_at=NOON)
    savings = cache_savings(reader, MARCH, PriceCatalog())
    assert (savings.usd, savings.unpriced_tokens) == (0, 700)
    call(**CLAUDE, input_tokens=1000, cache_read_input_tokens=300)
    assert cache_savings(reader, MARCH, None).unpriced_tokens == 1000


def test_the_projection_continues_the_pace_of_the_month(reader: Reader, call: Execute) -> None:
    call(cost=Decimal(10), created_at=NOON - timedelta(days=3))
    call(cost=Decimal(500), created_at=datetime(2026, 2, 27, tzinfo=UTC))  # in the previous month
    call(cost=Decimal(70), created_at=NOON - timedelta(days=3), is_test=True)
    call(created_at=NOON - timedelta(days=3))
    projection = project_month(reader, replace(MARCH, include_tests=True), [], HALF_MONTH)
    assert projection is not None
    assert (projection.spent, projection.at_end, projection.unpriced_calls) == (Decimal(10), Decimal(20), 1)
    early = project_month(reader, MARCH, [], datetime(2026, 3, 2, tzinfo=UTC))
    assert early is not None
    assert early.at_end is None
    assert project_month(reader, replace(MARCH, weekday=0), [], HALF_MONTH) is None


def test_the_projection_is_the_forecast_of_a_budget_for_the_same_calls(reader: Reader) -> None:
    def state(name: str, usd: int, **of: str) -> BudgetState:
        budget = Budget(name=name, period="month", measure="usd", amount=Decimal(100), **of)
        window = period_window("month", budget.timezone, HALF_MONTH)
        return BudgetState(budget, window, Spent(usd=Decimal(usd), unpriced_calls=2), HALF_MONTH)

    all_calls = state("all", 30, timezone="Asia/Seoul")
    states = [all_calls, state("model", 4, scope="model", subject="gpt-5")]
    for filters, expected in ((MARCH, all_calls), (replace(MARCH, model="gpt-5"), states[1])):
        projection = project_month(reader, filters, states, HALF_MONTH)
        assert projection is not None
        assert (projection.at_end, projection.unpriced_calls) == (expected.forecast, 2)
    other = project_month(reader, replace(MARCH, model="gpt-4o"), states, HALF_MONTH)
    assert other is not None
    assert other.spent == 0


def test_the_overview_shows_one_projection(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["budget", "set", "all", "--usd", "900", "--per", "month"]) == 0
    call(
        **CLAUDE | {"created_at": datetime.now(UTC)}, cost=3, input_tokens=9_000_000, cache_read_input_tokens=8_000_000
    )
    text = texts(open_page(database_url, range="24h"))
    assert "Cache savings: ≈ \\$21.60" in text
    forecast = text.partition("At this rate ")[2].partition(" by the end of the month")[0]
    projected = text.partition("Projected cost this month: ")[2].partition("\n")[0]
    assert projected == (forecast or "too early for a forecast")


def test_a_clock_filter_of_the_address_bar_selects_calls_of_the_readers_clock(
    open_page: OpenPage, database_url: str, call: Execute
) -> None:
    call(created_at=datetime(2026, 3, 15, 20, 30, tzinfo=UTC))  # Monday 05:30 in Seoul
    call(created_at=datetime(2026, 3, 15, 12, 0, tzinfo=UTC))
    days = "2026-03-09..2026-03-20"
    app = open_page(database_url, range=days, weekday="0", hour_of_day="5")
    assert figures(app)["Calls"] == "1"
    assert figures(open_page(database_url, range=days, weekday="9", hour_of_day="x"))["Calls"] == "2"
    explorer = open_page(database_url, "explorer.py", range=days, rows="hour_of_day", measure="error_rate")
    assert explorer.dataframe[0].value["row"].to_list() == ["05:00", "21:00"]
