"""Prices that are set on the dashboard: storage, change log, privileges, and which price applies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg2
import pytest
from support import a_call, connect, rows, run, value, with_role

from tracker import Tracker
from tracker.audit.change_log import Editor, read_changes
from tracker.budgets import budget_store
from tracker.budgets.budget import Budget
from tracker.cli import main
from tracker.errors import SetupError
from tracker.maintenance import price_new_calls
from tracker.prices.custom_prices import ALWAYS, STORED_SOURCE, CustomPrice
from tracker.prices.model_rates import ModelRates, model_rates
from tracker.prices.price_catalog import Price, catalog_for
from tracker.prices.price_sources import load_catalog, read_custom_prices
from tracker.prices.price_store import PriceAccess, read_access, read_prices, remove_price, save_price
from tracker.reports.engine import current_reader

ANN = Editor("login", "ann@example.com")
DAY = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = {
    "input_tokens": 1_000_000,
    "output_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_write_input_tokens": 0,
    "reasoning_output_tokens": 0,
}
FILE = '[[price]]\nmodel = "my-*"\ninput = 7\noutput = 7\n'


def price(model: str = "my-finetune", input_usd: str = "0.5", output_usd: str = "1.5", **fields: object) -> CustomPrice:
    values = {
        "provider": None,
        "since": ALWAYS,
        "rates": {"input": Decimal(input_usd), "output": Decimal(output_usd)},
        "same_as": None,
        "same_provider": None,
        "source": STORED_SOURCE,
        **fields,
    }
    return CustomPrice(model=model, **values)  # type: ignore[arg-type]


@pytest.fixture
def access(connection: psycopg2.extensions.connection) -> PriceAccess:
    return read_access(connection, None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def minute_task(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Runs the dashboard's minute task as a dashboard that has just started."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(price_new_calls, "_progress", price_new_calls._Progress())
    yield price_new_calls.price_new_calls
    current_reader.close()


def record(url: str, **fields: object) -> None:
    with Tracker(database_url=url, mode="direct") as recorder:
        recorder.record(a_call(**{"model": "my-finetune", "input_tokens": 1_000_000, "output_tokens": 0, **fields}))


def test_a_price_is_read_as_it_was_saved(connection, access):
    rates = {
        name: Decimal(text)
        for name, text in zip(
            ("input", "output", "cache_read", "cache_write", "reasoning"),
            ("0.000000000001", "1000000", "0", "0.60", "2.5"),
            strict=True,
        )
    }
    complete = price(provider="own", since=DAY, rates=rates, tier="flex")
    renamed = price("prod-gpt", rates={}, same_as="gpt-4.1-mini", same_provider="openai")
    assert save_price(connection, access, complete, ANN) is None
    assert save_price(connection, access, renamed, ANN) is None
    assert set(map(str, read_prices(connection, access))) == {str(complete), str(renamed)}


def test_each_change_has_a_line_with_its_editor_and_both_values(connection, access):
    save_price(connection, access, price(), ANN)
    assert save_price(connection, access, price(input_usd="0.75"), Editor("password")) == price()
    save_price(connection, access, price(input_usd="0.750"), Editor("open"))  # the same price is no change
    assert remove_price(connection, access, price(), Editor("local"))
    assert not remove_price(connection, access, price(), Editor("local"))
    assert read_prices(connection, access) == ()
    removed, changed, added = read_changes(connection, access.rights.schema)
    assert (added.editor, added.old, added.new) == (
        ANN,
        None,
        {"model": "my-finetune", "input": "0.5", "output": "1.5"},
    )
    assert (changed.editor.access, changed.old["input"], changed.new["input"]) == ("password", "0.5", "0.75")
    assert (removed.editor.access, removed.old["input"], removed.new) == ("local", "0.75", None)


def test_the_table_refuses_amounts_that_are_no_price(connection, access):
    for bad in ("-1", "NaN", "Infinity", "1000001"):
        with pytest.raises(ValueError, match="price must be"):
            save_price(connection, access, price(input_usd=bad), ANN)
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute("INSERT INTO token_tracker_prices (model, input, output) VALUES ('m', %s, 1)", (bad,))


def test_two_writers_leave_one_price_and_a_complete_history(database_url):
    def write(number: int) -> None:
        with closing(connect(database_url)) as connection:
            access = read_access(connection, None)
            for step in range(5):
                save_price(connection, access, price(input_usd=str(1 + number + 10 * step)), ANN)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert value(database_url, "SELECT count(*) FROM token_tracker_prices") == 1
    changes = rows(
        database_url, "SELECT old_value ->> 'input', new_value ->> 'input' FROM token_tracker_setting_changes"
    )
    assert len(changes) == 20
    # Each old value is the new value of exactly one other change; the first change has none.
    assert sorted(old for old, _ in changes if old) == sorted(
        new for _, new in changes if Decimal(new) != value(database_url, "SELECT input FROM token_tracker_prices")
    )


def test_a_price_of_the_file_takes_precedence_over_a_stored_one(connection, access, file):
    save_price(connection, access, price(), ANN)
    save_price(connection, access, price("gpt-4o", "1", "1", provider="openai"), ANN)
    prices = read_custom_prices(connection, None, file)
    catalog = prices.catalog()
    assert catalog.price("own", "my-finetune", DAY, COUNTS) == Price(Decimal(7), "own prices")
    assert catalog.price("openai", "gpt-4o", DAY, COUNTS) == Price(Decimal(1), "dashboard prices")
    assert catalog.price("google", "gemini-2.5-flash", DAY, COUNTS).source.startswith("genai-prices ")
    assert [stored.model for stored in prices.stored if prices.overriding(stored)] == ["my-finetune"]
    without = load_catalog(connection, None, None)
    assert without.price("own", "my-finetune", DAY, COUNTS) == Price(Decimal("0.5"), "dashboard prices")


def test_the_price_of_the_day_the_provider_and_the_tier_applies(connection, access):
    for stored in (
        price(input_usd="1"),
        price(input_usd="2", since=DAY),
        price(input_usd="3", since=DAY, provider="own"),
        price(input_usd="4", tier="flex"),
    ):
        save_price(connection, access, stored, ANN)
    catalog = load_catalog(connection, None, None)

    def cost(provider: str, at: datetime, **details: str) -> Decimal:
        return catalog.price(provider, "my-finetune", at, COUNTS, details).cost

    before = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    assert [cost("", before), cost("", DAY), cost("own", DAY), cost("", DAY, service_tier="flex")] == [1, 2, 3, 4]


def test_cached_rates_belong_to_one_catalog(connection, access):
    save_price(connection, access, price(), ANN)
    first = load_catalog(connection, None, None)
    assert load_catalog(connection, None, None) is first
    assert isinstance(model_rates(first, "", "my-finetune", DAY), ModelRates)
    save_price(connection, access, price(input_usd="9"), ANN)
    second = load_catalog(connection, None, None)
    assert second.generation != first.generation
    rates = model_rates(second, "", "my-finetune", DAY)
    assert (rates.input, rates.cache_read, rates.output, rates.reasoning) == (9, 9, Decimal("1.5"), Decimal("1.5"))
    assert rates.source == "dashboard prices"
    assert catalog_for(()) is not second


def test_a_running_dashboard_uses_a_new_price(database_url, minute_task, connection, access):
    record(database_url)
    assert minute_task() == 0
    assert value(database_url, "SELECT cost_source FROM token_usage") == "unpriced model_unknown"
    save_price(connection, access, price(), ANN)  # by another dashboard process
    assert minute_task() == 1
    assert rows(database_url, "SELECT cost, cost_source FROM token_usage") == [(Decimal("0.5"), "dashboard prices")]
    save_price(connection, access, price(input_usd="2"), ANN)
    record(database_url)
    assert minute_task() == 1
    assert rows(database_url, "SELECT cost FROM token_usage ORDER BY cost") == [(Decimal("0.5"),), (Decimal(2),)]


def test_reprice_uses_stored_prices(database_url, connection, access, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    record(database_url)
    save_price(connection, access, price(), ANN)
    assert main(["reprice"]) == 0
    save_price(connection, access, price(input_usd="3"), ANN)
    assert main(["reprice"]) == 0
    assert rows(database_url, "SELECT cost, cost_source FROM token_usage") == [(Decimal(3), "dashboard prices")]


def test_without_the_tables_everything_works_as_before(database_url, minute_task, connection, monkeypatch, file):
    run(database_url, "DROP TABLE token_tracker_prices, token_tracker_setting_changes")
    monkeypatch.setenv("TRACKER_PRICES", file)
    record(database_url)
    assert minute_task() == 1
    assert main(["budget", "set", "team", "--usd", "5", "--per", "day"]) == 0
    assert main(["budget", "remove", "team"]) == 0
    with pytest.raises(SetupError) as caught:
        save_price(connection, read_access(connection, None), price(), ANN)
    assert "token-tracker migrate" in caught.value.remedy
    assert main(["migrate"]) == 0
    assert save_price(connection, read_access(connection, None), price(), ANN) is None


def test_a_role_that_may_only_read_gets_the_statements(database_url, connection, new_role):
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage, token_tracker_prices, token_tracker_budgets TO {role}")
    with closing(connect(with_role(database_url, role))) as limited:
        access = read_access(limited, None)
        assert read_prices(limited, access) == ()
        for change in (save_price, remove_price):
            with pytest.raises(SetupError) as caught:
                change(limited, access, price(), ANN)
        with pytest.raises(SetupError) as budgets:
            budget_store.require_writable(limited, budget_store.read_access(limited, None))
    run(database_url, *filter(None, (caught.value.remedy + budgets.value.remedy).split(";")))
    with closing(connect(with_role(database_url, role))) as granted:
        save_price(granted, read_access(granted, None), price(), ANN)
        budget_store.require_writable(granted, budget_store.read_access(granted, None))


def test_row_level_security_without_a_policy_is_a_missing_right(database_url, new_role):
    role = new_role()
    run(
        database_url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON token_tracker_prices, token_tracker_setting_changes TO {role}",
        "ALTER TABLE token_tracker_prices ENABLE ROW LEVEL SECURITY",
    )
    with closing(connect(with_role(database_url, role))) as limited:
        (remedy,) = read_access(limited, None).remedies
        run(database_url, *filter(None, remedy.split(";")))
        save_price(limited, read_access(limited, None), price(), ANN)


def test_a_role_that_sets_costs_and_may_not_read_the_prices_sets_none(
    database_url, new_role, minute_task, monkeypatch, connection, access
):
    save_price(connection, access, price("gpt-4o", "1", "1"), ANN)
    record(database_url, model="gpt-4o", provider="openai")
    role = new_role()
    run(database_url, f"GRANT SELECT, UPDATE ON token_usage TO {role}")
    monkeypatch.setenv("DATABASE_URL", with_role(database_url, role))
    with pytest.raises(SetupError, match=r"GRANT SELECT ON .*token_tracker_prices"):
        minute_task()
    assert value(database_url, "SELECT cost FROM token_usage") is None


def test_the_migration_gives_the_roles_of_the_budgets_the_same_rights(database_url, new_role, connection):
    setter, pricer = new_role(), new_role()
    run(
        database_url,
        "DROP TABLE token_tracker_prices, token_tracker_setting_changes",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON token_tracker_budgets TO {setter}",
        f"GRANT SELECT ON token_usage TO {setter}",
        f"GRANT SELECT, UPDATE ON token_usage TO {pricer}",
    )
    migrated = {"DATABASE_URL": database_url}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", migrated["DATABASE_URL"])
        assert main(["migrate"]) == 0
    with closing(connect(with_role(database_url, setter))) as granted:
        assert read_access(granted, None).can_write
    with closing(connect(with_role(database_url, pricer))) as granted:
        access = read_access(granted, None)
        assert (access.can_read, access.can_write) == (True, False)


def test_a_budget_of_the_command_and_of_the_page_is_in_the_change_log(database_url, connection, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["budget", "set", "team", "--usd", "100", "--per", "month"]) == 0
    access = budget_store.read_access(connection, None)
    budget = Budget(name="team", period="month", measure="usd", amount=Decimal("100.00"))
    assert not budget_store.save(connection, access, budget, ANN)  # the same values are no change
    larger = Budget(name="team", period="month", measure="usd", amount=Decimal(150))
    assert not budget_store.save(connection, access, larger, ANN)
    assert main(["budget", "remove", "team"]) == 0
    removed, changed, added = read_changes(connection, access.schema)
    assert (added.editor.access, added.old, added.new["amount"]) == ("command line", None, "100")
    assert (changed.editor, changed.old["amount"], changed.new["amount"]) == (ANN, "100", "150")
    assert (removed.editor.access, removed.new) == ("command line", None)
