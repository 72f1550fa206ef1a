"""Exports of others: ready profiles, one's own, JSON and JSON lines; the same file twice adds nothing."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support import rows, run, value

from tracker.cli import main
from tracker.importing import profile, profile_rows
from tracker.importing.input_file import InputFile
from tracker.importing.profile_rules import parse_rule
from tracker.importing.row_builder import RowBlock

COUNTS = "input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into a fresh working directory, as CSV or JSON by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(content: Any, name: str) -> str:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        elif name.endswith(".csv"):
            names = list(dict.fromkeys(key for row in content for key in row))
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(
                    {k: json.dumps(v) if isinstance(v, dict) else v for k, v in r.items()} for r in content
                )
        elif name.endswith(".jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        else:
            path.write_text(json.dumps(content, indent=2))
        return name

    return write


@pytest.fixture
def load(monkeypatch, database_url):
    """Runs `token-tracker import` on the fresh, migrated database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *arguments: main(["import", *arguments])


def stored(url: str, columns: str = COUNTS) -> list[tuple]:
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")


# --- LiteLLM ------------------------------------------------------------------------------------------------------

LITELLM = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "spend": 0.00123,
    "total_tokens": 150,
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "startTime": "2026-09-01T10:00:00.000Z",
    "endTime": "2026-09-01T10:00:01.250Z",
    "model": "claude-sonnet-4-5",
    "custom_llm_provider": "anthropic",
    "user": "key-owner",
    "end_user": "u_42",
    "session_id": "s_1",
    "status": "success",
    "cache_hit": "False",
    "team_id": "team",
    "metadata": {
        "additional_usage_values": {"cache_read_input_tokens": 80, "cache_creation_input_tokens": 10},
        "usage_object": {"completion_tokens_details": {"reasoning_tokens": 7}},
    },
}


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


def test_a_page_of_langfuses_api_is_read_too(write, load, database_url):
    assert load(write({"data": [LANGFUSE], "meta": {"page": 1}}, "page.json"), "--profile", "langfuse") == 0
    assert stored(database_url) == [(140, 25, 40, 0, 5)]


# --- OpenAI and Anthropic: buckets of many calls ------------------------------------------------------------------

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


def test_every_ready_profile_names_where_its_format_was_read():
    assert profile.call_profiles() == ["anthropic-usage", "langfuse", "litellm", "openai-usage"]
    for name in profile.call_profiles():
        bundled = profile.find_profile(name)
        assert bundled.source
        assert bundled.title


@pytest.mark.parametrize("name", profile.call_profiles())
def test_a_file_of_another_kind_is_exit_2_and_nothing_is_stored(write, load, database_url, capsys, name):
    assert load(write([{"a": 1, "b": 2}], "x.csv"), "--profile", name) == 2
    output = capsys.readouterr().err
    assert "it has: a, b" in output
    assert len(output.splitlines()) == 1
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


# --- JSON lines, and profiles of one's own ------------------------------------------------------------------------

LINES = [
    {"at": 1_788_220_800, "llm": {"name": "gpt", "usage": {"in": 10, "out": 5}}, "who": "u_1"},
    {"at": 1_788_220_801_000, "llm": {"name": "gpt", "usage": {"in": 20, "out": 6.0}}, "who": None},
]
MAP = (
    "--map=created_at=at",
    "--map=model=llm.name",
    "--map=input_tokens=llm.usage.in",
    "--map=output_tokens=llm.usage.out",
    "--map=user_id=who",
)


def test_json_lines_are_mapped_by_path_and_epochs_are_read(write, load, database_url):
    assert load(write(LINES, "calls.jsonl"), *MAP, "--set=operation=tag") == 0
    assert stored(database_url, "created_at, model, input_tokens, output_tokens, user_id, operation") == [
        (datetime(2026, 9, 1, 0, 0, 0, 0, UTC), "gpt", 10, 5, "u_1", "tag"),
        (datetime(2026, 9, 1, 0, 0, 1, 0, UTC), "gpt", 20, 6, "anonymous", "tag"),
    ]


def test_a_broken_line_of_json_costs_itself_alone(write, load, database_url, capsys):
    good = json.dumps(LINES[0])
    text = "\n".join([good, "{broken", "[1]", "", good, '{"at": "x"}', '{"a":' * 3000])
    assert load(write(text, "calls.jsonl"), *MAP) == 1
    assert "6 rows read: 2 recorded, 0 already there, 4 rejected" in capsys.readouterr().out
    with Path("calls.jsonl.rejects.csv").open(newline="") as file:
        assert [line[0] for line in csv.reader(file)][1:] == ["2", "3", "6", "7"]


def test_the_same_call_from_csv_and_from_json_is_one(write, load, database_url):
    call = {"created_at": "2026-09-01T10:00:00+00:00", "model": "gpt", "input_tokens": 10, "output_tokens": 5}
    load(write([call], "calls.csv"))
    load(write([call], "calls.jsonl"))
    load(write([call], "calls.json"))
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1


def test_a_mapping_is_kept_and_used_again(write, load, database_url, capsys):
    body = [{"TIMESTAMP": "2026-09-01 10:00:00", "ContextTokens": 10, "GeneratedTokens": 5}]
    options = ["--map=created_at=TIMESTAMP", "--map=input_tokens=ContextTokens", "--map=output_tokens=GeneratedTokens"]
    file = write(body, "calls.csv")
    assert load(file, *options, '--set=model=gpt-4 "turbo"', "--timezone=Asia/Seoul", "--save-profile=azure") == 0
    assert "azure.toml" in capsys.readouterr().err
    assert load(file, "--profile=azure") == 0
    assert "0 recorded, 1 already there" in capsys.readouterr().out
    assert stored(database_url, "created_at, model") == [(datetime(2026, 9, 1, 1, tzinfo=UTC), 'gpt-4 "turbo"')]
    path = profile.profile_directory() / "azure.toml"
    assert load(file, f"--profile={path}", "--set=model=other") == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile=nonsense"], "litellm"),
        (["--profile=nowhere.toml"], "can't be read"),
        ([*MAP, "--save-profile=litellm"], "another name"),
        ([*MAP, "--save-profile=../x"], "letters"),
        ([*MAP, "--map=session_id=nothing"], "no 'nothing'"),
        ([*MAP, "--map=tokens=at"], "no column 'tokens'"),
        (MAP[1:], "created_at"),
        (["--profile=bad.toml"], "not TOML"),
        (["--profile=odd.toml"], "'maps'"),
        (["--profile=wrong.toml"], "list of names"),
        (["--profile=zone.toml"], "Asia/Soul"),
        (["--profile=tracker-log", "--save-profile=x"], "--save-profile"),
        (["--profile=litellm", "--save-profile=x"], "--save-profile"),
    ],
)
def test_a_profile_or_mapping_that_is_wrong_is_exit_2(write, load, database_url, capsys, options, message):
    write("= nonsense", "bad.toml")
    write("maps = 1", "odd.toml")
    write("[map]\nmodel = 5", "wrong.toml")
    write('timezone = "Asia/Soul"', "zone.toml")
    file = write([LITELLM] if "--profile=litellm" in options else LINES, "calls.jsonl")
    assert load(file, *options) == 2
    output = capsys.readouterr().err
    assert message in output
    assert len(output.splitlines()) == 1
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


@pytest.mark.parametrize("text", ["[1, 2", "{\n", "[" * 100_000])
def test_a_document_that_is_no_json_is_exit_2(write, load, capsys, text):
    assert load(write(text, "calls.json"), *MAP) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_table_in_the_way_of_a_profile_is_no_traceback(write, load, database_url, capsys):
    run(database_url, "ALTER TABLE token_usage ADD CHECK (model <> 'gpt')")
    assert load(write(LINES, "calls.jsonl"), *MAP) == 1
    assert "2 rejected" in capsys.readouterr().out


# --- rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "values", "text"),
    [
        ("a", {"a": 5}, "5"),
        (["a", "b"], {"a": "", "b": " x "}, "x"),
        ("a.b", {"a": '{"b": 3}'}, "3"),
        ("a.b", {"a.b": 4}, "4"),
        ("a", {"a": 3.0}, "3.0"),
        ("a", {"a": 1e-7}, "0.0000001"),
        ("a", {"a": True}, "true"),
        ({"sum": ["a", "b", "c"]}, {"a": 1, "b": "2.0"}, "3.0"),
        ({"sum": ["a"]}, {"a": None}, ""),
        ({"first": "a", "containing": "input"}, {"a": {"input": 1, "x_input": 2, "output": 4, "total": 7}}, "3"),
        ({"between": ["a", "b"]}, {"a": "2026-01-01T00:00:00Z", "b": "2026-01-01T00:00:01.5Z"}, "1500"),
        ({"between": ["a", "b"]}, {"a": "2026-01-01", "b": "2026-01-01T00:00:01Z"}, ""),
        ({"first": "a", "unless": ["failure"]}, {"a": "Failure"}, "false"),
        ({"first": "a", "unless": ["failure"]}, {}, ""),
        ({"first": "a", "zero_is_unknown": True}, {"a": "0.0"}, ""),
        ({"object": {"x": "a", "calls": "b"}}, {"a": "é", "b": "5.0"}, '{"x": "é", "calls": 5}'),
    ],
)
def test_a_rule_computes_a_cell(given, values, text):
    assert parse_rule(given, "it").text(values, "input_tokens") == text


def test_a_bucket_that_has_just_ended_is_imported(write, load, database_url):
    end = datetime.now(UTC) - timedelta(seconds=1)
    bucket = {"start_time": int(end.timestamp()) - 60, "end_time": int(end.timestamp()), "results": [OPENAI_RESULT]}
    assert load(write({"data": [bucket]}, "usage.json"), "--profile", "openai-usage") == 0


def test_skipped_records_are_counted(write, load, database_url, capsys):
    constants = ("created_at=2026-01-01T00:00:00Z", "model=m", "input_tokens=1", "output_tokens=1")
    file = write('{"foo": 1}\n{"foo": 2}\n', "x.jsonl")
    assert load(file, *(f"--set={constant}" for constant in constants)) == 0
    assert "2 rows read: 2 recorded" in capsys.readouterr().out


def test_large_records_are_read_a_few_at_a_time(monkeypatch, write):
    monkeypatch.setattr(profile_rows, "BLOCK_CHARACTERS", 1000)
    line = json.dumps({"created_at": "2026-03-01", "model": "m" * 300, "input_tokens": 1, "output_tokens": 1})
    with InputFile(Path(write(f"{line}\n" * 40, "large.jsonl"))) as file:
        blocks = list(profile_rows.read_calls(file, profile.Profile("")))
    assert [len(calls.created_at) for calls in blocks if isinstance(calls, RowBlock)] == [3] * 13 + [1]


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
