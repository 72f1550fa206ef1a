"""The dashboard gives new calls their cost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from dashboard_support import Execute, Server
from support import eventually, rows, run, value, with_role

from tracker.reports import pricing


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
    assert pricing.price_new_calls() == 0
    call(model="gpt-4.1-mini")
    assert pricing.price_new_calls() == 1
    assert rows(database_url, "SELECT count(*) FROM token_usage WHERE cost IS NULL") == [(2,)]


def test_a_role_that_may_only_read_is_no_error(
    database_url: str, call: Execute, new_role: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage TO {role}")
    monkeypatch.setenv("DATABASE_URL", with_role(database_url, role))
    call(model="gpt-4.1-mini")
    assert pricing.price_new_calls() == 0
