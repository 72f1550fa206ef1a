"""An application's own table is adopted without a change of its rows; one that cannot be adopted is not changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from migrate_support import INDEXES, OLD_INSERT, OLD_TABLE, OTHER_STEPS, migrate, schema_of
from support import a_call, connect, eventually, locked, rows, run, set_default, value

from tracker import Tracker
from tracker.database.schema import read_table
from tracker.errors import SettingError, SetupError

# --- the user's own table -----------------------------------------------------------------------------------------


def test_adoption_changes_no_value_of_an_old_row(old_url):
    question = (
        "SELECT id::text, user_id, note_id::text, model, operation, input_tokens, output_tokens, total_tokens, cost,"
        " processing_time, success, error_message, created_at FROM token_usage ORDER BY id"
    )
    before = rows(old_url, question)
    assert migrate(old_url).applied[0] == "0001 adopt_token_usage"
    assert len(before) == 3
    assert rows(old_url, question) == before


def test_adoption_rewrites_nothing(old_url):
    before = value(old_url, "SELECT pg_relation_filenode('token_usage')")
    migrate(old_url)
    assert value(old_url, "SELECT pg_relation_filenode('token_usage')") == before


def test_adoption_keeps_types_indexes_and_constraints_of_the_old_columns(old_url):
    before = rows(old_url, "SELECT conname FROM pg_constraint WHERE conrelid = 'token_usage'::regclass ORDER BY 1")
    migrate(old_url)
    after = rows(old_url, "SELECT conname FROM pg_constraint WHERE conrelid = 'token_usage'::regclass ORDER BY 1")
    assert after == before
    assert ("idx_usage_note",) in rows(old_url, INDEXES)
    kinds = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'token_usage'::regclass"
    assert rows(old_url, kinds + " AND attname IN ('cost', 'created_at') ORDER BY attname") == [
        ("numeric(10,6)",),
        ("timestamp without time zone",),
    ]


def test_old_rows_keep_null_in_new_columns(old_url):
    migrate(old_url)
    assert set(rows(old_url, "SELECT recorded_at, is_test, metadata, delivery FROM token_usage")) == {
        (None, None, None, None)
    }


def test_the_old_apps_insert_keeps_working_and_gets_the_defaults(old_url):
    migrate(old_url)
    run(old_url, OLD_INSERT)
    found = rows(
        old_url,
        "SELECT is_test, metadata, cache_read_input_tokens, recorded_at IS NOT NULL FROM token_usage"
        " WHERE recorded_at IS NOT NULL",
    )
    assert found == [(False, {}, 0, True)]


def test_a_call_is_recorded_into_an_adopted_table(old_url, new_tracker):
    migrate(old_url)
    usage = a_call(cost="0.000125", metadata={"a": 1})
    recorder = new_tracker(database_url=old_url)
    assert recorder.record(usage).status == "recorded"
    assert recorder.record(usage).status == "duplicate"
    assert (
        rows(old_url, "SELECT cost, metadata, note_id FROM token_usage WHERE id = %s", (str(usage.id),))[0][2] is None
    )


def test_an_adopted_table_gets_the_indexes_it_lacks(old_url):
    migrate(old_url)
    names = [name for (name,) in rows(old_url, INDEXES)]
    assert {"token_usage_created_at_idx", "token_usage_user_id_created_at_idx"} <= set(names)


@pytest.mark.parametrize(("given", "kept"), [(None, "UTC"), ("Asia/Seoul", "Asia/Seoul")])
def test_the_zone_of_naive_times_is_kept_with_the_column(old_url, given, kept):
    done = migrate(old_url, timezone=given)
    with closing(connect(old_url)) as connection:
        assert read_table(connection).created_at_zone == kept
    assert any(kept in remark for remark in done.remarks)


def test_the_users_comment_is_kept_with_the_zone(old_url):
    run(old_url, "COMMENT ON COLUMN token_usage.created_at IS 'when it''s done'")
    migrate(old_url, timezone="Asia/Seoul")
    comment = value(
        old_url,
        "SELECT col_description('token_usage'::regclass, attnum) FROM pg_attribute"
        " WHERE attrelid = 'token_usage'::regclass AND attname = 'created_at'",
    )
    assert comment.splitlines()[0] == "when it's done"
    with closing(connect(old_url)) as connection:
        assert read_table(connection).created_at_zone == "Asia/Seoul"


def test_a_zone_that_is_known_is_not_changed_by_a_later_run(old_url):
    migrate(old_url, timezone="Asia/Seoul")
    with pytest.raises(SettingError, match="Asia/Seoul"):
        migrate(old_url, timezone="Europe/Berlin")
    assert migrate(old_url, timezone="Asia/Seoul").applied == []
    assert migrate(old_url).applied == []


def test_a_zone_that_the_server_does_not_know_is_refused_and_nothing_is_changed(old_url):
    before = schema_of(old_url)
    with pytest.raises(SettingError, match="Mars/Olympus"):
        migrate(old_url, timezone="Mars/Olympus")
    assert schema_of(old_url) == before


def test_a_zone_for_aware_times_is_reported_as_ineffective(empty_database_url):
    assert any(
        "Asia/Seoul did nothing" in remark for remark in migrate(empty_database_url, timezone="Asia/Seoul").remarks
    )
    assert migrate(empty_database_url).remarks == []


@pytest.mark.parametrize(("zone", "stands"), [("UTC", "2026-03-01 03:00:00"), ("Asia/Seoul", "2026-03-01 12:00:00")])
def test_a_naive_time_is_written_in_its_zone_and_not_the_sessions(old_url, new_tracker, zone, stands):
    migrate(old_url, timezone=zone)
    set_default(old_url, "timezone = 'Asia/Seoul'")
    usage = a_call(created_at=datetime(2026, 3, 1, 3, tzinfo=UTC))
    assert new_tracker(database_url=old_url).record(usage).status == "recorded"
    assert value(old_url, "SELECT created_at::text FROM token_usage WHERE id = %s", (str(usage.id),)) == stands


def test_an_aware_time_does_not_depend_on_the_sessions_zone(database_url, recorder):
    set_default(database_url, "timezone = 'Asia/Seoul'")
    usage = a_call(created_at=datetime(2026, 3, 1, 3, tzinfo=UTC))
    assert recorder.record(usage).status == "recorded"
    assert value(database_url, "SELECT created_at FROM token_usage") == usage.created_at


def test_a_generated_total_is_left_to_the_database(empty_database_url, new_tracker):
    url = empty_database_url
    generated = "integer GENERATED ALWAYS AS (input_tokens + output_tokens) STORED"
    run(url, OLD_TABLE.replace("total_tokens integer NOT NULL", f"total_tokens {generated}"))
    assert any("total_tokens is generated" in remark for remark in migrate(url).remarks)
    outcome = new_tracker(database_url=url).record(a_call(input_tokens=7, output_tokens=4))
    assert outcome.error is None
    assert value(url, "SELECT total_tokens FROM token_usage") == 11


def test_a_table_of_other_but_fitting_types_is_adopted(empty_database_url, new_tracker):
    url = empty_database_url
    run(
        url,
        OLD_TABLE.replace("model text", "model varchar(80)")
        .replace("input_tokens integer", "input_tokens bigint")
        .replace("cost numeric(10,6)", "cost double precision")
        .replace("created_at timestamp ", "created_at timestamptz "),
    )
    migrate(url)
    usage = a_call(cost="0.5")
    assert new_tracker(database_url=url).record(usage).error is None
    assert rows(url, "SELECT cost, created_at FROM token_usage") == [(0.5, usage.created_at)]


# --- a lock of another session ------------------------------------------------------------------------------------


def test_a_lock_of_another_session_is_retried_in_short_attempts(old_url):
    with locked(old_url, "ROW EXCLUSIVE") as unlock, ThreadPoolExecutor(1) as pool:
        running = pool.submit(migrate, old_url)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        # It queues, gives up so that others get through, and queues again.
        eventually(lambda: value(old_url, waiting) == 1)
        eventually(lambda: value(old_url, waiting) == 0)
        unlock()
        assert running.result(timeout=30).applied == ["0001 adopt_token_usage", *OTHER_STEPS]


# --- columns of ours that take no NULL ----------------------------------------------------------------------------

STRICT_TABLE = OLD_TABLE.replace("cost numeric(10,6)", "cost numeric(10,6) NOT NULL DEFAULT 0").replace(
    "processing_time integer",
    "processing_time integer NOT NULL DEFAULT -1, session_id text NOT NULL DEFAULT '', provider text NOT NULL"
    " DEFAULT 'unknown', delivery text NOT NULL DEFAULT 'app', connection_ms real NOT NULL DEFAULT -1,"
    " instance_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', sequence integer NOT NULL DEFAULT 0",
)
STRICT = "SELECT cost::float, processing_time, session_id, provider FROM token_usage WHERE recorded_at IS NOT NULL"


@pytest.fixture
def strict_url(empty_database_url) -> str:
    """A migrated table of the user's own whose columns take no NULL where a record may not know the value."""
    run(empty_database_url, STRICT_TABLE)
    assert any("cost is NOT NULL" in remark for remark in migrate(empty_database_url).remarks)
    return empty_database_url


def test_the_default_is_stored_if_a_column_is_not_null(strict_url, new_tracker):
    recorder = new_tracker(database_url=strict_url)
    assert recorder.record(a_call()).status == "recorded"
    assert recorder.record(a_call(cost="0.5", processing_time=7, session_id="s", provider="p")).status == "recorded"
    assert set(rows(strict_url, STRICT)) == {(0, -1, "", "unknown"), (0.5, 7, "s", "p")}


def test_the_sql_that_migrate_names_lets_a_cost_be_unknown(strict_url, new_tracker):
    (remark,) = [remark for remark in migrate(strict_url).remarks if "cost is NOT NULL" in remark]
    run(strict_url, remark.partition("reprice, then ")[2])
    assert not any("cost is NOT NULL" in remark for remark in migrate(strict_url).remarks)
    assert new_tracker(database_url=strict_url).record(a_call()).status == "recorded"
    assert rows(strict_url, "SELECT cost FROM token_usage WHERE recorded_at IS NOT NULL") == [(None,)]


def test_the_default_is_stored_for_delivered_records(strict_url):
    with Tracker(mode="background", database_url=strict_url) as recorder:
        for fields in ({}, {"cost": "0.5"}, {"session_id": "s"}, {}):
            recorder.record(a_call(**fields))
        assert recorder.flush(10) == 0
        assert recorder.outbox_depth().dead_letters == 0
    assert sorted(rows(strict_url, STRICT)) == [
        (0, -1, "", "unknown"),
        (0, -1, "", "unknown"),
        (0, -1, "s", "unknown"),
        (0.5, -1, "", "unknown"),
    ]
    assert rows(strict_url, "SELECT DISTINCT delivery, connection_ms >= 0 FROM token_usage") == [("background", True)]


def test_the_default_is_stored_by_bulk_inserts(strict_url):
    from tracker.maintenance import sample_data

    with closing(connect(strict_url)) as connection:
        added = sample_data.add(connection, days=2)
    assert value(strict_url, "SELECT count(*) FROM token_usage") == added
    assert value(strict_url, "SELECT count(*) FROM token_usage WHERE cost = 0 AND model = 'my-finetune'") > 0


# --- tables that can't be adopted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([OLD_TABLE.replace("token_usage", "calls"), "CREATE VIEW token_usage AS SELECT * FROM calls"], "a view"),
        (
            [OLD_TABLE.replace("id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "id serial PRIMARY KEY")],
            "id is integer",
        ),
        ([OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid")], "id is not unique"),
        ([OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid PRIMARY KEY DEFERRABLE")], "id is not unique"),
        ([OLD_TABLE.replace("    model text NOT NULL,\n", "")], "no column model"),
        ([OLD_TABLE.replace("user_id text", "user_id integer")], "user_id is integer"),
        ([OLD_TABLE.replace("note_id uuid", "note_id uuid NOT NULL")], "note_id is NOT NULL"),
        ([OLD_TABLE.replace("cost numeric(10,6)", "cost numeric(10,6) NOT NULL")], "cost is NOT NULL"),
        ([OLD_TABLE.replace("note_id uuid", "recorded_at timestamptz NOT NULL")], "recorded_at is NOT NULL"),
        ([OLD_TABLE.replace("note_id uuid", '"note id" uuid NOT NULL')], '"note id" DROP NOT NULL'),
        (
            [OLD_TABLE.replace("input_tokens integer NOT NULL", "input_tokens integer GENERATED ALWAYS AS (7) STORED")],
            "input_tokens is generated",
        ),
        (
            [
                OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid"),
                "CREATE UNIQUE INDEX ON token_usage (id) WHERE user_id IS NOT NULL",
            ],
            "id is not unique",
        ),
        (
            [OLD_TABLE.replace("id uuid PRIMARY KEY", "id uuid"), "CREATE UNIQUE INDEX ON token_usage (user_id, id)"],
            "id is not unique",
        ),
    ],
)
def test_a_table_that_cannot_be_adopted_is_left_alone_and_the_reason_is_named(empty_database_url, statements, reason):
    run(empty_database_url, *statements)
    before = schema_of(empty_database_url)
    with pytest.raises(SetupError) as caught:
        migrate(empty_database_url)
    assert caught.value.code == "not_adoptable"
    assert reason in str(caught.value)
    assert schema_of(empty_database_url) == before


def test_every_reason_is_named_at_once(empty_database_url):
    run(empty_database_url, "CREATE TABLE token_usage (id serial, user_id integer)")
    with pytest.raises(SetupError) as caught:
        migrate(empty_database_url)
    for reason in ("id is integer", "user_id is integer", "no column model", "no column created_at"):
        assert reason in str(caught.value)
