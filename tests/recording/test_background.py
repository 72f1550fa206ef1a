"""In background mode `record` makes a call durable and returns; a thread delivers it to the database once."""

from __future__ import annotations

import asyncio

from support import a_call, count, eventually, rows, run, value

from tracker.recording.outbox.store import Outbox


def test_a_record_is_queued_and_then_delivered_by_the_thread(background, database_url):
    recorder = background()
    usage = a_call(metadata={"note": 'ü"\\'}, cost="0.00065")
    outcome = recorder.record(usage)
    assert (outcome.status, outcome.id, outcome.error) == ("queued", usage.id, None)
    eventually(lambda: count(database_url) == 1)
    question = "SELECT id, delivery, retry_count, connection_ms >= 0, metadata, instance_id, sequence FROM token_usage"
    assert rows(database_url, question) == [
        (str(usage.id), "background", 0, True, {"note": 'ü"\\'}, str(recorder.instance_id), 1)
    ]


def test_a_record_is_the_same_row_in_both_modes(background, new_tracker, database_url):
    fields = {
        "user_id": "u_ü",
        "session_id": "s",
        "provider": "google",
        "operation": "tag_generation",
        "cost": "0.0000001",
        "cache_read_input_tokens": 3,
        "reasoning_output_tokens": 4,
        "processing_time": 12,
        "success": False,
        "error_message": "it's\nbroken",
        "is_test": True,
        "metadata": {"deep": [1, {"a": None}]},
    }
    first = a_call(**fields)
    background().record(first)
    new_tracker().record(a_call(**fields, created_at=first.created_at))
    eventually(lambda: count(database_url) == 2)
    told_apart = "id, recorded_at, connection_ms, delivery, instance_id"
    fields_of = f"SELECT to_jsonb(t) - string_to_array('{told_apart}', ', ') FROM token_usage AS t"
    one, other = rows(database_url, fields_of)
    assert one == other


def test_the_plainest_record_is_the_same_row_in_both_modes(background, new_tracker, database_url):
    first = a_call()
    background().record(first)
    new_tracker().record(a_call(created_at=first.created_at))
    eventually(lambda: count(database_url) == 2)
    question = (
        "SELECT to_jsonb(t) - '{id,recorded_at,connection_ms,delivery,instance_id}'::text[] FROM token_usage AS t"
    )
    one, other = rows(database_url, question)
    assert one == other


def test_a_batch_is_one_send(background, proxy, outbox_path, database_url):
    recorder = background(database_url=proxy.url, deadline_s=60)  # a busy machine causes no retry
    recorder.record(a_call())
    assert recorder.flush(60) == 0
    with Outbox(outbox_path).hold_drain_lock() as mine:  # so that nobody else delivers yet
        assert mine
        recorder.record_many([a_call() for _ in range(300)])
        proxy.forget()
    assert recorder.flush(60) == 0
    assert count(database_url) == 301
    # The worker also reads the budgets, and reports to the ledger what waits.
    inserts = [text for text in proxy.statements if "INTO" in text and ".token_usage" in text]
    assert len(inserts) == 1, [text[:200] for text in proxy.statements]


def test_records_within_a_short_time_are_delivered_in_one_batch(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    for _ in range(200):
        recorder.record(a_call())
    eventually(lambda: count(database_url) == 200)
    assert len(proxy.statements) < 20


def test_a_row_contains_its_retry_count_and_delay(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.cut_before()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 2)
    question = "SELECT retry_count > 0, delivery, recorded_at >= created_at FROM token_usage ORDER BY sequence"
    assert rows(database_url, question) == [(False, "background", True), (True, "background", True)]


def test_an_answer_that_was_lost_doubles_nothing(background, proxy, database_url):
    recorder = background(database_url=proxy.url)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.cut_after()
    recorder.record(a_call())
    assert eventually(lambda: recorder.flush(10) == 0)
    assert rows(database_url, "SELECT sequence FROM token_usage ORDER BY 1") == [(1,), (2,)]
    assert rows(database_url, "SELECT kind FROM token_tracker_ledger WHERE kind = 'duplicate'") == []


def test_several_calls_keep_their_order(background, database_url):
    usages = [a_call() for _ in range(20)]
    outcomes = background().record_many(usages)
    assert [outcome.id for outcome in outcomes] == [usage.id for usage in usages]
    eventually(lambda: count(database_url) == 20)
    found = rows(database_url, "SELECT id FROM token_usage ORDER BY sequence")
    assert [id_ for (id_,) in found] == [str(usage.id) for usage in usages]


def test_from_a_coroutine(background, database_url):
    recorder = background()

    async def main() -> list:
        return await asyncio.gather(*(recorder.arecord(a_call()) for _ in range(40)))

    assert {outcome.status for outcome in asyncio.run(main())} == {"queued"}
    assert recorder.flush(10) == 0
    assert count(database_url) == 40


def test_a_table_without_time_zones_gets_the_same_time(background, empty_database_url):
    from support import connect

    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, model text, input_tokens integer, output_tokens integer,"
        " total_tokens integer, created_at timestamp)",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    usage = a_call()
    background(database_url=empty_database_url).record(usage)
    eventually(lambda: count(empty_database_url) == 1)
    question = "SELECT created_at AT TIME ZONE 'Asia/Seoul' = %s FROM token_usage"
    assert value(empty_database_url, question, (usage.created_at,))


def test_a_quiet_trackers_thread_ends_and_begins_again(background, database_url, monkeypatch):
    monkeypatch.setattr("tracker.recording.outbox.worker._LINGER_S", 0.05)
    recorder = background()
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 1)
    eventually(lambda: not recorder._queue._worker._thread.is_alive())
    recorder.record(a_call())
    eventually(lambda: count(database_url) == 2)


def test_bytes_that_are_no_utf_8_in_the_environment_lose_no_record(background, monkeypatch, database_url):
    monkeypatch.setenv("NODE_ENV", "caf\udce9")
    assert background().record(a_call()).status == "queued"
    eventually(lambda: count(database_url) == 1)
