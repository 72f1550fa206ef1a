"""What-if costs: the same answer as pricing each call, gaps, the time limit, the command, and the page."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from dashboard_support import Execute, OpenPage, figures, texts

from tracker import settings
from tracker.cli import main
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.errors import SettingError
from tracker.prices.custom_prices import ALWAYS, CustomPrice
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.price_shapes import COMPONENTS
from tracker.prices.what_if_models import WhatIfModel, find_model
from tracker.reports import Filters, Reader
from tracker.reports.costs.what_if import WhatIfReport, what_if

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WEEK = Filters(start=NOW - timedelta(days=7), end=NOW + timedelta(days=1))
OWN = CustomPrice("my-*", None, ALWAYS, {"input": Decimal(2), "output": Decimal("8.5")}, None, None)
CATALOG = PriceCatalog([OWN])
TARGETS = [
    "gpt-5-mini",
    "gemini-2.5-pro",
    "claude-sonnet-4-5",
    "deepseek-chat",
    "my-finetune",
    "text-embedding-3-small",
]
SIZES = (0, 1, 900, 31_999, 32_001, 128_000, 128_001, 199_999, 200_000, 200_001, 272_001, 600_000)
DETAILS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"service_tier": "default"},
    {"service_tier": "flex"},
    {"batch": True},
    {"service_tier": "scale"},
    {"input_audio_tokens": 40},
    {"input_text_tokens": 10, "output_text_tokens": 5},
    {"cache_write_5m_tokens": 7},
    {"cache_write_1h_tokens": 7},
    {"cache_audio_read_tokens": 3, "input_audio_tokens": 9},
    {"web_searches": 2},
    {"unknown_tokens": 4},
    {"service_tier": 5},
    {"accepted_prediction_tokens": 9},
)
MODELS = (
    ("openai", "gpt-4o"),
    ("google", "gemini-2.5-pro"),
    ("anthropic", "claude-sonnet-4-5"),
    ("", "my-own"),
    ("", "unknown-model"),
    ("openai", "text-embedding-3-large"),
)


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def targets(*names: str) -> list[WhatIfModel]:
    return [find_model(CATALOG, name, NOW) for name in names]


def random_calls(count: int) -> list[dict[str, Any]]:
    """Calls of all kinds, also with counts that contradict each other."""
    chance = random.Random(7)
    calls = []
    for number in range(count):
        provider, model = chance.choice(MODELS)
        input_tokens, output = chance.choice(SIZES), chance.choice((0, 1, 500))
        share = chance.choice((0, 0, 1, 0.25, 1.5))
        row = {
            "provider": provider,
            "model": model,
            "input_tokens": input_tokens,
            "output_tokens": output,
            "cache_read_input_tokens": int(input_tokens * share) // 2,
            "cache_write_input_tokens": int(input_tokens * share) // 2 if chance.random() < 0.5 else 0,
            "reasoning_output_tokens": int(output * chance.choice((0, 0.5, 1, 2))),
            "success": chance.random() < 0.9,
            "cost": chance.choice((None, Decimal("0.125"))),
            "created_at": NOW - timedelta(minutes=number),
        }
        usage = chance.choice(DETAILS)
        metadata: dict[str, Any] = {} if usage is None else {"usage": usage}
        if chance.random() < 0.1:
            metadata["calls"] = chance.choice((1, 4))
        if chance.random() < 0.1:
            metadata["usage_problem"] = "total_mismatch"
        calls.append({**row, "metadata": json.dumps(metadata)})
    return calls


def price_alone(row: dict[str, Any], provider: str, model: str) -> Decimal | None:
    """The price of one call, as it is calculated when the call is recorded."""
    metadata = json.loads(row["metadata"])
    if "usage_problem" in metadata:
        return None
    price = CATALOG.price(
        provider,
        model,
        NOW,
        {name: row[name] for name in COMPONENTS},
        metadata.get("usage"),
        calls=metadata.get("calls", 1),
        failed=not row["success"],
    )
    return price.cost if isinstance(price, Price) else None


def test_added_up_calls_cost_exactly_what_each_call_costs(reader: Reader, call: Execute) -> None:
    calls = random_calls(400)
    for row in calls:
        call(**row)
    report = what_if(reader, WEEK, CATALOG, targets(*TARGETS[:5]), NOW)
    is_embedding = [row["model"] == "text-embedding-3-large" for row in calls]
    own = [price_alone(row, row["provider"], row["model"]) for row in calls]
    assert (report.calls, report.is_complete, report.range_calls) == (400, True, 400)
    assert report.recorded_usd == sum(row["cost"] or 0 for row in calls)
    assert (report.own.calls, report.own.usd) == (sum(cost is not None for cost in own), sum(filter(None, own)))
    for entry in report.models:
        costs = [price_alone(row, entry.model.provider, entry.model.model) for row in calls]
        expected = [None if embeds else cost for cost, embeds in zip(costs, is_embedding, strict=True)]
        assert entry.priced.usd == sum(filter(None, expected)), entry.model
        assert entry.priced.calls == sum(cost is not None for cost in expected)
        assert entry.priced.missing_calls.total() == sum(cost is None for cost in expected)
        both = [(one, other) for one, other in zip(own, expected, strict=True) if None not in {one, other}]
        assert entry.repriced.own_usd == sum(one for one, _ in both if one)
        assert entry.repriced.usd == sum(other for _, other in both if other)
        recorded = [
            cost for row, cost in zip(calls, expected, strict=True) if row["cost"] is not None and cost is not None
        ]
        assert (entry.recorded.calls, entry.recorded.usd) == (len(recorded), sum(recorded))
    # In small statements the answer is the same, and a filter selects the calls.
    again = what_if(reader, WEEK, CATALOG, targets("my-finetune"), NOW, time_limit_s=0)
    assert again.calls == 400
    only = Filters(start=WEEK.start, end=WEEK.end, model="gpt-4o", provider="openai")
    assert what_if(reader, only, CATALOG, [], NOW).calls == sum(row["model"] == "gpt-4o" for row in calls)


def test_calls_that_cannot_be_compared_are_counted_with_their_reason(reader: Reader, call: Execute) -> None:
    recent = {"created_at": NOW}
    call(provider="openai", model="gpt-4o", cost=Decimal(1), **recent)
    call(provider="openai", model="gpt-4o", metadata='{"usage": {"batch": true}}', **recent)
    call(provider="openai", model="gpt-4o", metadata='{"usage": {"input_audio_tokens": 50}}', **recent)
    call(provider="openai", model="gpt-4o", metadata='{"usage_problem": "total_mismatch"}', **recent)
    call(provider="openai", model="text-embedding-3-large", output_tokens=0, **recent)
    call(provider="", model="own-embedder", operation="embeddings", output_tokens=0, **recent)
    report = what_if(reader, WEEK, CATALOG, targets("groq/llama-3.3-70b-versatile", "whisper-1"), NOW)
    llama, whisper = report.models
    assert {(reason.code, calls) for reason, calls, _ in llama.priced.gaps} == {
        ("prices.what_if.tier_not_priced", 1),
        ("prices.unpriced.detail_not_priced", 1),
        ("prices.unpriced.usage_inconsistent", 1),
        ("prices.what_if.operation_differs", 2),
    }
    assert (llama.priced.calls, llama.recorded.calls, llama.recorded.own_usd) == (1, 1, 1)
    assert (whisper.priced.calls, whisper.repriced.change) == (0, None)
    # At an embedding model, only the embedding calls have a price.
    embedding = what_if(reader, WEEK, CATALOG, targets("text-embedding-3-small"), NOW).models[0]
    assert (embedding.priced.calls, embedding.repriced.calls) == (2, 1)
    assert embedding.repriced.difference_usd == Decimal(100) * (Decimal("0.02") - Decimal("0.13")) / 1_000_000


def test_cached_reasoning_and_tiered_tokens_have_the_prices_of_the_other_model(reader: Reader, call: Execute) -> None:
    counts = {"input_tokens": 300_000, "cache_read_input_tokens": 100_000, "output_tokens": 1000}
    call(provider="", model="my-own", reasoning_output_tokens=400, created_at=NOW, **counts)
    report: WhatIfReport = what_if(reader, WEEK, CATALOG, targets("gemini-2.5-pro"), NOW)
    # Above 200,000 tokens: $2.50 input, $0.25 cached, $15 output with reasoning.
    expected = (Decimal("0.2") * Decimal("2.5") + Decimal("0.1") * Decimal("0.25")) + Decimal("0.001") * 15
    assert report.models[0].priced.usd == expected
    assert report.own.usd == (Decimal(300_000) * 2 + Decimal(1000) * Decimal("8.5")) / 1_000_000


def test_the_time_limit_ends_the_report_with_the_newest_calls(
    reader: Reader, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.reports.costs.what_if._FIRST_SCAN_ROWS", 2)
    for minute in range(5):
        call(provider="openai", model="gpt-4o", created_at=NOW - timedelta(minutes=minute))
    cut = what_if(reader, WEEK, CATALOG, [], NOW, time_limit_s=0)
    assert (cut.calls, cut.range_calls, cut.is_complete) == (2, 5, False)
    assert cut.oldest_at == NOW - timedelta(minutes=1)
    complete = what_if(reader, WEEK, CATALOG, [], NOW)
    assert (complete.calls, complete.range_calls, complete.is_complete) == (5, 5, True)


def test_an_unknown_model_is_answered_with_the_nearest_names() -> None:
    for name, expected in (
        ("gpt-5-minni", "'gpt-5-minni'. The nearest names are: gpt-5-mini"),
        ("llama-3.3-70b-versatile", "Add the provider: groq/llama-3.3-70b-versatile."),
        ("my-finetunne", "The nearest names are: my-finetune"),
        ("", "does not contain the model ''."),
        ("\x1b[31m" + "z" * 200, "does not contain the model"),
    ):
        with pytest.raises(SettingError, match=r"price list does not|Several providers") as raised:
            find_model(PriceCatalog([CustomPrice("my-finetune", "own", ALWAYS, OWN.rates, None, None)]), name, NOW)
        assert expected in str(raised.value)
    found = find_model(PriceCatalog([CustomPrice("x", "own", ALWAYS, OWN.rates, None, None)]), "own/x", NOW)
    assert (found.provider, found.model) == ("own", "x")


def test_the_command_prints_costs_gaps_and_one_json_document(
    call: Execute, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    recent = {"created_at": datetime.now(UTC) - timedelta(hours=3), "provider": "openai", "model": "gpt-4o"}
    call(**recent, input_tokens=1_000_000, output_tokens=0, cost=Decimal(4), operation="chat")
    call(**recent, metadata='{"usage": {"batch": true}}')
    call(**recent, is_test=True)
    names = ["--model", "gpt-4o-mini", "--model", "groq/llama-3.3-70b-versatile"]
    assert main(["what-if", *names, "--last", "1d"]) == 0
    text = capsys.readouterr().out
    assert "2 calls, 1,000,120 tokens" in text
    assert "1 calls have no recorded cost." in text
    assert "no price for batch of this model" in text
    assert "divide the same text into another number of tokens" in text
    assert main(["what-if", *names, "--json", "--operation", "chat", "--used-model", "gpt-4o", "--last", "24h"]) == 0
    document = json.loads(capsys.readouterr().out)
    mini = document["models"][0]
    assert document["recorded"] == {"calls": 1, "usd": "4", "calls_without_cost": 1} | {
        "usd": document["recorded"]["usd"]
    }
    assert Decimal(mini["versus_recorded"]["own_usd"]) == 4
    assert Decimal(mini["versus_recorded"]["usd"]) == Decimal("0.15")
    assert document["models"][1]["not_compared"][0]["code"] == "prices.what_if.tier_not_priced"
    assert main(["what-if", "--model", "gpt-4o-mimi"]) == 2
    assert "gpt-4o-mini" in capsys.readouterr().err
    assert main(["what-if", *names, "--last", "0d"]) == 2
    assert main(["what-if", *(f"--model=m{number}" for number in range(6))]) == 2


def test_the_page_compares_the_models_of_the_address_bar(open_page: OpenPage, database_url: str, call: Execute) -> None:
    recent = {"created_at": datetime.now(UTC), "provider": "openai", "model": "gpt-4o"}
    call(**recent, input_tokens=1_000_000, output_tokens=0, cost=Decimal(4))
    call(**recent, metadata='{"usage": {"batch": true}}')
    first = open_page(database_url, "what_if.py")
    assert figures(first) == {"Cost as recorded": "≥ $4.00", "Own models, current prices": "$2.50", "Calls": "2"}
    assert "Select models above" in texts(first)
    app = open_page(database_url, "what_if.py", what_if="gpt-4o-mini,groq/llama-3.3-70b-versatile,gpt-4o-mimi")
    table, gaps = (frame.value for frame in app.dataframe)
    assert table.to_dict("records")[0] == {
        "model": "gpt-4o-mini",
        "cost": "$0.15",
        "own": "$2.50",
        "difference": "−$2.35",
        "change": "−94%",
        "recorded": "−96%",
        "calls": "2",
        "missing": "0",
    }
    assert table["missing"].to_list() == ["0", "1"]
    assert gaps["reason"].to_list() == ["The price list has no price for batch of this model."]
    text = texts(app)
    assert "The nearest names are: gpt-4o-mini" in text
    assert "into another number of tokens" in text
    assert "Without a recorded cost: 1 call. Without a current price: 0 calls." in text
    assert "gpt-4o-mini,groq/llama-3.3-70b-versatile,gpt-4o-mimi" in app.query_params["what_if"]
    # A filter of the address bar selects the calls; all pages share it.
    assert figures(open_page(database_url, "what_if.py", model="other")) == {}
