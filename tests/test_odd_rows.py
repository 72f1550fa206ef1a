"""A row that no recorder writes stops no command, task or page, and changes the result of no other row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from support import rows, run

from tracker.background_tasks import TaskRunner
from tracker.cli import main
from tracker.maintenance import check_budgets, price_new_calls
from tracker.otlp.storing.late_rows import compare_late_rows
from tracker.reports.engine import current_reader

ODD_ROWS = {
    "milliseconds given to to_timestamp": {"created_at": "to_timestamp(1763900000000)"},
    "the last day of Python's years": {"created_at": "'9999-12-31 23:59:59-12'"},
    "a year beyond Python's": {"created_at": "'12000-01-01'"},
    "before Christ": {"created_at": "'0044-03-15 12:00+00 BC'"},
    "the first day of Python's years": {"created_at": "'0001-01-01 00:00+14'"},
    "infinite time": {"created_at": "'infinity'"},
    "negative infinite time": {"created_at": "'-infinity'"},
    "NaN": {"cost": "'NaN'", "cost_source": "'provided'"},
    "a NaN of a price list": {"cost": "'NaN'", "cost_source": "'genai-prices 0.0.1'"},
    "infinite cost": {"cost": "'Infinity'", "cost_source": "'provided'"},
    "an infinite cost of a price list": {"cost": "'Infinity'", "cost_source": "'genai-prices 0.0.1'"},
    "negative infinite cost": {"cost": "'-Infinity'"},
    "negative cost": {"cost": "-5", "cost_source": "'provided'"},
    "a cost of 10,000 digits": {"cost": "repeat('9', 10000)::numeric", "cost_source": "'provided'"},
    "negative sequence": {"sequence": "-2147483648", "instance_id": "gen_random_uuid()"},
    "largest sequence": {"sequence": "2147483647", "instance_id": "gen_random_uuid()"},
    "a sequence without an instance": {"sequence": "7"},
    "negative counts": {"input_tokens": "-5", "output_tokens": "-2147483648", "total_tokens": "-1"},
    "metadata that is an array": {"metadata": "'[1, 2]'"},
    "metadata that is a number": {"metadata": "'7'"},
    "metadata that is null": {"metadata": "'null'"},
    "metadata whose keys have other types": {
        "metadata": """'{"usage": [1], "calls": "x", "usage_problem": {}, "usage_raw": 7, "usage_source": null}'"""
    },
    "a number of 5,000 digits": {
        "metadata": """('{"usage": {"parts": ' || repeat('9', 5000) || '}, "calls": 7}')::jsonb"""
    },
    "a number of 5,000 digits in marked usage": {
        "metadata": """('{"usage_problem": "x", "usage_raw": {"input": ' || repeat('9', 5000) || '}}')::jsonb"""
    },
    "deep metadata": {"metadata": """('{"usage": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb"""},
    "details without numbers": {
        "metadata": """'{"usage": {"parts": [null, 1], "service_tier": 7, "cache_write_1h_input_tokens": "x"}}'"""
    },
}
CHECKS = ("input_tokens", "output_tokens", "total_tokens")
DEFAULTS = {"model": "'gpt-4o'", "provider": "'openai'", "input_tokens": "1000000", "output_tokens": "0"}


def insert(url: str, **columns: str) -> None:
    row = {**DEFAULTS, "total_tokens": "1000000", "user_id": "'odd'", **columns}
    run(url, f"INSERT INTO token_usage ({', '.join(row)}) VALUES ({', '.join(row.values())})")


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of an adopted table without constraints; its one regular call has no cost yet."""
    run(database_url, *(f"ALTER TABLE token_usage DROP CONSTRAINT token_usage_{name}_check" for name in CHECKS))
    insert(database_url, user_id="'regular'")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(price_new_calls, "_progress", price_new_calls._Progress())
    current_reader.close()
    yield database_url
    current_reader.close()


def cost(url: str) -> Decimal | None:
    """The cost of the regular call."""
    return rows(url, "SELECT cost FROM token_usage WHERE user_id = 'regular'")[0][0]


def command(*arguments: str) -> Callable[[], None]:
    def run_it() -> None:
        assert main(arguments) == 0

    return run_it


def budget_check() -> None:
    assert main(["budget", "set", "all", "--usd", "100", "--per", "day"]) == 0
    assert main(["budget", "set", "one", "--tokens", "1", "--per", "month", "--user", "regular"]) == 0
    assert main(["budget", "check"]) == 1  # the regular user's tokens


def minute_tasks() -> None:
    tasks = TaskRunner()
    for work in (compare_late_rows, price_new_calls.price_new_calls, check_budgets.check_budgets):
        tasks.run(work.__name__, work)
    assert [state["error"] for state in tasks.states()] == [None] * 3


WORK: dict[str, Callable[[], None]] = {
    "reprice": command("reprice"),
    "dry run": command("reprice", "--dry-run"),
    "rollup": command("rollup"),
    "verify": command("rollup", "--verify"),
    "rebuild": command("rollup", "--rebuild"),
    "budget check": budget_check,
    "prune": command("prune", "--older-than", "90d"),
    "doctor": lambda: None if main(["doctor"]) in {0, 1} else pytest.fail("doctor"),
    "minute tasks": minute_tasks,
}
PRICING = {"reprice", "minute tasks"}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("odd", ["all", *(pytest.param(name, marks=pytest.mark.long) for name in ODD_ROWS)])
def test_an_odd_row_stops_nothing(
    url: str, odd: str, work: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ODD_ROWS if odd == "all" else [odd]:
        insert(url, **ODD_ROWS[name])
    for _ in range(2):  # also with the sums that the first run left
        WORK[work]()
    assert "Traceback" not in capsys.readouterr().err + caplog.text
    assert cost(url) == (Decimal("2.5") if work in PRICING else None)


@pytest.mark.parametrize(
    ("odd", "remark"),
    [
        ("infinite time", "1 calls without a cost are skipped: their created_at is not in the years 1 to 9999."),
        ("before Christ", "1 calls without a cost are skipped: their created_at is not in the years 1 to 9999."),
        ("NaN", "1 calls have a given cost that is no amount of USD"),
        ("a cost of 10,000 digits", "1 calls have a given cost that is no amount of USD"),
    ],
)
def test_reprice_reports_the_rows_that_it_skips(
    url: str, odd: str, remark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    insert(url, **ODD_ROWS[odd])
    WORK["reprice"]()
    assert remark in capsys.readouterr().err


def test_the_dashboard_logs_skipped_rows_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    insert(url, **ODD_ROWS["infinite time"])
    with caplog.at_level("WARNING", "tracker.dashboard"):
        minute_tasks()
        minute_tasks()
    assert caplog.text.count("created_at is not in the years 1 to 9999") == 1


def test_reprice_replaces_a_cost_of_a_price_list_that_is_no_amount(url: str) -> None:
    insert(url, **ODD_ROWS["a NaN of a price list"])
    WORK["reprice"]()
    assert rows(url, "SELECT DISTINCT cost FROM token_usage") == [(Decimal("2.5"),)]


def test_usage_that_cannot_be_parsed_is_the_reason_for_having_no_price(url: str) -> None:
    insert(url, **ODD_ROWS["deep metadata"])
    WORK["reprice"]()
    assert rows(url, "SELECT cost_source FROM token_usage WHERE user_id = 'odd'") == [("unpriced usage_inconsistent",)]


@pytest.mark.parametrize("odd", ["NaN", "infinite cost", "negative infinite cost", "a cost of 10,000 digits"])
def test_a_cost_that_is_no_amount_counts_as_none_in_sums(url: str, odd: str) -> None:
    insert(url, **ODD_ROWS[odd])
    run(url, "UPDATE token_usage SET cost = 3 WHERE user_id = 'regular'")
    WORK["rollup"]()
    summed = rows(url, "SELECT sum(cost), sum(unpriced_calls) FROM token_tracker_usage_rollup WHERE minutes = 1440")
    assert summed == [(3, 1)]
    WORK["verify"]()
