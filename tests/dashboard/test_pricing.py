"""The dashboard gives new calls their cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from dashboard_support import Execute, Server
from support import eventually, rows, run, value, with_role

from tracker.errors import SetupError
from tracker.maintenance import price_new_calls
from tracker.prices.price_catalog import PriceCatalog


@pytest.fixture(autouse=True)
def new_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts as a dashboard does."""
    monkeypatch.setattr(price_new_calls, "_progress", price_new_calls._Progress())


def test_a_call_gets_its_cost_while_the_dashboard_runs(
    start_dashboard: Callable[..., Server], database_url: str, call: Execute
) -> None:
    call(model="gpt-4.1-mini", provider="openai", input_tokens=1_000_000, output_tokens=0)
    start_dashboard(database_url)
    assert eventually(lambda: value(database_url, "SELECT cost FROM token_usage"), 20) == Decimal("0.4")


def test_old_calls_and_unknown_models_wait(database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    call(model="gpt-4.1-mini", created_at="2026-01-01")
    call(model="my-finetune")
    assert price_new_calls.price_new_calls() == 0
    call(model="gpt-4.1-mini")
    assert price_new_calls.price_new_calls() == 1
    assert rows(database_url, "SELECT count(*) FROM token_usage WHERE cost IS NULL") == [(2,)]


def sources(url: str) -> list[str | None]:
    return [source for (source,) in rows(url, "SELECT cost_source FROM token_usage ORDER BY created_at, id")]


def test_a_call_without_a_price_gets_the_reason_and_is_read_once(
    database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    call(model="my-finetune")
    assert price_new_calls.price_new_calls() == 0
    assert sources(database_url) == ["unpriced model_unknown"]
    monkeypatch.setattr(PriceCatalog, "price", lambda *_, **__: pytest.fail("it was priced again"))
    assert price_new_calls.price_new_calls() == 0


def test_one_run_reads_a_bounded_number_of_calls(
    database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(price_new_calls, "CALLS_PER_RUN", 2)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for minute in range(5):
        call(model="my-finetune", created_at=yesterday + timedelta(minutes=minute))
    for expected in (2, 4, 5, 5):
        assert price_new_calls.price_new_calls() == 0
        assert len([source for source in sources(database_url) if source]) == expected


def test_new_custom_prices_apply_to_the_latest_calls_without_a_restart(
    database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    call(model="my-finetune", created_at=datetime.now(UTC) - timedelta(days=1))
    assert price_new_calls.price_new_calls() == 0
    (tmp_path / "prices.toml").write_text('[[price]]\nmodel = "my-finetune"\ninput = 1\noutput = 1')
    monkeypatch.setenv("TRACKER_PRICES", str(tmp_path / "prices.toml"))
    assert price_new_calls.price_new_calls() == 1
    assert sources(database_url) == ["own prices"]


def test_a_role_that_may_only_read_gets_the_missing_right(
    database_url: str, call: Execute, new_role: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage TO {role}")
    monkeypatch.setenv("DATABASE_URL", with_role(database_url, role))
    call(model="gpt-4.1-mini")
    with pytest.raises(SetupError, match="may not update token_usage") as caught:
        price_new_calls.price_new_calls()
    assert "GRANT SELECT, UPDATE ON token_usage TO" in caught.value.remedy
