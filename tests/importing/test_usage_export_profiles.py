"""Usage exports of OpenAI and Anthropic: a bucket of many calls is one row, which has no price."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from importing_support import COUNTS, stored
from support import value

from tracker.cli import main

OPENAI_RESULT = {
    "object": "organization.usage.completions.result",
    "input_tokens": 7162,
    "output_tokens": 500,
    "input_cached_tokens": 1280,
    "num_model_requests": 5,
    "project_id": "proj_1",
    "user_id": None,
    "api_key_id": "key_1",
    "model": "gpt-5-mini-2025-08-07",
    "batch": None,
}
DAY = 1_788_220_800  # 2026-09-01T00:00:00Z
OPENAI_PAGE = {
    "object": "page",
    "data": [
        {"object": "bucket", "start_time": DAY, "end_time": DAY + 86_400, "results": [
            OPENAI_RESULT, {**OPENAI_RESULT, "api_key_id": "key_2"}]},
        {"object": "bucket", "start_time": DAY + 86_400, "end_time": DAY + 172_800, "results": []},
    ],
    "has_more": False,
}  # fmt: skip


def openai_csv() -> list[dict]:
    start = {"start_time": DAY, "end_time": DAY + 86_400, "start_time_iso": "2026-09-01T00:00:00+00:00"}
    empty = dict.fromkeys(OPENAI_RESULT, "")
    return [
        {**start, **OPENAI_RESULT, "num_model_requests": "5.0"},
        {**start, **OPENAI_RESULT, "api_key_id": "key_2"},
        {"start_time": DAY + 86_400, "end_time": DAY + 172_800, "start_time_iso": "", **empty},
    ]


@pytest.mark.parametrize("form", ["json", "one line", "csv"])
def test_openais_usage_is_a_row_a_bucket_at_its_beginning_and_once(write, load, database_url, form):
    file = {
        "json": lambda: write(OPENAI_PAGE, "usage.json"),
        "one line": lambda: write(json.dumps(OPENAI_PAGE), "usage.txt"),
        "csv": lambda: write(openai_csv(), "completions_usage.csv"),
    }[form]()
    assert load(file, "--profile", "openai-usage") == 0
    assert load(file, "--profile", "openai-usage") == 0
    assert stored(database_url) == [(7162, 500, 1280, 0, 0)] * 2
    assert set(stored(database_url, "created_at, model, provider, operation, cost, metadata -> 'calls'")) == {
        (datetime(2026, 9, 1, tzinfo=UTC), "gpt-5-mini-2025-08-07", "openai", "usage_export", None, 5)
    }


def test_a_sum_of_calls_is_never_priced_as_one(write, load, database_url):
    load(write(OPENAI_PAGE, "usage.json"), "--profile", "openai-usage")
    assert main(["reprice"]) == 0
    assert set(stored(database_url, "cost")) == {(None,)}


def test_a_bucket_that_still_runs_is_rejected_since_it_would_stay_as_it_is(write, load, database_url):
    now = int(datetime.now(UTC).timestamp())
    bucket = {"start_time": now - 3600, "end_time": now + 3600, "results": [OPENAI_RESULT]}
    assert load(write({"data": [bucket]}, "usage.json"), "--profile", "openai-usage") == 1
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
    assert "has not ended yet" in Path("usage.json.rejects.csv").read_text()


def test_usage_that_is_not_grouped_by_model_is_rejected_with_the_reason(write, load, capsys):
    bucket = {"start_time": DAY, "end_time": DAY + 86_400, "results": [{**OPENAI_RESULT, "model": None}]}
    assert load(write({"data": [bucket]}, "usage.json"), "--profile", "openai-usage") == 1
    assert "model is empty" in capsys.readouterr().err


ANTHROPIC_CSV = [
    {
        "usage_date_utc": "2026-09-01",
        "model_version": "claude-haiku-4-5-20251001",
        "api_key": "prod",
        "workspace": "Default",
        "usage_type": "standard",
        "context_window": "≤ 200k",
        "usage_input_tokens_no_cache": 1000,
        "usage_input_tokens_cache_write_5m": 200,
        "usage_input_tokens_cache_write_1h": 50,
        "usage_input_tokens_cache_read": 3000,
        "usage_output_tokens": 400,
        "web_search_count": 0,
    }
]
ANTHROPIC_PAGE = {
    "data": [
        {
            "starting_at": "2026-09-01T00:00:00Z",
            "ending_at": "2026-09-02T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 50},
                    "cache_read_input_tokens": 3000,
                    "output_tokens": 400,
                    "server_tool_use": {"web_search_requests": 0},
                    "api_key_id": "apikey_1",
                    "workspace_id": None,
                    "model": "claude-haiku-4-5-20251001",
                    "service_tier": "standard",
                    "context_window": "0-200k",
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}


@pytest.mark.parametrize(("content", "name"), [(ANTHROPIC_CSV, "usage.csv"), (ANTHROPIC_PAGE, "usage.json")])
def test_anthropics_cached_tokens_are_added_to_its_input(write, load, database_url, content, name):
    file = write(content, name)
    assert load(file, "--profile", "anthropic-usage") == 0
    assert load(file, "--profile", "anthropic-usage") == 0
    assert stored(database_url, f"created_at, model, provider, {COUNTS}") == [
        (datetime(2026, 9, 1, tzinfo=UTC), "claude-haiku-4-5-20251001", "anthropic", 4250, 400, 3000, 250, 0)
    ]


def test_a_bucket_that_has_just_ended_is_imported(write, load, database_url):
    end = datetime.now(UTC) - timedelta(seconds=1)
    bucket = {"start_time": int(end.timestamp()) - 60, "end_time": int(end.timestamp()), "results": [OPENAI_RESULT]}
    assert load(write({"data": [bucket]}, "usage.json"), "--profile", "openai-usage") == 0
