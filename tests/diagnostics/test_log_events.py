"""The log events of a failed and a slow record: one line each, OpenTelemetry's names, no secret."""

from __future__ import annotations

import io
import json

import pytest
from support import a_call


@pytest.fixture
def events(caplog):
    caplog.set_level("INFO", logger="tracker")

    def read() -> list[dict]:
        lines = [record.getMessage() for record in caplog.records if record.name == "tracker"]
        return [json.loads(line) for line in lines if line.startswith('{"event": "tracker.')]

    return read


def test_a_fast_record_that_succeeds_has_no_event(recorder, events):
    recorder.record(a_call())
    assert events() == []


def test_a_slow_record_is_one_line(new_tracker, events, proxy):
    proxy.delay_to_server_ms = 20
    outcome = new_tracker(database_url=proxy.url, slow_record_ms=5).record(a_call(provider="google"))
    (line,) = events()
    assert line["event"] == "tracker.record_slow"
    assert line["db.client.operation.duration"] >= 0.02
    assert line["tracker.record.id"] == str(outcome.id)
    assert (line["gen_ai.provider.name"], line["gen_ai.request.model"]) == ("google", "gemini-2.5-flash")
    assert (line["gen_ai.usage.input_tokens"], line["gen_ai.usage.output_tokens"]) == (812, 164)
    assert (line["db.system.name"], line["db.collection.name"]) == ("postgresql", "token_usage")


def test_a_failure_is_one_line_with_its_cause_and_without_the_user_id(new_tracker, events):
    url = "postgresql://someone:hunter2secret@127.0.0.1:1/app"
    new_tracker(database_url=url, deadline_s=0.3).record(a_call(user_id="user-42"))
    (line,) = events()
    assert (line["event"], line["error.type"]) == ("tracker.record_failed", "queued")
    assert "Nothing answers" in line["error.message"]
    assert "hunter2secret" not in json.dumps(line)
    assert "user-42" not in json.dumps(line)


def test_a_duplicate_is_not_a_failure(recorder, events):
    usage = a_call()
    recorder.record(usage)
    recorder.record(usage)
    assert events() == []


def test_an_event_is_not_replayed_as_a_record(new_tracker, events):
    from tracker.importing.log_replay import LogRecords

    new_tracker(database_url="postgresql://127.0.0.1:1/app", deadline_s=0.3).record(a_call())
    assert list(LogRecords(io.StringIO(json.dumps(events()[0])))) == []
