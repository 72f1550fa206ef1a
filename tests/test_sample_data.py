"""Sample calls resemble an app's calls, have a mark, and are removed completely."""

from __future__ import annotations

import pytest
from support import a_call, rows, value

from tracker.cli import main
from tracker.maintenance import sample_data


@pytest.fixture(autouse=True)
def here(monkeypatch, database_url) -> None:
    """The commands' database is the test's."""
    monkeypatch.setenv("DATABASE_URL", database_url)


def test_sample_calls_are_added_and_counted(connection, database_url):
    count = sample_data.add(connection, days=7)
    assert value(database_url, "SELECT count(*) FROM token_usage") == count
    assert 7 * 100 < count < 7 * 500


def test_every_sample_call_is_marked_and_belongs_to_no_instance(connection, database_url):
    sample_data.add(connection, days=2)
    assert rows(
        database_url, "SELECT DISTINCT metadata, is_test, instance_id, sequence, delivery FROM token_usage"
    ) == [({"sample": True}, False, None, None, None)]


def test_their_figures_are_plausible(connection, database_url):
    sample_data.add(connection, days=14)
    ((models, users, operations, failed, calls, unpriced, cost, first, future),) = rows(
        database_url,
        "SELECT count(DISTINCT model), count(DISTINCT user_id), count(DISTINCT operation),"
        " count(*) FILTER (WHERE NOT success), count(*), count(*) FILTER (WHERE cost IS NULL), sum(cost),"
        " now() - min(created_at) < interval '14 days 1 minute', count(*) FILTER (WHERE created_at > now())"
        " FROM token_usage",
    )
    assert (models, operations, first, future) == (5, 3, True, 0)
    assert users > 30
    assert 0 < failed < calls * 0.03
    assert 0 < unpriced < calls * 0.2
    assert 0 < cost < calls


def test_totals_are_the_sums_of_their_parts(connection, database_url):
    sample_data.add(connection, days=3)
    wrong = "total_tokens <> input_tokens + output_tokens OR cache_read_input_tokens > input_tokens"
    assert value(database_url, f"SELECT count(*) FROM token_usage WHERE {wrong}") == 0


def test_adding_again_replaces_the_earlier_ones(connection, database_url):
    sample_data.add(connection, days=5)
    assert sample_data.add(connection, days=2) == value(database_url, "SELECT count(*) FROM token_usage")


def test_removing_leaves_every_real_call_as_it_was(connection, database_url, recorder):
    kept = [
        a_call(metadata=held)
        for held in ({}, {"sample": True}, {"sample": False}, {"sample": "yes"}, {"note": "sample"})
    ]
    for usage in kept:
        assert recorder.record(usage).stored
    before = rows(database_url, "SELECT * FROM token_usage ORDER BY id")
    added = sample_data.add(connection, days=2)
    assert sample_data.remove(connection) == added
    assert rows(database_url, "SELECT * FROM token_usage ORDER BY id") == before


def test_the_command_adds_and_removes(capsys, database_url):
    assert main(["sample-data", "--days", "2"]) == 0
    count = value(database_url, "SELECT count(*) FROM token_usage")
    assert f"Added {count} sample calls" in capsys.readouterr().out
    assert main(["sample-data", "--remove"]) == 0
    assert f"Removed {count} sample calls" in capsys.readouterr().out
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_where_real_calls_are_it_takes_force(capsys, database_url, recorder):
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


def test_earlier_samples_are_no_real_calls():
    assert main(["sample-data", "--days", "1"]) == 0
    assert main(["sample-data", "--days", "1"]) == 0


def test_a_missing_delete_privilege_is_reported(limited_url, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", limited_url)
    assert main(["sample-data", "--remove"]) == 1
    assert "GRANT SELECT, DELETE ON token_usage" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "367", "-1"])
def test_a_number_of_days_out_of_range_is_exit_2(capsys, days):
    assert main(["sample-data", f"--days={days}"]) == 2
    assert "--days" in capsys.readouterr().err
