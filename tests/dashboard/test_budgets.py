"""Budgets on the Overview, and the alerts that the dashboard sends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from dashboard_support import Execute, OpenPage, Server, texts
from support import eventually, run, value, with_role

from tracker.budgets.budget import Budget
from tracker.budgets.progress import BudgetState, Spent
from tracker.cli import main
from tracker.errors import TrackerError
from tracker.maintenance import check_budgets as report

EVIL = "![x](http://evil.invalid/a.png) <img src=x>"


@pytest.fixture
def put(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets a budget of the fresh, migrated database by the command."""

    def put(name: str, *limit: str) -> None:
        monkeypatch.setenv("DATABASE_URL", database_url)
        assert main(["budget", "set", name, *limit]) == 0

    return put


def test_without_budgets_the_overview_shows_none(open_page: OpenPage, database_url: str, call: Execute) -> None:
    call()
    assert "Budgets" not in texts(open_page(database_url))


def test_the_overview_shows_each_budget_with_its_description(
    open_page: OpenPage, database_url: str, call: Execute, put: Callable[..., None]
) -> None:
    call(input_tokens=900, output_tokens=0, user_id=EVIL)
    put("all of us", "--tokens", "1000", "--per", "month")
    put("one", "--tokens", "500", "--per", "day", "--user", EVIL)
    app = open_page(database_url)
    said = texts(app)
    assert "all of us · everybody" in said
    assert "900 tokens of 1,000 tokens this month." in said
    assert "Over the limit; resets in" in said
    assert any(EVIL in element.value for element in app.text)
    assert not any("evil.invalid" in element.value for element in (*app.markdown, *app.caption))
    assert not any("evil.invalid" in str(element.value) for element in app.get("html"))


def test_a_role_without_budget_rights_still_sees_the_overview(
    open_page: OpenPage, database_url: str, call: Execute, put: Callable[..., None], new_role: Callable[..., str]
) -> None:
    call()
    put("all", "--tokens", "1000", "--per", "month")
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage TO {role}")
    assert "Budgets" not in texts(open_page(with_role(database_url, role)))


def test_budget_texts_are_translated(
    open_page: OpenPage, database_url: str, call: Execute, put: Callable[..., None]
) -> None:
    call(input_tokens=900, output_tokens=0)
    put("all", "--usd", "5", "--per", "month")
    said = texts(open_page(database_url, lang="ko"))
    assert "이번 달" in said
    assert "예산" in said


def test_the_bar_contains_the_forecast_and_no_names() -> None:
    from pages.sections import budget_bars

    made = Budget(name=EVIL, period="day", measure="tokens", amount=Decimal(1000))
    window = made.window(datetime(2026, 3, 10, 12, tzinfo=UTC))
    state = BudgetState(made, window, Spent(tokens=750), window.start + timedelta(hours=12))
    html = budget_bars.bar_html(state)
    assert "evil" not in html
    assert "width:100.00%" in html  # 1,500 at this pace is the whole width
    assert "width:50.00%" in html  # 750 of them
    assert "66.67%" in html  # where the limit is


def test_the_bar_above_the_limit_marks_the_limit_and_the_part_above_it() -> None:
    from pages.sections import budget_bars

    made = Budget(name="team", period="day", measure="tokens", amount=Decimal(1000))
    window = made.window(datetime(2026, 3, 10, 12, tzinfo=UTC))
    state = BudgetState(made, window, Spent(tokens=2000), window.end - timedelta(seconds=1))
    html = budget_bars.bar_html(state)
    assert "inset:0 auto 0 50.00%;width:50.00%" in html  # the part above the limit
    assert "calc(50.00% - 3px)" in html
    below = BudgetState(made, window, Spent(tokens=500), window.end - timedelta(seconds=1))
    assert budget_bars._ABOVE_COLOR not in budget_bars.bar_html(below)


def test_the_dashboard_sends_due_alerts(
    start_dashboard: Callable[..., Server], database_url: str, call: Execute, put: Callable[..., None]
) -> None:
    put("all", "--tokens", "100", "--per", "month")
    call()
    start_dashboard(database_url)
    assert eventually(lambda: value(database_url, "SELECT max(percent) FROM token_tracker_budget_alerts"), 20) == 100


def test_a_failed_check_raises_its_message(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    run(database_url, "DROP TABLE token_tracker_budgets")
    with pytest.raises(TrackerError):
        report.check_budgets()
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    with pytest.raises(TrackerError):
        report.check_budgets()
