"""`token-tracker import --profile tracker-log`: records that only a log contains are stored once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support import a_call, count, rows, run

from tracker import Tracker
from tracker.cli import main

# --- import --profile tracker-log ---------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog, tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """The log's lines about calls that couldn't be kept anywhere."""

    def write(*usages) -> list[str]:
        recorder = Tracker(mode="direct", max_retries=0, database_url="postgresql://u@127.0.0.1:1/db", outbox=tmp_path)
        assert {recorder.record(usage).status for usage in usages} == {"failed"}
        recorder.close()
        return [message for message in caplog.messages if "token_usage.failed" in message]

    return write


def test_a_log_is_replayed_by_id_and_twice_adds_nothing(lines, tmp_path, monkeypatch, database_url, capsys):
    usages = [a_call(cost="0.0000001", metadata={"n": number}, user_id='u "1"') for number in range(5)]
    plain, prefixed, wrapped, cloudwatch, vercel = lines(*usages)
    log = tmp_path / "app.log"
    log.write_text(
        "\n".join(
            [
                "GET /api/chat 200 in 31ms",
                plain,
                f"ERROR:tracker:{prefixed}",
                json.dumps({"level": "error", "message": wrapped}),
                json.dumps({"logEvents": [{"message": f"[ERROR]\t2026-03-01T10:00:00Z\tid\t{cloudwatch}\n"}]}),
                f'  "message": {json.dumps(vercel)},',
                plain,
            ]
        )
    )
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert capsys.readouterr().out == "6 records read: 5 recorded, 1 already there, 0 rejected.\n"
    question = "SELECT id, created_at, cost, metadata, user_id, delivery, sequence FROM token_usage ORDER BY sequence"
    assert rows(database_url, question) == [
        (str(usage.id), usage.created_at, usage.cost, dict(usage.metadata), usage.user_id, "outbox", number)
        for number, usage in enumerate(usages, start=1)
    ]
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert capsys.readouterr().out == "6 records read: 0 recorded, 6 already there, 0 rejected.\n"
    assert count(database_url) == 5


def test_a_broken_record_in_a_log_is_named_and_the_others_go_on(lines, tmp_path, monkeypatch, database_url, capsys):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    first, refused, broken = lines(a_call(), a_call(model="gpt"), a_call())
    log = tmp_path / "app.log"
    log.write_text("\n".join([first, refused, broken.replace('"input_tokens": 812', '"input_tokens": -1')]))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "3 records read: 1 recorded, 0 already there, 2 rejected.\n"
    assert "line 2: The table refused the record (known)" in printed.err
    assert "line 3: the record in this line can't be read" in printed.err


def test_a_log_takes_no_mapping(tmp_path, monkeypatch, database_url, capsys):
    (tmp_path / "app.log").write_text("")
    monkeypatch.setenv("DATABASE_URL", database_url)
    arguments = ["import", str(tmp_path / "app.log"), "--profile", "tracker-log", "--set", "model=x"]
    assert main(arguments) == 2
    assert "don't apply to a log" in capsys.readouterr().err


def test_a_queued_record_on_serverless_can_be_replayed_from_the_log(caplog, tmp_path, monkeypatch, database_url):
    usage = a_call()
    recorder = Tracker(
        mode="direct", platform="vercel", max_retries=0, database_url="postgresql://u@127.0.0.1:1/db", deadline_s=0.3
    )
    assert recorder.record(usage).status == "queued"
    recorder.close()
    log = tmp_path / "vercel.log"
    log.write_text("\n".join(caplog.messages))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert rows(database_url, "SELECT id FROM token_usage") == [(str(usage.id),)]
