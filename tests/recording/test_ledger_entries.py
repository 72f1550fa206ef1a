"""What recording itself writes into the ledger: each number without a row of its own is explained."""

from __future__ import annotations

import json
from contextlib import closing

from recording_support import LEAVES
from support import a_call, eventually, python, rows, run, value

from tracker.recording.outbox.store import Outbox
from tracker.usage import new_id

ENTRIES = (
    "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger WHERE instance_id = %s"
    " ORDER BY kind, first_sequence"
)


def entries(url: str, recorder, *kinds: str) -> list[tuple[str, int, int]]:
    found = rows(url, ENTRIES, (str(recorder.instance_id),))
    return [entry for entry in found if not kinds or entry[0] in kinds]


def test_an_instance_reports_its_last_number_at_its_end(new_tracker, database_url):
    with new_tracker() as recorder:
        recorder.record_many([a_call() for _ in range(5)])
    assert entries(database_url, recorder) == [("closed", 1, 5)]
    recorder.close()
    assert entries(database_url, recorder) == [("closed", 1, 5)]
    recorder.record(a_call())
    recorder.close()
    assert entries(database_url, recorder) == [("closed", 1, 5), ("closed", 1, 6)]


def test_an_instance_without_records_reports_no_last_number(new_tracker, database_url):
    with new_tracker() as recorder:
        pass
    assert entries(database_url, recorder) == []


def test_an_entry_names_the_deployment(new_tracker, database_url, monkeypatch):
    monkeypatch.setenv("VERCEL_GIT_COMMIT_SHA", "c" * 40)
    with new_tracker(platform="vercel") as recorder:
        recorder.record(a_call())
    question = "SELECT environment, deployment FROM token_tracker_ledger"
    assert rows(database_url, question) == [(recorder.settings.runtime.environment, "ccccccc")]


def test_a_duplicate_is_entered_in_both_modes(new_tracker, database_url):
    usage, other = a_call(), a_call()
    with new_tracker() as direct:
        direct.record_many([usage, usage])
    assert entries(database_url, direct, "duplicate") == [("duplicate", 2, 2)]
    with new_tracker(mode="background") as background:
        background.record_many([usage, other, other])
    assert entries(database_url, background, "duplicate") == [("duplicate", 1, 1), ("duplicate", 3, 3)]
    assert value(database_url, "SELECT count(*) FROM token_usage") == 2


def test_a_duplicate_whose_entry_could_not_be_written_is_entered_later(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url)
    usage = a_call()
    recorder.record(usage)
    proxy.cut_before(2)  # the insert says duplicate, the entry is cut
    assert recorder.record(usage).status == "duplicate"
    recorder.record(a_call())
    eventually(lambda: entries(database_url, recorder, "duplicate") == [("duplicate", 2, 2)])


def test_an_answer_that_was_lost_makes_no_duplicate(new_tracker, proxy, database_url):
    for mode in ("direct", "background"):
        recorder = new_tracker(mode=mode, database_url=proxy.url)
        recorder.record(a_call())
        assert recorder.flush(10) == 0
        proxy.cut_after()
        recorder.record(a_call())
        eventually(lambda recorder=recorder: recorder.flush(10) == 0)
        assert entries(database_url, recorder, "duplicate") == []
    assert value(database_url, "SELECT count(*) FROM token_usage") == 4


def test_a_refused_record_gets_a_set_aside_ledger_line(new_tracker, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    for mode in ("direct", "background"):
        with new_tracker(mode=mode) as recorder:
            recorder.record_many([a_call(), a_call(model="gpt"), a_call()])
            eventually(lambda recorder=recorder: entries(database_url, recorder, "set_aside") == [("set_aside", 2, 2)])


def test_queued_numbers_are_reported_before_later_numbers_are_stored(new_tracker, proxy, database_url):
    recorder = new_tracker(database_url=proxy.url, max_retries=0, platform="vercel", deadline_s=0.4)
    recorder.record(a_call())
    proxy.swallow = True
    for _ in range(3):
        assert recorder.record(a_call()).status == "queued"
    proxy.swallow = False
    with closing(Outbox(recorder._queue.outbox.path)) as other, other.hold_drain_lock():  # so that they go on waiting
        eventually(lambda: recorder.record(a_call(), 3).status == "recorded")
        last = value(database_url, "SELECT max(sequence) FROM token_usage")
        eventually(lambda: recorder.record(a_call(), 3) and entries(database_url, recorder, "waiting"))
        ((_, first, until),) = entries(database_url, recorder, "waiting")
        assert (first, until) == (2, last - 1)
    assert recorder.flush(10) == 0


def test_ids_out_of_order_leave_an_entry_for_what_they_overtook(new_tracker, database_url, monkeypatch):
    monkeypatch.setattr("tracker.recording.outbox.drain.BATCH_ROWS", 3)
    ids = sorted(new_id() for _ in range(6))
    recorder = new_tracker(mode="background")
    with closing(Outbox(recorder._get_queue().outbox.path)) as other, other.hold_drain_lock():
        recorder.record_many([a_call(id=id_) for id_ in reversed(ids)])
    assert recorder.flush(10) == 0
    recorder.close()
    assert value(database_url, "SELECT count(*) FROM token_usage") == 6
    waiting = {
        number for _, first, last in entries(database_url, recorder, "waiting") for number in range(first, last + 1)
    }
    assert waiting <= {1, 2, 3}


def test_a_killed_process_reports_no_last_number(proxy, database_url, new_tracker):
    proxy.swallow = True
    assert python("-c", LEAVES, env={"DATABASE_URL": proxy.url}).returncode == 0
    proxy.swallow = False
    assert new_tracker(database_url=proxy.url).flush(10) == 0
    assert rows(database_url, "SELECT kind FROM token_tracker_ledger") == []


def test_the_last_number_is_reported_after_the_queued_records(new_tracker, proxy, database_url):
    recorder = new_tracker(mode="background", database_url=proxy.url, deadline_s=0.4)
    recorder.record(a_call())
    assert recorder.flush(10) == 0
    proxy.swallow = True
    recorder.record_many([a_call() for _ in range(3)])
    recorder.close()
    assert entries(database_url, recorder) == []
    assert [json.loads(text)["last_sequence"] for _, kind, text in recorder._queue.outbox.notes(10) if kind == "ledger"]
    proxy.swallow = False
    assert new_tracker(database_url=proxy.url).flush(10) == 0
    eventually(lambda: entries(database_url, recorder, "closed") == [("closed", 1, 4)])
    assert value(database_url, "SELECT count(*) FROM token_usage") == 4


def test_rows_that_are_deleted_on_purpose_are_entered_as_ranges(new_tracker, database_url):
    from support import connect

    from tracker.rollups.invalidation import execute_and_invalidate

    with new_tracker() as recorder:
        recorder.record_many([a_call(is_test=number in {2, 3, 4, 7}) for number in range(1, 9)])
    with closing(connect(database_url)) as connection:
        deletion = "DELETE FROM {table} AS calls WHERE is_test"
        assert execute_and_invalidate(connection, None, deletion, ledger_kind="removed") == 4
    assert entries(database_url, recorder, "removed") == [("removed", 2, 4), ("removed", 7, 7)]
    assert value(database_url, "SELECT count(*) FROM token_usage") == 4


def test_two_threads_that_fall_behind_leave_no_number_unexplained(new_tracker, proxy, database_url):
    from concurrent.futures import ThreadPoolExecutor

    recorder = new_tracker(database_url=proxy.url, max_retries=0, deadline_s=3, log_records=False)
    recorder.record(a_call())
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            proxy.cut_all()
            proxy.cut_before()
            list(pool.map(lambda _: recorder.record(a_call()), range(20)))
    eventually(lambda: recorder.flush(10) == 0)
    recorder.close()
    question = "SELECT count(*)::int, count(DISTINCT sequence)::int, max(sequence) FROM token_usage"
    assert rows(database_url, question) == [(61, 61, 61)]
