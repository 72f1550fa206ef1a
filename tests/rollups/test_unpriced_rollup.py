"""The rollup of calls without a cost: a migration fills it, and a price list changes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from rollups_support import Store
from support import connect, run

from tracker.database.migrate import migrate
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.reprice import price_unpriced_calls
from tracker.prices.unpriced_calls import scope_since
from tracker.reports import Filters, usage_totals
from tracker.reports.unpriced_usage import unpriced_calls
from tracker.rollups import prune as pruning

DAY = datetime(2026, 6, 10, tzinfo=UTC)
RANGE = Filters(start=DAY, end=datetime(2026, 6, 12, tzinfo=UTC), timezone="UTC")
SENTENCE = '{"usage_problem": "A sentence of an earlier version."}'


@pytest.fixture(params=["timestamptz", "timestamp"])
def store(request: pytest.FixtureRequest, empty_database_url: str, new_store: Callable[[str], Store]) -> Store:
    """A database of the previous version with three calls: two have no cost, one of these has inconsistent usage."""
    if request.param == "timestamp":
        run(
            empty_database_url,
            "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamp,"
            " user_id text, model text, input_tokens int, output_tokens int, total_tokens int, metadata json)",
        )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul" if request.param == "timestamp" else None)
    store = new_store(empty_database_url)
    at = DAY.replace(hour=12, tzinfo=None if request.param == "timestamp" else UTC)
    store.add({"created_at": at, "cost": cost, "metadata": metadata} for cost, metadata in CALLS)
    store.catch_up()
    run(
        empty_database_url,
        "DROP TABLE token_tracker_unpriced_rollup",
        "DELETE FROM token_tracker_migrations WHERE version = 9",
    )
    return store


CALLS: tuple[tuple[Any, str], ...] = ((None, "{}"), (None, SENTENCE), (1, "{}"))


def problems(store: Store) -> list[tuple[str | None, str | None, int]]:
    frame = unpriced_calls(store.reader, RANGE)[["usage_problem", "reason", "calls"]]
    return sorted((tuple(row) for row in frame.itertuples(index=False)), key=str)


def test_before_the_upgrade_the_list_comes_from_the_rows(store: Store) -> None:
    assert problems(store) == sorted([(None, None, 1), ("A sentence of an earlier version.", None, 1)], key=str)


def test_an_upgrade_fills_the_rollup_from_the_rows(store: Store) -> None:
    migrate(lambda: connect(store.url))
    expected = sorted([(None, None, 1), ("A sentence of an earlier version.", None, 1)], key=str)
    assert problems(store) == expected
    store.catch_up()
    assert problems(store) == expected
    assert store.differences() == []


def test_an_upgrade_keeps_the_number_of_pruned_calls(store: Store) -> None:
    migrate(lambda: connect(store.url))
    run(store.url, "DROP TABLE token_tracker_unpriced_rollup", "DELETE FROM token_tracker_migrations WHERE version = 9")
    run(store.url, "UPDATE token_tracker_usage_rollup SET generation = 1", "DELETE FROM token_usage")
    migrate(lambda: connect(store.url))
    assert problems(store) == [(None, None, 2)]
    assert usage_totals.totals(store.reader, RANGE).unpriced_calls == 2


def test_a_reason_reaches_the_rollup_and_survives_pruning(store: Store) -> None:
    migrate(lambda: connect(store.url))
    store.catch_up()
    assert price_unpriced_calls(store.connection, None, PriceCatalog(), scope_since(None)).explained == 2
    expected = sorted(
        [(None, "model_unknown", 1), ("A sentence of an earlier version.", "usage_inconsistent", 1)], key=str
    )
    assert problems(store) == expected
    store.catch_up()
    assert problems(store) == expected
    pruning.prune(store.connection, store.table, int(RANGE.end.timestamp()))
    assert (problems(store), store.count("token_usage")) == (expected, 0)
    assert store.differences() == []
