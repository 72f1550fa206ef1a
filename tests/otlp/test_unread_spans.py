"""Spans that were not understood are counted and logged by scope."""

from __future__ import annotations

from span_calls_support import report, send, stored
from support import rows, value
from traces_support import app_on


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
