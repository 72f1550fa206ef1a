"""The reported calls have the cost that their provider's price list states."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from support import a_call, rows

from tracker.cli import main
from tracker.recording.bulk_insert import BatchWriter

SONNET = "claude-sonnet-4-5-20250929"
TIER_DAY = datetime(2026, 11, 1, tzinfo=UTC)
CASES = {
    "04": (
        {"model": SONNET, "provider": "anthropic", "input_tokens": 6020, "output_tokens": 100}
        | {"cache_read_input_tokens": 1000, "cache_write_input_tokens": 5000},
        {"cache_write_1h_tokens": 3000},
        "0.02736",
    ),
    "06": (
        {"model": "claude-haiku-4-5-20251001", "input_tokens": 6427, "output_tokens": 50}
        | {"cache_read_input_tokens": 1000, "cache_write_input_tokens": 5424},
        {"cache_write_1h_tokens": 5424},
        "0.011201",
    ),
    "08": (
        {"model": "gpt-realtime", "provider": "openai", "input_tokens": 1000, "output_tokens": 200}
        | {"cache_read_input_tokens": 832},
        {"input_audio_tokens": 900, "cache_audio_read_tokens": 768, "output_audio_tokens": 160},
        "0.0155808",
    ),
    "12": (
        {"model": "voyage-3-large", "provider": "voyageai", "input_tokens": 5000, "output_tokens": 0},
        {},
        "0.0009",
    ),
    "17 and 23": (
        {"model": SONNET, "provider": "anthropic", "input_tokens": 130_213, "output_tokens": 200}
        | {"cache_read_input_tokens": 128_955, "cache_write_input_tokens": 1253},
        {},
        "0.04640025",
    ),
    "19": (
        {"model": "gpt-5-2025-08-07", "provider": "openai", "input_tokens": 10_000, "output_tokens": 2000},
        {"service_tier": "flex"},
        "0.01625",
    ),
    "24": (
        {"model": "claude-sonnet-4-5", "provider": "anthropic", "input_tokens": 230_000, "output_tokens": 1000}
        | {"cache_read_input_tokens": 180_000},
        {},
        "0.4305",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reported_call_has_the_listed_cost(name, connection, database_url, monkeypatch):
    fields, usage, expected = CASES[name]
    metadata = {"usage": usage} if usage else {}
    writer = BatchWriter(connection, None)
    writer.add(a_call(created_at=TIER_DAY, metadata=metadata, **fields).as_row(), None)
    writer.flush()
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["reprice"]) == 0
    assert rows(database_url, "SELECT cost FROM token_usage") == [(Decimal(expected),)]


def test_a_given_cost_is_kept(connection, database_url, monkeypatch):
    """Case 10: OpenRouter states what the provider charged for a call with the caller's own key."""
    call = a_call(
        model="openai/gpt-5-mini", provider="openrouter", input_tokens=9171, output_tokens=113, cost="0.0360795"
    )
    writer = BatchWriter(connection, None)
    writer.add(call.as_row(), None)
    writer.flush()
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["reprice", "--replace-zero-costs"]) == 0
    assert rows(database_url, "SELECT cost, cost_source FROM token_usage") == [(Decimal("0.0360795"), "provided")]
