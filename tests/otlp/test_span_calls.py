"""One AI call that several instrumentations report is one row of token_usage."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from span_calls_support import CALL, NOW_NS, SDK, WRAPPER, report, send, stored
from support import connect, rows, run
from traces_support import GENAI, app_on, case_spans

from tracker.database.schema import read_table
from tracker.rollups.refresh import catch_up
from tracker.rollups.verify import verify

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
