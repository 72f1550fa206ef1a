"""A table without the columns of a later version: records are stored without their values until `migrate` adds them."""

from __future__ import annotations

import json

import pytest
from support import a_call, connect, python, rows, run, value

from tracker import settings
from tracker.database.locate import Database
from tracker.database.migrate import migrate
from tracker.database.schema import COLUMN_NAMES, OPTIONAL_TYPES, read_table
from tracker.database.url import clean
from tracker.recording.insert import DeliveryInfo, Target, insert_each, insert_queued
from tracker.reports import Reader
from tracker.reports.ai_calls import call_speed
from tracker.reports.filters import Filters

DROP = "ALTER TABLE token_usage DROP COLUMN time_to_first_token_ms"
STORED = "SELECT time_to_first_token_ms FROM token_usage ORDER BY created_at, id"


@pytest.fixture
def earlier_url(database_url):
    """A database whose table an earlier version created."""
    run(database_url, DROP)
    return database_url


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_records_are_stored_without_the_value(earlier_url, new_tracker, mode):
    recorder = new_tracker(mode=mode)
    assert recorder.record(a_call(time_to_first_token_ms=120)).status in {"recorded", "queued"}
    assert recorder.flush(10) == 0
    assert value(earlier_url, "SELECT count(*) FROM token_usage") == 1


def test_many_records_and_an_import_are_stored_without_the_value(earlier_url, new_tracker, tmp_path):
    outcomes = new_tracker().record_many([a_call(time_to_first_token_ms=number) for number in range(3)])
    assert {outcome.status for outcome in outcomes} == {"recorded"}
    file = tmp_path / "calls.jsonl"
    line = {"model": "m", "input_tokens": 1, "output_tokens": 2, "created_at": "2026-01-01T00:00:00Z"}
    file.write_text("".join(json.dumps({**line, "time_to_first_token_ms": n}) + "\n" for n in range(2)))
    done = python("-m", "tracker", "import", str(file), env={"DATABASE_URL": earlier_url})
    assert done.returncode == 0, done.stderr
    assert value(earlier_url, "SELECT count(*) FROM token_usage") == 5


def test_doctor_stays_healthy_and_names_migrate(earlier_url):
    done = python("-m", "tracker", "doctor", "--json", env={"DATABASE_URL": earlier_url})
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["healthy"] is True
    (advice,) = [one for one in report["recommendations"] if one["code"] == "optional_column_missing"]
    assert "time_to_first_token_ms" in advice["evidence"]
    assert "token-tracker migrate" in advice["remedy"]


def test_migrate_adds_the_column_and_a_new_tracker_fills_it(earlier_url, new_tracker):
    new_tracker().record(a_call(time_to_first_token_ms=1))
    migrate(lambda: connect(earlier_url))
    new_tracker().record(a_call(time_to_first_token_ms=250))
    assert [stored for (stored,) in rows(earlier_url, STORED)] == [None, 250]


def test_an_insert_of_an_earlier_version_stores_into_the_new_table(database_url):
    names = [name for name in COLUMN_NAMES if name not in {*OPTIONAL_TYPES, "id", "created_at", "recorded_at"}]
    values = {"model": "m", "user_id": "u", "operation": "chat", "metadata": "{}"}
    given = [name for name in names if name in values or name.endswith("_tokens")]
    literals = ", ".join(f"'{values[name]}'" if name in values else "0" for name in given)
    run(database_url, f"INSERT INTO token_usage ({', '.join(given)}) VALUES ({literals})")
    assert rows(database_url, STORED) == [(None,)]


@pytest.mark.parametrize("lacks_column", [False, True])
def test_queued_records_of_both_versions_are_delivered(database_url, lacks_column):
    if lacks_column:
        run(database_url, DROP)
    documents = [
        json.dumps(
            {"id": str(a_call().id), "created_at": f"2026-01-01T00:00:0{number}Z", "model": "m", "user_id": "u"}
            | {"operation": "chat", "input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "success": True}
            | added
        )
        for number, added in enumerate([{}, {"time_to_first_token_ms": 90}] * 2)
    ]
    connection = connect(database_url)
    target = Target.of(read_table(connection))
    info = DeliveryInfo([], 1.0, 0)
    assert insert_queued(connection, target, documents[:2], info) == 2
    assert insert_each(connection, target, documents[2:], info).new == 2
    connection.close()
    if not lacks_column:
        assert [stored for (stored,) in rows(database_url, STORED)] == [None, 90, None, 90]


@pytest.mark.parametrize("naive", [False, True])
def test_reports_read_a_table_without_the_column(earlier_url, new_tracker, naive):
    if naive:
        run(
            earlier_url,
            "DROP INDEX token_usage_late_idx, token_usage_session_idx",
            "ALTER TABLE token_usage ALTER COLUMN created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'",
        )
    call = a_call(processing_time=2000)
    new_tracker().record(call)
    reader = Reader(Database(clean(earlier_url), embedded=False, settings=settings.load({})))
    try:
        reader.check()
        filters = Filters(start=call.created_at.replace(year=2020), end=call.created_at.replace(year=2100))
        assert call_speed.first_token(reader, filters).empty
        speed = call_speed.output_speed(reader, filters)
        assert call_speed.overall_tokens_per_s(speed) == pytest.approx(call.output_tokens / 2)
    finally:
        reader.close()
