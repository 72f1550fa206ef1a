"""The log has one line for each record, and the whole record if it is lost."""

from __future__ import annotations

import json
import logging
from decimal import Decimal

from recording_support import failures
from support import a_call, with_role


def test_a_failure_is_one_json_line_with_the_whole_record(caplog, tmp_path, new_tracker):
    usage = a_call(
        user_id="u\n1", cost=Decimal("0.0000001"), metadata={"deep": [1, {"ü": None}]}, error_message="it's\r\nbroken"
    )
    address = "postgresql://u:hunter2@127.0.0.1:1/db"
    outcome = new_tracker(database_url=address, max_retries=1, outbox=tmp_path).record(usage)  # a directory is no file
    (line,) = [record for record in caplog.records if "token_usage.failed" in record.getMessage()]
    text = line.getMessage()
    assert (line.name, line.levelname) == ("tracker", "ERROR")
    assert "\n" not in text
    event = json.loads(text)
    assert (event["event"], event["error"], event["retry_count"]) == ("token_usage.failed", outcome.error, 1)
    for name, held in usage.as_row().items():
        written = event["record"][name]
        shown = held.isoformat() if name == "created_at" else str(held)
        assert written == (held if isinstance(held, bool | int | dict | None) else shown)
    assert {"environment", "platform", "instance_id", "sequence", "delivery"} <= set(event["record"])
    assert "hunter2" not in text


def test_a_wrong_password_is_in_no_log_line(caplog, password_url, clerk, new_tracker):
    url = with_role(password_url, clerk.name, "hunter2-wrong")
    outcome = new_tracker(database_url=url).record(a_call())
    assert outcome.retry_count == 0  # trying again would lock the account
    assert "refused the password" in outcome.error
    assert "hunter2" not in caplog.text + outcome.error


def test_a_recorded_call_is_one_info_line(caplog, recorder, monkeypatch):
    monkeypatch.setenv("NODE_ENV", "production")
    monkeypatch.setenv("VERCEL_ENV", "preview")
    with caplog.at_level(logging.INFO, "tracker"):
        outcome = recorder.record(a_call(operation="tag_generation"))
    (line,) = caplog.records
    assert line.levelname == "INFO"
    kind, _, document = line.getMessage().partition(" ")
    assert kind == "token_usage.recorded"
    fields = json.loads(document)
    assert fields["id"] == str(outcome.id)
    assert (fields["operation"], fields["total_tokens"]) == ("tag_generation", 976)
    assert (fields["NODE_ENV"], fields["VERCEL"], fields["VERCEL_ENV"]) == ("production", None, "preview")
    assert fields["write_ms"] == outcome.write_ms


def test_the_line_a_call_can_be_switched_off(caplog, new_tracker, monkeypatch):
    monkeypatch.setenv("TRACKER_LOG_RECORDS", "off")
    with caplog.at_level(logging.INFO, "tracker"):
        assert new_tracker().record(a_call()).stored
    assert caplog.records == []


def test_switching_the_line_off_keeps_the_line_about_a_loss(caplog, new_tracker, tmp_path):
    with caplog.at_level(logging.INFO, "tracker"):
        new_tracker(database_url="nonsense", log_records=False, outbox=tmp_path).record(a_call())
    assert len(failures(caplog)) == 1
