"""One AI call that a span and a recorder report is one row of token_usage."""

from __future__ import annotations

from contextlib import closing

import pytest
from span_calls_support import CALL, NOW_NS, SDK, WRAPPER, compared, recorded, report, send, stored
from support import connect, rows, run
from traces_support import GENAI, case_spans

from tracker.otlp.storing.late_rows import compare


def test_the_recorders_row_stays(app, recorder, database_url):
    recorder.record(recorded(metadata={"response_id": "chatcmpl-A1b2"}))
    for _ in range(2):
        send(app, (SDK, [report(1, CALL)]))
        send(app, (WRAPPER, [report(2, CALL, trace=2)]))
    assert stored(database_url, "input_tokens, instance_id IS NOT NULL") == [(100, True)]


@pytest.mark.parametrize("first", ["span", "recorder"])
def test_the_sdks_span_of_a_wrapped_client_is_no_second_row(app, recorder, database_url, first):
    spans = case_spans("03-anthropic-wrap-and-sdk-span-twice", NOW_NS)
    wrapped = recorded(
        model="claude-sonnet-5-0",
        provider="anthropic",
        input_tokens=2424,
        output_tokens=74,
        cache_read_input_tokens=2000,
        cache_write_input_tokens=300,
        metadata={"response_id": "msg_000024"},
    )
    steps = [lambda: send(app, *((scope, [one]) for scope, one in spans)), lambda: recorder.record(wrapped)]
    for step in steps if first == "span" else reversed(steps):
        step()
    compared(database_url)
    assert stored(database_url, "input_tokens, instance_id IS NOT NULL") == [(2424, True)]


def test_a_recorders_row_without_usage_is_replaced_and_explained(app, recorder, database_url):
    recorder.record(
        recorded(input_tokens=0, output_tokens=0, user_id="u_7", metadata={"response_id": "chatcmpl-A1b2", "a": 1})
    )
    send(app, (SDK, [report(1, CALL)]))
    assert stored(database_url, "input_tokens, instance_id, user_id, metadata ->> 'a'") == [(100, None, "u_7", "1")]
    assert rows(
        database_url, "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger WHERE kind = 'removed'"
    ) == [("removed", 1, 1)]


def test_a_recorder_matches_one_span_only(app, recorder, database_url):
    recorder.record(recorded())
    send(app, (SDK, [report(1, GENAI), report(2, GENAI, trace=2)]))
    assert sorted(stored(database_url, "instance_id IS NOT NULL")) == [(False,), (True,)]


def test_rows_of_imports_and_of_the_application_are_never_touched(app, database_url):
    columns = "id, created_at, model, input_tokens, output_tokens, total_tokens, processing_time"
    run(
        database_url,
        f"INSERT INTO token_usage ({columns}) VALUES (gen_random_uuid(), to_timestamp({NOW_NS / 1e9}),"
        " 'gpt-4.1-2025-04-14', 100, 20, 120, 1495)",
    )
    send(app, (SDK, [report(1, GENAI)]))
    with closing(connect(database_url)) as connection:
        assert compare(connection, None).removed == 0
    assert len(stored(database_url)) == 2
