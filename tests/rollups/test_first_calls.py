"""The first call of each deployment: kept by the refresh, filled by the migration, read for the marks of the charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import Store
from support import connect, rows, run

from tracker.database.migrate import migrate
from tracker.database.sample_ids import sample_id
from tracker.reports import Filters
from tracker.reports.deployments import MAX_DEPLOYMENTS, FirstCall, FirstCalls, first_calls
from tracker.rollups import refresh

NOW = datetime.now(UTC).replace(minute=7, second=0, microsecond=0)
DAY = timedelta(days=1)


def week(**columns: object) -> Filters:
    return Filters(start=NOW - 7 * DAY, end=NOW + timedelta(hours=1), **columns)  # type: ignore[arg-type]


def names(found: FirstCalls) -> list[str]:
    return [call.deployment for call in found.deployments]


def call(store: Store, deployment: str | None, at: datetime, **columns: object) -> None:
    store.call(deployment=deployment, created_at=at, recorded_at=at, **columns)


def test_a_deployment_counts_where_its_first_call_is(store: Store) -> None:
    call(store, "old", NOW - 30 * DAY)
    call(store, "old", NOW - 2 * DAY)
    call(store, "new", NOW - 3 * DAY, environment="production")
    call(store, "new", NOW - 1 * DAY, environment="production")
    store.catch_up()
    assert first_calls(store.reader, week()) == FirstCalls((FirstCall("new", "production", NOW - 3 * DAY),))


def test_the_newest_deployment_counts_before_a_refresh(store: Store) -> None:
    call(store, "known", NOW - 30 * DAY)
    store.catch_up()
    store.call(deployment="known", created_at=NOW)
    store.call(deployment="fresh", created_at=NOW)
    assert names(first_calls(store.reader, week())) == ["fresh"]


def test_a_deployment_shortly_before_the_range_counts(store: Store) -> None:
    filters = Filters(start=NOW - 6 * DAY, end=NOW)
    call(store, "before", NOW - 6 * DAY - timedelta(hours=5))
    call(store, "long before", NOW - 9 * DAY)
    store.catch_up()
    assert names(first_calls(store.reader, filters, "day")) == ["before"]
    assert names(first_calls(store.reader, filters, "hour")) == []


def test_tests_samples_and_blank_names_do_not_count(store: Store) -> None:
    call(store, "test", NOW - DAY, is_test=True)
    call(store, "sample", NOW - DAY, id=str(sample_id(0, 1, 1)))
    call(store, None, NOW - DAY)
    call(store, " ", NOW - DAY)
    store.catch_up()
    assert first_calls(store.reader, week(include_tests=True)) == FirstCalls()
    assert store.count("token_tracker_deployments") == 0


def test_the_environment_filters_and_other_filters_do_not(store: Store) -> None:
    call(store, "a", NOW - 2 * DAY, environment="production")
    call(store, "b", NOW - DAY, environment="preview")
    store.catch_up()
    assert names(first_calls(store.reader, week(environment="preview"))) == ["b"]
    assert names(first_calls(store.reader, week(model="none", user="none"))) == ["a", "b"]


def test_only_the_newest_deployments_are_included(store: Store) -> None:
    for number in range(MAX_DEPLOYMENTS + 5):
        call(store, f"d{number:02}", NOW - timedelta(hours=50 - number))
    store.catch_up()
    found = first_calls(store.reader, week())
    assert names(found) == [f"d{number:02}" for number in range(5, MAX_DEPLOYMENTS + 5)]
    assert found.hidden == 5


def test_a_long_name_and_any_text_are_stored(store: Store) -> None:
    name = "<b>'; 배포 🚀" + "x" * 5000
    call(store, name, NOW - DAY)
    store.catch_up()
    assert names(first_calls(store.reader, week())) == [name[:200]]


def test_pruned_calls_keep_their_deployment(store: Store, alone: None) -> None:
    from tracker.rollups.prune import prune

    call(store, "pruned", NOW - 5 * DAY)
    call(store, "pruned", NOW - DAY)
    store.catch_up()
    until = (NOW - 3 * DAY).replace(hour=0, minute=0)
    assert prune(store.connection, store.table, int(until.timestamp())) == 1
    refresh.rebuild(store.connection, store.table)
    assert first_calls(store.reader, week()).deployments == (FirstCall("pruned", None, NOW - 5 * DAY),)


def test_a_rebuild_follows_a_manual_change(store: Store, alone: None) -> None:
    call(store, "wrong", NOW - 2 * DAY)
    call(store, "moved", NOW - 2 * DAY)
    store.catch_up()
    run(store.url, "DELETE FROM token_usage WHERE deployment = 'wrong'", "UPDATE token_usage SET created_at = now()")
    refresh.rebuild(store.connection, store.table)
    assert names(first_calls(store.reader, week())) == ["moved"]
    assert store.count("token_tracker_deployments", f"first_at > '{NOW - DAY}'") == 1


@pytest.mark.parametrize("zone", [None, "Asia/Seoul"])
def test_the_migration_adds_the_deployments_of_existing_calls(empty_database_url: str, zone: str | None) -> None:
    kind, at_zone = ("timestamp", f" AT TIME ZONE '{zone}'") if zone else ("timestamptz", "")
    run(
        empty_database_url,
        f"CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at {kind} NOT NULL,"
        " model text NOT NULL DEFAULT 'm', input_tokens integer NOT NULL DEFAULT 1, output_tokens integer NOT NULL"
        " DEFAULT 1, deployment varchar(300), environment text, is_test boolean, metadata json)",
        "INSERT INTO token_usage (id, created_at, deployment, environment, is_test, metadata)"
        f" SELECT coalesce(id, gen_random_uuid()), time{at_zone}, deployment, environment, is_test, '{{}}'"
        f" FROM (VALUES (NULL::uuid, '{NOW - DAY}'::timestamptz, 'a', 'x', NULL), (NULL, '{NOW}', 'a', 'x', false),"
        f" (NULL, '{NOW}', 't', 'x', true), ('{sample_id(0, 1, 1)}', '{NOW}', 's', 'x', false))"
        " AS calls (id, time, deployment, environment, is_test)",
    )
    migrate(lambda: connect(empty_database_url), timezone=zone)
    found = rows(empty_database_url, "SELECT deployment, environment, first_at FROM token_tracker_deployments")
    assert found == [("a", "x", NOW - DAY)]


def test_without_the_table_there_are_no_deployments_and_no_error(store: Store, alone: None) -> None:
    run(store.url, "DROP TABLE token_tracker_deployments")
    call(store, "a", NOW - DAY)
    store.catch_up()
    assert first_calls(store.reader, week()) == FirstCalls()
