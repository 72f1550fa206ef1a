"""A migration builds the indexes that are missing, past locks and limits, and keeps an application's own indexes."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from migrate_support import INDEXES, MANY_ROWS, OLD_INSERT, OLD_TABLE, migrate
from support import leave_behind, locked, rows, run, set_default, value


@pytest.mark.pooler
@pytest.mark.parametrize(
    "left_behind", ["SET default_transaction_read_only = on", "SET statement_timeout = 5", "SET lock_timeout = 1"]
)
def test_settings_of_another_pooler_client_do_not_stop_an_index(old_url, pooler, left_behind):
    run(old_url, MANY_ROWS)
    through = pooler(old_url)
    leave_behind(through, left_behind)
    assert migrate(through).applied[-1] == "0002 index_token_usage"
    assert value(old_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert len(rows(old_url, INDEXES)) == 6


def test_an_index_is_built_past_the_limits_of_a_role(old_url):
    run(old_url, MANY_ROWS)
    set_default(old_url, "default_transaction_read_only = on")
    set_default(old_url, "statement_timeout = 5")
    assert migrate(old_url).applied[-1] == "0002 index_token_usage"


def test_an_index_left_half_built_is_built_again(old_url):
    with locked(old_url, "ROW EXCLUSIVE"), closing(psycopg2.connect(old_url)) as builder, builder.cursor() as cursor:
        builder.autocommit = True
        cursor.execute("SET lock_timeout = 50")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute("CREATE INDEX CONCURRENTLY token_usage_created_at_idx ON token_usage (created_at)")
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert value(old_url, invalid) == 1
    migrate(old_url)
    assert value(old_url, invalid) == 0
    assert ("token_usage_created_at_idx",) in rows(old_url, INDEXES)


def test_an_index_that_serves_already_is_not_built_a_second_time(empty_database_url):
    url = empty_database_url
    run(
        url,
        OLD_TABLE.replace("created_at timestamp ", "created_at timestamptz "),
        "CREATE INDEX by_time ON token_usage (created_at)",
        "CREATE INDEX by_user ON token_usage (user_id, created_at DESC)",
    )
    migrate(url)
    assert rows(url, INDEXES) == [
        ("by_time",),
        ("by_user",),
        ("token_usage_late_idx",),
        ("token_usage_pkey",),
        ("token_usage_session_idx",),
    ]


def test_the_index_on_a_naive_time_is_on_the_expression_that_reports_ask(old_url):
    """`timezone('Asia/Seoul', created_at)` is what PostgreSQL makes of AT TIME ZONE."""
    migrate(old_url, timezone="Asia/Seoul")
    question = "SELECT pg_get_indexdef('token_usage_created_at_idx'::regclass)"
    assert "'Asia/Seoul'" in value(old_url, question)


@pytest.mark.parametrize(
    "own",
    [
        "CREATE INDEX ON token_usage USING brin (created_at)",
        "CREATE INDEX token_usage_user_id_created_at_idx ON token_usage (user_id, created_at) WHERE success",
        "CREATE INDEX token_usage_created_at_idx ON token_usage (created_at, note_id)",
    ],
)
def test_a_users_index_with_the_same_name_is_kept(old_url, own):
    run(old_url, own)
    before = rows(old_url, "SELECT indexrelid, indrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass")
    migrate(old_url)
    after = rows(old_url, "SELECT indexrelid, indrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass")
    assert set(before) < set(after)
    assert len(after) == len(before) + 4
    assert migrate(old_url).applied == []


def test_an_invalid_index_of_the_users_own_kind_is_not_dropped(old_url):
    with locked(old_url, "ROW EXCLUSIVE"), closing(psycopg2.connect(old_url)) as builder, builder.cursor() as cursor:
        builder.autocommit = True
        cursor.execute("SET lock_timeout = 50")
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute(
                "CREATE INDEX CONCURRENTLY token_usage_created_at_idx ON token_usage USING brin (created_at)"
            )
    migrate(old_url)
    assert (
        value(
            old_url,
            "SELECT amname FROM pg_am JOIN pg_class c ON c.relam = pg_am.oid"
            " WHERE c.oid = 'token_usage_created_at_idx'::regclass",
        )
        == "brin"
    )


def test_an_index_on_the_bare_column_does_not_stand_for_the_one_on_a_naive_times_zone(old_url):
    run(old_url, "CREATE INDEX by_time ON token_usage (created_at)")
    migrate(old_url, timezone="Asia/Seoul")
    assert "'Asia/Seoul'" in value(old_url, "SELECT pg_get_indexdef('token_usage_created_at_idx'::regclass)")
    before = rows(old_url, INDEXES)
    assert migrate(old_url).applied == []
    assert rows(old_url, INDEXES) == before


def test_a_later_run_leaves_no_second_index_on_a_naive_time(old_url):
    migrate(old_url)
    before = rows(old_url, "SELECT indexrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass ORDER BY 1")
    run(old_url, "DELETE FROM token_tracker_migrations WHERE version = 2")  # as after a run that died at its end
    migrate(old_url)
    after = rows(old_url, "SELECT indexrelid FROM pg_index WHERE indrelid = 'token_usage'::regclass ORDER BY 1")
    assert len(after) == len(before)


@pytest.mark.parametrize("moment", ["infinity", "-infinity"])
def test_an_infinite_time_is_adopted_and_still_accepted(old_url, moment):
    run(old_url, f"UPDATE token_usage SET created_at = '{moment}'")
    migrate(old_url)
    run(old_url, OLD_INSERT, f"UPDATE token_usage SET created_at = '{moment}'")
    assert value(old_url, "SELECT count(*) FROM token_usage") == 4


def test_the_late_index_that_refused_an_infinite_time_is_replaced(database_url):
    before = value(database_url, "SELECT pg_get_indexdef('token_usage_late_idx'::regclass)")
    run(
        database_url,
        "DROP INDEX token_usage_late_idx",
        "CREATE INDEX token_usage_late_idx ON token_usage (recorded_at)"
        " WHERE recorded_at - created_at > interval '15 minutes'",
    )
    assert migrate(database_url).applied == ["0002 index_token_usage"]
    assert value(database_url, "SELECT pg_get_indexdef('token_usage_late_idx'::regclass)") == before
    assert migrate(database_url).applied == []
