"""A record in a platform's log is detected in every form in which a platform writes its line."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import a_call

from tracker import TokenUsage, settings
from tracker.importing import log_replay
from tracker.importing.log_replay import LogRecords
from tracker.recording import record_log
from tracker.recording.instance import Instance


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def line_of(usage: TokenUsage, status: str = "failed") -> str:
    """What recording writes about it."""
    instance = Instance(settings.load({"VERCEL": "1", "VERCEL_REGION": "icn1", "VERCEL_ENV": "preview"}).runtime)
    row = {**instance.row(usage, "direct"), "sequence": instance.assign_sequence([])}
    lines = Lines()
    logging.getLogger("tracker").addHandler(lines)
    try:
        record_log.log_full_record(status, row, 'The database said "no" {twice}.', 2)
    finally:
        logging.getLogger("tracker").removeHandler(lines)
    (text,) = lines.texts
    return text


def read_records(lines: Iterable[str]) -> list[tuple[int, Any]]:
    return list(LogRecords(io.StringIO("".join(line if line.endswith("\n") else line + "\n" for line in lines))))


def records(*lines: str) -> list[dict[str, Any]]:
    result = [record for _, record in read_records(lines)]
    assert all(not isinstance(record, str) for record in result), result
    return result


def as_csv(*cells: str) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


WRAPPED = {
    "plain": lambda line: line,
    "Python's basicConfig": lambda line: f"ERROR:tracker:{line}",
    "a formatter": lambda line: f'2026-03-01 10:00:00,123 [worker {{7}}] ERROR tracker: "quoted" {line}',
    "Lambda": lambda line: f"[ERROR]\t2026-03-01T10:00:00.123Z\t6f1c-…\t{line}\r\n",
    "JSON formatter": lambda line: json.dumps({"level": "error", "logger": "tracker", "message": line}),
    "Vercel": lambda line: json.dumps({"id": "1", "message": line, "timestampInMs": 1, "proxy": {"path": "/"}}),
    "Cloud Logging's text": lambda line: json.dumps([{"textPayload": line}, {"textPayload": "other"}]),
    "Cloud Logging's JSON": lambda line: json.dumps({"jsonPayload": json.loads(line), "severity": "ERROR"}),
    "CloudWatch, one line": lambda line: json.dumps({"logEvents": [{"message": f"[ERROR]\t1\t{line}\n"}]}),
    "CloudWatch, a line of many": lambda line: f'            "message": {json.dumps(line)},\n',
    "twice wrapped": lambda line: json.dumps({"log": json.dumps({"message": f"ERROR {line}"}) + "\n"}),
    "a CSV export": lambda line: as_csv("2026-03-01", line, 'a "b"'),
    "Docker": lambda line: json.dumps({"log": line + "\n", "stream": "stderr"}),
    "an emoji before it": lambda line: "\u274c {not json} " + line,
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("status", ["failed", "queued", "unqueued"])
def test_a_record_is_detected_in(how, status):
    usage = a_call(user_id='u "1" {x}', metadata={"a": ['"', "{", "\\", "ü\n", ""]}, cost="0.0000001", session_id="")
    (record,) = records(WRAPPED[how](line_of(usage, status)))
    assert {name: record[name] for name in usage.as_row()} == usage.as_row()


def test_a_record_keeps_its_deployment_columns_and_is_marked_as_delivered_late():
    usage = a_call(created_at=datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC))
    (record,) = records(line_of(usage))
    assert record["created_at"] == usage.created_at
    assert (record["platform"], record["environment"], record["region"]) == ("vercel", "preview", "icn1")
    assert (record["delivery"], record["sequence"]) == ("outbox", 1)
    assert record["instance_id"]


def test_several_in_one_line_are_several():
    usages = [a_call() for _ in range(3)]
    wrapped = json.dumps({"logEvents": [{"message": line_of(usage)} for usage in usages]})
    assert [record["id"] for record in records(wrapped)] == [usage.id for usage in usages]
    assert [record["id"] for record in records(" ".join(map(line_of, usages)))] == [usage.id for usage in usages]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET / 200",
        '{"event": "something.else", "record": {}}',
        'token_usage.recorded {"id": "x", "operation": "chat"}',
        '{"event": "token_usage.recorded", "record": {"id": "x"}}',
        "token_usage.failed {" * 50,
        '{"message": "token_usage. is a word"}',
        '{"type": "token_tracking_failure", "error": "token_usage locks"}',
    ],
)
def test_a_line_without_a_record_is_skipped(line):
    assert read_records([line]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "no uuid"},
        {"input_tokens": -1},
        {"input_tokens": "many"},
        {"created_at": "yesterday"},
        {"model": ""},
        {"metadata": [1]},
        {"cost": "NaN"},
    ],
)
def test_an_invalid_record_is_reported_and_the_others_are_read(change):
    event = json.loads(line_of(a_call()))
    event["record"] |= change
    good = a_call()
    (number, reason), (_, record) = read_records([json.dumps(event), line_of(good)])
    assert number == 1
    assert isinstance(reason, str)
    assert "can't be read" in reason
    assert record["id"] == good.id


def test_columns_of_a_later_version_are_skipped():
    event = json.loads(line_of(a_call()))
    event["record"]["from_the_future"] = 1
    (record,) = records(json.dumps(event))
    assert "from_the_future" not in record


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_record_that_is_cut_off_is_reported_with_its_line(how, share):
    whole = line_of(a_call())
    cut = WRAPPED[how](whole[: max(50, int(len(whole) * share))]) if how != "Cloud Logging's JSON" else whole[:80]
    (number, reason), (_, record) = read_records([cut, whole])
    assert number == 1
    assert "cut off" in reason
    assert record["id"]


@pytest.mark.parametrize(
    "line",
    ['{"event": "token_usage.failed"}', '{"event": "token_usage.queued", "record": null}', '{"event": "token_usage.fa'],
)
def test_an_event_without_a_record_is_reported(line):
    result = read_records([line])
    assert [number for number, _ in result] == [1]
    assert "cut off" in result[0][1]


def test_a_complete_record_beside_a_cut_one_in_a_line_is_read_and_the_cut_one_is_reported():
    whole = line_of(a_call())
    record, reason = read_records([f"{whole} {whole[:300]}"])
    assert record[1]["id"]
    assert "cut off" in reason[1]


def test_a_line_beyond_the_limit_is_skipped_in_constant_memory_and_reported(monkeypatch):
    monkeypatch.setattr(log_replay, "_LONGEST_LINE", 10_000)
    whole = line_of(a_call())
    lines = ["x" * 30_000 + whole, "y" * 50_000, whole]
    result = read_records(lines)
    assert [(number, isinstance(record, str)) for number, record in result] == [(1, True), (3, False)]


def test_a_line_of_values_that_begin_and_never_end_is_reported_in_bounded_time():
    line = '{"event": "token_usage.failed", "record": ' + '{"a":' * 900 + "[" + "0," * 400_000
    started = time.process_time()
    assert ["cut off" in reason for _, reason in read_records([line])] == [True]
    assert time.process_time() - started < 20


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(sorted(WRAPPED)))
def test_no_text_hides_a_record_or_breaks_the_reading(user, note, how):
    usage = a_call(user_id=user + "x", metadata={"note": note}, cost=Decimal("1.5"))
    result = records(WRAPPED[how](line_of(usage)))
    assert [record["id"] for record in result] == [usage.id]
    assert result[0]["user_id"] == usage.user_id
