"""Another currency: settings and the prices file, conversion by local day, formats, and the pages."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dashboard_support import Execute, OpenPage, figures, texts

from pages.sections.explorer import cost_download, pivot
from pages.support import formats
from pages.support.currency.display_currency import with_local_column
from pages.support.i18n import set_language
from tracker import settings
from tracker.cli import main
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.diagnostics.environment_variables import find_variable_problems
from tracker.errors import SettingError
from tracker.prices import custom_prices
from tracker.prices.currency_rates import USD, Currency, currency_problem, rate_on, resolve_currency
from tracker.prices.price_catalog import PriceCatalog
from tracker.reports import Filters, Reader, usage_totals
from tracker.reports.ai_calls.call_log import CallSearch, search_as_json, search_from_json
from tracker.reports.costs.what_if import what_if
from tracker.reports.explorer.explorer_query import explore, matching_calls
from tracker.reports.priced_models import priced_models

SEOUL = ZoneInfo("Asia/Seoul")
RATES = ((date(2026, 10, 3), Decimal("1402.5")), (date(2026, 10, 5), Decimal(1385)), (date(2026, 10, 6), Decimal(900)))
RANGE = Filters(
    start=datetime(2026, 10, 1, 9, tzinfo=SEOUL),
    end=datetime(2026, 10, 8, 11, tzinfo=SEOUL),
    timezone="Asia/Seoul",
    rates=RATES,
)
LONG_RANGE = Filters(start=RANGE.start - timedelta(days=900), end=RANGE.end, timezone="Asia/Seoul", rates=RATES)
FILE = '[currency]\ncode = "KRW"\n[currency.rates]\n2026-11-01 = 1385\n2026-10-01 = 1402.5\n'


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def currency_of(tmp_path: Path, content: str | None = None, variable: str = "") -> Currency:
    """The currency of a setting and of a prices file."""
    env = {"TRACKER_CURRENCY": variable}
    if content is not None:
        (tmp_path / "prices.toml").write_text(content)
        env["TRACKER_PRICES"] = str(tmp_path / "prices.toml")
    return resolve_currency(settings.load(env))


def test_the_currency_is_that_of_the_setting_or_of_the_file(tmp_path: Path) -> None:
    fixed = currency_of(tmp_path, variable=" krw 1385.50 2026-11-01 ")
    assert (fixed.code, fixed.rate_on(date(1999, 1, 1)), fixed.stated_on) == (
        "KRW",
        Decimal("1385.50"),
        date(2026, 11, 1),
    )
    assert fixed.first_day is None
    dated = currency_of(tmp_path, FILE)
    assert [dated.rate_on(date(2026, *day)) for day in ((9, 1), (10, 31), (11, 1))] == [
        Decimal("1402.5"),
        Decimal("1402.5"),
        1385,
    ]
    assert dated.first_day == date(2026, 10, 1)
    assert currency_of(tmp_path, FILE, "EUR 0.9").code == "EUR"
    assert currency_of(tmp_path, FILE, "KRW") == dated
    assert currency_of(tmp_path, FILE, "USD") == currency_of(tmp_path) == currency_of(tmp_path, "") == USD
    assert custom_prices.load(str(tmp_path / "prices.toml")) == ()


def test_an_invalid_currency_is_us_dollars_with_a_sentence(tmp_path: Path) -> None:
    for text in (
        "won 1385",
        "KRW x",
        "KRW 0",
        "KRW -1",
        "KRW nan",
        "KRW 1e99",
        "KRW 1 2026-99-01",
        "KRW 1 2 3",
        "KRW 1_0",
    ):
        with pytest.raises(SettingError, match=r"TRACKER_CURRENCY is .* such as KRW 1385"):
            settings.load({"TRACKER_CURRENCY": text})
        env = {"TRACKER_CURRENCY": text}
        assert resolve_currency(settings.load(env, strict=False)) == USD
        assert [problem.variable for problem in find_variable_problems(env)] == ["TRACKER_CURRENCY"]
    valid_price = '[[price]]\nmodel = "m"\ninput = 1\noutput = 2\n'
    for section in (
        "currency = 5",
        '[currency]\ncode = "KRW"',
        FILE.replace("KRW", "WON"),
        FILE.replace("1385", "0"),
        FILE.replace("1385", '"1385"'),
        FILE.replace("1385", "true"),
        FILE.replace("2026-11-01", "november"),
        FILE.replace("2026-11-01", "1066-11-01"),
        FILE + "more = 1",
        '[currency]\ncode = "KRW"\n[currency.rates]',
    ):
        with pytest.raises(SettingError, match=r"\[currency\] in the file of TRACKER_PRICES"):
            currency_of(tmp_path, section)
        # A display setting does not stop the prices of the file.
        path = tmp_path / "prices.toml"
        path.write_text(f"{section}\n{valid_price}" if "[" not in section else f"{valid_price}{section}")
        assert len(custom_prices.load(str(path))) == 1
    env = {"TRACKER_CURRENCY": "JPY", "TRACKER_PRICES": str(tmp_path / "prices.toml")}
    problem = currency_problem(settings.load(env))
    assert problem is not None
    assert [found.message for found in find_variable_problems(env)] == [problem]


def insert_calls(call: Execute) -> list[dict[str, Any]]:
    """Calls around the midnights of Seoul at which the rate changes, some without a cost."""
    chance = random.Random(11)
    calls = []
    for hour in range(-6, 24 * 7):
        at = RANGE.start + timedelta(hours=hour, minutes=chance.choice((0, 1, 14, 59)))
        row: dict[str, Any] = {
            "created_at": at,
            "provider": "openai",
            "model": chance.choice(("gpt-4o", "gpt-5-mini")),
            "operation": chance.choice(("chat", "tag")),
            "user_id": chance.choice(("ann", "bob", "eve")),
            "platform": chance.choice(("vercel", "server")),
            "cost": chance.choice((None, Decimal("0.125"), Decimal("3.1"))),
        }
        call(**row)
        calls.append(row)
    return calls


def expected_costs(calls: list[dict[str, Any]], *names: str) -> dict[Any, Decimal]:
    """The cost in won by the values of columns, each call at the rate of its day in Seoul."""
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for row in calls:
        day = row["created_at"].astimezone(SEOUL).date()
        if row["cost"] is not None:
            key = tuple(str(day) if name == "day" else row[name] for name in names)
            sums[key if len(names) > 1 else key[0] if names else None] += row["cost"] * rate_on(RATES, day)
    return dict(sums)


def test_each_local_day_is_converted_at_its_rate_before_it_is_added_up(
    reader: Reader, call: Execute, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_calls = insert_calls(call)
    calls = [row for row in all_calls if row["created_at"] >= RANGE.start]
    for is_rolled_up in (False, True):
        if is_rolled_up:
            monkeypatch.setenv("DATABASE_URL", database_url)
            assert main(["rollup"]) == 0
        # Buckets of days, and of months that contain several rates.
        for filters, rows_of_range in ((RANGE, calls), (LONG_RANGE, all_calls)):
            totals = usage_totals.totals(reader, filters)
            assert totals.cost_local == expected_costs(rows_of_range)[None]
            assert totals.cost_usd == totals_usd(rows_of_range)
            trend = usage_totals.trend(reader, filters)
            models = usage_totals.by_model_over_time(reader, filters)
            assert trend["cost_local"].sum() == pytest.approx(float(totals.cost_local or 0))
            assert models["cost_local"].sum() == pytest.approx(float(totals.cost_local or 0))
            assert trend["calls"].sum() == totals.calls == len(rows_of_range)
        operations = usage_totals.by_operation(reader, RANGE).set_index("operation")["cost_local"].to_dict()
        assert operations == pytest.approx(
            {name: float(cost) for name, cost in expected_costs(calls, "operation").items()}
        )
        users = usage_totals.top_users(reader, RANGE).set_index("user_id")["cost_local"].to_dict()
        assert users == pytest.approx(as_floats(expected_costs(calls, "user_id")))
        for rows, columns in (("model", "day"), ("platform", "user"), ("user", None), ("day", None)):
            cells = explore(reader, RANGE, rows, columns)
            names = [{"user": "user_id"}.get(name, name) for name in (rows, columns) if name]
            costs = expected_costs(calls, *names)
            found = {
                (row["row_name"], row["column_name"]) if columns else row["row_name"]: row["cost_local"]
                for row in cells.to_dict("records")
                if row["cost_local"] == row["cost_local"]
            }
            assert found == pytest.approx(as_floats(costs))
        priced = {entry.model: entry.cost_local for entry in priced_models(reader, RANGE, None, RANGE.end)}
        assert priced == expected_costs(calls, "model")
        report = what_if(reader, RANGE, PriceCatalog(), [], RANGE.end)
        assert (report.recorded_local, report.calls) == (expected_costs(calls)[None], len(calls))
        assert report.own.local != report.own.usd
        assert usage_totals.totals(reader, Filters(start=RANGE.start, end=RANGE.end)).cost_local == totals_usd(calls)


def as_floats(costs: dict[Any, Decimal]) -> dict[Any, float]:
    return {key: float(cost) for key, cost in costs.items()}


def totals_usd(calls: list[dict[str, Any]]) -> Decimal:
    return sum((row["cost"] for row in calls if row["cost"] is not None), Decimal(0))


def test_formats_of_currencies(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "KRW 1385": ["₩0", "₩1,385", "₩1", "₩12", "₩0.42", "₩0.0042", "₩98,765,432", "₩123M", "−₩7", "unpriced"],
        "EUR 0.9": [
            "€0",
            "€1,385",
            "€1.00",
            "€12.34",
            "€0.42",
            "€0.0042",
            "€98,765,432",
            "€123,456,789",
            "−€7.00",
            "unpriced",
        ],
        "CHF 0.8": ["CHF\xa00", "CHF\xa01,385"],
        "": ["$0", "$1,385", "$1.00", "$12.34", "$0.42", "$0.0042"],
    }
    values = [0, 1385, 0.999, Decimal("12.34"), 0.42, 0.0042, 98_765_432, 123_456_789, -7, None]
    for setting, expected in table.items():
        monkeypatch.setenv("TRACKER_CURRENCY", setting)
        assert [formats.cost(value) for value in values[: len(expected)]] == expected
        assert formats.usd(12.34) == "$12.34"
    monkeypatch.setenv("TRACKER_CURRENCY", "KRW 1385")
    set_language("ko")
    try:
        monkeypatch.setenv("TRACKER_CURRENCY", "KRW 1385")
        assert formats.cost(123_456_789) == "₩1.23억"
        assert formats.usd(Decimal("0.5")) == "US$0.50"
        assert formats.exchange_rate(Decimal("1385.50")) == "US$1 = ₩1,385.5"
    finally:
        set_language("en")


def test_downloads_contain_us_dollars_and_the_display_currency(
    reader: Reader, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CURRENCY", "KRW 1000")
    filters = Filters(start=RANGE.start, end=RANGE.end, timezone="Asia/Seoul", rates=((date.min, Decimal(1000)),))
    call(created_at=RANGE.start, operation="chat", cost=Decimal("0.5"))
    data = explore(reader, filters, "operation")
    table = cost_download(data, pivot(data, "cost_usd", "operation", None), "cost_usd", "operation", None)
    assert table.to_dict("records") == [{"operation": "chat", "cost_usd": 0.5, "cost_krw": 500.0}]
    calls = with_local_column(matching_calls(reader, filters, {"operation": "chat"}), "Asia/Seoul")
    assert (calls["cost_usd"].to_list(), calls["cost_krw"].to_list()) == ([0.5], [500.0])
    # The export of all calls has the costs of the table.
    restored, _search = search_from_json(json.loads(json.dumps(search_as_json(filters, CallSearch()))))
    assert restored.rates == ()


def test_the_pages_display_the_currency_with_its_rate_and_day(
    open_page: OpenPage, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    path = tmp_path / "prices.toml"
    path.write_text(FILE.replace("2026-11-01 = 1385", "2026-11-02 = 2000").replace("1402.5", "1000"))
    monkeypatch.setenv("TRACKER_PRICES", str(path))
    # The first call is on 1 November in Seoul, the second one on 2 November.
    for day, cost in ((1, 3), (2, 0.5)):
        call(
            created_at=datetime(2026, 11, day, 1, tzinfo=SEOUL),
            cost=cost,
            provider="openai",
            model="gpt-4o",
            user_id="ann",
            session_id="s",
        )
    assert main(["budget", "set", "all", "--usd", "900", "--per", "month"]) == 0
    days = "2026-11-01..2026-11-02"
    app = open_page(database_url, range=days)
    assert figures(app)["Cost"] == "₩4,000"
    text = texts(app)
    assert "US\\$1" not in text
    assert "\\$1 = ₩1,000 (1 Oct 2026) … \\$1 = ₩2,000 (2 Nov 2026)" in text
    assert "of \\$900.00 this month" in text
    assert 4000 in app.dataframe[0].value["cost_local"].to_list()
    explorer = open_page(database_url, "explorer.py", range=days, measure="cost_usd", rows="user")
    assert "Total: ₩4,000" in texts(explorer)
    assert figures(open_page(database_url, "what_if.py", range=days))["Cost as recorded"] == "₩4,000"
    assert open_page(database_url, "calls.py", range=days).dataframe[0].value["cost_local"].to_list() == [1000, 3000]
    session = open_page(database_url, "ai_sessions.py", range=days, session="s")
    assert figures(session)["Cost"] == "₩4,000"
    assert session.dataframe[0].value["running_cost"].to_list() == ["₩3,000", "₩4,000"]
    early = open_page(database_url, range="2026-09-01..2026-09-02", tests="true")
    assert "earlier days at the rate of 1 Oct 2026" in texts(early)
    monkeypatch.setenv("TRACKER_CURRENCY", "KRW x")
    path.write_text("")
    assert figures(open_page(database_url, range=days))["Cost"] == "$3.50"
    assert "TRACKER_CURRENCY is 'KRW x'" in texts(open_page(database_url, "environment.py"))
