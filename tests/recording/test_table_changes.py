"""A table that is changed under a running Tracker: refusals end when the table is corrected, without a restart."""

from __future__ import annotations

import json
import time

import pytest
from support import a_call, eventually, rows, run, value

from tracker.recording import retry as delivery_module
from tracker.recording.outbox import held_records

COUNT = "SELECT count(*) FROM token_usage"
PARTITIONED = (
    "ALTER TABLE token_usage RENAME TO old_usage",
    "CREATE TABLE token_usage (LIKE old_usage INCLUDING DEFAULTS) PARTITION BY HASH (id)",
    "ALTER TABLE token_usage ADD PRIMARY KEY (id)",
    "CREATE TABLE usage_0 PARTITION OF token_usage FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
)
OTHER_PARTITION = "CREATE TABLE usage_1 PARTITION OF token_usage FOR VALUES WITH (MODULUS 2, REMAINDER 1)"


@pytest.fixture(params=["direct", "background"])
def running(request, new_tracker, database_url):
    """A Tracker in each mode that has delivered a record, and so knows the table."""
    recorder = new_tracker(mode=request.param, log_records=False)
    recorder.record(a_call(session_id="first"))
    assert recorder.flush(10) == 0
    assert value(database_url, COUNT) == 1
    return recorder


def alerts(caplog):
    lines = [json.loads(line) for line in caplog.messages if line.startswith("{")]
    reasons = [line["reason"] for line in lines if line.get("type") == "token_tracking_failure"]
    # Queued records of an earlier test are still retried, after its database was dropped.
    return [reason for reason in reasons if reason != "database_missing"]


def transactions(url):
    run(url, "SELECT pg_stat_clear_snapshot()")
    question = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return value(url, question)


def taken(recorder):
    depth = recorder.outbox_depth()
    return depth.waiting, depth.dead_letters


def test_a_column_that_became_not_null_gets_its_default(running, database_url):
    run(
        database_url,
        "UPDATE token_usage SET session_id = 'none'",
        "ALTER TABLE token_usage ALTER COLUMN session_id SET DEFAULT 'none', ALTER COLUMN session_id SET NOT NULL",
    )
    assert running.record(a_call()).status in {"recorded", "queued"}
    assert running.flush(10) == 0
    running.record(a_call(session_id="given"))
    assert running.flush(10) == 0
    found = rows(database_url, "SELECT session_id FROM token_usage ORDER BY sequence")
    assert found == [("none",), ("none",), ("given",)]
    assert taken(running) == (0, 0)


def test_a_second_change_within_the_limit_of_reads_recovers_by_itself(running, database_url, monkeypatch):
    monkeypatch.setattr(delivery_module, "_REREAD_INTERVAL_S", 2.0)
    for column in ("session_id", "provider"):
        run(
            database_url,
            f"UPDATE token_usage SET {column} = 'none'",
            f"ALTER TABLE token_usage ALTER COLUMN {column} SET DEFAULT 'none', ALTER COLUMN {column} SET NOT NULL",
        )
        assert running.record(a_call()).status in {"recorded", "queued"}
        running.flush(0.2)
    eventually(lambda: value(database_url, COUNT) == 3)
    eventually(lambda: taken(running) == (0, 0))  # the outbox is emptied after the commit


def test_a_table_is_read_again_once_in_ten_seconds(new_tracker, database_url, monkeypatch):
    recorder = new_tracker(log_records=False)
    recorder.record(a_call())
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT good CHECK (model NOT LIKE 'bad%')")
    reads = []
    read = delivery_module.Target.read
    monkeypatch.setattr(delivery_module.Target, "read", lambda *given: reads.append(1) or read(*given))
    statuses = [recorder.record(a_call(model="bad")).status for _ in range(5)]
    assert (statuses, len(reads)) == (["failed"] * 5, 1)


def test_a_new_column_of_the_application_is_an_error_of_the_table(running, database_url, caplog):
    run(
        database_url,
        "ALTER TABLE token_usage ADD COLUMN tenant text DEFAULT 'old' NOT NULL",
        "ALTER TABLE token_usage ALTER COLUMN tenant DROP DEFAULT",
    )
    outcomes = [running.record(a_call()) for _ in range(3)]
    assert {outcome.status for outcome in outcomes} == {"queued"}
    assert running.flush(1) == 3
    assert taken(running) == (3, 0)
    assert alerts(caplog) == ["value_required"]
    assert "tenant" in caplog.text
    run(database_url, "ALTER TABLE token_usage ALTER COLUMN tenant SET DEFAULT 'new'")
    eventually(lambda: value(database_url, "SELECT count(*) FROM token_usage WHERE tenant = 'new'") == 3)
    eventually(lambda: taken(running) == (0, 0))
    assert running.record(a_call()).status in {"recorded", "queued"}
    assert running.flush(10) == 0


def test_a_missing_partition_delays_its_own_records_only(running, database_url, caplog):
    run(database_url, *PARTITIONED)
    for _ in range(40):
        running.record(a_call())
    left = running.flush(5)
    stored = value(database_url, COUNT)
    assert 0 < left < 40
    assert (stored + left, taken(running)) == (40, (left, 0))
    assert alerts(caplog) == ["partition_missing"]
    run(database_url, OTHER_PARTITION)
    eventually(lambda: value(database_url, COUNT) == 40)
    assert running.flush(5) == 0


def test_a_flush_retries_held_records_at_once(running, database_url):
    run(
        database_url,
        "ALTER TABLE token_usage ADD COLUMN tenant text DEFAULT 'old' NOT NULL",
        "ALTER TABLE token_usage ALTER COLUMN tenant DROP DEFAULT",
    )
    running.record(a_call())
    for _ in range(3):  # so that the backoff is longer than this test waits
        assert running.flush(1) == 1
    run(database_url, "ALTER TABLE token_usage ALTER COLUMN tenant DROP NOT NULL")
    started = time.monotonic()
    assert running.flush(10) == 0
    assert time.monotonic() - started < 1
    assert value(database_url, COUNT) == 2


@pytest.mark.direct
@pytest.mark.parametrize("constraint", ["CHECK (model NOT LIKE 'bad%')", "FOREIGN KEY (model) REFERENCES models"])
def test_five_thousand_refused_records_wait_and_the_others_are_delivered(
    new_tracker, database_url, caplog, monkeypatch, tmp_path, constraint
):
    path = str(tmp_path / "outbox.db")
    run(
        database_url,
        "CREATE TABLE models AS SELECT 'gemini-2.5-flash' AS name",
        "ALTER TABLE models ADD PRIMARY KEY (name)",
        f"ALTER TABLE token_usage ADD CONSTRAINT good {constraint}",
    )
    recorder = new_tracker(mode="background", database_url="", outbox=path, log_records=False)
    for number in range(10_000):
        recorder.record(a_call(model=f"bad{number}") if number % 2 else a_call())
    recorder.close()
    before = transactions(database_url)
    caplog.clear()
    monkeypatch.setattr(held_records, "FIRST_WAIT_S", 0.5)
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    assert recorder.flush(120) == 5000
    assert value(database_url, COUNT) == 5000
    assert taken(recorder) == (5000, 0)
    assert alerts(caplog) == ["refused_kind"]
    recorder.record(a_call())
    eventually(lambda: value(database_url, COUNT) == 5001)
    time.sleep(1.5)  # the server's counters are a second late
    assert transactions(database_url) - before < 300
    run(database_url, "ALTER TABLE token_usage DROP CONSTRAINT good")
    eventually(lambda: value(database_url, COUNT) == 10_001, 30)
    assert recorder.flush(10) == 0
    assert taken(recorder) == (0, 0)
    assert alerts(caplog) == ["refused_kind"]


def test_many_refusals_of_direct_writes_wait_too(new_tracker, database_url):
    recorder = new_tracker(log_records=False)
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT good CHECK (model NOT LIKE 'bad%')")
    statuses = [recorder.record(a_call(model="bad")).status for _ in range(30)]
    assert statuses == ["failed"] * 19 + ["queued"] * 11
    assert recorder.record(a_call()).status == "recorded"
    assert recorder.flush(5) == 11
    assert taken(recorder) == (11, 19)
    run(database_url, "ALTER TABLE token_usage DROP CONSTRAINT good")
    assert recorder.flush(5) == 0
    assert value(database_url, COUNT) == 12


def test_on_a_serverless_platform_a_later_call_retries(new_tracker, database_url):
    recorder = new_tracker(platform="vercel", log_records=False)
    recorder.record(a_call())
    run(
        database_url,
        "ALTER TABLE token_usage ADD COLUMN tenant text DEFAULT 'old' NOT NULL",
        "ALTER TABLE token_usage ALTER COLUMN tenant DROP DEFAULT",
    )
    assert {recorder.record(a_call()).status for _ in range(3)} == {"queued"}
    run(database_url, "ALTER TABLE token_usage ALTER COLUMN tenant DROP NOT NULL")
    assert recorder.record(a_call()).status == "recorded"
    eventually(lambda: recorder.record(a_call()).stored and recorder.outbox_depth().waiting == 0)


@pytest.mark.parametrize(
    ("statement", "fields"),
    [
        ("ADD CONSTRAINT good CHECK (model NOT LIKE 'bad%')", {"model": "bad"}),
        ("ALTER COLUMN user_id TYPE varchar(10)", {"user_id": "much longer than that"}),
        ("ADD CONSTRAINT once UNIQUE (session_id)", {"session_id": "first"}),
        ("ALTER COLUMN input_tokens TYPE smallint", {"input_tokens": 40_000}),
    ],
)
def test_a_single_refused_record_becomes_a_dead_letter(running, database_url, caplog, statement, fields):
    run(database_url, f"ALTER TABLE token_usage {statement}")
    for number in range(9):
        running.record(a_call(**fields) if number == 4 else a_call())
    assert running.flush(10) == 0
    assert (value(database_url, COUNT), taken(running)) == (9, (0, 1))
    assert alerts(caplog) == ["set_aside"]


def test_a_deferred_constraint_is_attributed_to_its_record(running, database_url):
    run(
        database_url,
        "CREATE TABLE models AS SELECT 'gemini-2.5-flash' AS name",
        "ALTER TABLE models ADD PRIMARY KEY (name)",
        "ALTER TABLE token_usage ADD FOREIGN KEY (model) REFERENCES models DEFERRABLE INITIALLY DEFERRED",
    )
    with_bad = [a_call(model="bad") if number % 2 else a_call() for number in range(60)]
    for usage in with_bad:
        running.record(usage)
    running.flush(10)
    assert value(database_url, COUNT) == 31
    assert sum(taken(running)) == 30


def test_text_of_a_record_is_never_part_of_the_code(running, database_url):
    text = "$tracker$; DROP TABLE token_usage; -- ' \\ %(batch)s %s"
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT good CHECK (model NOT LIKE 'bad%')")
    for number in range(100):
        running.record(a_call(model="bad" if number % 2 else "good", error_message=text, metadata={"note": text}))
    running.flush(10)
    question = "SELECT count(*), count(*) FILTER (WHERE error_message = %s AND metadata ->> 'note' = %s)"
    assert rows(database_url, f"{question} FROM token_usage WHERE model = 'good'", (text, text)) == [(50, 50)]


def test_without_a_procedural_language_the_others_are_delivered_all_the_same(new_tracker, database_url, tmp_path):
    path = str(tmp_path / "outbox.db")
    run(
        database_url,
        "ALTER TABLE token_usage ADD CONSTRAINT good CHECK (model NOT LIKE 'bad%')",
        "DROP EXTENSION plpgsql CASCADE",
    )
    recorder = new_tracker(mode="background", database_url="", outbox=path, log_records=False)
    for number in range(100):
        recorder.record(a_call(model="bad" if number % 2 else "good"))
    recorder.close()
    recorder = new_tracker(mode="background", outbox=path, log_records=False)
    assert recorder.flush(20) == 50
    assert value(database_url, COUNT) == 50
