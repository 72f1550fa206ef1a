"""The outcome of a call states whether its row is recorded, a duplicate, queued or failed."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
from recording_support import failures
from support import a_call, count, eventually, rows, run, value, with_role

from tracker import Tracker, UsageTypeError


def test_a_call_is_recorded(recorder, database_url):
    usage = a_call(user_id="u_42", operation="summary_generation", cost="0.00065", metadata={"note": "n_1"})
    outcome = recorder.record(usage)
    assert (outcome.status, outcome.id, outcome.retry_count, outcome.error) == ("recorded", usage.id, 0, None)
    assert outcome.stored
    assert rows(database_url, "SELECT id, user_id, operation, total_tokens, cost, metadata FROM token_usage") == [
        (str(usage.id), "u_42", "summary_generation", 976, Decimal("0.00065"), {"note": "n_1"})
    ]


def test_the_row_contains_its_delivery(recorder, database_url):
    outcome = recorder.record(a_call())
    ((ms, retries, delivery, instance, sequence, platform, environment, recorded),) = rows(
        database_url,
        "SELECT connection_ms, retry_count, delivery, instance_id, sequence, platform, environment,"
        " recorded_at > now() - interval '1 minute' FROM token_usage",
    )
    assert ms == pytest.approx(outcome.connection_ms, rel=1e-3)
    assert (retries, delivery, instance, sequence) == (0, "direct", str(recorder.instance_id), 1)
    assert (platform, environment, recorded) == ("local", "development", True)


def test_the_row_names_the_platform_the_region_and_the_deployment(new_tracker, database_url, monkeypatch):
    for name, text in {
        "VERCEL": "1",
        "VERCEL_ENV": "preview",
        "VERCEL_REGION": "icn1",
        "VERCEL_GIT_COMMIT_SHA": "a" * 40,
    }.items():
        monkeypatch.setenv(name, text)
    assert new_tracker().record(a_call()).stored
    assert rows(database_url, "SELECT platform, environment, region, deployment FROM token_usage") == [
        ("vercel", "preview", "icn1", "aaaaaaa")
    ]


def test_the_same_record_again_is_a_duplicate_and_a_success(recorder, database_url):
    usage = a_call()
    assert [recorder.record(usage).status for _ in range(3)] == ["recorded", "duplicate", "duplicate"]
    assert count(database_url) == 1
    assert recorder.record(usage).stored


def test_many_are_checked_before_the_first_is_recorded(recorder, database_url):
    with pytest.raises(UsageTypeError, match="not str"):
        recorder.record_many(iter([a_call(), "bad", a_call()]))
    assert count(database_url) == 0


SWALLOWS = (
    (
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.model = 'hidden' THEN RETURN NULL; END IF; RETURN NEW; END$$"
    ),
    "CREATE TRIGGER swallow BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION swallow()",
)


def test_a_row_that_a_trigger_swallows_is_a_failure_and_not_a_duplicate(recorder, database_url, caplog):
    run(database_url, *SWALLOWS)
    outcome = recorder.record(a_call(model="hidden"))
    assert (outcome.status, outcome.retry_count) == ("failed", 0)
    assert "trigger" in outcome.error
    assert len(failures(caplog)) == 1
    assert recorder.outbox_depth().dead_letters == 1
    usage = a_call()
    assert [recorder.record(usage).status for _ in range(2)] == ["recorded", "duplicate"]


def test_queued_rows_that_a_trigger_drops_become_dead_letters(new_tracker, database_url):
    run(database_url, *SWALLOWS)
    with Tracker(mode="background", database_url=database_url) as recorder:
        for model in ("a", "hidden", "b", "hidden"):
            recorder.record(a_call(model=model))
        recorder.flush(10)
        assert recorder.outbox_depth()[:2] == (0, 2)
        eventually(
            lambda: value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'set_aside'") == 2
        )
    assert rows(database_url, "SELECT model FROM token_usage ORDER BY 1") == [("a",), ("b",)]
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'duplicate'") == 0


def test_rows_that_a_trigger_puts_elsewhere_itself_are_recorded(recorder, database_url):
    """How tables were partitioned before PostgreSQL 10."""
    run(
        database_url,
        "CREATE TABLE calls_2026 () INHERITS (token_usage)",
        "CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO calls_2026 SELECT NEW.*; RETURN NULL; END$$",
        "CREATE TRIGGER route BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION route()",
    )
    assert recorder.record(a_call()).status == "recorded"


def test_a_clash_on_another_unique_index_is_a_failure_and_not_a_duplicate(recorder, database_url, caplog):
    run(database_url, "CREATE UNIQUE INDEX one_a_session ON token_usage (session_id)")
    assert recorder.record(a_call(session_id="s")).status == "recorded"
    outcome = recorder.record(a_call(session_id="s"))
    assert outcome.status == "failed"
    assert "one_a_session" in outcome.error
    assert len(failures(caplog)) == 1


def test_a_constraint_of_the_table_is_a_failure_that_is_not_tried_again(recorder, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    outcome = recorder.record(a_call(model="gpt"))
    assert (outcome.status, outcome.retry_count) == ("failed", 0)
    assert "known" in outcome.error


def test_a_missing_table_loses_no_record_and_names_the_remedy(new_tracker, empty_database_url):
    outcome = new_tracker(database_url=empty_database_url).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("queued", 0)
    assert "token-tracker migrate" in outcome.error


def test_a_table_that_is_migrated_later_needs_no_restart(new_tracker, empty_database_url):
    from support import connect

    from tracker.database.migrate import migrate

    recorder = new_tracker(database_url=empty_database_url)
    assert recorder.record(a_call()).status == "queued"
    migrate(lambda: connect(empty_database_url))
    assert recorder.flush(10) == 0
    assert recorder.record(a_call()).status == "recorded"
    assert count(empty_database_url) == 2


def test_a_role_that_may_insert_and_select_is_enough(new_tracker, limited_url):
    assert new_tracker(database_url=limited_url).record(a_call()).status == "recorded"


def test_a_role_without_the_right_gets_the_missing_grant(new_tracker, database_url, new_role):
    outcome = new_tracker(database_url=with_role(database_url, new_role())).record(a_call())
    assert outcome.status == "queued"
    assert "GRANT SELECT, INSERT" in outcome.error


def test_an_outcome_is_json_by_itself(recorder):
    outcome = recorder.record(a_call())
    assert json.loads(json.dumps(outcome.as_dict())) == outcome.as_dict()
    assert list(outcome.as_dict()) == ["status", "id", "retry_count", "connection_ms", "write_ms", "error"]


def test_times_are_measured_in_milliseconds(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.delay_to_client_ms = 50
    outcome = recorder.record(a_call())
    assert outcome.connection_ms < 20
    assert 50 <= outcome.write_ms < 500


def test_several_calls_have_an_outcome_each_in_their_order(recorder, database_url):
    usages = [a_call() for _ in range(5)]
    outcomes = recorder.record_many([*usages, usages[0]])
    assert [outcome.id for outcome in outcomes] == [*(usage.id for usage in usages), usages[0].id]
    assert [outcome.status for outcome in outcomes] == ["recorded"] * 5 + ["duplicate"]
    assert count(database_url) == 5


def test_several_calls_share_one_deadline(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    proxy.swallow = True
    started = time.monotonic()
    assert {outcome.status for outcome in recorder.record_many([a_call() for _ in range(5)], 0.5)} == {"queued"}
    assert time.monotonic() - started < 1.0
