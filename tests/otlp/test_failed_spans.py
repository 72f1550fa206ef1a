"""A failed call is one row, and no row if a span above or below it has usage."""

from __future__ import annotations

import itertools

import pytest
from span_calls_support import NOW_NS, SDK, WRAPPER, compared, recorded, report, send, stored
from support import run
from traces_support import GENAI, case_spans

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
