"""A recorder's row that arrives after the span of the same call is compared with it, and one of the two is removed."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from span_calls_support import CALL, NOW_NS, SDK, WRAPPER, compared, recorded, report, send, stored
from support import connect, rows, run, value
from traces_support import GENAI, app_on

from tracker.otlp.storing import late_rows
from tracker.otlp.storing.late_rows import compare


def test_a_recorders_row_that_arrives_later_replaces_the_spans(app, recorder, database_url):
    send(app, (SDK, [report(1, CALL)]), (WRAPPER, [report(2, CALL, trace=2)]))
    recorder.record(recorded())
    assert compared(database_url).removed == 1
    assert stored(database_url, "instance_id IS NOT NULL") == [(True,)]
    send(app, (SDK, [report(1, CALL)]), (WRAPPER, [report(2, CALL, trace=2)]))
    assert compared(database_url).removed == 0
    assert len(stored(database_url)) == 1


def test_it_compares_a_row_that_waited_for_hours(app, recorder, database_url):
    hours_ago = NOW_NS - 5 * 3600 * 10**9
    send(app, (SDK, [report(1, CALL, end_ns=hours_ago)]))
    compared(database_url)
    recorder.record(recorded(created_at=datetime.fromtimestamp(hours_ago / 1e9, UTC)))
    assert compared(database_url).removed == 1
    assert stored(database_url, "instance_id IS NOT NULL") == [(True,)]


def test_a_late_row_without_usage_is_removed_and_explained(app, recorder, database_url):
    send(app, (SDK, [report(1, CALL)]))
    recorder.record(recorded(input_tokens=0, output_tokens=0, user_id="u_7"))
    assert compared(database_url).removed == 1
    assert stored(database_url, "input_tokens, instance_id, user_id") == [(100, None, "u_7")]
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'removed'") == 1


def test_after_the_database_clock_was_set_back_all_rows_of_the_last_day_are_compared(app, recorder, database_url):
    send(app, (SDK, [report(1, CALL)]))
    compared(database_url)
    run(database_url, "UPDATE token_tracker_span_state SET compared_until = now() + interval '1 hour'")
    recorder.record(recorded())
    assert compared(database_url).removed == 1
    assert stored(database_url, "instance_id IS NOT NULL") == [(True,)]
    assert value(database_url, "SELECT compared_until < now() FROM token_tracker_span_state")


def test_rows_are_compared_once_and_in_batches(app, recorder, database_url, monkeypatch):
    monkeypatch.setattr(late_rows, "_LIMIT", "FETCH FIRST 2 ROWS WITH TIES")
    monkeypatch.setattr(late_rows, "MAX_ROWS", 2)
    send(app, (SDK, [report(1, CALL)]))
    for number in range(5):
        recorder.record(recorded(input_tokens=500 + number))
    recorder.record(recorded())
    with closing(connect(database_url)) as connection:
        run(database_url, "UPDATE token_usage SET recorded_at = recorded_at - interval '10 minutes'")
        seen, since_s = [], None
        while True:
            done = compare(connection, None, since_s)
            seen.append(done.rows)
            if (since_s := done.next_s) is None:
                break
        assert (sum(seen), len(seen) > 2) == (6, True)
        assert compare(connection, None).rows == 0
    assert min(stored(database_url, "input_tokens, instance_id IS NOT NULL")) == (100, True)
    assert len(stored(database_url)) == 6


def test_rows_that_no_call_can_have_do_not_stop_it(app, recorder, database_url):
    send(app, (SDK, [report(1, CALL)]))
    for _ in range(4):
        recorder.record(recorded(input_tokens=7))
    run(database_url, "ALTER TABLE token_usage ALTER COLUMN model DROP NOT NULL")
    ids = [one for (one,) in rows(database_url, "SELECT id::text FROM token_usage WHERE instance_id IS NOT NULL")]
    run(
        database_url,
        f"UPDATE token_usage SET created_at = to_timestamp(1767225600000) WHERE id = '{ids[0]}'",
        f"UPDATE token_usage SET created_at = 'infinity', recorded_at = 'infinity' WHERE id = '{ids[1]}'",
        f"UPDATE token_usage SET created_at = '-infinity' WHERE id = '{ids[2]}'",
        f"UPDATE token_usage SET model = NULL, processing_time = NULL, metadata = '{{}}' WHERE id = '{ids[3]}'",
    )
    recorder.record(recorded())
    assert compared(database_url).removed == 1
    send(app, (WRAPPER, [report(2, CALL, trace=2)]))
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE input_tokens = 100") == 1


def test_two_dashboards_compare_at_once(app, recorder, database_url):
    send(app, (SDK, [report(n, {**GENAI, "gen_ai.usage.input_tokens": n}, trace=n) for n in range(1, 50)]))
    recorder.record_many([recorded(input_tokens=n) for n in range(1, 50)])
    threads = [threading.Thread(target=compared, args=(database_url,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compared(database_url)
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE instance_id IS NULL") == 0
    assert len(stored(database_url)) == 49


def test_without_spans_nothing_is_read(recorder, database_url):
    recorder.record(recorded())
    assert compared(database_url) == (0, 0, None)


@pytest.mark.parametrize("adopted", [False, True])
def test_a_large_table_is_read_by_its_indexes(request, new_tracker, adopted):
    url = request.getfixturevalue("adopted_url" if adopted else "database_url")
    run(
        url,
        "INSERT INTO token_usage (created_at, recorded_at, model, input_tokens, output_tokens, total_tokens, metadata,"
        " user_id, operation, instance_id, sequence, processing_time)"
        f" SELECT to_timestamp({NOW_NS / 1e9}) - n * interval '1 minute', now() - n * interval '1 minute', 'gpt-4.1',"
        " 100, 20, 120, '{}', 'u', 'chat', gen_random_uuid(), n, 900 FROM generate_series(2000, 20000) AS n",
        "ANALYZE token_usage",
    )
    scans = "SELECT coalesce(sum(seq_scan), 0)::int FROM pg_stat_user_tables WHERE relname = 'token_usage'"
    before = value(url, scans)
    app = app_on(url)
    send(app, (SDK, [report(n, {**GENAI, "gen_ai.usage.input_tokens": n}, trace=n) for n in range(1, 30)]))
    new_tracker(database_url=url).record(recorded(input_tokens=7))
    assert compared(url).removed == 1
    time.sleep(1.1)  # the server collects its counters once a second
    assert value(url, scans) == before


def test_it_works_in_an_adopted_table(adopted_url, new_tracker):
    app = app_on(adopted_url)
    recorder = new_tracker(database_url=adopted_url)
    send(app, (SDK, [report(1, CALL)]))
    send(app, (WRAPPER, [report(2, {**CALL, "gen_ai.usage.cache_read.input_tokens": 9, "user.id": "u"}, trace=2)]))
    assert stored(adopted_url, "coalesce(user_id, 'the app')") in ([("the app",), ("u",)], [("u",), ("the app",)])
    assert value(adopted_url, "SELECT cache_read_input_tokens FROM token_usage WHERE user_id = 'u'") == 9
    recorder.record(recorded())
    assert compared(adopted_url).removed == 1
    send(app, ("third", [report(3, CALL, trace=3)]))
    assert sorted(stored(adopted_url, "instance_id IS NOT NULL")) == [(False,), (True,)]
