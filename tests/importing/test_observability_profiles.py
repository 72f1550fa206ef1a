"""Exports of LiteLLM and Langfuse: each call is a row with its parts and times; the same file twice adds nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from importing_support import COUNTS, LITELLM, stored
from support import rows

# --- LiteLLM ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spend.csv", "spend.jsonl", "spend.json"])
def test_litellms_spend_logs_are_read_in_each_form_and_once(write, load, database_url, capsys, name):
    failed = {**LITELLM, "request_id": "chatcmpl-2", "status": "failure", "spend": 0.0, "metadata": {}}
    hit = {**LITELLM, "request_id": "chatcmpl-3", "cache_hit": "True"}
    file = write([LITELLM, failed, hit], name)
    assert load(file, "--profile", "litellm") == 0
    assert load(file, "--profile", "litellm") == 0
    assert "0 recorded, 2 already there" in capsys.readouterr().out
    result = stored(
        database_url,
        "created_at, model, provider, operation, user_id, session_id, cost, success, processing_time,"
        f" metadata ->> 'request_id', {COUNTS}",
    )
    assert min(result, key=lambda row: row[9]) == (
        datetime(2026, 9, 1, 10, 0, 1, 250_000, UTC), "claude-sonnet-4-5", "anthropic", "acompletion", "u_42", "s_1",
        Decimal("0.00123"), True, 1250, "chatcmpl-1", 120, 30, 80, 10, 7,
    )  # fmt: skip
    assert sorted((row[6], row[7]) for row in result if row[9] == "chatcmpl-2") == [(None, False)]


def test_litellms_operations_that_call_no_model_are_skipped(write, load, database_url):
    kinds = ["aget_responses", "amoderation", "acreate_file", "aretrieve_batch", "acreate_batch", "alist_input_items"]
    unused = {"total_tokens": 0, "prompt_tokens": 0, "completion_tokens": 0}
    lines = [{**LITELLM, **unused, "request_id": f"r{number}", "call_type": kind} for number, kind in enumerate(kinds)]
    lines.append({**LITELLM, "request_id": "batch_1", "call_type": "aretrieve_batch"})  # finished: it states usage
    lines.append({**LITELLM, "request_id": "later", "call_type": "anew_kind"})
    assert load(write(lines, "spend.jsonl"), "--profile", "litellm") == 0
    result = stored(database_url, "metadata ->> 'request_id'")
    assert sorted(row[0] for row in result) == ["batch_1", "later"]


def test_a_row_with_changed_counts_keeps_its_id(write, load, database_url):
    load(write([LITELLM], "a.csv"), "--profile", "litellm")
    load(write([{**LITELLM, "spend": 0.5}], "b.jsonl"), "--profile", "litellm")
    assert stored(database_url, "cost") == [(Decimal("0.00123"),)]


def test_litellms_one_hour_writes_and_audio_are_imported_for_prices(write, load, database_url):
    usage = {
        "prompt_tokens_details": {
            "cached_tokens": 1000,
            "audio_tokens": 0,
            "cache_creation_tokens": 5424,
            "cache_creation_token_details": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 5424},
        },
        "server_tool_use": {"web_search_requests": 2},
    }
    record = {**LITELLM, "prompt_tokens": 6427, "metadata": {"usage_object": usage}}
    for name in ("a.csv", "a.jsonl"):
        assert load(write([{**record, "request_id": name}], name), "--profile", "litellm") == 0
    expected = (6427, 1000, 5424, {"cache_write_1h_tokens": 5424, "web_searches": 2})
    columns = "input_tokens, cache_read_input_tokens, cache_write_input_tokens, metadata -> 'usage'"
    assert stored(database_url, columns) == [expected, expected]


# --- Langfuse -----------------------------------------------------------------------------------------------------

LANGFUSE = {
    "id": "obs-1",
    "traceId": "trace-1",
    "type": "GENERATION",
    "name": "summarise",
    "startTime": "2026-09-01T10:00:00.000Z",
    "endTime": "2026-09-01T10:00:02.000Z",
    "model": "gpt-5-mini",
    "environment": "production",
    "userId": "u_1",
    "level": "DEFAULT",
    # Langfuse's usage types are disjoint: input is what is neither cached nor written.
    "usageDetails": {"input": 100, "input_cached_tokens": 40, "output": 20, "output_reasoning_tokens": 5, "total": 165},
    "costDetails": {"total": 0.002},
}
SNAKE = {
    "id": "obs-2",
    "trace_id": "trace-2",
    "type": "GENERATION",
    "start_time": "2026-09-01 11:00:00.000000",
    "end_time": "2026-09-01 11:00:01.500000",
    "provided_model_name": "claude-haiku-4-5",
    "user_id": "u_2",
    "level": "ERROR",
    "status_message": "overloaded",
    "usage_details": {
        "input": 10,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 5,
        "output": 7,
        "total": 52,
    },
    "total_cost": 0.01,
}


@pytest.mark.parametrize("name", ["observations.csv", "observations.jsonl", "observations.json"])
def test_langfuses_observations_are_read_with_disjoint_parts_added(write, load, database_url, name):
    file = write([LANGFUSE, SNAKE, {**LANGFUSE, "id": "obs-3", "type": "SPAN"}], name)
    assert load(file, "--profile", "langfuse") == 0
    assert load(file, "--profile", "langfuse") == 0
    assert stored(database_url) == [(140, 25, 40, 0, 5), (45, 7, 30, 5, 0)]
    assert stored(database_url, "created_at, model, user_id, cost, success, error_message, environment") == [
        (datetime(2026, 9, 1, 10, 0, 2, 0, UTC), "gpt-5-mini", "u_1", Decimal("0.002"), True, None, "production"),
        (datetime(2026, 9, 1, 11, 0, 1, 500_000, UTC), "claude-haiku-4-5", "u_2", Decimal("0.01"), False, "overloaded",
         None),
    ]  # fmt: skip


def test_langfuses_parts_by_time_to_live_and_tier_are_counted(write, load, database_url):
    parts = {"input": 20, "input_cache_read": 1000, "input_cache_creation": 0, "output": 100}
    parts |= {"input_ephemeral_5m_input_tokens": 2000, "input_ephemeral_1h_input_tokens": 3000}
    flex = {"input": 0, "input_flex": 80, "input_flex_cache_read": 20, "output_flex": 40, "output_flex_reasoning": 10}
    records = [{**LANGFUSE, "usageDetails": parts}, {**LANGFUSE, "id": "obs-9", "usageDetails": flex}]
    assert load(write(records, "langfuse.json"), "--profile", "langfuse") == 0
    result = sorted(stored(database_url, f"{COUNTS}, metadata -> 'usage'"))
    assert result == [
        (100, 50, 20, 0, 10, {"service_tier": "flex"}),
        (6020, 100, 1000, 5000, 0, {"cache_write_1h_tokens": 3000}),
    ]


def test_a_page_of_langfuses_api_is_read_too(write, load, database_url):
    assert load(write({"data": [LANGFUSE], "meta": {"page": 1}}, "page.json"), "--profile", "langfuse") == 0
    assert stored(database_url) == [(140, 25, 40, 0, 5)]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "cache_creation_input_tokens": 307,
                "cache_read_input_tokens": 2003,
                "input": 103,
                "output": 53,
                "cache_creation_ephemeral_1h_input_tokens": 103,
                "cache_creation_ephemeral_5m_input_tokens": 204,
            },
            (2413, 53, 2003, 307, 0, {"cache_write_1h_tokens": 103}, None),
        ),
        ({"input": 10, "output": 5, "thoughts_token_count": 50, "total": 65}, (10, 55, 0, 0, 50, None, None)),
        ({"input": 10, "output": 5, "total": 15, "unit": "CHARACTERS"}, (0, 0, 0, 0, 0, None, "unit_not_tokens")),
        ({"input": 10, "output": 5, "total": 99}, (10, 5, 0, 0, 0, None, "total_mismatch")),
    ],
)
def test_langfuses_usage_is_read_as_over_opentelemetry(write, load, database_url, usage, expected):
    times = {"start_time": "2026-09-01T10:00:00Z", "end_time": "2026-09-01T10:00:01.5Z"}
    record = {"id": "o1", "type": "GENERATION", "model": "claude-sonnet-4-5", "usage_details": usage, **times}
    assert load(write(json.dumps([record]), "langfuse.json"), "--profile", "langfuse") == 0
    columns = (
        "input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens,"
        " metadata -> 'usage', metadata ->> 'usage_problem', processing_time"
    )
    assert stored(database_url, columns) == [(*expected, 1500)]


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("langfuse", {"id": "o", "type": "GENERATION", "model": "m", "usageDetails": {"input": 1, "output": 2}}),
        (
            "litellm",
            {"request_id": "r", "model": "m", "call_type": "acompletion"}
            | {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "status": "success"},
        ),
    ],
)
def test_the_start_of_the_completion_is_the_time_to_the_first_token(write, load, database_url, name, record):
    times = {"startTime": "2026-01-01T00:00:00.000Z", "endTime": "2026-01-01T00:00:02.000Z"}
    identity = "id" if name == "langfuse" else "request_id"
    starts = ["2026-01-01T00:00:00.350Z", times["endTime"], None]  # the second is no stream
    records = [
        {**record, **times, identity: str(number), "completionStartTime": start} for number, start in enumerate(starts)
    ]
    assert load(write(records, f"{name}.json"), "--profile", name) == 0
    stored = rows(database_url, "SELECT time_to_first_token_ms FROM token_usage ORDER BY 1")
    assert stored == [(350,), (None,), (None,)]


# --- tags and metadata --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_tags_and_metadata_of_the_application_are_kept(write, load, database_url, suffix):
    own = {"team": "growth", "n": 1, "deep": {"a": 1}, "ls_model_name": "m", "none": None, "list": [1, 2]}
    kept = {"team": "growth", "n": 1, "list": [1, 2]}
    tags = '["a", "b"]' if suffix == "csv" else ["a", "b"]
    spend = {**LITELLM, "request_tags": tags}
    spend["metadata"] = {**LITELLM["metadata"], "spend_logs_metadata": own, "user_api_key_team_alias": "Growth"}
    assert load(write([spend], f"spend.{suffix}"), "--profile=litellm", "--map=metadata.key=request_id") == 0
    expected = {**kept, "tags": ["a", "b"], "team_alias": "Growth", "team_id": "team", "key": "chatcmpl-1"}
    (metadata,) = stored(database_url, "metadata")[0]
    assert {**metadata, **expected, "request_id": "chatcmpl-1"} == metadata
    assert not {"deep", "ls_model_name", "none"} & metadata.keys()
    other = {**LANGFUSE, "id": "obs-4", "traceId": "t", "metadata": {"trace_id": "mine"}, "tags": "[]"}
    assert load(write([{**LANGFUSE, "metadata": own, "tags": tags}, other], f"o.{suffix}"), "--profile=langfuse") == 0
    query = "SELECT metadata FROM token_usage WHERE metadata ? 'observation_id' ORDER BY metadata ->> 'observation_id'"
    first, second = (row[0] for row in rows(database_url, query))
    assert {**first, **kept, "tags": ["a", "b"]} == first
    assert ("tags" in second, second["trace_id"]) == (False, "t")
