"""Sample data resembles an app's data, has ids and marks of its own, and is removed completely."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from support import a_call, connect, rows, run, value

from tracker.budgets import budget_store
from tracker.budgets.budget import Budget
from tracker.cli import main
from tracker.database.migrate import migrate
from tracker.database.sample_ids import FIRST_ID, IS_SAMPLE, IS_SAMPLE_ID, LAST_ID
from tracker.database.sql_file import load
from tracker.maintenance import sample_data
from tracker.maintenance.sample_calls import calls_of_hour, hour_of, outages

NOW = datetime(2026, 6, 10, 9, 7, tzinfo=UTC)
# A sample row as the first versions wrote it; `{}` is the end of its id.
OLD_ROW = (
    "INSERT INTO token_usage (id, created_at, model, input_tokens, output_tokens, total_tokens, environment, platform,"
    " region, deployment, metadata) VALUES ('019e0000-0000-7000-8000-00000000000{}', now(), 'old', 1, 1, 2,"
    " 'production', 'vercel', 'icn1', 'sample', '{{\"sample\": true}}')"
)


@pytest.fixture(autouse=True)
def here(monkeypatch, database_url) -> None:
    """The commands' database is the test's."""
    monkeypatch.setenv("DATABASE_URL", database_url)


def add_budget(connection, name: str) -> None:
    access = budget_store.read_access(connection, None)
    budget_store.save(connection, access, Budget(name=name, period="day", measure="tokens", amount=Decimal(5)))


def test_sample_data_has_what_every_page_shows(connection, database_url):
    count = sample_data.add(connection, days=14)
    ((total, models, users, operations, environments, deployments, sessions, plans),) = rows(
        database_url,
        "SELECT count(*), count(DISTINCT model), count(DISTINCT user_id), count(DISTINCT operation),"
        " count(DISTINCT environment), count(DISTINCT deployment), count(DISTINCT session_id),"
        " count(DISTINCT metadata ->> 'plan') FROM token_usage",
    )
    assert total == count
    assert (models, operations, environments, plans) == (5, 3, 2, 2)
    assert 14 * 100 < count < 14 * 600
    assert users > 30
    assert deployments > 6
    assert sessions > 50
    ((failed, messages, unpriced, cost, streams, no_streams),) = rows(
        database_url,
        "SELECT count(*) FILTER (WHERE NOT success), count(DISTINCT regexp_replace(error_message, '\\d+', '', 'g')),"
        " count(*) FILTER (WHERE cost IS NULL), sum(cost), count(time_to_first_token_ms),"
        " count(*) FILTER (WHERE time_to_first_token_ms > processing_time) FROM token_usage",
    )
    assert 0 < failed < count * 0.06
    assert messages >= 6
    assert 0 < unpriced < count * 0.2
    assert 0 < cost < count
    assert streams > count * 0.2
    assert no_streams == 0
    assert value(database_url, "SELECT count(*) FROM token_tracker_alerts") >= 2


def test_records_of_an_outage_arrive_late_from_the_outbox(connection, database_url):
    sample_data.add(connection, days=8)
    ((late, direct, background, retried, longest, never_before),) = rows(
        database_url,
        "SELECT count(*) FILTER (WHERE delivery = 'outbox'), count(*) FILTER (WHERE delivery = 'direct'),"
        " count(*) FILTER (WHERE delivery = 'background'), count(*) FILTER (WHERE retry_count > 0),"
        " max(recorded_at - created_at), count(*) FILTER (WHERE recorded_at < created_at OR recorded_at > now())"
        " FROM token_usage",
    )
    assert min(late, direct, background, retried) > 0
    assert timedelta(minutes=20) < longest < timedelta(minutes=40)
    assert never_before == 0


def test_every_process_numbers_its_records_without_gaps(connection, database_url):
    sample_data.add(connection, days=2, now=NOW)
    assert (
        rows(
            database_url,
            "SELECT instance_id FROM token_usage"
            " WHERE created_at < '2026-06-10 08:00Z' AND created_at > '2026-06-08 11:00Z'"
            " GROUP BY instance_id HAVING count(*) <> max(sequence) OR min(sequence) <> 1",
        )
        == []
    )


def test_ids_are_in_the_range_that_no_other_id_is_in(connection, database_url, recorder):
    sample_data.add(connection, days=2)
    recorder.record(a_call())
    outside = f"SELECT count(*) FROM token_usage WHERE NOT {IS_SAMPLE_ID}"
    assert value(database_url, outside) == 1
    latest_import = int(datetime.max.replace(tzinfo=UTC).timestamp() * 1000)
    assert FIRST_ID.version == LAST_ID.version == 8
    assert FIRST_ID.int >> 80 > latest_import


def test_the_sql_files_have_the_same_condition(database_url):
    text = load("tracker.reports.sql", "last_records").text
    assert "".join(IS_SAMPLE.split()) in "".join(text.split())


def test_rows_are_consistent(connection, database_url):
    sample_data.add(connection, days=3)
    wrong = (
        "total_tokens <> input_tokens + output_tokens OR cache_read_input_tokens > input_tokens"
        " OR reasoning_output_tokens > output_tokens OR created_at > now() OR is_test"
    )
    assert value(database_url, f"SELECT count(*) FROM token_usage WHERE {wrong}") == 0


def test_a_second_load_adds_nothing_and_a_later_one_continues(connection, database_url):
    added = sample_data.add(connection, days=3, now=NOW)
    assert sample_data.add(connection, days=3, now=NOW) == 0
    assert sample_data.add(connection, days=1, now=NOW) == 0
    later = sample_data.add(connection, days=3, now=NOW + timedelta(hours=5))
    assert later > 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == added + later


def test_the_same_hour_has_the_same_rows():
    hour = hour_of(NOW)
    assert list(calls_of_hour(hour)) == list(calls_of_hour(hour))
    week = list(outages(NOW - timedelta(days=7), NOW))
    assert len(week) >= 1


def test_the_rows_of_earlier_versions_are_replaced(connection, database_url):
    run(database_url, OLD_ROW.format(1), OLD_ROW.format(2))
    added = sample_data.add(connection, days=2)
    assert value(database_url, "SELECT count(*) FROM token_usage") == added
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE model = 'old'") == 0


def test_removal_leaves_every_other_row_and_budget(connection, database_url, recorder):
    for metadata in ({}, {"sample": True}, {"sample": False}, {"sample": "yes"}, {"note": "sample"}):
        assert recorder.record(a_call(metadata=metadata)).stored
    # An imported row has no instance and no delivery, and can have the same metadata as old sample rows.
    imported = OLD_ROW.format(3).replace("-7000-", "-8000-")
    run(database_url, OLD_ROW.format(1), imported)
    add_budget(connection, "Team")
    add_budget(connection, "mine")
    run(
        database_url,
        "INSERT INTO token_tracker_alerts (reason, error) VALUES ('timeout', 'The database did not answer.')",
    )
    run(database_url, "DELETE FROM token_usage WHERE model = 'old' AND id::text LIKE '%-7000-%'")
    before = [rows(database_url, f"SELECT * FROM {table} ORDER BY 1") for table in TABLES]
    added = sample_data.add(connection, days=8)
    assert value(database_url, "SELECT count(*) FROM token_tracker_budgets") == 4
    assert sample_data.remove(connection) == added
    assert [rows(database_url, f"SELECT * FROM {table} ORDER BY 1") for table in TABLES] == before


TABLES = ("token_usage", "token_tracker_budgets", "token_tracker_alerts")


def test_a_sample_budget_that_a_user_sets_belongs_to_the_user(connection, database_url):
    sample_data.add(connection, days=1)
    assert main(["budget", "set", "Chat", "--tokens", "10", "--per", "day"]) == 0
    sample_data.remove(connection)
    assert rows(database_url, "SELECT name FROM token_tracker_budgets") == [("Chat",)]


def test_a_load_that_fails_leaves_nothing(connection, database_url):
    def interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_data.add(connection, days=8, progress=interrupt)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_progress_ends_at_the_whole(connection):
    shares: list[float] = []
    sample_data.add(connection, days=10, progress=shares.append)
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert shares[-1] == 1


def test_an_adopted_table_gets_sample_data(empty_database_url):
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamp,"
        " user_id text, model text, input_tokens int, output_tokens int, total_tokens int, cost numeric(10,6))",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    with closing(connect(empty_database_url)) as connection:
        added = sample_data.add(connection, days=2, now=NOW)
        last = "SELECT max(created_at AT TIME ZONE 'Asia/Seoul') FROM token_usage"
        assert NOW - timedelta(hours=2) < value(empty_database_url, last) < NOW
        assert sample_data.remove(connection) == added > 0


def test_the_command_adds_and_removes(capsys, database_url):
    assert main(["sample-data", "--days", "2"]) == 0
    count = value(database_url, "SELECT count(*) FROM token_usage")
    assert f"Added {count} sample calls" in capsys.readouterr().out
    assert main(["sample-data", "--remove"]) == 0
    assert f"Removed {count} sample calls" in capsys.readouterr().out
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0
    assert value(database_url, "SELECT count(*) FROM token_tracker_budgets") == 0


def test_real_calls_require_force(capsys, database_url, recorder):
    recorder.record(a_call())
    assert main(["sample-data", "--days", "1"]) == 1
    assert "--force" in capsys.readouterr().err
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1
    assert main(["sample-data", "--days", "1", "--force"]) == 0


def test_a_recorded_call_that_an_app_marks_so_is_a_real_one(recorder):
    recorder.record(a_call(metadata={"sample": True}))
    assert main(["sample-data", "--days", "1"]) == 1


def test_a_test_recording_is_no_real_call(recorder):
    recorder.record(a_call(is_test=True))
    assert main(["sample-data", "--days", "1"]) == 0


def test_earlier_samples_are_no_real_calls(database_url):
    run(database_url, OLD_ROW.format(1))
    assert main(["sample-data", "--days", "1"]) == 0
    assert main(["sample-data", "--days", "1"]) == 0


def test_a_missing_delete_privilege_is_reported(connection, limited_url, monkeypatch, capsys):
    sample_data.add(connection, days=1)
    monkeypatch.setenv("DATABASE_URL", limited_url)
    assert main(["sample-data", "--remove"]) == 1
    assert "GRANT SELECT, DELETE ON token_usage" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "367", "-1"])
def test_a_number_of_days_out_of_range_is_exit_2(capsys, days):
    assert main(["sample-data", f"--days={days}"]) == 2
    assert "--days" in capsys.readouterr().err
