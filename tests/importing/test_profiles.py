"""Ready profiles, profiles of one's own and the rules they consist of, for CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from importing_support import LITELLM, stored
from support import run, value

from tracker.importing import profile, profile_rows
from tracker.importing.input_file import InputFile
from tracker.importing.profile_rules import parse_rule
from tracker.importing.row_builder import RowBlock


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


# --- properties ---------------------------------------------------------------------------------------------------

CALL = {"created_at": "2026-09-01T10:00:00Z", "model": "gpt", "input_tokens": 10, "output_tokens": 5}


@pytest.mark.parametrize("name", ["calls.csv", "calls.jsonl", "calls.json"])
def test_keys_of_metadata_are_mapped_one_by_one(write, load, database_url, capsys, name):
    odd = 'a.b"c 😀'
    first = {**CALL, "TEAM": "growth", odd: "x" * 10_000, "tags": '["a", "b"]', "metadata": {"own": 1, "team": "old"}}
    second = {**CALL, "created_at": "2026-09-01T10:00:01Z", "TEAM": " ", "tags": "[broken"}
    options = ("--map=metadata.team=TEAM", f"--map=metadata.{odd}={odd}", "--map=metadata.tags=tags")
    options += ("--set=metadata.plan=free", "--set=metadata.team=nobody")
    file = write([first, second], name)
    assert load(file, *options, "--save-profile=teams") == 0
    assert load(file, "--profile=teams") == 0
    assert "0 recorded, 2 already there" in capsys.readouterr().out
    assert stored(database_url, "metadata") == [
        ({"own": 1, "team": "growth", odd: "x" * 10_000, "tags": ["a", "b"], "plan": "free"},),
        ({"team": "nobody", "plan": "free", "tags": "[broken"},),
    ]


def test_a_profile_maps_keys_of_metadata_in_each_form_of_toml(write, load, database_url):
    write(
        '[map]\nmetadata.team = "TEAM"\n"metadata.cost.center" = ["none", "CENTER"]\n'
        'metadata.ms = { between = ["a", "b"] }\nmetadata.object = { n = "n" }\n[set]\nmetadata.plan = "free"\n',
        "own.toml",
    )
    times = {"a": "2026-09-01T10:00:00Z", "b": "2026-09-01T10:00:01Z"}
    assert load(write([{**CALL, "TEAM": 7, "CENTER": True, "n": 1.5, **times}], "x.jsonl"), "--profile=own.toml") == 0
    assert stored(database_url, "metadata") == [
        ({"team": 7, "cost.center": True, "ms": "1000", "n": 1.5, "plan": "free"},)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map=metadata.team=nothing"], "no 'nothing'"),
        (["--map=metadata.=TEAM"], "no column 'metadata.'"),
        (["--map=metadata.team=TEAM", "--map=metadata.team=TEAM"], "twice"),
    ],
)
def test_a_wrong_key_of_metadata_is_exit_2(write, load, database_url, capsys, options, message):
    assert load(write([{**CALL, "TEAM": "x"}], "calls.csv"), *options) == 2
    assert message in capsys.readouterr().err


def test_metadata_that_is_no_object_is_rejected_also_with_properties(write, load, database_url, capsys):
    file = write([{**CALL, "metadata": "[1]", "TEAM": "x"}, {**CALL, "metadata": "{x", "TEAM": "y"}], "calls.csv")
    assert load(file, "--map=metadata.team=TEAM") == 1
    assert "2 rejected" in capsys.readouterr().out
    assert load(file, "--set=metadata=[1]", "--set=metadata.a=1") == 1
    assert load(write([CALL], "plain.csv"), '--set=metadata={"a": 1}', "--set=metadata.b=2") == 0
    assert stored(database_url, "metadata") == [({"a": 1, "b": "2"},)]
