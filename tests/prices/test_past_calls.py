"""Pricing the past calls of a model: the preview, the batches, and the job of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from support import locked, rows, run, value

from tracker import settings
from tracker.audit.change_log import Editor, read_changes
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.maintenance.price_past_calls import PastCallsJob, current_job
from tracker.prices import past_calls
from tracker.prices.custom_prices import ALWAYS, CustomPrice
from tracker.prices.past_calls import preview_past_calls, price_batch
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_store import read_access, save_price
from tracker.prices.unpriced_calls import Scope, scope_since
from tracker.reports.engine import current_reader
from tracker.reports.engine.reader import Reader

ANN = Editor("login", "ann@example.com")
MINE = Scope(model="my-finetune")
INSERT = (
    "INSERT INTO token_usage (model, provider, input_tokens, output_tokens, total_tokens, cost, cost_source, metadata,"
    " created_at) SELECT {model}, {provider}, 1000000, 0, 1000000, {cost}, {source}, {metadata},"
    " '2026-03-01'::timestamptz + number * interval '1 second' FROM generate_series(1, {count}) AS number"
)


def insert(url: str, count: int = 1, model: str = "my-finetune", **columns: str) -> None:
    given = {"provider": "NULL", "cost": "NULL", "source": "NULL", "metadata": "'{}'", **columns}
    run(url, INSERT.format(model=f"'{model}'", count=count, **given))


def price(model: str = "my-finetune", usd: str = "0.5") -> CustomPrice:
    rates = {"input": Decimal(usd), "output": Decimal(usd)}
    return CustomPrice(model, None, ALWAYS, rates, None, None, source="dashboard prices")


@pytest.fixture
def reader(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()
    current_reader.close()


def test_the_preview_counts_what_pricing_changes(database_url, connection):
    insert(database_url, 3)
    insert(database_url, 2, cost="9", source="'dashboard prices'")
    insert(database_url, cost="9", source="'provided'")
    insert(database_url, model="my-finetune-2")
    insert(database_url, metadata="""'{"usage": {"web_searches": 1}}'""")
    before = rows(database_url, "SELECT id, cost, cost_source FROM token_usage ORDER BY id")
    preview = preview_past_calls(connection, None, PriceCatalog([price()]), MINE, 10)
    totals = preview.totals
    assert (totals.changed, totals.tokens, totals.old_usd, totals.new_usd) == (5, 5_000_000, 18, Decimal("2.5"))
    assert (totals.unpriced, preview.is_complete) == (1, True)
    assert rows(database_url, "SELECT id, cost, cost_source FROM token_usage ORDER BY id") == before


def test_a_scope_selects_a_prefix_a_provider_a_day_and_parts_of_a_row(database_url, connection):
    for model in ("my-a", "my-b", "other"):
        insert(database_url, model=model, provider="'own'")
    parts = """'{"usage": {"parts": [{"model": "my-c", "input_tokens": 1000000}]}}'"""
    insert(database_url, model="mixed", metadata=parts)
    catalog = PriceCatalog([price("my-*"), price("other")])

    def changed(scope: Scope) -> int:
        return preview_past_calls(connection, None, catalog, scope, 10).totals.changed

    assert changed(Scope(model="my-*")) == 3
    assert changed(Scope(model="my-c")) == 1
    assert changed(Scope(model="my-b", provider="own")) == 1
    assert changed(Scope(model="my-b", provider="openai")) == 0
    assert changed(scope_since(datetime(2026, 3, 2, tzinfo=UTC), model="my-*")) == 0
    assert changed(Scope(model="my_*")) == 0
    assert changed(Scope(model="my-%")) == 0


def test_the_preview_stops_at_its_time_limit_and_states_how_far_it_got(database_url, connection):
    insert(database_url, 4500)
    seconds = iter((0, 1, 30))
    preview = preview_past_calls(connection, None, PriceCatalog([price()]), MINE, 10, clock=lambda: next(seconds))
    assert (preview.is_complete, preview.totals.read, preview.totals.changed) == (False, 4000, 4000)
    assert preview.totals.until == datetime(2026, 3, 1, 1, 6, 40, tzinfo=UTC)


def test_a_preview_that_waits_for_a_lock_ends(database_url, connection):
    insert(database_url)
    with locked(database_url):
        preview = preview_past_calls(connection, None, PriceCatalog([price()]), MINE, 1)
    assert (preview.is_complete, preview.totals.read, preview.totals.until) == (False, 0, None)


def test_a_batch_is_bounded_and_the_next_one_continues(database_url, connection, monkeypatch):
    monkeypatch.setattr(past_calls, "BATCH_CALLS", 2)
    insert(database_url, 5)
    catalog, scope, read = PriceCatalog([price()]), MINE, []
    for _ in range(3):
        plan = price_batch(connection, None, catalog, scope)
        read.append(plan.read)
        scope = replace(scope, since=plan.cursor)
    assert read == [2, 2, 1]
    assert rows(database_url, "SELECT DISTINCT cost, cost_source FROM token_usage") == [
        (Decimal("0.5"), "dashboard prices")
    ]


def test_a_job_prices_all_calls_and_adds_a_line_to_the_change_log(database_url, connection, reader):
    insert(database_url, 2500)
    save_price(connection, read_access(connection, None), price(), ANN)
    job = PastCallsJob(reader, MINE, "my-finetune", ANN, 2500)
    assert job.start()
    job.wait(30)
    assert (job.is_running, job.error, job.progress, job.totals.changed) == (False, None, 1.0, 2500)
    assert current_job() is job
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE cost = 0.5") == 2500
    change = read_changes(connection, "public")[0]
    assert (change.kind, change.editor, change.new) == (
        "past calls",
        ANN,
        {"calls": "2,500", "cost_before": "0", "cost_after": "1250.0"},
    )


def test_a_job_retries_a_deadlock_and_only_one_runs(database_url, connection, reader):
    insert(database_url, 10)
    save_price(connection, read_access(connection, None), price(), ANN)
    job = PastCallsJob(reader, MINE, "my-finetune", ANN, retry_s=0)
    with locked(database_url):
        assert job.start()
        assert not PastCallsJob(reader, MINE, "my-finetune", ANN).start()
        ends_job = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        for _ in range(100):
            if rows(database_url, ends_job):
                break
    job.wait(30)
    assert (job.error, job.totals.changed) == (None, 10)
