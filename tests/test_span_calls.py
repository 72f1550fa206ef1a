"""One AI call that several sources report is one row of token_usage."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT, connect, rows, run, value, with_role
from traces_support import GENAI, case_spans, export_of, post, span

from tracker import TokenUsage
from tracker.database.schema import read_table
from tracker.otlp.storing import late_rows
from tracker.otlp.storing.call_report import CallReport, match_score
from tracker.otlp.storing.late_rows import compare
from tracker.reports.engine.reader import Reader
from tracker.rollups.refresh import catch_up
from tracker.rollups.verify import verify
from tracker.settings import load
from tracker.traces import TracesApp

SDK, WRAPPER = "com.anthropic.sdk.python", "opentelemetry.instrumentation.anthropic"
NOW_NS = time.time_ns()
CALL = {**GENAI, "gen_ai.response.id": "chatcmpl-A1b2"}


def app_on(url):
    """The app as in a process of its own."""

    @contextmanager
    def borrow():
        with closing(connect(url)) as connection:
            yield connection, None

    return TracesApp(borrow, lambda: load({}))


@pytest.fixture
def app(database_url):
    return app_on(database_url)


def report(number, attributes, *, trace=1, end_ns=NOW_NS, duration_ms=1500, **fields):
    times = {"startTimeUnixNano": str(end_ns - duration_ms * 1_000_000), "endTimeUnixNano": str(end_ns)}
    return {**span(number, attributes, **fields), **times, "traceId": f"{trace:032x}"}


def send(app, *scopes, **resource):
    status, _, answer = post(app, export_of(*scopes, **resource))
    assert status == 200, answer
    return json.loads(answer)


def stored(url, columns="input_tokens, output_tokens"):
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")


def recorded(**fields):
    """A call as a recorder in the application has it."""
    usage = {"model": "gpt-4.1-2025-04-14", "input_tokens": 100, "output_tokens": 20, "processing_time": 1495}
    ended = datetime.fromtimestamp(NOW_NS / 1e9, UTC)
    return TokenUsage(**{**usage, "provider": "azure", "created_at": ended, **fields})


# --- span and span ------------------------------------------------------------------------------------------------

ORDERS = [(0, 1), (1, 0)]


@pytest.mark.parametrize("order", [*ORDERS, None], ids=["first", "second", "one export"])
@pytest.mark.parametrize(
    ("trace", "parent"), [(1, None), (2, None), (1, 1)], ids=["same trace", "other trace", "child"]
)
def test_one_call_of_two_instrumentations_is_one_row_with_the_values_of_both(app, database_url, order, trace, parent):
    parts = {"gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.reasoning.output_tokens": 5}
    scopes = [
        (WRAPPER, [report(1, {**CALL, "user.id": "u_7", "gen_ai.operation.name": "summary", "session.id": "s_1"})]),
        (SDK, [report(2, {**CALL, **parts}, trace=trace, parent=parent)]),
    ]
    for _ in range(2):
        if order is None:
            send(app, *scopes)
        else:
            for index in order:
                send(app, scopes[index])
    columns = "input_tokens, output_tokens, cache_read_input_tokens, reasoning_output_tokens, user_id, session_id"
    assert stored(database_url, f"{columns}, operation") == [(100, 20, 60, 5, "u_7", "s_1", "summary")]


def test_three_instrumentations_report_one_call(app, database_url):
    for number, scope in enumerate([SDK, WRAPPER, "openinference.instrumentation.openai"], 1):
        send(app, (scope, [report(number, CALL, trace=number)]))
    assert len(stored(database_url)) == 1


def test_reports_of_one_instrumentation_are_never_merged(app, database_url):
    """Servers that speak OpenAI's format repeat their response ids."""
    send(app, (SDK, [report(1, CALL), report(2, CALL, trace=2)]))
    send(app, (SDK, [report(3, CALL, trace=3)]), service_name="other")
    assert len(stored(database_url)) == 3


def test_matching_is_one_to_one(app, database_url):
    same = {**GENAI}
    send(app, (SDK, [report(number, same, trace=number) for number in range(1, 4)]))
    send(app, (WRAPPER, [report(number, same, trace=number) for number in range(11, 16)]))
    assert len(stored(database_url)) == 5


@pytest.mark.parametrize(
    ("change", "times", "count"),
    [
        ({"gen_ai.provider.name": "azure.ai.openai"}, {}, 1),
        ({"gen_ai.response.model": "gpt-4.1", "gen_ai.request.model": "gpt-4.1"}, {}, 1),
        ({"gen_ai.response.model": "gpt-4.1-2025-11-11"}, {}, 2),
        ({"gen_ai.response.model": "gpt-4.1-mini", "gen_ai.request.model": "gpt-4.1-mini"}, {}, 2),
        ({"gen_ai.response.id": "chatcmpl-Other"}, {}, 2),
        ({"gen_ai.response.id": "lc_run--8c9b"}, {}, 1),
        ({"gen_ai.response.id": "lc_run--8c9b", "gen_ai.usage.input_tokens": 101}, {}, 2),
        ({"gen_ai.usage.input_tokens": 101}, {}, 1),
        ({}, {"end_ns": NOW_NS + 1_600_000_000}, 2),
        ({}, {"end_ns": NOW_NS + 1_400_000_000}, 1),
    ],
)
def test_the_rule(app, database_url, change, times, count):
    send(app, (SDK, [report(1, CALL)]))
    send(app, (WRAPPER, [report(2, {**CALL, **change}, trace=2, **times)]))
    assert len(stored(database_url)) == count


def test_a_completed_row_is_priced_again_and_the_rollups_follow(app, database_url):
    with closing(connect(database_url)) as connection:
        table = read_table(connection)
        send(app, (SDK, [report(1, CALL)]))
        run(database_url, "UPDATE token_usage SET cost = 1, cost_source = 'genai-prices 1'")
        catch_up(connection, table)
        send(app, (WRAPPER, [report(2, {**CALL, "gen_ai.usage.cache_read.input_tokens": 30}, trace=2)]))
        catch_up(connection, table)
        assert list(verify(connection, table)) == []
    assert stored(database_url, "cache_read_input_tokens, cost") == [(30, None)]


@pytest.mark.parametrize(
    "name",
    [
        "02-openinference-anthropic-stream-helper-not-nested",
        "03-anthropic-sdk-and-openllmetry-twice",
        "03-anthropic-sdk-and-openllmetry-langchain-twice",
    ],
)
def test_the_reported_calls_are_one_row_in_any_order(app, database_url, name):
    spans = case_spans(name, NOW_NS)
    for order in itertools.permutations(spans):
        run(database_url, "TRUNCATE token_usage, token_tracker_spans, token_tracker_span_calls")
        for scope, one in [*order, *order]:
            send(app, (scope, [one]))
        assert len(stored(database_url)) == 1, [scope for scope, _ in order]


@pytest.mark.pooler
@pytest.mark.parametrize("pooled", [False, True])
def test_two_processes_that_receive_the_two_reports_at_once_store_one_row(database_url, request, pooled):
    url = request.getfixturevalue("pooler")(database_url) if pooled else database_url
    apps = [app_on(url), app_on(url)]
    for number in range(1, 21):
        # A model of its own for each: the reports share no response id, so that the counts decide.
        attributes = {**GENAI, "gen_ai.usage.input_tokens": 1000 + number}
        exports = [
            (SDK, [report(number, attributes, trace=2 * number)]),
            (WRAPPER, [report(number, attributes, trace=2 * number + 1)]),
        ]
        threads = [threading.Thread(target=send, args=pair) for pair in zip(apps, exports, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(stored(database_url)) == 20


def test_exports_that_share_many_calls_do_not_wait_for_each_other_forever(database_url):
    apps = [app_on(database_url) for _ in range(4)]
    scopes = [SDK, WRAPPER, "a", "b"]

    def spans(scope):
        return [
            report(n, {**GENAI, "gen_ai.usage.input_tokens": n}, trace=n, end_ns=NOW_NS - n * 10**9)
            for n in (range(1, 200) if scope in {SDK, "a"} else range(199, 0, -1))
        ]

    threads = [
        threading.Thread(target=send, args=(app, (scope, spans(scope))))
        for app, scope in zip(apps, scopes, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(database_url)) == 199


@st.composite
def observed_calls(draw):
    """Calls, each reported by some of three instrumentations in traces of their own, in exports of any order."""
    calls = draw(st.integers(1, 4))
    reports = []
    for call in range(1, calls + 1):
        for scope in draw(st.sets(st.sampled_from(["a", "b", "c"]), min_size=1)):
            shift_ms = draw(st.integers(0, 300))
            cached = draw(st.sampled_from([0, call]))
            reports.append((call, scope, shift_ms, cached))
    order = draw(st.permutations(reports))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)) | {len(order)})
    exports = [order[start:end] for start, end in itertools.pairwise([0, *cuts])]
    return calls, [*exports, *draw(st.lists(st.sampled_from(exports), max_size=2))]


@settings(max_examples=40)
@given(observed_calls())
def test_any_order_and_any_split_ends_in_one_row_a_call(database_url, observed_calls):
    calls, exports = observed_calls
    run(database_url, "TRUNCATE token_usage, token_tracker_spans, token_tracker_span_calls")
    apps = [app_on(database_url), app_on(database_url)]
    for index, part in enumerate(exports):
        scopes = []
        for call, scope, shift_ms, cached in part:
            counts = {"gen_ai.usage.input_tokens": 10 * call, "gen_ai.usage.cache_read.input_tokens": cached}
            trace = 10 * call + "abc".index(scope)
            ended = NOW_NS - call * 5 * 10**8 + shift_ms * 10**6
            scopes.append((scope, [report(call, {**GENAI, **counts}, trace=trace, end_ns=ended)]))
        send(apps[index % 2], *scopes)
    expected = {call: max(c for part in exports for n, _, _, c in part if n == call) for call in range(1, calls + 1)}
    counts = rows(database_url, "SELECT input_tokens / 10, cache_read_input_tokens FROM token_usage")
    assert sorted(counts) == sorted(expected.items())


# --- span and recorder --------------------------------------------------------------------------------------------


def test_the_recorders_row_stays(app, recorder, database_url):
    recorder.record(recorded(metadata={"response_id": "chatcmpl-A1b2"}))
    for _ in range(2):
        send(app, (SDK, [report(1, CALL)]))
        send(app, (WRAPPER, [report(2, CALL, trace=2)]))
    assert stored(database_url, "input_tokens, instance_id IS NOT NULL") == [(100, True)]


@pytest.mark.parametrize("first", ["span", "recorder"])
def test_the_sdks_span_of_a_wrapped_client_is_no_second_row(app, recorder, database_url, first):
    spans = case_spans("03-anthropic-wrap-and-sdk-span-twice", NOW_NS)
    wrapped = recorded(
        model="claude-sonnet-5-0",
        provider="anthropic",
        input_tokens=2424,
        output_tokens=74,
        cache_read_input_tokens=2000,
        cache_write_input_tokens=300,
        metadata={"response_id": "msg_000024"},
    )
    steps = [lambda: send(app, *((scope, [one]) for scope, one in spans)), lambda: recorder.record(wrapped)]
    for step in steps if first == "span" else reversed(steps):
        step()
    compared(database_url)
    assert stored(database_url, "input_tokens, instance_id IS NOT NULL") == [(2424, True)]


def test_a_recorders_row_without_usage_is_replaced_and_explained(app, recorder, database_url):
    recorder.record(
        recorded(input_tokens=0, output_tokens=0, user_id="u_7", metadata={"response_id": "chatcmpl-A1b2", "a": 1})
    )
    send(app, (SDK, [report(1, CALL)]))
    assert stored(database_url, "input_tokens, instance_id, user_id, metadata ->> 'a'") == [(100, None, "u_7", "1")]
    assert rows(
        database_url, "SELECT kind, first_sequence, last_sequence FROM token_tracker_ledger WHERE kind = 'removed'"
    ) == [("removed", 1, 1)]


def test_a_recorder_matches_one_span_only(app, recorder, database_url):
    recorder.record(recorded())
    send(app, (SDK, [report(1, GENAI), report(2, GENAI, trace=2)]))
    assert sorted(stored(database_url, "instance_id IS NOT NULL")) == [(False,), (True,)]


def test_rows_of_imports_and_of_the_application_are_never_touched(app, database_url):
    columns = "id, created_at, model, input_tokens, output_tokens, total_tokens, processing_time"
    run(
        database_url,
        f"INSERT INTO token_usage ({columns}) VALUES (gen_random_uuid(), to_timestamp({NOW_NS / 1e9}),"
        " 'gpt-4.1-2025-04-14', 100, 20, 120, 1495)",
    )
    send(app, (SDK, [report(1, GENAI)]))
    with closing(connect(database_url)) as connection:
        assert compare(connection, None).removed == 0
    assert len(stored(database_url)) == 2


# --- rows that arrive later ---------------------------------------------------------------------------------------


def compared(url):
    with closing(connect(url)) as connection:
        return compare(connection, None)


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


# --- an adopted table ---------------------------------------------------------------------------------------------


@pytest.fixture
def adopted_url(empty_database_url):
    """An application's own table: times without zone, metadata as json, wide numbers."""
    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note_id uuid, model text NOT NULL,"
        " input_tokens bigint NOT NULL, output_tokens numeric NOT NULL, total_tokens integer NOT NULL,"
        " metadata json, cost numeric(10,6), created_at timestamp DEFAULT now() NOT NULL)",
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
        f" VALUES ('gpt-4.1', 100, 20, 120, to_timestamp({NOW_NS / 1e9}) AT TIME ZONE 'Asia/Seoul')",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    return empty_database_url


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


# --- failed calls -------------------------------------------------------------------------------------------------

FAILED = {"status": {"code": 2, "message": "429"}}


def failed(number, **fields):
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1", "error.type": "RateLimitError"}
    return report(number, attributes, **{**FAILED, **fields})


def test_a_failed_call_is_one_row(app, database_url):
    for order in itertools.permutations(case_spans("17-failed-calls-are-no-rows", NOW_NS)):
        run(database_url, "TRUNCATE token_usage, token_tracker_spans, token_tracker_span_calls")
        for scope, one in [*order, *order]:
            send(app, (scope, [one]))
        columns = "model, provider, success, total_tokens, error_message LIKE '%AI_APICallError%', error_message"
        ((*row, message),) = stored(database_url, columns)
        assert row == ["gpt-4o-mini", "openai", False, 0, True]
        assert "sk-abc" not in message


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("above", [True, False])
def test_a_failed_span_with_usage_above_or_below_it_is_no_row(app, database_url, order, above):
    top, bottom = (report(1, GENAI), failed(3, parent=2)) if above else (failed(1), report(3, GENAI, parent=2))
    chain = [top, report(2, {}, parent=1), bottom]
    for index in order:
        send(app, (SDK, [chain[index]]))
    assert stored(database_url, "success") == [(True,)]


def test_a_failed_span_displaces_no_call_beside_it(app, database_url):
    send(app, (SDK, [report(1, GENAI), failed(2)]), (WRAPPER, [failed(3, trace=2)]))
    assert sorted(stored(database_url, "success, input_tokens")) == [(False, 0), (True, 100)]


@pytest.mark.parametrize("first", ["span", "recorder"])
def test_a_failure_that_the_recorder_reports_too_is_one_row(app, recorder, database_url, first):
    steps = [
        lambda: send(app, (SDK, [failed(1)])),
        lambda: recorder.record(recorded(input_tokens=0, output_tokens=0, success=False, error_message="boom")),
    ]
    for step in steps if first == "span" else reversed(steps):
        step()
    compared(database_url)
    assert stored(database_url, "success, instance_id IS NOT NULL") == [(False, True)]


def test_services_that_fail_at_the_same_time_are_two_failures(app, database_url):
    send(app, (SDK, [failed(1)]), service_name="shop")
    send(app, (WRAPPER, [failed(2, trace=2)]), service_name="search")
    assert len(stored(database_url)) == 2


@pytest.mark.parametrize(
    ("response_ids", "trace", "services", "count"),
    [
        ((None, None), 2, ("web", "worker"), 2),
        (("chatcmpl-1", None), 2, ("web", "worker"), 2),
        (("chatcmpl-1", "lc_run--1"), 2, ("web", "worker"), 2),
        (("chatcmpl-1", "chatcmpl-1"), 2, ("web", "worker"), 1),
        ((None, None), 1, ("web", "worker"), 1),
        ((None, None), 2, ("web", "web"), 1),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_two_services_in_two_traces_need_the_same_response_id(
    app, database_url, response_ids, trace, services, count, first
):
    reports = []
    for number, (scope, response_id, in_trace) in enumerate(zip("ab", response_ids, (1, trace), strict=True)):
        attributes = {**GENAI, **({"gen_ai.response.id": response_id} if response_id else {})}
        times = {"end_ns": NOW_NS + number * 10**8}
        reports.append((scope, [report(number + 1, attributes, trace=in_trace, **times)], services[number]))
    for scope, spans, service in (reports[first], reports[1 - first]):
        send(app, (scope, spans), service_name=service)
    assert len(stored(database_url)) == count


# --- rights -------------------------------------------------------------------------------------------------------


def test_without_the_table_of_calls_a_process_uses_the_reports_in_memory(database_url, caplog):
    run(database_url, "DROP TABLE token_tracker_span_calls")
    app = app_on(database_url)
    send(app, (SDK, [report(1, CALL)]))
    answer = send(app, (WRAPPER, [report(2, CALL, trace=2)]))
    assert len(stored(database_url)) == 1
    assert "token-tracker migrate" in answer["partialSuccess"]["errorMessage"]
    assert caplog.text.count("may count twice") == 1


def test_a_role_that_may_not_delete_stores_one_row_and_names_the_right(database_url, new_role):
    name = new_role()
    run(
        database_url,
        f"GRANT SELECT, INSERT ON token_usage, token_tracker_spans TO {name}",
        f"GRANT SELECT, INSERT, UPDATE ON token_tracker_span_calls TO {name}",
    )
    app = app_on(with_role(database_url, name))
    send(app, (SDK, [report(1, CALL)]))
    answer = send(app, (WRAPPER, [report(2, {**CALL, "user.id": "u_7"}, trace=2)]))
    assert "DELETE ON token_usage" in answer["partialSuccess"]["errorMessage"]
    assert stored(database_url, "user_id") == [("anonymous",)]


def test_the_rights_that_the_documentation_names_are_enough(database_url, new_role, new_tracker):
    name = new_role()
    grants = re.findall(
        r"^GRANT .* TO the_role;$", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    run(database_url, *(grant.replace("the_role", name) for grant in grants))
    url = with_role(database_url, name)
    app, recorder = app_on(url), new_tracker()
    assert send(app, (SDK, [report(1, CALL)])) == {}
    assert send(app, (WRAPPER, [report(2, {**CALL, "user.id": "u_7"}, trace=2)])) == {}
    assert stored(database_url, "user_id") == [("u_7",)]
    recorder.record(recorded())
    assert compared(url).removed == 1
    recorder.record(recorded(input_tokens=0, output_tokens=0, metadata={"response_id": "chatcmpl-X"}))
    assert send(app, (SDK, [report(3, {**CALL, "gen_ai.response.id": "chatcmpl-X"}, trace=3)])) == {}
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'removed'") == 1
    assert post(app, b"", path="/v1/logs")[0] == 200
    assert value(database_url, "SELECT items FROM token_tracker_unread") == 1


# --- what was not understood --------------------------------------------------------------------------------------


def unread_span(number):
    return report(number, {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.provider": "x"})


def test_spans_that_were_not_understood_are_counted_and_logged_once_a_scope(database_url, caplog):
    for app in (app_on(database_url), app_on(database_url)):
        send(app, ("odd\x1b[31m\nscope", [unread_span(1), unread_span(2)]))
        app._unread._next_write = 0
        send(app, ("odd\x1b[31m\nscope", [unread_span(3)]))
    assert rows(database_url, "SELECT signal, scope, items FROM token_tracker_unread") == [
        ("traces", "odd\ufffd[31m\ufffdscope", 6)
    ]
    assert caplog.text.count("were not understood") + caplog.text.count("was not understood") == 2
    assert "\x1b" not in caplog.text
    assert stored(database_url) == []


def test_the_number_of_scopes_is_bounded(database_url):
    app = app_on(database_url)
    send(app, *((f"scope {number}", [unread_span(number + 1)]) for number in range(300)))
    send(app_on(database_url), *((f"other {number}", [unread_span(number + 1)]) for number in range(300)))
    assert value(database_url, "SELECT sum(items)::int FROM token_tracker_unread") == 600
    assert value(database_url, "SELECT count(*) FROM token_tracker_unread") <= 402


# --- the rule alone -----------------------------------------------------------------------------------------------


def observed(scope, **fields):
    usual = {"record_id": "", "model": "gpt-4.1", "started_s": 10.0, "ended_s": 12.0, "call_id": ""}
    return CallReport(**{**usual, "scope": scope, "counts": (100, 20, 0, 0, 0), **fields})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5", True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5", True),
        ("models/gemini-2.5-flash", "gemini-2.5-flash", True),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", True),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash", True),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4.1", "gpt-4", False),
        ("text-embedding-3-small", "text-embedding-3-large", False),
    ],
)
def test_which_names_are_one_model(one, other, same):
    assert (match_score(observed("a", model=one), observed("b", model=other)) is not None) is same


def test_the_requested_name_of_one_side_is_the_model_of_the_other():
    named = observed("a", model="prod-deployment")
    assert match_score(named, observed("b", model="gpt-4o", request_model="prod-deployment"))
    assert not match_score(named, observed("b", model="gpt-4o", request_model="other"))


def test_a_part_that_one_side_lacks_separates_nothing_and_one_that_differs_does():
    cached = observed("a", counts=(100, 20, 60, 0, 0))
    assert match_score(cached, observed("b"))
    assert not match_score(cached, observed("b", counts=(100, 20, 50, 0, 0)))


def test_reports_that_only_have_zeros_in_common_are_two_calls():
    assert not match_score(observed("a", counts=(100, 0, 0, 0, 0)), observed("b", counts=(0, 20, 0, 0, 0)))


# --- the connections of the dashboard -----------------------------------------------------------------------------


def test_every_function_that_borrows_a_connection_of_the_readers_works_twice(database_url, recorder):
    """SQLAlchemy registers types of its own on them."""
    from tracker.budgets import evaluate as budgets
    from tracker.database.locate import Database
    from tracker.database.url import clean
    from tracker.maintenance import delete_test_records, sample_data
    from tracker.otlp.storing import retrieved_responses, span_store
    from tracker.prices import reprice
    from tracker.prices.price_catalog import PriceCatalog
    from tracker.prices.unpriced_calls import scope_since

    recorder.record(recorded(is_test=True, input_tokens=7))
    database = Database(clean(database_url), embedded=False, settings=load({"DATABASE_URL": database_url}))
    with closing(Reader(database)) as reader:

        @contextmanager
        def borrow():
            with reader.borrow() as connection:
                yield connection, None

        app = TracesApp(borrow, lambda: load({}))
        for _ in range(2):
            send(app, (SDK, [report(1, CALL), report(3, GENAI, parent=1)]), (WRAPPER, [report(2, CALL, trace=2)]))
            post(app, b"", path="/v1/metrics")
            with reader.borrow() as connection:
                late_rows.compare(connection, None)
                span_store.ExpiredSpanCleanup().run(connection, None)
                catch_up(connection, reader.table())
                reprice.price_unpriced_calls(
                    connection, None, PriceCatalog({}), scope_since(datetime.now(UTC) - timedelta(days=1))
                )
                retrieved_responses.remove_since(connection, None, 0.0)
                budgets.evaluate_budgets(connection, None)
                assert list(verify(connection, reader.table())) == []
                sample_data.add(connection, None, days=1)
            delete_test_records.remove_tests(reader)
            delete_test_records.remove_samples(reader)
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE input_tokens = 100") == 1
