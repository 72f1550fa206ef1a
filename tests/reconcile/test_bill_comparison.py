"""A provider's bill compared with recorded usage: differences first, exit 1 if there are any."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "rollups"))

from rollups_support import Store
from support import connect, run

from tracker.cli import main
from tracker.reconcile.provider_bill import model_key

DAY = datetime(2026, 9, 1, tzinfo=UTC)
EPOCH = int(DAY.timestamp())
COSTS = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
CLAUDE = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd\n"


@pytest.fixture
def store(database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    with closing(connect(database_url)) as connection:
        store = Store(database_url, connection)
        yield store
        store.reader.close()


@pytest.fixture
def bill(tmp_path, monkeypatch):
    """Writes a bill into a fresh working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "bill.csv") -> str:
        (tmp_path / name).write_text(text)
        return name

    return write


def document(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def openai(store: Store) -> None:
    """Two days of two models, and what isn't OpenAI's or is no use at all."""
    store.add(
        {"created_at": DAY + timedelta(hours=hours), "provider": "openai", "model": model, "cost": cost}
        for hours, model, cost in (
            (1, "gpt-5-nano-2025-08-07", "0.30"),
            (2, "gpt-5-nano-2025-08-07", "0.20"),
            (3, "gpt-5-mini", "1.00"),
            (25, "gpt-5-mini", "2.00"),
        )
    )
    store.add([{"created_at": DAY, "provider": "google", "model": "gemini", "cost": "9"}])
    store.add([{"created_at": DAY, "provider": "openai", "model": "gpt-5-mini", "cost": "9", "is_test": True}])
    store.add([{"created_at": DAY, "provider": "openai", "model": "gpt-5-mini", "operation": "usage_export"}])


BILL = (
    COSTS
    + f'{EPOCH},{EPOCH + 86400},2026-09-01T00:00:00+00:00,,0.4,usd,"gpt-5-nano, input_tokens",p\n'
    + f'{EPOCH},{EPOCH + 86400},2026-09-01T00:00:00+00:00,,0.1,usd,"gpt-5-nano, output_tokens",p\n'
    + f'{EPOCH},{EPOCH + 86400},2026-09-01T00:00:00+00:00,,1.0000,usd,"gpt-5-mini, input_tokens",p\n'
    + f'{EPOCH + 86400},{EPOCH + 172800},2026-09-02T00:00:00+00:00,,2,usd,"gpt-5-mini, input_tokens",p\n'
    + f"{EPOCH + 172800},{EPOCH + 259200},2026-09-03T00:00:00+00:00,,,,,\n"
)


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_bill_that_agrees_is_exit_0(store, bill, capsys, refreshed):
    openai(store)
    if refreshed:
        store.catch_up()
    assert main(["reconcile", bill(BILL), "--profile", "openai-costs"]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 figures agree within 1 %." in said
    assert "cost: 3.500000 on the bill, 3.500000 here." in said


def test_differences_come_first_and_are_exit_1(store, bill, capsys):
    openai(store)
    changed = BILL.replace("0.4,usd", "0.7,usd").replace(",2,usd", ",2.01,usd")
    assert main(["reconcile", bill(changed), "--profile", "openai-costs"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["2026-09-01", "gpt-5-nano", "cost"]
    assert "-0.300000" in lines[1]
    assert "2 of 3 figures agree" in lines[-1]
    assert main(["reconcile", "bill.csv", "--profile", "openai-costs", "--tolerance", "0.1", "--json"]) == 1
    found = document(capsys)
    assert [(one["day"], one["model"]) for one in found["differences"]] == [
        ("2026-09-01", "gpt-5-nano"),
        ("2026-09-02", "gpt-5-mini"),
    ]
    assert found["totals"]["cost"] == {"bill": "3.8100", "ours": "3.50"}
    assert main(["reconcile", "bill.csv", "--profile", "openai-costs", "--tolerance", "50"]) == 0


def test_what_only_one_side_has_is_a_difference(store, bill, capsys):
    openai(store)
    text = BILL.replace("gpt-5-nano", "o9-unheard-of")
    assert main(["reconcile", bill(text), "--profile", "openai-costs", "--json"]) == 1
    found = {(one["model"], one["bill"], one["ours"]) for one in document(capsys)["differences"]}
    assert found == {("o9-unheard-of", "0.5", "0"), ("gpt-5-nano", "0", "0.50")}
    assert main(["reconcile", "bill.csv", "--profile", "openai-costs", "--alias", "o9-unheard-of=gpt-5-nano"]) == 0


def test_openais_json_is_read_too_and_without_line_items_days_are_compared_whole(store, bill, capsys):
    openai(store)
    results = [{"object": "organization.costs.result", "amount": {"value": 1.5, "currency": "usd"}, "line_item": None}]
    page = {"data": [{"start_time": EPOCH, "end_time": EPOCH + 86400, "results": results}]}
    assert main(["reconcile", bill(json.dumps(page), "costs.json"), "--profile", "openai-costs"]) == 0
    assert "1 of 1" in capsys.readouterr().out


def test_anthropics_costs_by_their_models_display_names_and_in_cents(store, bill, capsys):
    store.add(
        {"created_at": DAY, "provider": "anthropic", "model": model, "cost": cost}
        for model, cost in (("claude-haiku-4-5-20251001", "0.25"), ("claude-sonnet-4-5", "1.5"))
    )
    rows = "".join(
        f"2026-09-01,{model},Default,key,message,≤ 200k,{kind},{cost}\n"
        for model, kind, cost in (
            ("Claude Haiku 4.5", "input_no_cache", "0.05"),
            ("Claude Haiku 4.5", "output", "0.20"),
            ("Claude Sonnet 4.5", "input_cache_read", "1.50"),
        )
    )
    assert main(["reconcile", bill(CLAUDE + rows), "--profile", "anthropic-costs"]) == 0
    results = [
        {"amount": "25.0", "currency": "USD", "model": "claude-haiku-4-5-20251001"},
        {"amount": "150", "currency": "USD", "model": "claude-sonnet-4-5"},
    ]
    page = {"data": [{"starting_at": "2026-09-01T00:00:00Z", "ending_at": "2026-09-02T00:00:00Z", "results": results}]}
    assert main(["reconcile", bill(json.dumps(page), "c.json"), "--profile", "anthropic-costs"]) == 0
    assert capsys.readouterr().out.count("2 of 2 figures agree") == 2


def test_a_usage_export_is_compared_by_its_tokens_and_calls(store, bill, capsys):
    store.add({"created_at": DAY, "provider": "openai", "model": "gpt-5-mini"} for _ in range(3))
    header = "start_time,end_time,num_model_requests,model,input_tokens,output_tokens,input_cached_tokens\n"
    text = header + f"{EPOCH},{EPOCH + 86400},3.0,gpt-5-mini,300,61,0\n"
    assert main(["reconcile", bill(text), "--profile", "openai-usage", "--json"]) == 1
    found = document(capsys)
    assert [(one["figure"], one["bill"], one["ours"]) for one in found["differences"]] == [
        ("output_tokens", "61", "60")
    ]
    assert found["agreeing"] == 2


@pytest.mark.parametrize(("zone", "days"), [("UTC", ["2026-09-01"]), ("Asia/Seoul", ["2026-09-01", "2026-09-02"])])
def test_days_are_those_of_the_bills_time_zone(store, bill, capsys, zone, days):
    store.add({"created_at": DAY + timedelta(hours=hours), "model": "m"} for hours in (14, 16))
    text = "Date,Model,In\n" + "".join(f"{day},m,{200 // len(days)}\n" for day in days)
    arguments = ["--map=day=Date", "--map=model=Model", "--map=input_tokens=In", f"--timezone={zone}"]
    assert main(["reconcile", bill(text), *arguments]) == 0
    assert f"{len(days)} of {len(days)} figures agree" in capsys.readouterr().out


def test_calls_without_a_price_are_printed_with_the_cost(store, bill, capsys):
    store.add([{"created_at": DAY, "model": "m", "cost": None}])
    assert main(["reconcile", bill("d,m,c\n2026-09-01,m,5\n"), "--map=day=d", "--map=model=m", "--map=cost=c"]) == 1
    assert "1 calls without a price" in capsys.readouterr().out


def test_half_a_cent_is_rounding(store, bill):
    store.add([{"created_at": DAY, "model": "m", "cost": "0.0049"}])
    assert main(["reconcile", bill("d,m,c\n2026-09-01,m,$0.00\n"), "--map=day=d", "--map=model=m", "--map=cost=c"]) == 0


def test_an_invalid_line_is_reported_with_exit_1(store, bill, capsys):
    text = "d,m,c\n2026-09-01,m,0\nyesterday,m,1\n2026-09-01,m,free\n2026-09-01,m\n"
    assert main(["reconcile", bill(text), "--map=day=d", "--map=model=m", "--map=cost=c"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in said] == ["line 3", "line 4", "line 5"]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (BILL, [], "--map day="),
        (BILL, ["--map=day=start_time"], "at least one"),
        (BILL, ["--map=day=Date", "--map=cost=amount_value"], "no 'Date'"),
        (BILL, ["--map=day=start_time", "--map=cost=Price"], "no 'Price'"),
        (BILL, ["--map=created_at=start_time"], "no column 'created_at'"),
        (BILL, ["--profile=anthropic-costs"], "The profile is for Anthropic's costs"),
        (BILL, ["--profile=openai-costs", "--timezone=Asia/Soul"], "Asia/Soul"),
        (BILL, ["--profile=openai-costs", "--tolerance=101"], "--tolerance"),
        (BILL, ["--profile=openai-costs", "--tolerance=nan"], "--tolerance"),
        (BILL, ["--profile=openai-costs", "--alias=x"], "--alias"),
        ("", ["--profile=openai-costs"], "empty"),
        (COSTS, ["--profile=openai-costs"], "no record"),
        ("d,c\n2020-01-01,1\n2026-01-01,1\n", ["--map=day=d", "--map=cost=c"], "400 days"),
    ],
)
def test_a_call_or_a_file_that_cannot_be_right_is_exit_2(store, bill, capsys, text, options, says):
    assert main(["reconcile", bill(text), *options]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1


def test_a_role_that_may_not_read_the_rollups_compares_the_rows(store, bill, limited_url, monkeypatch):
    openai(store)
    store.catch_up()
    run(store.url, "UPDATE token_tracker_usage_rollup SET cost = 100")
    monkeypatch.setenv("DATABASE_URL", limited_url)
    assert main(["reconcile", bill(BILL), "--profile", "openai-costs"]) == 0


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("anthropic/claude-haiku-4.5", "claude-haiku-4-5"),
        ("gpt-4o-latest", "gpt-4o"),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("models/gemini-2.5-flash", "gemini-2-5-flash"),
        ("", ""),
    ],
)
def test_a_model_is_the_same_however_it_is_called(name, key):
    assert model_key(name) == key


def test_a_bill_with_properties_is_compared_by_them(store, bill, capsys):
    """A tag of the provider's bill, such as a project's name, is a key of metadata here."""
    store.add(
        {"created_at": DAY, "provider": "openai", "model": "gpt-5-mini", "cost": cost, "metadata": json.dumps(metadata)}
        for cost, metadata in (("1", {"team": "growth"}), ("2", {"team": "growth"}), ("4", {"team": 7}), ("8", {}))
    )
    store.catch_up()
    text = "DAY,MODEL,COST,TEAM\n2026-09-01,gpt-5-mini,3,growth\n2026-09-01,gpt-5-mini,4,7\n2026-09-01,gpt-5-mini,9,\n"
    options = ("--map=day=DAY", "--map=model=MODEL", "--map=cost=COST", "--map=metadata.team=TEAM")
    assert main(["reconcile", bill(text), *options, "--json"]) == 1
    found = document(capsys)
    assert [(one["properties"], one["bill"], one["ours"]) for one in found["differences"]] == [({"team": ""}, "9", "8")]
    assert found["agreeing"] == 2
    assert main(["reconcile", bill(text.replace("growth", "other")), *options]) == 1
    assert "team=other" in capsys.readouterr().out
    profile = '[map]\nday = "DAY"\nmodel = "MODEL"\ncost = "COST"\nmetadata.team = "TEAM"\n'
    assert main(["reconcile", bill(text.replace(",9,", ",8,")), f"--profile={bill(profile, 'own.toml')}"]) == 0
