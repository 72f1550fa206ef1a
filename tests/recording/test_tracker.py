"""A call is recorded once, whatever the network and the database do, and the caller is told."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import pytest
from support import a_call, eventually, locked, python, rows, run, set_default, value, with_database, with_role

import tracker
from tracker import SettingError, Tracker, UsageTypeError
from tracker.database.url import clean


def count(url: str) -> int:
    return value(url, "SELECT count(*) FROM token_usage")


def failures(caplog) -> list[dict]:
    """The JSON lines about lost records."""
    return [json.loads(line) for line in caplog.messages if "token_usage.failed" in line]


# --- what became of it --------------------------------------------------------------------------------------------


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


# --- one round trip, and what is cut is tried again ---------------------------------------------------------------


def test_in_steady_state_a_record_is_exactly_one_send(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.forget()
    for _ in range(10):
        assert recorder.record(a_call()).status == "recorded"
    assert len(proxy.statements) == 10
    assert proxy.connections == 1


def test_a_cold_start_is_two_sends(new_tracker, proxy):
    assert new_tracker(database_url=proxy.url).record(a_call()).stored
    assert len(proxy.statements) == 2  # what the table looks like, and the insert


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
def test_a_connection_cut_around_the_commit_records_once_with_one_retry(cut, new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    getattr(proxy, cut)()
    usage = a_call()
    outcome = recorder.record(usage)
    assert outcome.retry_count == 1
    assert outcome.status == "recorded"  # the same record's own row is no duplicate
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE id = %s", (str(usage.id),)) == 1


def test_the_row_contains_its_retry_count(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.cut_before()
    recorder.record(a_call())
    assert rows(database_url, "SELECT retry_count FROM token_usage ORDER BY sequence") == [(0,), (1,)]


def test_a_first_call_whose_connection_is_cut_is_recorded(new_tracker, proxy):
    proxy.cut_before()
    outcome = new_tracker(database_url=proxy.url).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1)


def test_many_cuts_lose_nothing_and_double_nothing(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    usages = [a_call() for _ in range(40)]
    for number, usage in enumerate(usages):
        if number % 3 == 0:
            proxy.cut_before()
        elif number % 3 == 1:
            proxy.cut_after()
        assert recorder.record(usage).stored
    assert count(database_url) == 41


def test_no_retry_means_no_retry(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, max_retries=0)
    recorder.record(a_call())
    proxy.cut_before()
    outcome = recorder.record(a_call())
    assert (outcome.status, outcome.retry_count) == ("queued", 0)


def test_retries_are_counted_and_end(new_tracker):
    outcome = new_tracker(database_url="postgresql://u@127.0.0.1:1/db", max_retries=2).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("queued", 2)
    assert "Nothing answers at 127.0.0.1:1" in outcome.error
    assert outcome.connection_ms is None


@pytest.mark.direct
def test_a_server_that_comes_back_within_the_deadline_is_enough(new_tracker, database_url):
    from faults import Proxy

    with Proxy(database_url) as proxy:
        recorder = new_tracker(database_url=proxy.url)
        recorder.record(a_call())
        with ThreadPoolExecutor(1) as pool:
            name = clean(database_url).dbname
            other = with_database(database_url, "postgres")
            run(other, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            proxy.cut_all()
            waiting = pool.submit(recorder.record, a_call(), 10)
            eventually(lambda: proxy.connections > 2)
            run(other, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            outcome = waiting.result(timeout=15)
    assert outcome.status == "recorded", outcome.error
    assert outcome.retry_count >= 1


# --- the deadline -------------------------------------------------------------------------------------------------


def in_time(recorder: Tracker, deadline_s: float, usage=None):
    started = time.monotonic()
    outcome = recorder.record(usage or a_call(), deadline_s)
    took = time.monotonic() - started
    assert took <= deadline_s * 1.2, f"{took:.2f} s for a deadline of {deadline_s} s"
    return outcome


def test_a_peer_that_swallows_everything_costs_no_more_than_the_deadline(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder.record(a_call())
    proxy.swallow = True
    assert in_time(recorder, 1.0).status == "queued"


def test_a_server_that_swallows_the_login_costs_no_more_than_the_deadline(new_tracker, proxy):
    proxy.swallow = True
    outcome = in_time(new_tracker(database_url=proxy.url), 1.0)
    assert "didn't answer in time" in outcome.error


def test_a_locked_table_costs_no_more_than_the_deadline(recorder, database_url):
    recorder.record(a_call())
    with locked(database_url):
        outcome = in_time(recorder, 1.0)
    assert outcome.status == "queued"
    assert "deadline" in outcome.error


def test_an_exhausted_pool_costs_no_more_than_the_deadline(new_tracker, database_url):
    recorder = new_tracker(pool_size=1)
    recorder.record(a_call())
    with locked(database_url) as unlock, ThreadPoolExecutor(1) as pool:
        first = pool.submit(recorder.record, a_call(), 20)
        eventually(lambda: recorder.pool_stats().used == 1)
        outcome = in_time(recorder, 0.5)
        unlock()
        assert first.result(timeout=10).status == "recorded"
    assert outcome.status == "queued"
    assert "TRACKER_POOL_SIZE" in outcome.error


def test_the_deadline_of_the_settings_holds_where_none_is_given(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url, deadline_s=0.4)
    recorder.record(a_call(), 5)
    proxy.swallow = True
    started = time.monotonic()
    assert recorder.record(a_call()).status == "queued"
    assert time.monotonic() - started <= 0.4 * 1.2


def test_each_thread_keeps_its_own_deadline_also_at_the_first_call(new_tracker, proxy):
    recorder = new_tracker(database_url=proxy.url)
    recorder._pool.release(recorder._pool.acquire(time.monotonic() + 5))
    with ThreadPoolExecutor(2) as pool:
        proxy.swallow = True
        patient = pool.submit(recorder.record, a_call(), 3)
        eventually(lambda: recorder.pool_stats().used)
        assert in_time(recorder, 0.5).status == "queued"
        assert patient.result(timeout=10).status == "queued"


@pytest.mark.parametrize("deadline_s", [float("inf"), 1e12])
def test_an_endless_deadline_does_not_break_the_deadlines_of_others(new_tracker, proxy, deadline_s):
    recorders = [new_tracker(database_url=proxy.url) for _ in range(3)]
    for recorder in recorders:
        assert recorder.record(a_call(), deadline_s).status == "recorded"
    proxy.swallow = True
    for recorder in recorders:
        assert in_time(recorder, 0.4).status == "queued"


@pytest.mark.parametrize("deadline_s", [0, -1])
def test_a_deadline_that_is_over_queues_and_is_no_error(new_tracker, proxy, deadline_s):
    proxy.swallow = True
    assert new_tracker(database_url=proxy.url).record(a_call(), deadline_s).status == "queued"


# --- what another client left behind ------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_a_session_left_read_only_is_cured(new_tracker, database_url, limited_url, whose):
    url = clean(limited_url)
    name = url.dbname if whose == "DATABASE" else url.user
    run(database_url, f"ALTER {whose} {name} SET default_transaction_read_only = on")
    outcome = new_tracker(database_url=limited_url).record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1), outcome.error


def slow_inserts(url: str, seconds: float) -> None:
    run(
        url,
        f"CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END'",
        "CREATE TRIGGER slowly BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION slowly()",
    )


def test_a_statement_timeout_left_behind_is_cured(new_tracker, database_url):
    slow_inserts(database_url, 0.3)
    set_default(database_url, "statement_timeout = 100")
    outcome = new_tracker().record(a_call())
    assert (outcome.status, outcome.retry_count) == ("recorded", 1), outcome.error


def test_a_cure_leaves_nothing_behind_in_the_session(new_tracker, database_url):
    set_default(database_url, "default_transaction_read_only = on")
    recorder = new_tracker()
    assert recorder.record(a_call()).status == "recorded"
    lease = recorder._pool.acquire(time.monotonic() + 5)
    with lease.connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')")
        assert cursor.fetchone() == ("on", "0")
    recorder._pool.release(lease)


def test_a_cured_statement_still_ends_at_the_deadline_in_the_server_too(new_tracker, database_url):
    slow_inserts(database_url, 30)
    set_default(database_url, "statement_timeout = 100")
    outcome = in_time(new_tracker(), 1.0)
    assert outcome.status == "queued"
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND application_name LIKE 'token-tracker/%%'"
        " AND query LIKE '%%INSERT INTO%%'"
    )
    eventually(lambda: value(database_url, running) == 0)


# --- nothing of ours reaches the host -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "DATABASE_URL is not set"),
        ("", "DATABASE_URL is not set"),
        ("nonsense", "DATABASE_URL"),
        ("mysql://u:hunter2@h/db", "DATABASE_URL"),
        ("postgresql://u:hunter2%@h/db", "%25"),
        ("postgresql://u:hunter2@127.0.0.1:1/db", "Nothing answers"),
        ("postgresql://u:hunter2@127.0.0.1:1/db?application_name=%00", "Nothing answers"),
    ],
)
def test_no_address_makes_a_tracker_raise(monkeypatch, caplog, url, says):
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    recorder = Tracker(mode="direct", max_retries=0)
    outcome = recorder.record(a_call())
    assert outcome.status == "queued"
    assert says in outcome.error
    assert "hunter2" not in outcome.error + caplog.text + repr(recorder) + repr(recorder.settings)
    recorder.close()


def test_a_missing_url_is_warned_of_once_a_process(caplog):
    for _ in range(3):
        Tracker()
    assert len([line for line in caplog.messages if "DATABASE_URL is not set" in line]) == 1


def test_a_tracker_without_an_address_has_no_pool():
    assert Tracker().pool_stats() is None


@pytest.mark.parametrize("thing", [{"model": "m"}, None, "gemini", [a_call()], object])
def test_anything_but_a_token_usage_is_the_callers_mistake(recorder, thing):
    with pytest.raises(UsageTypeError, match="record takes a TokenUsage"):
        recorder.record(thing)


def test_an_argument_that_cannot_be_right_is_the_callers_mistake():
    with pytest.raises(SettingError):
        Tracker(pool_size=-1)


def test_bytes_that_are_no_utf_8_in_the_environment_lose_no_record(new_tracker, monkeypatch):
    monkeypatch.setenv("NODE_ENV", "caf\udce9")
    outcome = new_tracker().record(a_call())
    assert outcome.error is None


# --- the log ------------------------------------------------------------------------------------------------------


def test_a_failure_is_one_json_line_with_the_whole_record(caplog, tmp_path, new_tracker):
    usage = a_call(
        user_id="u\n1", cost=Decimal("0.0000001"), metadata={"deep": [1, {"ü": None}]}, error_message="it's\r\nbroken"
    )
    address = "postgresql://u:hunter2@127.0.0.1:1/db"
    outcome = new_tracker(database_url=address, max_retries=1, outbox=tmp_path).record(usage)  # a directory is no file
    (line,) = [record for record in caplog.records if "token_usage.failed" in record.getMessage()]
    text = line.getMessage()
    assert (line.name, line.levelname) == ("tracker", "ERROR")
    assert "\n" not in text
    event = json.loads(text)
    assert (event["event"], event["error"], event["retry_count"]) == ("token_usage.failed", outcome.error, 1)
    for name, held in usage.as_row().items():
        written = event["record"][name]
        shown = held.isoformat() if name == "created_at" else str(held)
        assert written == (held if isinstance(held, bool | int | dict | None) else shown)
    assert {"environment", "platform", "instance_id", "sequence", "delivery"} <= set(event["record"])
    assert "hunter2" not in text


def test_a_wrong_password_is_in_no_log_line(caplog, password_url, clerk, new_tracker):
    url = with_role(password_url, clerk.name, "hunter2-wrong")
    outcome = new_tracker(database_url=url).record(a_call())
    assert outcome.retry_count == 0  # trying again would lock the account
    assert "refused the password" in outcome.error
    assert "hunter2" not in caplog.text + outcome.error


def test_a_recorded_call_is_one_info_line(caplog, recorder, monkeypatch):
    monkeypatch.setenv("NODE_ENV", "production")
    monkeypatch.setenv("VERCEL_ENV", "preview")
    with caplog.at_level(logging.INFO, "tracker"):
        outcome = recorder.record(a_call(operation="tag_generation"))
    (line,) = caplog.records
    assert line.levelname == "INFO"
    kind, _, document = line.getMessage().partition(" ")
    assert kind == "token_usage.recorded"
    fields = json.loads(document)
    assert fields["id"] == str(outcome.id)
    assert (fields["operation"], fields["total_tokens"]) == ("tag_generation", 976)
    assert (fields["NODE_ENV"], fields["VERCEL"], fields["VERCEL_ENV"]) == ("production", None, "preview")
    assert fields["write_ms"] == outcome.write_ms


def test_the_line_a_call_can_be_switched_off(caplog, new_tracker, monkeypatch):
    monkeypatch.setenv("TRACKER_LOG_RECORDS", "off")
    with caplog.at_level(logging.INFO, "tracker"):
        assert new_tracker().record(a_call()).stored
    assert caplog.records == []


def test_switching_the_line_off_keeps_the_line_about_a_loss(caplog, new_tracker, tmp_path):
    with caplog.at_level(logging.INFO, "tracker"):
        new_tracker(database_url="nonsense", log_records=False, outbox=tmp_path).record(a_call())
    assert len(failures(caplog)) == 1


# --- instances, threads, processes --------------------------------------------------------------------------------


def test_threads_share_a_tracker_and_their_numbers_have_no_gap(new_tracker, database_url):
    recorder = new_tracker(pool_size=5, log_records=False)

    def work(_):
        return [recorder.record(a_call(), 30).status for _ in range(50)]

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for part in pool.map(work, range(8)) for status in part]
    assert statuses == ["recorded"] * 400
    assert rows(
        database_url, "SELECT count(*), count(DISTINCT sequence), min(sequence), max(sequence) FROM token_usage"
    ) == [(400, 400, 1, 400)]
    assert recorder.pool_stats().created <= 5


def test_each_tracker_is_an_instance_of_its_own(new_tracker):
    assert new_tracker().instance_id != new_tracker().instance_id


def test_a_failed_record_leaves_a_gap_that_can_be_counted(recorder, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    for model in ("gemini", "gpt", "gemini"):
        recorder.record(a_call(model=model))
    assert rows(database_url, "SELECT sequence FROM token_usage ORDER BY 1") == [(1,), (3,)]


FORK = """
import os, sys
sys.path.insert(0, "tests")
from support import a_call
from tracker import Tracker
recorder = Tracker(mode="direct", log_records=False)
recorder.record(a_call())
child = os.fork()
recorder.record(a_call())
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_fork_is_an_instance_of_its_own_that_counts_from_one(database_url):
    done = python("-c", FORK, env={"DATABASE_URL": database_url})
    assert done.returncode == 0, done.stderr
    question = "SELECT array_agg(sequence ORDER BY sequence) FROM token_usage GROUP BY instance_id ORDER BY 1"
    assert rows(database_url, question) == [([1],), ([1, 2],)]


def test_shared_is_one_tracker_and_the_first_calls_settings_win(database_url):
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda size: tracker.shared(mode="direct", database_url=database_url, pool_size=size), range(2, 10)
            )
        )
    assert len(set(map(id, found))) == 1
    assert tracker.shared(pool_size=99) is found[0]
    assert found[0].settings.pool_size != 99


def test_a_tracker_closed_by_its_block_can_be_used_again(database_url):
    with Tracker(mode="direct", database_url=database_url) as recorder:
        recorder.record(a_call())
    assert recorder.pool_stats().idle == 0
    assert recorder.record(a_call()).stored
    recorder.close()


def test_recording_from_a_coroutine_does_not_block_the_loop(recorder, database_url):
    recorder.record(a_call())

    async def main() -> tuple:
        with locked(database_url) as unlock:
            recording = asyncio.create_task(recorder.arecord(a_call(), 20))
            ticks = 0
            while recorder.pool_stats().used == 0 or ticks < 20:
                await asyncio.sleep(0.005)
                ticks += 1
            assert not recording.done()
            unlock()
        return await recording, ticks

    outcome, ticks = asyncio.run(main())
    assert outcome.status == "recorded"
    assert ticks >= 20


def test_many_coroutines_record_at_once(new_tracker, database_url):
    recorder = new_tracker(log_records=False)

    async def main() -> list:
        return await asyncio.gather(*(recorder.arecord(a_call(), 30) for _ in range(40)))

    assert {outcome.status for outcome in asyncio.run(main())} == {"recorded"}
    assert count(database_url) == 40


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, "token-tracker/local/development"),
        (
            {"VERCEL": "1", "VERCEL_ENV": "preview", "VERCEL_REGION": "icn1", "VERCEL_GIT_COMMIT_SHA": "b" * 40},
            "token-tracker/vercel/preview/bbbbbbb",
        ),
        ({"NODE_ENV": "umgebung-ü-" + "x" * 80}, "token-tracker/local/umgebung-?-" + "x" * 34),
    ],
)
def test_its_connections_say_in_pg_stat_activity_whose_they_are(new_tracker, database_url, monkeypatch, env, name):
    for variable, text in env.items():
        monkeypatch.setenv(variable, text)
    new_tracker().record(a_call())
    assert rows(
        database_url,
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'token-tracker/%%'"
        " AND datname = current_database()",
    ) == [(name[:63],)]


@pytest.mark.direct
def test_an_idle_background_session_has_no_open_transaction(recorder, database_url):
    recorder.record(a_call())
    question = (
        "SELECT state FROM pg_stat_activity WHERE application_name LIKE 'token-tracker/%%'"
        " AND datname = current_database()"
    )
    assert rows(database_url, question) == [("idle",)]


def test_an_idle_tracker_lets_its_process_end():
    done = python("-c", "import tracker; tracker.Tracker(database_url='postgresql://u@127.0.0.1:1/d')", timeout=20)
    assert done.returncode == 0


def test_recording_continues_while_another_threads_connection_is_closed(recorder):
    recorder.record(a_call())
    lease = recorder._pool.acquire(time.monotonic() + 5)
    threading.Thread(target=lease.connection.close).start()
    eventually(lambda: lease.connection.closed)
    recorder._pool.release(lease)
    with closing(recorder):
        assert recorder.record(a_call()).retry_count == 0


def test_records_wait_while_a_setting_of_tls_cannot_be_read(proxy):
    with Tracker(database_url=f"{proxy.url}?sslmode=REQUIRE", mode="direct", deadline_s=1) as recorder:
        outcome = recorder.record(a_call())
        assert outcome.status == "queued"
        assert "sslmode='REQUIRE'" in outcome.error
    assert proxy.connections == 0
